//! Tests that need the inside: inputs that defeat the sample, the radix search alone, and the number of looks at the data,
//! which no result shows.

use std::sync::atomic::{AtomicUsize, Ordering};

use half::{bf16, f16};

use crate::element::Element;
use crate::key::Ranked;
use crate::select::bisect::bisect;
use crate::select::radix::radix;
use crate::select::sample::{FEW_DEVIATIONS, bracket, deviation_of_runs, sample_offsets, stride};
use crate::select::scan::{BLOCK, Scan};
use crate::select::scores::{Scores, infallible};
use crate::select::{BISECT_FAR, BISECT_FROM, BISECT_TO, SORT_LIMIT, Threshold, lowest, lowest_of};
use crate::tensor::chunk::{CHUNK, Chunk, Position, Segment, chunks};

/// Big where the sample looks, small elsewhere; or the other way round.
fn adversary(len: usize, seen: f32, unseen: f32) -> Vec<f32> {
    let mut data: Vec<f32> = (0..len).map(|i| unseen + (i * 7919 % 1009) as f32 / 2048.0).collect();
    for offset in sample_offsets(len, stride(len, 1)) {
        data[offset] = seen + (offset % 13) as f32 / 64.0;
    }
    data
}

fn assert_exact(data: &[f32], k: usize) {
    let mut keys: Vec<_> = data.iter().map(|x| x.key()).collect();
    keys.sort_unstable();
    let threshold = lowest(&[Segment { scores: data, remaining: None }], k);
    assert_eq!(threshold.key, keys[k - 1], "key {k} of {}", data.len());
    let pruned = data
        .iter()
        .enumerate()
        .filter(|&(i, x)| x.key() < threshold.key || (x.key() == threshold.key && i < threshold.end.offset));
    assert_eq!(
        pruned.count(),
        if threshold.end.segment == 0 || keys.get(k).is_none_or(|&next| next > threshold.key) { k } else { usize::MAX }
    );
    assert_eq!(threshold.tie, keys.get(k) == Some(&threshold.key));
}

#[test]
fn a_sample_that_sees_nothing_typical_is_recovered_from() {
    for (seen, unseen) in [(1000.0, 1.0), (1.0, 1000.0)] {
        for len in [SORT_LIMIT + 1, 5 * CHUNK + 3, BISECT_TO, BISECT_TO + 1, BISECT_FAR + 1] {
            let data = adversary(len, seen, unseen);
            for k in [1, len / 100, len / 2, len - len / 100, len] {
                assert_exact(&data, k);
            }
        }
    }
}

/// The ranks at which a bracket that was misled ends: just below it, at its ends, and just above.
#[test]
fn ranks_at_the_ends_of_a_bracket_are_exact() {
    for (seen, unseen) in [(1000.0, 1.0), (1.0, 1000.0)] {
        let data = adversary(BISECT_FAR + 1, seen, unseen);
        let below = |limit: f32| data.iter().filter(|&&x| x < limit).count();
        let (after_the_lowest, highest) = (below(seen + 1.0 / 128.0), below(seen + 12.0 / 64.0));
        for k in [after_the_lowest, after_the_lowest + 1, highest, highest + 1] {
            assert_exact(&data, k);
        }
    }
}

#[test]
fn a_bracket_that_holds_nearly_all_is_recovered_from() {
    // The sample sees the extremes only, everything else lies between.
    let len = BISECT_FAR + 1;
    let mut data = adversary(len, 0.0, 5.0);
    for (i, offset) in sample_offsets(len, stride(len, 1)).enumerate() {
        data[offset] = if i % 2 == 0 { 0.0 } else { 9.0 };
    }
    let whole = [Segment { scores: &data[..], remaining: None }];
    let (lo, hi) = infallible(bracket(&chunks(&whole)[..], len, len / 2));
    assert!(lo < 5_f32.key() && hi > 6_f32.key());
    for k in [len / 2 - 1000, len / 2, len / 2 + 1000] {
        assert_exact(&data, k);
    }
}

