//! The lowest of every group against the slow way, [`Groups::clear_lowest`]: for groups of every shape and size that a kernel is
//! made for, and of those next to them.

use half::{bf16, f16};
use proptest::prelude::*;

use crate::element::Element;
use crate::key::{Key, Ranked};
use crate::select::in_groups::{clear_lowest, clear_lowest_scaled};
use crate::select::scaled::{factors_from, scaled};
use crate::tensor::groups::Granularity;

/// A tensor, its groups and the number of entries that are pruned from each group.
#[derive(Debug, Clone)]
struct Case {
    shape: [usize; 2],
    granularity: Granularity,
    /// The number of 8 entries that are pruned; without it, `keep` entries are kept.
    eighths: Option<usize>,
    keep: usize,
    /// One of this number of entries was pruned before; 0 for none.
    pruned: usize,
    /// The number of different values.
    spread: u64,
    seed: u64,
}

impl Case {
    fn count(&self, all: usize, remaining: usize) -> usize {
        match self.eighths {
            Some(eighths) => (all * eighths / 8).min(remaining),
            None => remaining.saturating_sub(self.keep),
        }
    }
}

fn granularity() -> impl Strategy<Value = Granularity> {
    let sizes = prop_oneof![1_usize..10, prop::sample::select(vec![15, 16, 17, 31, 32, 33, 64, 100, 129, 200])];
    prop_oneof![
        4 => (0_isize..2, sizes.clone()).prop_map(|(dim, size)| Granularity::Along { dim, size }),
        1 => Just(Granularity::Rows),
        1 => (1_usize..4, sizes).prop_map(|(height, width)| Granularity::Blocks(vec![height, width])),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let shape = prop_oneof![
        (1_usize..40, 1_usize..40),
        (1_usize..4, prop::sample::select(vec![16, 64, 128, 160, 300])),
        (prop::sample::select(vec![8, 16, 32, 33, 64]), 30_usize..36),
    ];
    let quota = (prop::option::of(0_usize..=8), 0_usize..20);
    let values =
        (prop::sample::select(vec![0, 0, 2, 3, 9]), prop::sample::select(vec![1, 3, 40, 1 << 40]), any::<u64>());
    (shape, granularity(), quota, values).prop_map(
        |((rows, columns), granularity, (eighths, keep), (pruned, spread, seed))| Case {
            shape: [rows, columns],
            granularity,
            eighths,
            keep,
            pruned,
            spread,
            seed,
        },
    )
}

fn check<A: Element>(case: &Case, of_bits: impl Fn(u64) -> A) {
    let len: usize = case.shape.iter().product();
    let mut state = case.seed;
    let mut next = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        state >> 16
    };
    let mut value = || match next() % 32 {
        0 => A::infinity(),
        1 => A::neg_zero(),
        2 => of_bits(next() | u64::MAX << 40),
        3 => of_bits(next()),
        n => {
            A::from(((next() % case.spread) as f64 + 1.0) * if n % 2 == 0 { 1.0 } else { -0.5 }).unwrap_or_else(A::nan)
        }
    };
    let scores: Vec<A> = (0..len).map(|_| value()).collect();
    let mask: Vec<bool> = (0..len).map(|i| case.pruned == 0 || (i * 7919) % 31 % case.pruned > 0).collect();
    let groups = case.granularity.groups(&case.shape).unwrap();
    let count = |all, remaining| case.count(all, remaining);

    let (mut expected, mut found) = (mask.clone(), mask.clone());
    groups.clear_lowest(0, &mut expected, count, |at| scores[at].key());
    clear_lowest(&groups, 0, &scores, &mut found, count);
    assert_eq!(found, expected, "{}", A::DTYPE);

    // From the second stretch on, as another thread would see it.
    let stretch = groups.stretch();
    if stretch < len {
        let mut part = mask[stretch..].to_vec();
        clear_lowest(&groups, stretch, &scores[stretch..], &mut part, count);
        assert_eq!(part, expected[stretch..], "{}", A::DTYPE);
    }

    // Keys of all bits.
    let keys: Vec<A::Key> = scores.iter().map(|score| score.key().flipped().min(A::Key::MAX - A::Key::ONE)).collect();
    let (mut expected, mut found) = (mask.clone(), mask.clone());
    groups.clear_lowest(0, &mut expected, count, |at| keys[at]);
    clear_lowest(&groups, 0, &keys, &mut found, count);
    assert_eq!(found, expected, "{}", A::DTYPE);

    // Factors of few bits and of many, so that some products are told apart only by their last bits, or too large for `f32`.
    let factors: Vec<f32> =
        (0..case.shape[1]).map(|i| [1.0, 0.0, 1.5, 1.0 + f32::EPSILON, 0.1, 1e38, 1e-30][i * 5 % 7]).collect();
    let products: Vec<f64> =
        scores.iter().zip(factors_from(&factors, 0)).map(|(&x, factor)| scaled(x, factor)).collect();
    let (mut expected, mut found) = (mask.clone(), mask);
    groups.clear_lowest(0, &mut expected, count, |at| products[at].key());
    clear_lowest_scaled(&groups, 0, &scores, &factors, &mut found, count);
    assert_eq!(found, expected, "scaled {}", A::DTYPE);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_group_loses_its_lowest(case in case(), dtype in 0..4) {
        match dtype {
            0 => check(&case, |bits| f32::from_bits(bits as u32)),
            1 => check(&case, f64::from_bits),
            2 => check(&case, |bits| f16::from_bits(bits as u16)),
            _ => check(&case, |bits| bf16::from_bits(bits as u16)),
        }
    }
}
