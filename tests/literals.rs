//! Every call style that users rely on, as they write it: that it compiles is half of the test.
//!
//! Type inference decides whether a bare `3`, `2` or `42` compiles, and one more `From` somewhere can break it.

use std::marker::PhantomData;

use ndarray::{Array1, Array2, Array4, ArrayD, ArrayView1, ArrayViewD, arr1, array};
use prune::{
    Amount, CustomFromMask, Describe, Element, L1Unstructured, LnStructured, Module, Norm, Parameter, ParameterStore,
    PruneError, PruningMethod, PruningType, RandomStructured, RandomUnstructured, Target, TieBreak,
};
use rand::SeedableRng;

type Tested = Result<(), PruneError>;

struct Layer {
    weight: Parameter<f32>,
    bias: Parameter<f32>,
}

impl Module for Layer {
    type Elem = f32;
    prune::named_parameters!(weight, bias);
}

struct Net {
    conv: Layer,
    fc: Layer,
}

impl Module for Net {
    type Elem = f32;
    prune::named_parameters!(conv, fc);
}

/// Magnitudes grow with the index, and the signs alternate.
fn counting(start: usize, n: usize) -> Array1<f32> {
    (start..start + n).map(|i| if i % 2 == 0 { i as f32 } else { -(i as f32) }).collect()
}

fn module() -> Layer {
    let weight = counting(1, 8).into_shape_with_order((2, 4)).expect("8 entries");
    Layer { weight: weight.into(), bias: counting(9, 2).into() }
}

fn net() -> Net {
    let kernel: Array4<f32> = counting(11, 8).into_shape_with_order((2, 1, 2, 2)).expect("8 entries");
    Net { conv: Layer { weight: kernel.into(), bias: counting(19, 2).into() }, fc: module() }
}

fn zeros(parameter: &Parameter<f32>) -> usize {
    parameter.value().iter().filter(|x| **x == 0.0).count()
}

fn mask(parameter: &Parameter<f32>) -> Vec<u8> {
    parameter.mask().expect("it is pruned").iter().map(u8::from).collect()
}

#[test]
fn a_fraction() -> Tested {
    let mut module = module();
    prune::l1_unstructured(&mut module, "weight", 0.5)?;
    assert_eq!(mask(&module.weight), [0, 0, 0, 0, 1, 1, 1, 1]);
    Ok(())
}

#[test]
fn a_count() -> Tested {
    let mut module = module();
    prune::l1_unstructured(&mut module, "weight", 3)?;
    assert_eq!(mask(&module.weight), [0, 0, 0, 1, 1, 1, 1, 1]);
    Ok(())
}

/// 1 is one entry, and 1.0 is all of them.
#[test]
fn one_and_one_point_zero() -> Tested {
    let mut module = module();
    prune::l1_unstructured(&mut module, "weight", 1)?;
    assert_eq!(zeros(&module.weight), 1);
    prune::l1_unstructured(&mut module, "weight", 1.0)?;
    assert_eq!(zeros(&module.weight), 8);
    Ok(())
}

#[test]
fn a_seed() -> Tested {
    let (mut module, mut again) = (module(), module());
    prune::random_unstructured(&mut module, "weight", 0.5, 42)?;
    prune::random_unstructured(&mut again, "weight", 4, 42_u64)?;
    assert_eq!(zeros(&module.weight), 4);
    assert_eq!(module.weight.mask(), again.weight.mask());
    Ok(())
}

#[test]
fn any_rng() -> Tested {
    let (mut module, mut again) = (module(), module());
    let mut rng = rand::rngs::StdRng::seed_from_u64(1);
    prune::random_unstructured(&mut module, "weight", 0.5, &mut rng)?;
    // One seed is drawn, there and then.
    let seed = rand::Rng::next_u64(&mut rand::rngs::StdRng::seed_from_u64(1));
    prune::random_unstructured(&mut again, "weight", 0.5, seed)?;
    assert_eq!(module.weight.mask(), again.weight.mask());

    prune::random_structured(&mut module, "weight", 1, 0, &mut rng)?;
    let object: &mut dyn rand::Rng = &mut rng;
    prune::random_unstructured(&mut module, "bias", 1, object)?;
    prune::random_unstructured(&mut module, "bias", 1, &mut rand::rng())?;
    assert_eq!(zeros(&module.bias), 2);
    Ok(())
}