#[test]
fn the_radix_search_alone_is_exact() {
    let data: Vec<u64> = (0..40_000_u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (i % 60)).collect();
    let mut sorted = data.clone();
    sorted.sort_unstable();
    let whole = [Segment { scores: &data[..], remaining: None }];
    for k in [1, 2, 1000, 20_000, 39_999, 40_000] {
        let key = sorted[k - 1];
        let found = infallible(radix(&chunks(&whole)[..], 0, u64::MAX, 0, k));
        assert_eq!((found.key, found.below), (key, sorted.partition_point(|&other| other < key)));
        assert_eq!(found.at, sorted.iter().filter(|&&other| other == key).count());
        // From an interval that starts above some entries.
        let (lo, hi) = (key - key % 7, key.saturating_add(5));
        let below = sorted.partition_point(|&other| other < lo);
        assert_eq!(infallible(radix(&chunks(&whole)[..], lo, hi, below, k)).key, key);
    }
}

/// Scores as they come from a file: in pieces of several chunks, sampled in runs, with little room, and not always.
struct Slow<'d> {
    data: &'d [f32],
    room: usize,
    /// A piece that cannot be read.
    broken: Option<usize>,
    /// The number of times that a piece was read.
    looks: AtomicUsize,
}

impl<'d> Slow<'d> {
    fn new(data: &'d [f32], room: usize) -> Self {
        Self { data, room, broken: None, looks: AtomicUsize::new(0) }
    }
}

const PIECE: usize = 3 * CHUNK;

impl Scores for Slow<'_> {
    type Score = f32;
    type Error = usize;
    const RUN: usize = 64;

    fn entries(&self) -> usize {
        self.data.len()
    }
    fn pieces(&self) -> usize {
        self.data.len().div_ceil(PIECE)
    }
    fn len(&self, piece: usize) -> usize {
        PIECE.min(self.data.len() - piece * PIECE)
    }
    fn start(&self, piece: usize) -> Position {
        Position { segment: 0, offset: piece * PIECE }
    }
    fn with<R>(&self, piece: usize, look: impl FnOnce(&Chunk<'_, f32>) -> R) -> Result<R, usize> {
        if self.broken.is_some_and(|broken| piece >= broken) {
            return Err(piece);
        }
        self.looks.fetch_add(1, Ordering::Relaxed);
        let offset = piece * PIECE;
        let scores = &self.data[offset..][..self.len(piece)];
        Ok(look(&Chunk { start: Position { segment: 0, offset }, scores, remaining: None }))
    }
    fn peek(&self, piece: usize, entry: usize, keys: &mut Vec<u32>) -> Result<(), usize> {
        let run = &self.data[piece * PIECE + entry..][..Self::RUN.min(self.len(piece) - entry)];
        keys.extend(run.iter().map(|x| x.key()));
        Ok(())
    }
    fn room(&self) -> usize {
        self.room
    }
}

#[test]
fn slow_scores_give_the_same_threshold() {
    let len = 20 * CHUNK + 77;
    let typical: Vec<f32> = (0..len).map(|i| (i * 7919 % 100_003) as f32 / 64.0).collect();
    // Sorted, so that runs of neighbours are as alike as can be.
    let sorted: Vec<f32> = (0..len).map(|i| (i / 3) as f32).collect();
    // The sampled runs see other magnitudes than the rest has.
    let mut unseen: Vec<f32> = (0..len).map(|i| 2.0 + (i * 7919 % 1009) as f32 / 2048.0).collect();
    for offset in sample_offsets(len, stride(len, Slow::RUN)) {
        let end = (offset + Slow::RUN).min(len);
        unseen[offset..end].iter_mut().enumerate().for_each(|(i, x)| *x = 900.0 + i as f32);
    }
    let constant = vec![5.0; len];
    for data in [&typical, &sorted, &unseen, &constant] {
        for k in [1, len / 100, len / 3, len - 5, len] {
            let expected = lowest(&[Segment { scores: data, remaining: None }], k);
            for room in [0, 1000, len] {
                assert_eq!(lowest_of(&Slow::new(data, room), k), Ok(expected), "{k} in room of {room}");
            }
        }
    }
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let data: Vec<f32> = (0..10 * PIECE).map(|i| (i * 7919 % 100_003) as f32).collect();
    for broken in [0, 3, 9] {
        // Of several pieces that are broken, the first is told of, on any number of threads.
        let scores = Slow { broken: Some(broken), ..Slow::new(&data, data.len()) };
        assert_eq!(lowest_of(&scores, data.len() / 2), Err(broken));
    }
    let few = Slow { broken: Some(0), ..Slow::new(&data[..100], 0) };
    assert_eq!(lowest_of(&few, 50), Err(0));
    assert_eq!(lowest_of(&few, 0), Ok(Threshold::NOTHING));
}

