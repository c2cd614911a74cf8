use half::{bf16, f16};

use super::*;
use crate::select::lowest;
use crate::tensor::chunk::Position;

/// Numbers with many ties, zeros, infinities, NaN and subnormals.
fn numbers<A: Element>(count: usize, seed: u64) -> Vec<A> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let special = [0.0, -0.0, f64::INFINITY, f64::NAN, f64::NEG_INFINITY, 1e-40, 6e-8, 1e-310, 65504.0, 1.0];
    let number = |_| {
        let bits = next();
        let x = match bits % 8 {
            0 => special[(bits >> 8) as usize % special.len()],
            1 | 2 => ((bits >> 8) % 7) as f64 / 4.0 - 0.75,
            _ => ((bits >> 11) as f64 / (1_u64 << 53) as f64 - 0.5) * 10_f64.powi((bits % 5) as i32 - 2),
        };
        <A as num_traits::NumCast>::from(x).unwrap()
    };
    (0..count).map(number).collect()
}

/// Counts parts until the threshold of `k` is known, and returns it with the last sum and the number of rounds.
fn search(k: u64, add: &dyn Fn(&mut Histogram)) -> (Bracket, usize) {
    let mut bracket = Bracket::all();
    for round in 1.. {
        let mut sum = Histogram::within(&bracket);
        add(&mut sum);
        bracket = sum.bracket(k).unwrap();
        if bracket.threshold().is_some() {
            return (bracket, round);
        }
        assert!(round < 10);
    }
    unreachable!()
}