#[test]
fn a_generator_of_pytorch() -> Tested {
    let mut module = module();
    let generator = prune::torch::Generator::manual_seed(888);
    prune::random_unstructured(&mut module, "weight", 0.5, &generator)?;
    // The entries with the largest of PyTorch's numbers are pruned, and the generator has advanced.
    let draws = prune::torch::Generator::manual_seed(888).rand::<f32>(8 + 1);
    let mut pruned: Vec<usize> = (0..8).collect();
    pruned.sort_by(|&a, &b| draws[b].total_cmp(&draws[a]));
    let expected: Vec<u8> = (0..8).map(|i| u8::from(!pruned[..4].contains(&i))).collect();
    assert_eq!(mask(&module.weight), expected);
    assert_eq!(generator.rand::<f32>(1)[0], draws[8]);

    prune::random_structured(&mut module, "weight", 1, 0, generator)?; // given away
    assert!(zeros(&module.weight) >= 4);
    Ok(())
}

#[test]
fn norms_and_negative_axes() -> Tested {
    let mut module = module();
    prune::ln_structured(&mut module, "weight", 0.5, 2, -1)?;
    assert_eq!(mask(&module.weight), [0, 0, 1, 1, 0, 0, 1, 1]);
    prune::ln_structured(&mut module, "weight", 1, f64::NEG_INFINITY, 0)?;
    assert_eq!(mask(&module.weight), [0, 0, 0, 0, 0, 0, 1, 1]);

    let mut module = self::module();
    prune::ln_structured(&mut module, "weight", 1, 0.5, 0)?;
    assert_eq!(mask(&module.weight), [0, 0, 0, 0, 1, 1, 1, 1]);
    prune::ln_structured(&mut module, "weight", 1, Norm::Frobenius, 1)?;
    assert_eq!(mask(&module.weight), [0, 0, 0, 0, 0, 1, 1, 1]);
    Ok(())
}

#[derive(Debug, Clone)]
struct MyMethod {
    threshold: f64,
}

impl Describe for MyMethod {
    fn name(&self) -> &str {
        "MyMethod"
    }
    fn pruning_type(&self) -> PruningType {
        PruningType::Unstructured
    }
}

impl<A: Element> PruningMethod<A> for MyMethod {
    fn compute_mask(&self, scores: ArrayViewD<'_, A>, mask: ArrayViewD<'_, bool>) -> Result<ArrayD<bool>, PruneError> {
        let low = |x: &A| x.to_f64().is_none_or(|x| x.abs() < self.threshold);
        Ok(ndarray::Zip::from(scores).and(mask).map_collect(|x, &kept| kept && !low(x)))
    }
}

#[test]
fn a_method_of_ones_own() -> Tested {
    let mut module = module();
    prune::apply(&mut module, "weight", MyMethod { threshold: 3.0 })?;
    assert_eq!(mask(&module.weight), [0, 0, 1, 1, 1, 1, 1, 1]);
    // Without arguments that would say which element type is meant.
    assert_eq!(MyMethod { threshold: 3.0 }.name(), "MyMethod");
    assert_eq!(L1Unstructured::new(3)?.pruning_type(), PruningType::Unstructured);

    let chosen: Box<dyn PruningMethod<f32>> = if module.bias.is_pruned() {
        Box::new(MyMethod { threshold: 0.0 })
    } else {
        Box::new(LnStructured::new(1, 1, 0)?.tie_break(TieBreak::PyTorch))
    };
    prune::apply(&mut module, "weight", chosen)?;
    assert_eq!(mask(&module.weight), [0, 0, 0, 0, 1, 1, 1, 1]);
    Ok(())
}

