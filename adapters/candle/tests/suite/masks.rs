//! Masks and values are those of `nn-prune` for the same arrays.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarMap;
use ndarray::{ArrayD, ArrayViewD};
use prune::{
    Amount, AnyMethod, Block, CustomFromMask, Describe, Element, Fpgm, Identity, L1Unstructured, LnStructured, Mask,
    NM, Parameter, ParameterStore, PruneError, PruningMethod, PruningType, RandomStructured, RandomUnstructured,
    TieBreak, torch,
};
use prune_candle::{Error, PrunedVars};

use crate::{Float, array, assert_same_bits, for_each_float, snapshot, vars_of};

const SHAPE: [usize; 2] = [6, 8];

/// Prunes what is closer to zero than a threshold.
#[derive(Debug, Clone)]
struct Below(f64);

impl Describe for Below {
    fn name(&self) -> &str {
        "Below"
    }
    fn pruning_type(&self) -> PruningType {
        PruningType::Unstructured
    }
}

impl<A: Element> PruningMethod<A> for Below {
    fn compute_mask(&self, scores: ArrayViewD<'_, A>, mask: ArrayViewD<'_, bool>) -> Result<ArrayD<bool>, PruneError> {
        let threshold = A::from(self.0).ok_or_else(|| PruneError::method("Below", "no such threshold"))?;
        Ok(ndarray::Zip::from(scores).and(mask).map_collect(|x, &kept| kept && x.abs() >= threshold))
    }
}

fn methods() -> Vec<AnyMethod> {
    let mask = Mask::from(ArrayD::from_shape_fn(&SHAPE[..], |index| (index[0] + 2 * index[1]) % 5 != 0));
    vec![
        AnyMethod::new(Identity),
        AnyMethod::new(L1Unstructured::new(0.3).unwrap()),
        AnyMethod::new(L1Unstructured::new(7).unwrap().tie_break(TieBreak::PyTorch)),
        AnyMethod::new(L1Unstructured::new(Amount::sparsity(0.6)).unwrap()),
        AnyMethod::new(RandomUnstructured::new(0.4, 42).unwrap()),
        AnyMethod::new(LnStructured::new(0.3, 2, 0).unwrap()),
        AnyMethod::new(LnStructured::new(2, f64::INFINITY, -1).unwrap()),
        AnyMethod::new(RandomStructured::new(1, 1, 7).unwrap()),
        AnyMethod::new(NM::new(2, 4, -1).unwrap()),
        AnyMethod::new(Block::new(0.5, &[2, 2], 1).unwrap()),
        AnyMethod::new(Fpgm::new(2, 0).unwrap()),
        AnyMethod::new(CustomFromMask::new(mask)),
        AnyMethod::new(Below(1.0)),
    ]
}

/// Every method, and every method after every other one.
#[test]
fn every_method_gives_the_mask_and_the_value_of_a_parameter() {
    for_each_float!(check_pairs);
}

fn check_pairs<A: Float>() {
    let weights = array::<A>(1, &SHAPE);
    for keeps_orig in [false, true] {
        for first in methods() {
            for second in methods() {
                let map = vars_of(&[("w", &weights)]);
                let pruned = if keeps_orig { PrunedVars::with_originals(&map) } else { PrunedVars::new(&map) };
                let mut parameter = Parameter::new(weights.clone());
                for method in [&first, &second] {
                    check_one(&map, &pruned, &mut parameter, method);
                }
                assert_eq!(pruned.orig("w").unwrap().is_some(), keeps_orig);
            }
        }
    }
}

fn check_one<A: Float>(map: &VarMap, pruned: &PrunedVars, parameter: &mut Parameter<A>, method: &AnyMethod) {
    let before = snapshot(map, pruned);
    match (parameter.prune(method.clone()), pruned.prune("w", method.clone())) {
        (Ok(()), Ok(())) => assert_eq!(pruned.mask("w").as_ref(), parameter.mask(), "{method:?}"),
        (Err(expected), Err(Error::Prune { name, source })) => {
            assert_eq!((name.as_str(), source), ("w", expected));
            assert_eq!(snapshot(map, pruned), before);
        }
        (expected, found) => panic!("{method:?}: {expected:?}, {found:?}"),
    }
    assert_same_bits(map, "w", parameter.value());
}