/// Returns how often each piece is read, on the average, until the k-th lowest is found; and the threshold.
fn looks(data: &[f32], room: usize, k: usize) -> (f64, Threshold<u32>) {
    let scores = Slow::new(data, room);
    let threshold = lowest_of(&scores, k).expect("nothing is broken");
    (scores.looks.load(Ordering::Relaxed) as f64 / scores.pieces() as f64, threshold)
}

const PRIME: usize = 999_983;

/// The numbers below the prime, each once. Neighbours are far apart, and any few of them are spread over all.
fn shuffled() -> Vec<f32> {
    (0..PRIME as u64).map(|i| (i * 618_023 % PRIME as u64) as f32).collect()
}

#[test]
fn typical_data_are_looked_at_once() {
    let data = shuffled();
    for k in [1, PRIME / 100, PRIME / 2, PRIME - 5, PRIME] {
        assert_eq!(looks(&data, PRIME, k).0, 1.0, "{k}");
        // Hardly any keys are held.
        assert_eq!(looks(&data, PRIME / 10, k).0, 1.0, "{k} with little room");
    }
    // Without room for them, the radix search looks again, once for each digit.
    for k in [PRIME / 100, PRIME / 2, PRIME - 5] {
        let looks = looks(&data, 0, k).0;
        assert!((2.0..=4.0).contains(&looks), "{k} without room: {looks}");
    }
}

/// Neighbours that are alike say less about the whole, which the width of the bracket takes into account.
#[test]
fn sorted_data_are_looked_at_once() {
    let data: Vec<f32> = (0..PRIME).map(|i| i as f32).collect();
    for k in [PRIME / 100, PRIME / 3, PRIME / 2, PRIME - 1000] {
        assert_eq!(looks(&data, PRIME, k).0, 1.0, "{k}");
    }
}

#[test]
fn a_tie_takes_one_more_look_at_one_piece() {
    // At the lower end of the bracket, inside, and at the upper end.
    let constant = vec![5.0; PRIME];
    let pairs: Vec<f32> = shuffled().into_iter().map(|x| (x / 2.0).floor()).collect();
    let most = |high: f32, low: f32| shuffled().iter().map(|&x| if x < 600_000.0 { low } else { high }).collect();
    let (upper, lower): (Vec<f32>, Vec<f32>) = (most(5.0, 1.0), most(1.0, 5.0));
    for (data, k) in [(&constant, PRIME / 3), (&pairs, PRIME / 2), (&upper, 400_000), (&lower, 450_000)] {
        let (looks, threshold) = looks(data, PRIME, k);
        assert!(threshold.tie);
        assert_eq!(looks, 1.0 + 1.0 / data.len().div_ceil(PIECE) as f64);
    }
}

#[test]
fn a_bracket_of_most_entries_is_not_searched_like_a_new_source() {
    // Every look of the sample sees the extremes only. Collecting the rest, again and again, would not be linear.
    let mut data: Vec<f32> = shuffled().into_iter().map(|x| x + 10.0).collect();
    for (i, offset) in sample_offsets(PRIME, stride(PRIME, Slow::RUN)).enumerate() {
        let end = (offset + Slow::RUN).min(PRIME);
        data[offset..end].fill(if i % 2 == 0 { 0.0 } else { 2e6 });
    }
    assert!(looks(&data, PRIME, PRIME / 2).0 >= 2.0);
}

