//! Rankings of every granularity against a slow oracle: rows, groups along an axis, blocks, channels, the tensor, all
//! tensors. The tests of files use the same cases and the same oracle.

use std::collections::BTreeMap;

use half::{bf16, f16};
use ndarray::{ArrayD, Dimension, IxDyn};
use proptest::prelude::*;

use crate::amount::Amount;
use crate::element::Element;
use crate::error::PruneError;
use crate::mask::Mask;
use crate::method::Describe;
use crate::method::built_in::BuiltIn;
use crate::method::request::{Factors, Quota, Request, Score};
use crate::parameter::Parameter;
use crate::pruning_type::PruningType;
use crate::select::TieBreak;
use crate::tensor::groups::Granularity;

/// The method of these tests: any request.
#[derive(Debug, Clone)]
pub struct Probe(pub Case);

/// The entries of one or several tensors that are ranked together, and how many of them are pruned.
#[derive(Debug, Clone)]
pub struct Case {
    /// `None`: the tensor, or all tensors together.
    pub within: Option<Granularity>,
    pub quota: Quota,
    /// The factors of each tensor, if scores are scaled.
    pub factors: Option<Vec<Factors>>,
}

impl Describe for Probe {
    fn name(&self) -> &str {
        "Probe"
    }
    fn pruning_type(&self) -> PruningType {
        if self.0.within.is_some() { PruningType::Groups } else { PruningType::Unstructured }
    }
}

impl BuiltIn for Probe {
    fn request(&self, _: &[&str]) -> Result<Request, PruneError> {
        let Case { within, quota, factors } = self.0.clone();
        let score = factors.map_or(Score::Magnitude, |factors| Score::Scaled(factors.into()));
        Ok(match (within, quota) {
            (Some(granularity), quota) => {
                Request::InGroups { granularity, quota, score, tie_break: TieBreak::LowestIndex }
            }
            (None, Quota::Amount(amount)) => Request::Lowest { amount, score, tie_break: TieBreak::LowestIndex },
            (None, Quota::Keep(_) | Quota::KeepOf { .. }) => {
                unreachable!("no case keeps a number of entries of the whole tensor")
            }
        })
    }
}

/// A tensor and its mask so far.
pub struct Tensor<A> {
    pub values: ArrayD<A>,
    pub mask: Option<ArrayD<bool>>,
}

/// The name of the group of an entry, by its index alone.
fn group(within: Option<&Granularity>, shape: &[usize], index: &[usize]) -> Vec<usize> {
    let axis = |dim: isize| if dim < 0 { (shape.len() as isize + dim) as usize } else { dim as usize };
    match within {
        None => vec![],
        Some(Granularity::Rows) => index[..index.len() - 1].to_vec(),
        Some(Granularity::Along { dim, size }) => {
            let mut group = index.to_vec();
            group[axis(*dim)] /= size;
            group
        }
        Some(Granularity::Blocks(sizes)) => index.iter().zip(sizes).map(|(at, size)| at / size).collect(),
        Some(Granularity::Channels { dim }) => vec![index[axis(*dim)]],
    }
}

/// The masks by the definition: every group is sorted, with NaN last, and its first entries are pruned.
pub fn oracle<A: Element>(case: &Case, tensors: &[Tensor<A>]) -> Vec<ArrayD<bool>> {
    let mut groups = BTreeMap::<Vec<usize>, Vec<(usize, IxDyn)>>::new();
    for (number, tensor) in tensors.iter().enumerate() {
        for (index, _) in tensor.values.indexed_iter() {
            let group = group(case.within.as_ref(), tensor.values.shape(), index.slice());
            groups.entry(group).or_default().push((number, index));
        }
    }
    let all = |tensor: &Tensor<A>| ArrayD::from_elem(tensor.values.raw_dim(), true);
    let mut masks: Vec<_> = tensors.iter().map(|tensor| tensor.mask.clone().unwrap_or_else(|| all(tensor))).collect();
    for members in groups.into_values() {
        let size = members.len();
        let mut remaining: Vec<_> = members.into_iter().filter(|(number, index)| masks[*number][index]).collect();
        let score = |(number, index): &(usize, IxDyn)| {
            let magnitude = tensors[*number].values[index].abs().to_f64().unwrap();
            let axes = tensors[*number].values.shape().iter().zip(index.slice()).skip(1);
            let column = axes.fold(0, |column, (size, i)| column * size + i);
            let score = magnitude * case.factors.as_ref().map_or(1.0, |factors| factors[*number][column].into());
            (score.is_nan(), score.abs())
        };
        // Stable, so that the lowest index comes first among equals.
        remaining.sort_by(|a, b| score(a).partial_cmp(&score(b)).unwrap_or(std::cmp::Ordering::Equal));
        let count = match case.quota {
            Quota::Amount(Amount::Count(count)) => count.min(remaining.len()),
            Quota::Amount(amount) => amount.count_remaining(size, remaining.len()).unwrap(),
            Quota::Keep(keep) => remaining.len().saturating_sub(keep),
            // Entries that are pruned already count for the group.
            Quota::KeepOf { keep, of } => ((of - keep) * size / of).saturating_sub(size - remaining.len()),
        };
        remaining[..count].iter().for_each(|(number, index)| masks[*number][index] = false);
    }
    masks
}

