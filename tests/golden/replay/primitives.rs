//! The parts on their own: torch's generator, initial weights, selection, norms, rounding of amounts.

use ndarray::{Array2, ArrayD, Dimension};
use prune::torch::Generator;
use prune::{
    Amount, CustomFromMask, Identity, L1Unstructured, LnStructured, Norm, Parameter, PruneError, PruningContainer,
    PruningMethod, RandomStructured, RandomUnstructured, TieBreak,
};
use safetensors::Dtype;

use super::fixture::{Direct, Draws, Layer, Norms, Order, Recording, Rounded, Stream, TopK};
use super::modules::next_word;
use super::tensor::{Scalar, Tensor, Tensors, dtype, with_dtype};

pub fn rng(recording: &Recording, case: &Draws) -> Result<(), String> {
    let generator = Generator::manual_seed(case.seed.parse().unwrap());
    let values = with_dtype!(dtype(&case.dtype), A => Tensor::of(&generator.rand::<A>(case.n)));
    compare("values", &recording.tensors[&case.values], &values)?;
    check_position(&generator, case.next_word_u24)
}

pub fn init(recording: &Recording, case: &Layer) -> Result<(), String> {
    let generator = Generator::manual_seed(case.seed.unwrap());
    with_dtype!(dtype(&case.dtype), A => draw::<A>(&generator, case, &recording.tensors).map(|_| ()))
}

/// Draws a layer or numbers; the weight if it is a layer.
fn draw<A: Scalar>(generator: &Generator, case: &Layer, tensors: &Tensors) -> Result<Option<ArrayD<A>>, String> {
    let (inputs, outputs) = (case.inputs.unwrap_or(0), case.outputs.unwrap_or(0));
    let (weight, bias) = match case.kind.as_str() {
        "rand" | "uniform_" => {
            let recorded = &tensors[case.values.as_ref().unwrap()];
            let len = recorded.shape[0];
            let values = match (case.from, case.to) {
                (Some(low), Some(high)) => generator.uniform::<A>(len, low.0, high.0),
                _ => generator.rand::<A>(len),
            };
            compare("values", recorded, &Tensor::of(&values))?;
            return Ok(None);
        }
        "linear" => {
            let (weight, bias) = generator.linear::<A>(inputs, outputs);
            (weight.into_dyn(), bias)
        }
        "conv2d" => generator.conv::<A>(outputs, inputs, &[case.k.unwrap(); 2]),
        "conv" => generator.conv::<A>(outputs, inputs, case.kernel.as_ref().unwrap()),
        other => panic!("unknown layer {other}"),
    };
    compare("weight", &tensors[case.weight.as_ref().unwrap()], &Tensor::of(&weight))?;
    compare("bias", &tensors[case.bias.as_ref().unwrap()], &Tensor::of(&bias))?;
    Ok(Some(weight))
}

/// Layers of a model one after the other, and their pruning, from one stream.
pub fn stream(recording: &Recording, case: &Stream) -> Result<(), String> {
    let generator = Generator::manual_seed(case.seed.parse().unwrap());
    let mut weights = Vec::new();
    for step in &case.steps {
        with_dtype!(dtype(&step.dtype), A => match step.layer {
            Some(layer) => {
                let weight: &Tensor = &weights[layer];
                let kept = prune_at_random::<A>(&generator, weight.array()).map_err(|e| e.to_string())?;
                compare_kept(&recording.tensors[step.kept.as_ref().unwrap()].unpacked(kept.len()), &kept)?;
            }
            None => weights.extend(draw::<A>(&generator, step, &recording.tensors)?.map(|w| Tensor::of(&w))),
        });
    }
    check_position(&generator, case.next_word_u24)
}