fn agrees_with_selection<A: Element>(most_rounds: usize) {
    for (count, seed) in [(1, 1), (7, 2), (500, 3), (3000, 4)] {
        let all = numbers::<A>(count, seed);
        let mask: Vec<bool> = (0..count).map(|i| !(i as u64 * 7 + seed).is_multiple_of(3)).collect();
        for mask in [None, Some(&mask)] {
            let remaining = mask.map_or(count, |mask| mask.iter().filter(|&&kept| kept).count());
            let middle = [remaining / 7, remaining / 3, remaining / 2, remaining - remaining / 9];
            for k in middle.into_iter().chain([0, 1.min(remaining), remaining]) {
                for parts in [1, 3] {
                    let size = count.div_ceil(parts);
                    let add = |sum: &mut Histogram| {
                        let within = sum.within;
                        for (i, part) in all.chunks(size).enumerate() {
                            let mut own = Histogram::within(&within);
                            own.add(part, mask.map(|mask| &mask[i * size..][..part.len()])).unwrap();
                            sum.merge(&own).unwrap();
                        }
                        assert_eq!(sum.entries(), remaining as u64);
                    };
                    let (bracket, rounds) = search(k as u64, &add);
                    assert!(rounds <= most_rounds, "{rounds} rounds");
                    let remaining_of = mask.map(|mask| &mask[..]);
                    let expected = lowest(&[Segment { scores: &all[..], remaining: remaining_of }], k);
                    let key = bracket.threshold().unwrap().key();
                    let mut ties = k as u64 - bracket.below();
                    for (offset, x) in all.iter().enumerate() {
                        if remaining_of.is_some_and(|mask| !mask[offset]) {
                            continue;
                        }
                        let own = widen_key::<A>(x.key());
                        let pruned = own < key
                            || own == key && ties > 0 && {
                                ties -= 1;
                                true
                            };
                        let position = Position { segment: 0, offset };
                        assert_eq!(pruned, expected.prunes(x.key(), position), "{x} at {offset}, k {k} of {count}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_threshold_is_that_of_the_selection_after_as_many_rounds_as_the_type_has_halves() {
    agrees_with_selection::<f16>(1);
    agrees_with_selection::<bf16>(1);
    agrees_with_selection::<f32>(2);
    agrees_with_selection::<f64>(4);
}

/// Entries of all types are ranked together, as in `f64`.
#[test]
fn types_are_ranked_together() {
    for seed in 0..6 {
        let a = numbers::<f16>(300, seed * 4 + 1);
        let b = numbers::<bf16>(200, seed * 4 + 2);
        let c = numbers::<f32>(400, seed * 4 + 3);
        let d = if seed % 2 == 0 { numbers::<f64>(100, seed * 4 + 4) } else { Vec::new() };
        fn keys<A: Element>(numbers: &[A]) -> Vec<u64> {
            numbers.iter().map(|x| widen_key::<A>(x.key())).collect()
        }
        let mut keys = [keys(&a), keys(&b), keys(&c), keys(&d)].concat();
        keys.sort_unstable();
        for k in (1..=keys.len()).step_by(41).chain([keys.len()]) {
            let add = |sum: &mut Histogram| {
                sum.add(&a, None).unwrap();
                sum.add(&b, None).unwrap();
                sum.add(&c, None).unwrap();
                sum.add(&d, None).unwrap();
            };
            let (bracket, rounds) = search(k as u64, &add);
            assert!(d.is_empty() && rounds <= 2 || rounds <= 5, "{rounds} rounds");
            let key = keys[k - 1];
            assert_eq!(bracket.threshold().unwrap().key(), key);
            assert_eq!(bracket.below(), keys.iter().filter(|&&other| other < key).count() as u64);
            assert_eq!(bracket.inside(), keys.iter().filter(|&&other| other == key).count() as u64);
        }
    }
}

/// A magnitude is known before the number of entries below it is, if a bin of another type contains it.
#[test]
fn a_bin_around_the_magnitude_is_counted_again() {
    let halves = [f16::from_f32(1.0); 3];
    let floats = [1.000_001_f32, 0.5, 2.0];
    let add = |sum: &mut Histogram| {
        sum.add(&halves, None).unwrap();
        sum.add(&floats, None).unwrap();
    };
    let mut sum = Histogram::new();
    add(&mut sum);
    let first = sum.bracket(2).unwrap();
    assert_eq!((first.low(), first.high(), first.threshold()), (1.0, 1.0, None));
    let (bracket, rounds) = search(2, &add);
    assert_eq!((bracket.threshold(), bracket.below(), bracket.inside(), rounds), (Some(1.0), 1, 3, 2));
}

#[test]
fn what_is_outside_has_no_bracket() {
    let mut histogram = Histogram::new();
    histogram.add(&[1.0_f32, 2.0, 3.0], None).unwrap();
    assert_eq!(histogram.bracket(4), None);
    let mut inner = Histogram::within(&histogram.bracket(2).unwrap());
    inner.add(&[1.0_f32, 2.0, 3.0], None).unwrap();
    assert_eq!([1, 2, 3].map(|k| inner.bracket(k).is_some()), [false, true, false]);
    let error = inner.merge(&histogram).unwrap_err();
    assert_eq!(error.to_string(), "a histogram from 0 to NaN cannot be merged with one from 2 to 2.007812261581421");
    let error = histogram.add(&[1.0_f32], Some(&[true, false])).unwrap_err();
    assert_eq!(error, PruneError::ShapeMismatch { argument: "mask".into(), expected: vec![1], found: vec![2] });
}

/// A file holds the whole histogram, and nothing else is taken for one.
#[cfg(feature = "safetensors")]
#[test]
fn histograms_survive_files() {
    let bracket = Bracket::new(0.25, 4.0);
    let mut histogram = Histogram::within(&bracket);
    histogram.add(&numbers::<f32>(500, 1), None).unwrap();
    histogram.add(&numbers::<bf16>(500, 2), None).unwrap();
    let mut again = Histogram::within(&bracket);
    for counts in histogram.types() {
        again.add_type(&counts).unwrap();
        assert_eq!(counts.entries().is_some_and(|entries| entries > 0), ["f32", "bf16"].contains(&&*counts.dtype));
    }
    assert_eq!(again, histogram);

    let counts =
        |dtype: &str, bins: &[(u16, u64)]| TypeCounts { dtype: dtype.into(), below: 0, above: 0, bins: bins.to_vec() };
    // From 0.25 to 4, bf16 has four times 128 magnitudes and 4 itself.
    assert!(Histogram::within(&bracket).add_type(&counts("bf16", &[(512, 1)])).is_some());
    for wrong in [counts("bf16", &[(513, 1)]), counts("f8", &[]), counts("f32", &[(0, u64::MAX), (0, 1)])] {
        assert!(Histogram::within(&bracket).add_type(&wrong).is_none(), "{wrong:?}");
    }
}
