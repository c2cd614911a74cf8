//! The `k` lowest, on inputs that are hard for a selection, of lengths that are hard for one in blocks.

use ndarray::{Array1, Axis};
use prune::{CustomFromMask, L1Unstructured, LnStructured, Parameter, TieBreak, global_unstructured};

use super::dtype::{Dtype, for_each_dtype, same};
use super::oracle::{lowest, magnitudes};

for_each_dtype!(
    every_count_of_few_entries,
    lengths_around_block_boundaries,
    a_global_ranking_across_block_boundaries,
    channels_are_ranked_like_entries,
    the_tie_order_of_pytorch_only_moves_the_tied,
);

/// A number that looks random (splitmix64).
fn hash(i: usize) -> u64 {
    let mut z = (i as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Between 0 and 1.
fn unit(i: usize) -> f64 {
    (hash(i) >> 11) as f64 / (1_u64 << 53) as f64
}

/// The entry at `i` of `n`.
type Input = fn(i: usize, n: usize) -> f64;

const HARD: [(&str, Input); 13] = [
    ("constant", |_, _| -0.75),
    ("zeros of both signs", |i, _| if hash(i).is_multiple_of(2) { 0.0 } else { -0.0 }),
    ("all NaN", |_, _| f64::NAN),
    ("two values in turns", |i, _| if i % 2 == 0 { 1.0 } else { -2.0 }),
    ("two values in halves", |i, n| if i < n / 2 { 2.0 } else { 1.0 }),
    ("sorted", |i, n| i as f64 / n as f64),
    ("reversed", |i, n| -((n - i) as f64) / n as f64),
    ("99 % zeros", |i, _| if hash(i).is_multiple_of(100) { unit(i) } else { 0.0 }),
    ("seven values", |i, _| (hash(i) % 7) as f64 - 3.0),
    ("heavy tails", |i, _| (1.0 / (unit(i) - 0.5)).powi(3)),
    ("uniform", |i, _| unit(i) - 0.5),
    ("odd ones out", |i, _| [f64::NAN, f64::INFINITY, -0.0, 1.0, f64::NEG_INFINITY][(hash(i) % 5) as usize]),
    ("one low at the end", |i, n| if i + 1 == n { 0.1 } else { 0.2 }),
];

/// Returns whether an entry remains before the call.
type Remaining = fn(usize) -> bool;

const REMAINING: [(&str, Remaining); 3] = [
    ("nothing pruned", |_| true),
    ("some pruned", |i| !hash(i ^ 77).is_multiple_of(3)),
    ("a stretch pruned", |i| !(10..20_000).contains(&i)),
];

fn entries<A: Dtype>(input: Input, n: usize) -> Vec<A> {
    (0..n).map(|i| A::of(input(i, n))).collect()
}

/// Any bits at all.
fn wild<A: Dtype>(n: usize) -> Vec<A> {
    (0..n).map(|i| A::of_bits(hash(i))).collect()
}

/// Prunes `counts` of the entries, in turn from the start, and compares with a full sort.
fn check<A: Dtype>(name: &str, entries: &[A], counts: impl Fn(usize) -> Vec<usize>) {
    for (before, is_remaining) in REMAINING {
        let remaining: Vec<usize> = (0..entries.len()).filter(|&i| is_remaining(i)).collect();
        let order = lowest(&magnitudes(remaining.iter().map(|&i| &entries[i])), f64::total_cmp, remaining.len());

        let mut parameter = Parameter::new(Array1::from(entries.to_vec()));
        let mask = Array1::from_shape_fn(entries.len(), is_remaining);
        if remaining.len() < entries.len() {
            parameter.prune(CustomFromMask::new(mask.clone().into_dyn())).expect("the mask has the shape");
        }
        for count in counts(remaining.len()) {
            let mut expected = mask.clone();
            order[..count].iter().for_each(|&place| expected[remaining[place]] = false);
            let mut parameter = parameter.clone();
            parameter
                .prune(L1Unstructured::new(count).expect("counts are valid"))
                .expect("the count is at most the number of remaining entries");
            let found = parameter.mask().expect("it is pruned");
            assert!(*found == expected.into_dyn(), "{name}, {before}: {count} of {}", remaining.len());
            let product =
                parameter.orig().iter().zip(found.iter()).map(|(&x, kept)| x * if kept { A::one() } else { A::zero() });
            assert!(
                parameter.value().iter().zip(product).all(|(&value, product)| same(value, product)),
                "{name}, {before}"
            );
        }
    }
}

fn every_count_of_few_entries<A: Dtype>() {
    for n in 1..=70 {
        for (name, input) in HARD {
            check(name, &entries::<A>(input, n), |remaining| (0..=remaining).collect());
        }
        check("any bits", &wild::<A>(n), |remaining| (0..=remaining).collect());
    }
}

fn lengths_around_block_boundaries<A: Dtype>() {
    let counts = |n: usize| {
        let some = [1, n / 2, n.saturating_sub(1), n, 16_384, 65_537];
        some.into_iter().filter(|&count| count <= n).collect()
    };
    for n in [2_047, 2_048, 2_049, 16_383, 16_384, 16_385] {
        for (name, input) in HARD {
            check(name, &entries::<A>(input, n), counts);
        }
    }
    // Sorting takes its time: of the longer ones, each length sees some of the inputs, and each input some of the lengths.
    let longer = [65_535, 65_536, 65_537, 131_071, 131_072, 131_073, 262_145];
    for (turn, n) in longer.into_iter().enumerate() {
        for (name, input) in HARD.into_iter().skip(turn % 5).step_by(5) {
            check(name, &entries::<A>(input, n), counts);
        }
    }
    check("any bits", &wild::<A>(100_000), counts);
}

/// Segments shorter and longer than a block, empty ones too, of which equal scores in the first are pruned first.
fn a_global_ranking_across_block_boundaries<A: Dtype>() {
    let lengths = [0, 16_383, 1, 5, 65_537, 0, 40_000, 2];
    let total = lengths.iter().sum();
    for (name, input) in HARD {
        let entries = entries::<A>(input, total);
        let order = lowest(&magnitudes(&entries), f64::total_cmp, total);
        for count in [1, 16_385, total / 2, total - 1] {
            let mut expected = Array1::from_elem(total, true);
            order[..count].iter().for_each(|&i| expected[i] = false);

            let mut rest = entries.as_slice();
            let mut parameters = lengths.map(|length| {
                let (part, others) = rest.split_at(length);
                rest = others;
                Parameter::new(Array1::from(part.to_vec()))
            });
            global_unstructured(&mut parameters, L1Unstructured::new(count).expect("valid")).expect("enough");
            let masks: Vec<_> = parameters.iter().map(|p| p.mask().expect("it is pruned").to_array()).collect();
            let found = ndarray::concatenate(Axis(0), &masks.iter().map(|mask| mask.view()).collect::<Vec<_>>())
                .expect("they are vectors");
            assert!(found == expected.into_dyn(), "{name}: {count} of {total}");
        }
    }
}

/// A channel of one entry has its magnitude as its norm.
fn channels_are_ranked_like_entries<A: Dtype>() {
    for (name, input) in HARD {
        for n in [1, 2, 7, 64, 70, 5000] {
            let entries = entries::<A>(input, n);
            let order = lowest(&magnitudes(&entries), f64::total_cmp, n);
            for count in [0, 1, n / 2, n - 1, n] {
                let mut expected = ndarray::Array2::from_elem((1, n), true);
                order[..count].iter().for_each(|&i| expected[[0, i]] = false);
                let mut parameter = Parameter::new(Array1::from(entries.clone()).insert_axis(Axis(0)));
                parameter.prune(LnStructured::new(count, 2, 1).expect("valid")).expect("enough");
                assert!(*parameter.mask().expect("it is pruned") == expected, "{name}: {count} of {n}");
            }
        }
    }
}

/// Exactly the requested number is pruned: all that rank below the threshold, and none that rank above.
fn the_tie_order_of_pytorch_only_moves_the_tied<A: Dtype>() {
    for (name, input) in HARD {
        for n in [1, 2, 3, 4, 64, 65, 300] {
            let entries = entries::<A>(input, n);
            for count in [1, n / 3, n / 2, n] {
                let method = L1Unstructured::new(count).expect("valid").tie_break(TieBreak::PyTorch);
                let mut parameter = Parameter::new(Array1::from(entries.clone()));
                parameter.prune(method).expect("enough");
                let mask = parameter.mask().expect("it is pruned");
                let of = |side: bool| {
                    magnitudes(entries.iter().zip(mask.iter()).filter(|(_, kept)| *kept == side).map(|(x, _)| x))
                };
                let (pruned, kept) = (of(false), of(true));
                assert_eq!(pruned.len(), count, "{name}: {count} of {n}");
                let (highest, lowest) =
                    (pruned.into_iter().max_by(f64::total_cmp), kept.into_iter().min_by(f64::total_cmp));
                let ranked = highest.zip(lowest).is_none_or(|(pruned, kept)| pruned.total_cmp(&kept).is_le());
                assert!(ranked, "{name}: {count} of {n}");
            }
        }
    }
}