#[test]
fn importance_scores() -> Tested {
    let mut module = module();
    let scores = array![[9.0, 8.0, 7.0, 6.0], [5.0, 4.0, 3.0, 2.0_f32]];
    prune::apply_with_scores(&mut module, "weight", L1Unstructured::new(0.5)?, scores.view())?;
    assert_eq!(mask(&module.weight), [1, 1, 1, 1, 0, 0, 0, 0]);
    // As many dimensions, seen another way.
    prune::apply_with_scores(&mut module, "weight", L1Unstructured::new(1)?, scores.view().into_dyn())?;
    prune::apply_with_scores(&mut module, "bias", L1Unstructured::new(1)?, ArrayView1::from(&[2.0, 1.0]))?;
    assert_eq!((zeros(&module.weight), mask(&module.bias)), (5, vec![1, 0]));
    Ok(())
}

#[test]
fn global() -> Tested {
    let mut net = net();
    prune::global_unstructured([&mut net.conv.weight, &mut net.fc.weight], L1Unstructured::new(0.2)?)?;
    assert_eq!(mask(&net.fc.weight), [0, 0, 0, 1, 1, 1, 1, 1]);
    assert_eq!(zeros(&net.conv.weight), 0);

    let scores = Array4::from_shape_fn((2, 1, 2, 2), |(i, _, j, k)| -((4 * i + 2 * j + k) as f32));
    prune::global_unstructured([(&mut net.conv.weight, scores.view())], L1Unstructured::new(0.2)?)?;
    assert_eq!(mask(&net.conv.weight), [0, 0, 1, 1, 1, 1, 1, 1]);
    Ok(())
}