fn prune_at_random<A: Scalar>(generator: &Generator, weight: ArrayD<A>) -> Result<Vec<bool>, PruneError> {
    let mut weight = Parameter::new(weight);
    prune::random_unstructured(&mut weight, "", 0.4, generator)?;
    prune::random_structured(&mut weight, "", 0.5, 0, generator)?;
    Ok(weight.mask().unwrap().iter().collect())
}

/// Selection through the methods that select: the smallest as entries, the largest as channels of one entry that are kept.
pub fn topk(recording: &Recording, case: &TopK) -> Result<(), String> {
    let input = &recording.tensors[&case.input];
    let mut kept =
        with_dtype!(input.dtype, A => select::<A>(input, case.k, case.largest)).map_err(|e| e.to_string())?;
    if !case.largest {
        kept.iter_mut().for_each(|kept| *kept = !*kept);
    }
    let mut expected = vec![false; kept.len()];
    case.selected_sorted.iter().for_each(|&i| expected[i] = true);
    compare_kept(&expected, &kept)
}

fn select<A: Scalar>(input: &Tensor, k: usize, largest: bool) -> Result<Vec<bool>, PruneError> {
    let input = input.array::<A>();
    let n = input.len();
    let mut parameter = if largest {
        let column = Array2::from_shape_vec((n, 1), input.into_iter().collect()).unwrap();
        let mut parameter = Parameter::new(column);
        parameter.prune(LnStructured::new(n - k, 1, 0)?.tie_break(TieBreak::PyTorch))?;
        parameter
    } else {
        Parameter::new(input)
    };
    if !largest {
        parameter.prune(L1Unstructured::new(k)?.tie_break(TieBreak::PyTorch))?;
    }
    Ok(parameter.mask().unwrap().iter().collect())
}

pub fn norms(recording: &Recording, case: &Norms) -> Result<(), String> {
    let norm = case.n.norm();
    if norm == Norm::Nuclear && cfg!(not(feature = "nuclear")) {
        return Ok(());
    }
    let expected = &recording.tensors[&case.norm];
    let found = with_dtype!(expected.dtype, A => {
        let shape = || case.shape.as_deref().unwrap();
        let input = match (&case.input, case.seed) {
            (Some(input), _) => recording.tensors[input].array::<A>(),
            (None, Some(seed)) => Generator::manual_seed(seed).rand::<A>(shape()),
            (None, None) => ArrayD::from_elem(shape(), num_traits::One::one()),
        };
        prune::channel_norms::<A>(input.view(), norm, case.dim).map(|norms| Tensor::of(&norms))
    });
    let found = found.map_err(|e| e.to_string())?;
    match case.n {
        Order::Str(ref name) if name == "nuc" => compare_nearly(expected, &found),
        _ => compare("norm", expected, &found),
    }
}

/// Singular values come out of an iteration: the same to within rounding.
fn compare_nearly(expected: &Tensor, found: &Tensor) -> Result<(), String> {
    let tolerance = if expected.dtype == Dtype::F64 { 1e-13 } else { 1e-6 };
    let (expected, found) = (expected.numbers(), found.numbers());
    assert_eq!(expected.shape(), found.shape());
    let far = |a: f64, b: f64| (a - b).abs() > tolerance * a.abs().max(b.abs());
    match expected.indexed_iter().zip(&found).find(|((_, a), b)| far(**a, **b)) {
        Some(((index, a), b)) => Err(format!("norm at {:?}: expected about {a:?}, found {b:?}", index.slice())),
        None => Ok(()),
    }
}

/// A method on its own, and as the last of a container.
pub fn direct(recording: &Recording, case: &Direct) -> Result<(), String> {
    with_dtype!(recording.tensors[&case.tensor].dtype, A => direct_in::<A>(&recording.tensors, case))
}

