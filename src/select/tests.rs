//! What only the inside can set up: inputs that defeat the sample, and the radix search by itself.

use super::{Cut, FEW, bracket, lowest, lowest_of, places, radix, stride};
use crate::chunk::{CHUNK, Chunk, Position, Segment, chunks};
use crate::key::Ranked;
use crate::source::{Source, infallible};

/// Big where the sample looks, small elsewhere; or the other way round.
fn adversary(len: usize, seen: f32, unseen: f32) -> Vec<f32> {
    let mut data: Vec<f32> = (0..len).map(|i| unseen + (i * 7919 % 1009) as f32 / 2048.0).collect();
    for place in places(len, stride(len, 1)) {
        data[place] = seen + (place % 13) as f32 / 64.0;
    }
    data
}

fn assert_exact(data: &[f32], k: usize) {
    let mut keys: Vec<_> = data.iter().map(|x| x.key()).collect();
    keys.sort_unstable();
    let cut = lowest(&[Segment { scores: data, alive: None }], k);
    assert_eq!(cut.key, keys[k - 1], "key {k} of {}", data.len());
    let pruned =
        data.iter().enumerate().filter(|&(i, x)| x.key() < cut.key || (x.key() == cut.key && i < cut.end.offset));
    assert_eq!(
        pruned.count(),
        if cut.end.segment == 0 || keys.get(k).is_none_or(|&next| next > cut.key) { k } else { usize::MAX }
    );
    assert_eq!(cut.tie, keys.get(k) == Some(&cut.key));
}

#[test]
fn a_sample_that_sees_nothing_typical_is_recovered_from() {
    for (seen, unseen) in [(1000.0, 1.0), (1.0, 1000.0)] {
        for len in [FEW + 1, 5 * CHUNK + 3, 1 << 18] {
            let data = adversary(len, seen, unseen);
            for k in [1, len / 100, len / 2, len - len / 100, len] {
                assert_exact(&data, k);
            }
        }
    }
}

#[test]
fn a_bracket_that_holds_nearly_all_is_recovered_from() {
    // The sample sees the extremes only, everything else lies between.
    let len = 1 << 18;
    let mut data = adversary(len, 0.0, 5.0);
    for (i, place) in places(len, stride(len, 1)).enumerate() {
        data[place] = if i % 2 == 0 { 0.0 } else { 9.0 };
    }
    let whole = [Segment { scores: &data[..], alive: None }];
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
    let whole = [Segment { scores: &data[..], alive: None }];
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
}

const PIECE: usize = 3 * CHUNK;

impl Source for Slow<'_> {
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
    fn with<R>(&self, piece: usize, look: impl FnOnce(&Chunk<'_, f32>) -> R) -> Result<R, usize> {
        if self.broken.is_some_and(|broken| piece >= broken) {
            return Err(piece);
        }
        let offset = piece * PIECE;
        let scores = &self.data[offset..][..self.len(piece)];
        Ok(look(&Chunk { start: Position { segment: 0, offset }, scores, alive: None }))
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
fn a_slow_source_gives_the_same_cut() {
    let len = 20 * CHUNK + 77;
    let typical: Vec<f32> = (0..len).map(|i| (i * 7919 % 100_003) as f32 / 64.0).collect();
    // Sorted, so that runs of neighbours are as alike as can be.
    let sorted: Vec<f32> = (0..len).map(|i| (i / 3) as f32).collect();
    // What the runs see is not what there is.
    let mut unseen: Vec<f32> = (0..len).map(|i| 2.0 + (i * 7919 % 1009) as f32 / 2048.0).collect();
    for place in places(len, stride(len, Slow::RUN)) {
        let end = (place + Slow::RUN).min(len);
        unseen[place..end].iter_mut().enumerate().for_each(|(i, x)| *x = 900.0 + i as f32);
    }
    let constant = vec![5.0; len];
    for data in [&typical, &sorted, &unseen, &constant] {
        for k in [1, len / 100, len / 3, len - 5, len] {
            let expected = lowest(&[Segment { scores: data, alive: None }], k);
            for room in [0, 1000, len] {
                assert_eq!(lowest_of(&Slow { data, room, broken: None }, k), Ok(expected), "{k} in room of {room}");
            }
        }
    }
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let data: Vec<f32> = (0..10 * PIECE).map(|i| (i * 7919 % 100_003) as f32).collect();
    for broken in [0, 3, 9] {
        // Of several pieces that are broken, the first is told of, on any number of threads.
        let source = Slow { data: &data, room: data.len(), broken: Some(broken) };
        assert_eq!(lowest_of(&source, data.len() / 2), Err(broken));
    }
    let few = Slow { data: &data[..100], room: 0, broken: Some(0) };
    assert_eq!(lowest_of(&few, 50), Err(0));
    assert_eq!(lowest_of(&few, 0), Ok(Cut::NOTHING));
}