/// Values with many equals, and a NaN, an infinity and zeros of both signs among them.
pub fn values<A: Element>(shape: &[usize], seed: u64) -> ArrayD<A> {
    let mut state = seed;
    ArrayD::from_shape_simple_fn(IxDyn(shape), || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        match state >> 58 {
            0 => A::nan(),
            1 => A::neg_infinity(),
            2 => A::neg_zero(),
            n => A::from(n as f64 / 8.0 - 4.0).unwrap(),
        }
    })
}

/// A mask that keeps about two thirds of the entries.
pub fn mask(shape: &[usize], seed: u64) -> ArrayD<bool> {
    values::<f64>(shape, seed ^ 0xff).mapv(|x| x.abs() > 1.0)
}

pub fn factors(shape: &[usize]) -> Factors {
    let width = shape.iter().skip(1).product::<usize>();
    (0..width).map(|i| ((i * 37) % 11) as f32 / 3.0).collect()
}

fn check<A: Element>(shape: &[usize], case: &Case, seed: u64, pruned: bool) {
    let tensor = Tensor { values: values::<A>(shape, seed), mask: pruned.then(|| mask(shape, seed)) };
    let mut parameter = Parameter::new(tensor.values.clone());
    if let Some(mask) = &tensor.mask {
        parameter.prune(crate::method::CustomFromMask::new(mask.clone())).unwrap();
    }
    // Pruned entries are orig * 0, which is NaN for infinities; they are no candidates.
    parameter.prune(Probe(case.clone())).unwrap();
    assert_eq!(parameter.mask(), Some(&Mask::from(oracle(case, &[tensor]).remove(0))), "{shape:?} {case:?}");
}

fn check_global<A: Element>(shapes: &[Vec<usize>], case: &Case, seed: u64) {
    let tensor = |(number, shape): (usize, &Vec<usize>)| {
        let seed = seed + number as u64;
        Tensor { values: values::<A>(shape, seed), mask: (number % 2 == 1).then(|| mask(shape, seed)) }
    };
    let tensors: Vec<_> = shapes.iter().enumerate().map(tensor).collect();
    let mut parameters: Vec<_> = tensors.iter().map(|tensor| Parameter::new(tensor.values.clone())).collect();
    for (parameter, tensor) in parameters.iter_mut().zip(&tensors) {
        if let Some(mask) = &tensor.mask {
            parameter.prune(crate::method::CustomFromMask::new(mask.clone())).unwrap();
        }
    }
    crate::functional::global_unstructured(&mut parameters, Probe(case.clone())).unwrap();
    for (parameter, expected) in parameters.iter().zip(oracle(case, &tensors)) {
        assert_eq!(parameter.mask(), Some(&Mask::from(expected)), "{shapes:?} {case:?}");
    }
}

pub fn quota() -> impl Strategy<Value = Quota> {
    prop_oneof![
        (0.0..=1.0).prop_map(|fraction| Quota::Amount(Amount::Fraction(fraction))),
        (0.0..=1.0).prop_map(|sparsity| Quota::Amount(Amount::Sparsity(sparsity))),
        (0_usize..5).prop_map(Quota::Keep),
        (0_usize..5, 0_usize..4).prop_map(|(keep, more)| Quota::KeepOf { keep, of: (keep + more).max(1) }),
    ]
}

pub fn granularity(ndim: usize) -> impl Strategy<Value = Granularity> {
    let dim = -(ndim as isize)..ndim as isize;
    prop_oneof![
        Just(Granularity::Rows),
        (dim.clone(), 1_usize..6).prop_map(|(dim, size)| Granularity::Along { dim, size }),
        prop::collection::vec(1_usize..5, 1..=ndim).prop_map(Granularity::Blocks),
        dim.prop_map(|dim| Granularity::Channels { dim }),
    ]
}

pub fn shape_and_granularity() -> impl Strategy<Value = (Vec<usize>, Granularity)> {
    prop::collection::vec(0_usize..10, 1..=4).prop_flat_map(|shape| {
        let granularity = granularity(shape.len());
        (Just(shape), granularity)
    })
}