fn direct_in<A: Scalar>(tensors: &Tensors, case: &Direct) -> Result<(), String> {
    let tensor = tensors[&case.tensor].array::<A>();
    let scores = case.scores.as_ref().map(|scores| tensors[scores].array::<A>());
    let ranked = scores.as_ref().unwrap_or(&tensor);
    let default_mask = bools(&tensors[&case.default_mask]);
    let generator = || Generator::manual_seed(case.seed.unwrap_or(0));
    let method = |generator: &Generator| method::<A>(tensors, case, generator).unwrap();

    let last = generator();
    let mask = method(&last).compute_mask(ranked.view(), default_mask.view()).unwrap();
    compare_kept(&flat(&tensors[&case.computed]), &mask.into_iter().collect::<Vec<_>>())
        .map_err(|e| format!("computed {e}"))?;
    case.next_word_u24.map_or(Ok(()), |word| check_position(&last, word))?;

    let mut container = PruningContainer::new();
    container.push(Identity);
    container.push(method(&generator()));
    let mask = container.compute_mask(ranked.view(), default_mask.view()).unwrap();
    compare_kept(&flat(&tensors[&case.container]), &mask.iter().collect::<Vec<_>>())
        .map_err(|e| format!("container {e}"))?;

    let scores = scores.as_ref().map(|scores| scores.view());
    let pruned = method(&generator()).prune(tensor.view(), Some(default_mask.view()), scores).unwrap();
    compare("pruned", &tensors[&case.pruned], &Tensor::of(&pruned))?;
    let pruned = method(&generator()).prune(tensor.view(), None, None).unwrap();
    compare("pruned without a mask", &tensors[&case.pruned_all], &Tensor::of(&pruned))
}

fn method<A: Scalar>(
    tensors: &Tensors,
    case: &Direct,
    generator: &Generator,
) -> Result<Box<dyn PruningMethod<A>>, PruneError> {
    let amount = case.amount.map_or(Amount::Count(0), super::modules::amount);
    let dim = case.dim.unwrap_or(0);
    Ok(match case.method.as_str() {
        "Identity" => Box::new(Identity),
        "L1Unstructured" => Box::new(L1Unstructured::new(amount)?.tie_break(TieBreak::PyTorch)),
        "RandomUnstructured" => Box::new(RandomUnstructured::new(amount, generator)?),
        "RandomStructured" => Box::new(RandomStructured::new(amount, dim, generator)?),
        "LnStructured" => {
            let n = case.n.as_ref().unwrap().norm();
            Box::new(LnStructured::new(amount, n, dim)?.tie_break(TieBreak::PyTorch))
        }
        "CustomFromMask" => Box::new(CustomFromMask::new(bools(&tensors[case.mask.as_ref().unwrap()]))),
        other => panic!("unknown method {other}"),
    })
}

fn bools(mask: &Tensor) -> ArrayD<bool> {
    mask.numbers().map(|&x| x != 0.0)
}

fn flat(mask: &Tensor) -> Vec<bool> {
    bools(mask).into_iter().collect()
}

pub fn amount(_: &Recording, case: &Rounded) -> Result<(), String> {
    let count = Amount::Fraction(case.fraction.0).count(case.n).map_err(|e| e.to_string())?;
    if count != case.count {
        return Err(format!("{} of {}: expected {}, found {count}", case.fraction.0, case.n, case.count));
    }
    Ok(())
}

fn compare(what: &str, expected: &Tensor, found: &Tensor) -> Result<(), String> {
    expected.difference(found).map_or(Ok(()), |difference| Err(format!("{what} {difference}")))
}

pub fn compare_kept(expected: &[bool], found: &[bool]) -> Result<(), String> {
    assert_eq!(expected.len(), found.len());
    match expected.iter().zip(found).position(|(expected, found)| expected != found) {
        Some(i) => Err(format!("mask at {i}: expected {}, found {}", expected[i], found[i])),
        None => Ok(()),
    }
}

pub fn check_position(generator: &Generator, expected: u32) -> Result<(), String> {
    let found = next_word(generator);
    if found == expected { Ok(()) } else { Err(format!("next word: expected {expected}, found {found}")) }
}
