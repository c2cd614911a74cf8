//! Pruning of tensors that are too large to record: they are made by seed, and only the masks are kept.

use ndarray::{ArrayD, Zip};
use prune::torch::Generator;
use prune::{
    CustomFromMask, L1Unstructured, LnStructured, Parameter, PruneError, PruningMethod, RandomStructured,
    RandomUnstructured, TieBreak,
};

use super::fixture::{self, Kept, Large, LargeStep, Recording};
use super::modules::amount;
use super::primitives::{check_position, compare_kept};
use super::tensor::{Scalar, Tensor, Tensors, dtype, with_dtype};

/// Compares the masks after each step: exactly, but in the crate's own tie order only up to the first tie, and there by count.
pub fn check(recording: &Recording, case: &Large, tie_break: TieBreak) -> Result<(), String> {
    with_dtype!(dtype(&case.dtype), A => check_in::<A>(&recording.tensors, case, tie_break))
}

fn check_in<A: Scalar>(tensors: &Tensors, case: &Large, tie_break: TieBreak) -> Result<(), String> {
    let weights = Generator::manual_seed(case.weights.seed);
    let weight = |shape: &Vec<usize>| {
        let u: ArrayD<A> = weights.rand(shape.as_slice());
        match case.weights.levels.and_then(|levels| A::from(levels.0)) {
            Some(levels) => u.mapv(|u| (u * levels).floor()),
            None => u,
        }
    };
    let mut parameters: Vec<_> = case.shapes.iter().map(weight).map(Parameter::new).collect();
    for (index, step) in case.steps.iter().enumerate() {
        let generator = Generator::manual_seed(step.seed.unwrap_or(0));
        prune(&mut parameters, step, &generator, tie_break).map_err(|e| e.to_string())?;
        let by_count = step.tie && tie_break == TieBreak::LowestIndex && step.seed.is_none();
        check_masks(tensors, step, &parameters, by_count).map_err(|what| format!("step {index}: {what}"))?;
        step.next_word_u24.map_or(Ok(()), |word| check_position(&generator, word))?;
        check_values(&parameters).map_err(|what| format!("step {index}: {what}"))?;
        if by_count {
            break;
        }
    }
    for parameter in &mut parameters {
        parameter.update(|mut weight| weight.mapv_inplace(|x| x + x));
    }
    check_values(&parameters)
}

/// Checks that the values are the weights, which are not negative, where the mask keeps them.
fn check_values<A: Scalar>(parameters: &[Parameter<A>]) -> Result<(), String> {
    for parameter in parameters {
        let mask = parameter.mask().unwrap().to_array();
        let expected = Zip::from(parameter.orig()).and(&mask);
        let expected = expected.map_collect(|&weight, &kept| if kept { weight } else { A::zero() });
        if let Some(difference) = Tensor::of(&expected).difference(&Tensor::of(parameter.value())) {
            return Err(format!("value {difference}"));
        }
    }
    Ok(())
}

fn prune<A: Scalar>(
    parameters: &mut [Parameter<A>],
    step: &LargeStep,
    generator: &Generator,
    tie_break: TieBreak,
) -> Result<(), PruneError> {
    let amount = amount(step.amount);
    let method: Box<dyn PruningMethod<A>> = match step.op.as_str() {
        "CustomFromMask" => {
            let u = generator.rand::<f32>(parameters[0].value().shape());
            Box::new(CustomFromMask::new(u.map(|&u| u < share(step.amount) as f32)))
        }
        "L1Unstructured" => Box::new(L1Unstructured::new(amount)?.tie_break(tie_break)),
        "RandomUnstructured" => Box::new(RandomUnstructured::new(amount, generator)?),
        "RandomStructured" => Box::new(RandomStructured::new(amount, step.dim.unwrap(), generator)?),
        "LnStructured" => {
            let n = step.n.as_ref().unwrap().norm();
            Box::new(LnStructured::new(amount, n, step.dim.unwrap())?.tie_break(tie_break))
        }
        other => panic!("unknown method {other}"),
    };
    match parameters {
        [parameter] => parameter.prune(method),
        several => prune::global_unstructured(several, method),
    }
}

fn share(amount: fixture::Amount) -> f64 {
    match amount {
        fixture::Amount::Float(share) => share.0,
        fixture::Amount::Int(_) => panic!("not a share"),
    }
}

fn check_masks<A: Scalar>(
    tensors: &Tensors,
    step: &LargeStep,
    parameters: &[Parameter<A>],
    by_count: bool,
) -> Result<(), String> {
    let flat = |parameter: &Parameter<A>| parameter.mask().unwrap().iter().collect();
    let masks: Vec<Vec<bool>> = parameters.iter().map(flat).collect();
    let zeros: Vec<usize> = masks.iter().map(|mask| mask.iter().filter(|&&kept| !kept).count()).collect();
    if zeros.iter().sum::<usize>() != step.zeros.iter().sum::<usize>() && !(by_count && step.dim.is_some()) {
        return Err(format!("pruned: expected {:?}, found {zeros:?}", step.zeros));
    }
    for (mask, kept) in masks.iter().zip(&step.kept).filter(|_| !by_count) {
        match kept {
            Kept::Packed(kept) => compare_kept(&tensors[kept].unpacked(mask.len()), mask)?,
            Kept::Hash { fnv1a: expected } if fnv1a(mask).to_string() == *expected => {}
            Kept::Hash { .. } => return Err("the hash of the mask differs".to_owned()),
        }
    }
    Ok(())
}

/// The 64-bit hash of Fowler, Noll and Vo, of a mask packed into bytes, the first entry in the highest bit.
fn fnv1a(mask: &[bool]) -> u64 {
    let byte = |bits: &[bool]| (0..8).fold(0, |byte, i| byte << 1 | u64::from(bits.get(i) == Some(&true)));
    mask.chunks(8).fold(0xcbf2_9ce4_8422_2325, |hash, bits| (hash ^ byte(bits)).wrapping_mul(0x100_0000_01b3))
}