#[test]
fn functions_have_the_names_and_results_of_pytorch() {
    for_each_float!(check_functions);
}

fn check_functions<A: Float>() {
    let weights = array::<A>(5, &SHAPE);
    type Candle<'f> = &'f dyn Fn(&PrunedVars) -> Result<(), Error>;
    type Memory<'f, A> = &'f dyn Fn(&mut ParameterStore<A>) -> Result<(), PruneError>;
    let mask = ndarray::Array2::from_shape_fn((6, 8), |(i, j)| u8::from((i + j) % 3 == 0));
    let generator = || torch::Generator::manual_seed(888);
    let cases: [(Candle, Memory<A>); 9] = [
        (&|vars| vars.identity("w"), &|store| prune::identity(store, "w")),
        (&|vars| vars.l1_unstructured("w", 0.3), &|store| prune::l1_unstructured(store, "w", 0.3)),
        (&|vars| vars.l1_unstructured("w", 5), &|store| prune::l1_unstructured(store, "w", 5)),
        (&|vars| vars.random_unstructured("w", 0.3, 42), &|store| prune::random_unstructured(store, "w", 0.3, 42)),
        (&|vars| vars.random_unstructured("w", 9, generator()), &|store| {
            prune::random_unstructured(store, "w", 9, generator())
        }),
        (&|vars| vars.random_structured("w", 2, 1, 3), &|store| prune::random_structured(store, "w", 2, 1, 3)),
        (&|vars| vars.ln_structured("w", 0.5, 2, -1), &|store| prune::ln_structured(store, "w", 0.5, 2, -1)),
        (&|vars| vars.ln_structured("w", 1, 1, 0), &|store| prune::ln_structured(store, "w", 1, 1, 0)),
        (&|vars| vars.custom_from_mask("w", &mask), &|store| prune::custom_from_mask(store, "w", &mask)),
    ];
    for (candle, memory) in cases {
        let map = vars_of(&[("w", &weights)]);
        let pruned = PrunedVars::new(&map);
        let mut store = ParameterStore::from_iter([("w", weights.clone())]);
        candle(&pruned).unwrap();
        memory(&mut store).unwrap();
        assert_eq!(pruned.mask("w").as_ref(), store["w"].mask());
        assert_same_bits(&map, "w", store["w"].value());
    }
}

#[test]
fn global_masks_are_those_of_the_library() {
    for_each_float!(check_global);
}

fn check_global<A: Float>() {
    let arrays =
        [("a", array::<A>(1, &[4, 5])), ("b", array(2, &[3])), ("c", array(3, &[0, 7])), ("d", array(4, &[2, 2, 6]))];
    let map = vars_of(&arrays.each_ref().map(|(name, array)| (*name, array)));
    let pruned = PrunedVars::new(&map);
    let mut store = ParameterStore::from_iter(arrays);
    // The order decides among ties.
    for (names, amount) in [(["d", "a", "b", "c"], Amount::Fraction(0.3)), (["b", "a", "c", "d"], Amount::Count(11))] {
        let method = L1Unstructured::new(amount).unwrap();
        prune::global_unstructured(prune::parameters_mut(&mut store, &names).unwrap(), method).unwrap();
        pruned.global_unstructured(&names, method).unwrap();
        for (name, parameter) in store.iter() {
            assert_eq!(pruned.mask(name).as_ref(), parameter.mask());
            assert_same_bits(&map, name, parameter.value());
        }
    }
}