#[test]
fn strides_of_samples() {
    for (entries, run, expected) in [
        (1_000_001, 1, 50),
        (8_000_001, 1, 100),
        (SORT_LIMIT + 1, 1, 6),
        // Runs are sampled of a 32nd of the entries, and of less when that is too much.
        (1 << 20, 64, 32 * 64),
        (1 << 22, 64, 32 * 64),
        (1 << 25, 64, 256 * 64),
        (1 << 31, 64, 4096 * 64),
    ] {
        assert_eq!(stride(entries, run), expected, "{entries} in runs of {run}");
    }
    #[cfg(target_pointer_width = "64")]
    assert_eq!(stride(1 << 40, 64), (1 << 20) * 64);
}

#[test]
fn a_64th_of_the_keys_may_be_held_and_those_of_four_chunks() {
    for len in [1, 64 * CHUNK, 200 * CHUNK + 63] {
        let data = vec![0_u32; len];
        let chunks = chunks(&[Segment { scores: &data, remaining: None }]);
        assert_eq!(chunks[..].entries(), len);
        assert_eq!(chunks[..].room(), len / 64 + 4 * CHUNK);
    }
}

#[test]
fn the_offsets_of_a_sample_are_spread() {
    let (stride, strata) = (100, 10_000);
    let offsets: Vec<usize> = sample_offsets(stride * strata + stride - 1, stride).collect();
    assert_eq!(offsets.len(), strata);
    let mut tenths = [0; 10];
    for (stratum, offset) in offsets.iter().enumerate() {
        assert_eq!(offset / stride, stratum);
        tenths[offset % stride / 10] += 1;
    }
    assert!(tenths.iter().all(|tenth| (900..1100).contains(tenth)), "{tenths:?}");
}

/// The bracket is where the theory of samples expects it: two and a half deviations wide to both sides, and not more.
#[test]
fn brackets_are_as_wide_as_they_must_be() {
    let data = shuffled();
    let whole = [Segment { scores: &data[..], remaining: None }];
    let n = PRIME as f64;
    let size = (PRIME / stride(PRIME, 1)) as f64;
    for fraction in [0.01, 0.1, 0.5, 0.9, 0.99] {
        let k = (fraction * n) as usize;
        let (lo, hi) = infallible(bracket(&chunks(&whole)[..], PRIME, k));
        let (lo, hi) = (f64::from(f32::from_bits(lo)), f64::from(f32::from_bits(hi)));
        // In entries of the sample, of which each stands for n / size of the data.
        let deviation = (size * fraction * (1.0 - fraction)).sqrt();
        for (found, expected) in [(lo, -1.0), (hi, 1.0)] {
            let found = (found - k as f64) * size / n;
            let expected = expected * FEW_DEVIATIONS * (deviation + 1.0);
            assert!((found - expected).abs() < 1.5 * deviation, "{fraction}: {found} and not {expected}");
        }
    }
    // Near the ends the bracket is open.
    let above_0: Vec<f32> = data.iter().map(|x| x + 1.0).collect();
    let whole = [Segment { scores: &above_0[..], remaining: None }];
    assert_eq!(infallible(bracket(&chunks(&whole)[..], PRIME, 1)).0, 0);
    assert_eq!(infallible(bracket(&chunks(&whole)[..], PRIME, PRIME)).1, u32::MAX);
}

#[test]
fn runs_that_differ_have_a_larger_deviation() {
    // Each run holds as many of the entries below the quantile as expected, or all of them, or none.
    for (runs, fraction, squares) in [
        (&[&[0_u32, 3][..], &[1, 2]][..], 0.5, 0.0),
        (&[&[0, 1], &[2, 3]], 0.5, 1.0 + 1.0),
        (&[&[0, 1], &[2, 3]], 0.25, 0.25 + 0.25),
        (&[&[5, 5], &[5, 5]], 0.5, 1.0 + 1.0),
        (&[&[0, 1, 2], &[3]], 0.75, 0.75 * 0.75 + 0.75 * 0.75),
    ] {
        let mut ends = Vec::new();
        runs.iter().fold(0, |start, run| {
            ends.push(start + run.len());
            start + run.len()
        });
        let found = deviation_of_runs(&runs.concat(), &ends, fraction);
        assert!((found - f64::sqrt(squares)).abs() < 1e-12, "{runs:?}: {found}");
    }
    assert_eq!(deviation_of_runs(&[1_u32, 2], &[], 0.5), 0.0);
    assert_eq!(deviation_of_runs(&[1_u32, 2], &[1, 2], 1.0), 0.0);
}