#[test]
fn global_by_names_and_mixed() -> Tested {
    let mut net = net();
    prune::global_unstructured(
        prune::parameters_mut(&mut net, &["conv.weight", "conv.bias"])?,
        L1Unstructured::new(0.2)?,
    )?;
    assert_eq!(mask(&net.conv.weight), [0, 0, 1, 1, 1, 1, 1, 1]);
    let names: Vec<String> = net.named_parameters().into_iter().map(|(name, _)| name).collect();
    assert_eq!(prune::parameters_mut(&mut net, &names)?.len(), 4);

    let low = Array2::zeros((2, 4));
    let mixed: [Target<'_, f32>; 2] = [(&mut net.fc.weight, low.view()).into(), (&mut net.fc.bias).into()];
    prune::global_unstructured(mixed, RandomUnstructured::new(1.0, 7)?)?;
    assert_eq!((zeros(&net.fc.weight), zeros(&net.fc.bias)), (8, 2));
    Ok(())
}

#[test]
fn an_optimizer_step() {
    let mut net = net();
    let gradient = Array4::from_elem((2, 1, 2, 2), 10.0);
    let before = net.conv.weight.value().clone();
    net.conv.weight.update(|mut w| w.scaled_add(-0.1, &gradient));
    assert_eq!(net.conv.weight.value(), &(before - 1.0));
}

#[test]
fn a_module_behind_a_pointer() -> Tested {
    let mut net = net();
    let any: &mut dyn Module<Elem = f32> = &mut net;
    prune::l1_unstructured(any, "conv.weight", 0.5)?;
    prune::global_unstructured(prune::parameters_mut(any, &["fc.weight"])?, L1Unstructured::new(1)?)?;
    assert!(prune::is_pruned(any));
    prune::remove(any, "conv.weight")?;
    let mut boxed: Box<dyn Module<Elem = f32>> = Box::new(net);
    prune::identity(&mut boxed, "conv.weight")?;
    assert!(boxed.parameter("conv.weight").is_some_and(Parameter::is_pruned));
    Ok(())
}

#[test]
fn masks() -> Tested {
    let mut module = module();
    prune::custom_from_mask(&mut module, "bias", arr1(&[1, 1]))?; // i32
    prune::custom_from_mask(&mut module, "bias", arr1(&[1.0, 1.0]))?; // f64
    prune::custom_from_mask(&mut module, "bias", ndarray::aview1(&[true, true]))?;
    let of_bytes = array![[1_u8, 0], [0, 1], [1, 1], [1, 1]];
    prune::custom_from_mask(&mut module, "weight", of_bytes.t())?;
    assert_eq!(mask(&module.weight), [1, 0, 1, 1, 0, 1, 1, 1]);
    let positive = module.weight.value().mapv(|x| x > 0.0).into_shared();
    prune::custom_from_mask(&mut module, "weight", &positive)?;
    assert_eq!(mask(&module.weight), [0, 0, 0, 1, 0, 1, 0, 1]);
    let second = CustomFromMask::new(arr1(&[false, true]).into_dyn());
    assert_eq!(second.mask(), &arr1(&[false, true]).into_dyn());
    prune::apply(&mut module, "bias", second)?;
    assert_eq!(mask(&module.bias), [0, 1]);
    Ok(())
}

#[test]
fn methods_on_a_parameter() -> Tested {
    let mut weight = Parameter::new(array![[1.0, -2.0], [3.0, -4.0]]);
    weight.prune(RandomStructured::new(1, -1, 42)?)?;
    weight.prune(LnStructured::new(0.5, f64::INFINITY, 0)?)?;
    weight.prune_with_scores(L1Unstructured::new(0)?, array![[0.0, 0.0], [0.0, 0.0]].view())?;
    assert_eq!(weight.value().iter().filter(|x| **x != 0.0).count(), 1);
    weight.remove()
}

#[test]
fn a_store() -> Tested {
    let mut layer = ParameterStore::new();
    assert!(layer.is_empty());
    layer.insert("weight", array![[1.0_f32, -2.0], [3.0, -4.0]]);
    layer.insert(String::from("bias"), Array1::zeros(2));
    assert_eq!((layer.len(), layer.is_empty()), (2, false));
    prune::l1_unstructured(&mut layer, "weight", 0.5)?;
    layer["weight"].update(|mut w| w += 1.0);
    assert_eq!(layer["weight"].value(), &array![[0.0, 0.0], [4.0, -3.0]].into_dyn());
    Ok(())
}

/// Its `EXISTS` is `true` if a type implements `From<T>`: the inherent constant then hides the one of the trait.
struct Conversion<T, Into>(PhantomData<(T, Into)>);

impl<T, Into: From<T>> Conversion<T, Into> {
    const EXISTS: bool = true;
}

trait Otherwise {
    const EXISTS: bool = false;
}

impl<T, Into> Otherwise for Conversion<T, Into> {}

/// `prune::l1_unstructured(&mut module, "weight", -3)` does not compile.
///
/// A literal `-3` is of an integer type that can be negated, and there are six of those. So the call compiles if and only
/// if `Amount` is `From` one of them. To ask the compiler that question here is better than to keep a file that must fail:
/// such a file fails for any typing error too, unless its message is kept as well, and that changes with the compiler.
#[test]
fn a_negative_count_does_not_compile() {
    macro_rules! convertible {
        ($($number:ty),*) => {
            [$((stringify!($number), Conversion::<$number, Amount>::EXISTS)),*].into_iter().filter(|(_, exists)| *exists)
        };
    }
    assert_eq!(convertible!(i8, i16, i32, i64, i128, isize).count(), 0);
    // With one more integer, `3` alone would be an i32; with an f32, `0.1_f32` would be another fraction.
    let all: Vec<&str> =
        convertible!(u8, u16, u32, u64, u128, usize, f32, f64, bool, char).map(|(name, _)| name).collect();
    assert_eq!(all, ["usize", "f64"]);
}