#[test]
fn variables_of_different_dtypes_are_ranked_together_by_value() {
    let map = VarMap::new();
    let names = ["a", "b", "c", "d"];
    let dtypes = [DType::F16, DType::BF16, DType::F32, DType::F64];
    for (i, (name, dtype)) in names.into_iter().zip(dtypes).enumerate() {
        let tensor = Tensor::from_vec(crate::numbers(i, 20), (4, 5), &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        crate::insert(&map, name, tensor);
    }
    for group in [&names[..], &names[..2], &names[1..3]] {
        let pruned = PrunedVars::new(&map);
        pruned.global_unstructured(group, L1Unstructured::new(0.4).unwrap()).unwrap();
        let arrays =
            group.iter().map(|name| (*name, array::<f64>(names.iter().position(|n| n == name).unwrap(), &[4, 5])));
        let mut store = ParameterStore::from_iter(arrays);
        let targets = prune::parameters_mut(&mut store, group).unwrap();
        prune::global_unstructured(targets, L1Unstructured::new(0.4).unwrap()).unwrap();
        assert!(group.iter().all(|name| pruned.mask(name).as_ref() == store[*name].mask()), "{group:?}");
    }
    assert!(dtypes.iter().zip(names).all(|(dtype, name)| crate::var(&map, name).dtype() == *dtype));
}

/// A value that `f32` does not hold is told apart from its neighbour.
#[test]
fn a_ranking_with_f64_is_one_of_f64() {
    let map = vars_of::<f64>(&[("b", &ndarray::arr1(&[1.0 + 1e-12, 1.0 - 1e-12]).into_dyn())]);
    crate::insert(&map, "a", Tensor::new(&[1.0f32], &Device::Cpu).unwrap());
    let pruned = PrunedVars::new(&map);
    pruned.global_unstructured(&["a", "b"], L1Unstructured::new(2).unwrap()).unwrap();
    assert_eq!(pruned.mask("b").unwrap(), ndarray::arr1(&[true, false]));
}

/// `bf16` has larger numbers than `f16`, and `f16` has finer ones than `bf16`.
#[test]
fn a_ranking_of_both_half_precisions_is_one_of_f32() {
    let map = VarMap::new();
    let tensor = |numbers: [f32; 2], dtype| Tensor::new(&numbers, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
    crate::insert(&map, "fine", tensor([1.001, 1.0], DType::F16));
    crate::insert(&map, "large", tensor([1e30, 1e20], DType::BF16));
    for names in [["fine", "large"], ["large", "fine"]] {
        for (count, name) in [(1, "fine"), (3, "large")] {
            let pruned = PrunedVars::new(&map);
            pruned.global_unstructured(&names, L1Unstructured::new(count).unwrap()).unwrap();
            assert_eq!(pruned.mask(name).unwrap(), ndarray::arr1(&[true, false]), "{names:?}");
        }
        crate::var(&map, "fine").set(&tensor([1.001, 1.0], DType::F16)).unwrap();
        crate::var(&map, "large").set(&tensor([1e30, 1e20], DType::BF16)).unwrap();
    }
}

#[test]
fn seeds_of_a_pattern_differ_by_name_and_those_of_a_name_are_the_librarys() {
    let (a, b) = (array::<f32>(0, &[10, 10]), array::<f32>(0, &[10, 10]));
    let map = vars_of(&[("a.weight", &a), ("b.weight", &b)]);
    let by_pattern = PrunedVars::new(&map);
    by_pattern.random_unstructured("*.weight", 0.5, 42).unwrap();
    assert_ne!(by_pattern.mask("a.weight"), by_pattern.mask("b.weight"));
    let by_name = PrunedVars::new(&map);
    by_name.random_unstructured("a.weight", 0.5, 42).unwrap();
    by_name.random_unstructured("b.weight", 0.5, 42).unwrap();
    assert_eq!(by_name.mask("a.weight"), by_name.mask("b.weight"));
    // The mask of a variable does not depend on what else the pattern matches.
    let alone = PrunedVars::new(&vars_of(&[("b.weight", &b)]));
    alone.random_unstructured("*.weight", 0.5, 42).unwrap();
    assert_eq!(alone.mask("b.weight"), by_pattern.mask("b.weight"));

    let structured = PrunedVars::new(&map);
    structured.random_structured("*.weight", 0.5, 0, 3).unwrap();
    assert_ne!(structured.mask("a.weight"), structured.mask("b.weight"));
}

#[test]
fn a_generator_goes_on_from_one_variable_to_the_next() {
    let weights = array::<f32>(0, &[10, 10]);
    let map = vars_of(&[("a", &weights), ("b", &weights)]);
    let pruned = PrunedVars::new(&map);
    pruned.random_unstructured("*", 0.5, torch::Generator::manual_seed(1)).unwrap();
    let generator = torch::Generator::manual_seed(1);
    let mut store = ParameterStore::from_iter([("a", weights.clone()), ("b", weights)]);
    for name in ["a", "b"] {
        prune::random_unstructured(&mut store, name, 0.5, &generator).unwrap();
        assert_eq!(pruned.mask(name).as_ref(), store[name].mask());
    }
}