#[test]
fn a_scan_tells_what_it_has_counted_and_collected() {
    let scores: Vec<u32> = (0..10).cycle().take(20 * BLOCK + 3).collect();
    let count = |key: u32| scores.iter().filter(|&&score| score == key).count();
    let chunk = Chunk { start: Position::START, scores: &scores, remaining: None };
    for room in [0, scores.len()] {
        let scan = Scan::new(&chunk, 3, 6, &AtomicUsize::new(room));
        assert_eq!(scan.below, (0..3).map(count).sum::<usize>());
        assert_eq!((scan.at_lo, scan.at_hi, scan.inside), (count(3), count(6), count(4) + count(5)));
        let known: Vec<u32> = (0..10).filter(|&key| scan.knows(key)).collect();
        assert_eq!(known, if room == 0 { vec![3, 6] } else { vec![3, 4, 5, 6] });
        for key in known {
            assert_eq!(scan.ties(key), count(key));
        }
    }
}

/// Entries with every kind of value among them: infinities, NaNs of several payloads, zeros of both signs and many equals.
fn entries<A: Element>(len: usize, spread: u64, of_bits: impl Fn(u64) -> A) -> Vec<A> {
    let mut state = len as u64 ^ spread << 32;
    let mut next = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        state >> 16
    };
    (0..len)
        .map(|_| match next() % 64 {
            0 => A::infinity(),
            1 => A::neg_infinity(),
            2 => A::neg_zero(),
            3 | 4 => of_bits(next() | u64::MAX << 40),
            _ => of_bits(next() % spread),
        })
        .collect()
}

fn check_bisection<A: Element>(of_bits: impl Fn(u64) -> A) {
    // From all equal to all different, in one bin of the upper bits or in many.
    for (len, spread) in
        [(65, 1), (129, 1 << 40), (1000, 50), (3000, 1 << 15), (20_000, 1 << 15), (40_000, 3), (50_001, 1 << 48)]
    {
        let scores = entries(len, spread, &of_bits);
        let mask: Vec<bool> = (0..len).map(|i| (i * 7919) % 13 > 4).collect();
        for remaining in [None, Some(&mask[..])] {
            let whole = chunks(&[Segment { scores: &scores, remaining }]);
            let mut sorted: Vec<_> = whole.iter().flat_map(Chunk::keys).collect();
            sorted.sort_unstable();
            let left = remaining.map_or(len, |remaining| remaining.iter().filter(|&&kept| kept).count());
            for k in [1, 2, left / 10, left / 2, left - left / 10, left - 1, left] {
                let found = infallible(bisect(&whole[..], len, k));
                let key = sorted[k - 1];
                let below = sorted.partition_point(|&other| other < key);
                let at = sorted.partition_point(|&other| other <= key) - below;
                assert_eq!((found.key, found.below, found.at), (key, below, at), "{k} of {left}, {}", A::DTYPE);
            }
        }
    }
}

#[test]
fn bisection_is_exact() {
    assert!((BISECT_FROM..BISECT_TO).contains(&50_001));
    check_bisection(|bits| f32::from_bits(bits as u32));
    check_bisection(|bits| f64::from_bits(bits << 20 | bits));
    check_bisection(|bits| f16::from_bits(bits as u16));
    check_bisection(|bits| bf16::from_bits(bits as u16));
}

/// Keys use all their bits.
#[test]
fn bisection_of_keys_is_exact() {
    let keys: Vec<u32> = (0..10_000_u32).map(|i| i.wrapping_mul(0x9e37_79b9)).collect();
    let mut sorted = keys.clone();
    sorted.sort_unstable();
    for k in [1, 5000, 10_000] {
        let found = infallible(bisect(&chunks(&[Segment { scores: &keys, remaining: None }])[..], keys.len(), k));
        assert_eq!((found.key, found.below, found.at), (sorted[k - 1], k - 1, 1));
    }
}