/// Shapes and granularities whose stretches are longer than a chunk, than a block of a file, or than both; and one of which
/// blocks of whole rows would not begin at whole bytes of a mask in bits.
pub fn long_cases() -> Vec<(Vec<usize>, Granularity)> {
    vec![
        (vec![20, 20_001], Granularity::Rows),
        (vec![1, 270_001], Granularity::Rows),
        (vec![2, 265_003], Granularity::Rows),
        (vec![2, 266_001], Granularity::Along { dim: 1, size: 20_000 }),
        (vec![4, 66_000], Granularity::Along { dim: 0, size: 2 }),
        (vec![3, 140_001], Granularity::Along { dim: 0, size: 2 }),
        (vec![300, 450, 2], Granularity::Channels { dim: 1 }),
        (vec![5, 55_000], Granularity::Channels { dim: 0 }),
        (vec![70, 4001], Granularity::Blocks(vec![66, 30])),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn groups_are_ranked_as_defined((shape, within) in shape_and_granularity(), quota in quota(), seed: u64, pruned: bool,
                                    scaled: bool, dtype in 0..4) {
        let factors = (scaled && shape.len() > 1).then(|| vec![factors(&shape)]);
        let case = Case { within: Some(within), quota, factors };
        match dtype {
            0 => check::<f32>(&shape, &case, seed, pruned),
            1 => check::<f64>(&shape, &case, seed, pruned),
            2 => check::<f16>(&shape, &case, seed, pruned),
            _ => check::<bf16>(&shape, &case, seed, pruned),
        }
    }

    #[test]
    fn tensors_are_ranked_as_defined(shapes in prop::collection::vec(prop::collection::vec(1_usize..10, 1..=3), 1..4),
                                     fraction in 0.0..=1.0, seed in 0_u64..1 << 60, scaled: bool) {
        let scaled = scaled && shapes.iter().all(|shape| shape.len() > 1);
        let factors = scaled.then(|| shapes.iter().map(|shape| factors(shape)).collect());
        let case = Case { within: None, quota: Quota::Amount(Amount::Fraction(fraction)), factors };
        check::<f32>(&shapes[0], &Case { factors: case.factors.clone().map(|factors| factors[..1].to_vec()), ..case.clone() },
                     seed, scaled);
        check_global::<f32>(&shapes, &case, seed);
        check_global::<bf16>(&shapes, &case, seed);
    }
}

#[test]
fn long_groups_are_ranked_as_defined() {
    for (shape, within) in long_cases() {
        for (quota, scaled, pruned) in
            [(Quota::Amount(Amount::Sparsity(0.7)), true, false), (Quota::Amount(Amount::Fraction(0.6)), false, true)]
        {
            let factors = scaled.then(|| vec![factors(&shape)]);
            check::<f32>(&shape, &Case { within: Some(within.clone()), quota, factors }, 7, pruned);
        }
    }
}

/// Groups at an edge that have fewer entries than requested are pruned as a whole.
#[test]
fn a_count_above_the_size_of_a_smaller_group() {
    for (dim, shape) in [(1, [3, 6]), (0, [6, 3]), (1, [2, 110]), (0, [110, 20])] {
        for pruned in [false, true] {
            let quota = Quota::Amount(Amount::Count(3));
            let case = Case { within: Some(Granularity::Along { dim, size: 4 }), quota, factors: None };
            check::<f32>(&shape, &case, 5, pruned);
            let within = Some(Granularity::Along { dim, size: 40 });
            if shape[dim as usize] > 40 {
                let quota = Quota::Amount(Amount::Count(35));
                check::<f32>(&shape, &Case { within, quota, factors: None }, 6, pruned);
            }
        }
    }
}

#[test]
fn impossible_groups_are_refused() {
    let refused = |within, quota, factors| {
        Parameter::new(values::<f32>(&[4, 6], 1))
            .prune(Probe(Case { within: Some(within), quota, factors }))
            .unwrap_err()
    };
    let amount = |amount: Amount| Quota::Amount(amount);
    let too_large = PruneError::AmountTooLarge { count: 7, available: 6, unit: "entries" };
    assert_eq!(refused(Granularity::Rows, amount(Amount::Count(7)), None), too_large);
    let axis = PruneError::AxisOutOfRange { found: 2, ndim: 2 };
    assert_eq!(refused(Granularity::Along { dim: 2, size: 2 }, Quota::Keep(1), None), axis);
    assert_eq!(refused(Granularity::Blocks(vec![1, 1, 1]), Quota::Keep(1), None), axis);
    let factors = refused(Granularity::Rows, Quota::Keep(1), Some(vec![factors(&[5])]));
    assert!(matches!(factors, PruneError::ShapeMismatch { argument, .. } if argument == "moments"));
}
