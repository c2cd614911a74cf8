//! Pruning of tensors that are too large to record: they are made by seed, and only the masks are kept.

use ndarray::ArrayD;
use prune::torch::Generator;
use prune::{
    L1Unstructured, LnStructured, Parameter, PruneError, PruningMethod, RandomStructured, RandomUnstructured, TieBreak,
};

use super::fixture::{Kept, Large, Recording};
use super::primitives::{check_position, compare_kept};
use super::tensor::{Scalar, dtype, with_dtype};
use super::world::amount;

/// Compares the masks: exactly in PyTorch's tie order, else exactly or, where a tie decides, by count.
pub fn check(recording: &Recording, case: &Large, tie_break: TieBreak) -> Result<(), String> {
    let generator = Generator::manual_seed(case.seed.unwrap_or(0));
    let masks = with_dtype!(dtype(&case.dtype), A => masks::<A>(case, &generator, tie_break));
    let masks = masks.map_err(|e| e.to_string())?;
    let by_count = case.tie && tie_break == TieBreak::LowestIndex && case.seed.is_none();
    let zeros: Vec<usize> = masks.iter().map(|mask| mask.iter().filter(|&&kept| !kept).count()).collect();
    if zeros.iter().sum::<usize>() != case.zeros.iter().sum::<usize>() {
        return Err(format!("pruned: expected {:?}, found {zeros:?}", case.zeros));
    }
    for (mask, kept) in masks.iter().zip(&case.kept).filter(|_| !by_count) {
        match kept {
            Kept::Packed(kept) => compare_kept(&recording.tensors[kept].unpacked(mask.len()), mask)?,
            Kept::Hash { fnv1a: expected } if fnv1a(mask).to_string() == *expected => {}
            Kept::Hash { .. } => return Err("the hash of the mask differs".to_owned()),
        }
    }
    case.next_word_u24.map_or(Ok(()), |word| check_position(&generator, word))
}

fn masks<A: Scalar>(case: &Large, generator: &Generator, tie_break: TieBreak) -> Result<Vec<Vec<bool>>, PruneError> {
    let weights = Generator::manual_seed(case.weights.seed);
    let weight = |shape: &Vec<usize>| {
        let u: ArrayD<A> = weights.rand(shape.as_slice());
        match case.weights.levels.and_then(A::from) {
            Some(levels) => u.mapv(|u| (u * levels).floor()),
            None => u,
        }
    };
    let mut parameters: Vec<_> = case.shapes.iter().map(weight).map(Parameter::new).collect();
    let amount = amount(case.amount);
    let method: Box<dyn PruningMethod<A>> = match case.op.as_str() {
        "L1Unstructured" => Box::new(L1Unstructured::new(amount)?.tie_break(tie_break)),
        "RandomUnstructured" => Box::new(RandomUnstructured::new(amount, generator)?),
        "RandomStructured" => Box::new(RandomStructured::new(amount, case.dim.unwrap(), generator)?),
        "LnStructured" => {
            let n = case.n.as_ref().unwrap().norm();
            Box::new(LnStructured::new(amount, n, case.dim.unwrap())?.tie_break(tie_break))
        }
        other => panic!("unknown method {other}"),
    };
    match parameters.as_mut_slice() {
        [parameter] => parameter.prune(method)?,
        several => prune::global_unstructured(several, method)?,
    }
    Ok(parameters.iter().map(|parameter| parameter.mask().unwrap().iter().copied().collect()).collect())
}

/// The 64-bit hash of Fowler, Noll and Vo, of a mask packed into bytes, the first entry in the highest bit.
fn fnv1a(mask: &[bool]) -> u64 {
    let byte = |bits: &[bool]| (0..8).fold(0, |byte, i| byte << 1 | u64::from(bits.get(i) == Some(&true)));
    mask.chunks(8).fold(0xcbf2_9ce4_8422_2325, |hash, bits| (hash ^ byte(bits)).wrapping_mul(0x100_0000_01b3))
}
