//! A random subset: k of n entries, each set of k equally likely, with nothing of length n in memory.
//!
//! The subset of a seed is the same on every machine and for any number of threads. Remaining entry i draws byte i of a
//! ChaCha8 keystream, and the k lowest are pruned. Entries that drew the byte at the boundary draw again: the j-th of them, in
//! order, draws word j of a second keystream, and the threshold among them is found as for any other scores. A keystream can be
//! entered anywhere, so nothing drawn is kept: each chunk makes its own bytes, once to count and once to write.

use std::convert::Infallible;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::select::keystream::{Keystream, bytes_of};
use crate::select::scores::infallible;
use crate::select::{Threshold, lowest_of};
use crate::tensor::chunk::{CHUNK, Position, Segment, chunks, count_true, running_sum};
use crate::tensor::parallel;

/// The number of neighbouring bytes that are counted in one pass. The boundary is nearly always among three.
const WINDOW: usize = 3;
/// The number of entries counted at a time. Their count fits in a byte, so that counts share the vector lanes of the bytes.
const SHORT: usize = 128;

/// The processes that draw a subset together, in the order of their chunks. Each calls the same functions in the same order.
pub(crate) trait Parts {
    type Error;

    /// Returns the sums of numbers over all processes.
    fn sum<const N: usize>(&self, numbers: [usize; N]) -> Result<[usize; N], Self::Error>;
    /// Returns the sum of a number over the processes before this one.
    fn before(&self, number: usize) -> Result<usize, Self::Error>;
}

/// One process has all chunks.
struct Whole;

impl Parts for Whole {
    type Error = Infallible;

    fn sum<const N: usize>(&self, numbers: [usize; N]) -> Result<[usize; N], Infallible> {
        Ok(numbers)
    }
    fn before(&self, _: usize) -> Result<usize, Infallible> {
        Ok(0)
    }
}

/// A random subset of the remaining entries, which are pruned.
#[derive(Debug)]
pub struct RandomSubset {
    bytes: ChaCha8Rng,
    /// Entries that drew less are pruned, those that drew more are kept.
    boundary: u8,
    /// The second draws of the entries at the boundary.
    words: Keystream,
    /// The threshold among the second draws.
    threshold: Threshold<u32>,
    starts: Vec<Start>,
}

/// The number of entries before a chunk.
#[derive(Clone, Copy, Debug)]
struct Start {
    /// The remaining entries.
    remaining: usize,
    /// The remaining entries that drew the byte at the boundary.
    ties: usize,
}

impl RandomSubset {
    /// Draws `k` of the remaining entries of all segments. The scores play no role.
    ///
    /// `k` is at most the number of remaining entries.
    pub fn new<A: Sync>(seed: u64, segments: &[Segment<'_, A>], k: usize) -> Self {
        let chunks = chunks(segments);
        let entries = chunks.iter().map(|chunk| chunk.scores.len()).sum();
        let remaining = parallel::map(&chunks, entries, |chunk| chunk.remaining.map_or(chunk.scores.len(), count_true));
        Self::of(seed, &remaining, entries, k)
    }

    /// [`new`](Self::new), given the number of remaining entries of each chunk and the number of all entries.
    pub fn of(seed: u64, remaining: &[usize], entries: usize, k: usize) -> Self {
        infallible(Self::of_part(seed, remaining, entries, k, &Whole))
    }

    /// A part of a subset that several processes draw together: `k` are drawn of the chunks of all of them, of which these are
    /// the ones that this process has. Each gets the part that one process would draw for its chunks.
    pub fn of_part<P: Parts>(
        seed: u64,
        remaining: &[usize],
        entries: usize,
        k: usize,
        parts: &P,
    ) -> Result<Self, P::Error> {
        let bytes = ChaCha8Rng::seed_from_u64(seed);
        let own = remaining.iter().sum::<usize>();
        let (before, total) = (parts.before(own)?, parts.sum([own])?[0]);
        let spans: Vec<_> = running_sum(remaining).zip(remaining).map(|(start, &len)| (before + start, len)).collect();

        // The boundary is close to k's fraction of 256; if it is not in the window there, the window moves.
        let mut first = (k.saturating_mul(256) / total.max(1)).saturating_sub(WINDOW / 2).min(256 - WINDOW);
        let (boundary, below, ties) = loop {
            let counts = parallel::map(&spans, entries, |&(start, len)| count(&bytes, start, len, first as u8));
            let totals: Counts = std::array::from_fn(|i| counts.iter().map(|count| count[i]).sum());
            let totals = parts.sum(totals)?;
            match boundary(totals, k) {
                Boundary::Before => first = first.saturating_sub(WINDOW),
                Boundary::Behind => first = (first + WINDOW).min(256 - WINDOW),
                Boundary::At { index, below } => {
                    let ties: Vec<usize> = counts.iter().map(|count| count[index + 1]).collect();
                    break ((first + index) as u8, below, ties);
                }
            }
        };
        let own = ties.iter().sum::<usize>();
        let (ties_before, all_ties) = (parts.before(own)?, parts.sum([own])?[0]);
        let starts = spans.iter().zip(running_sum(&ties));
        let starts = starts.map(|(&(remaining, _), ties)| Start { remaining, ties: ties_before + ties }).collect();
        let mut stream = bytes.clone();
        stream.set_stream(1);
        let words = Keystream::new(stream, all_ties);
        let threshold = infallible(lowest_of(&words, k - below));
        Ok(Self { bytes, boundary, words, threshold, starts })
    }

    /// Draws `k` of `count` entries: true = pruned.
    pub fn among(seed: u64, count: usize, k: usize) -> Vec<bool> {
        // Entries without values take no memory.
        let nothing = vec![(); count];
        let subset = Self::new(seed, &[Segment { scores: &nothing, remaining: None }], k);
        let mut kept = vec![true; count];
        for (index, kept) in kept.chunks_mut(CHUNK).enumerate() {
            subset.clear(index, kept);
        }
        kept.into_iter().map(|kept| !kept).collect()
    }

    /// Clears the pruned entries in chunk `index` of a mask. The mask is the one that the draw was made for.
    pub fn clear(&self, index: usize, mask: &mut [bool]) {
        let mut buffer = [0; CHUNK + 4];
        let Start { remaining, ties } = self.starts[index];
        let mut ties = self
            .words
            .starting_at(ties)
            .enumerate()
            .map(|(i, word)| !self.threshold.prunes(word, Position { segment: 0, offset: ties + i }));
        // Every tie has a word, so the default is never used.
        let mut keeps_tie = || ties.next().unwrap_or_default();
        let count = count_true(mask);
        let bytes = bytes_of(&self.bytes, remaining, count, &mut buffer);
        if count == mask.len() {
            for (mask, bytes) in mask.chunks_mut(32).zip(bytes.chunks(32)) {
                mask.iter_mut().zip(bytes).for_each(|(mask, &byte)| *mask = byte > self.boundary);
                // Not `any`: it returns at the first hit, while the fold tests all 32 bytes at once. With `any`, a random
                // pruning takes a seventh more instructions.
                if bytes.iter().fold(false, |tie, &byte| tie | (byte == self.boundary)) {
                    for (mask, _) in mask.iter_mut().zip(bytes).filter(|&(_, &byte)| byte == self.boundary) {
                        *mask = keeps_tie();
                    }
                }
            }
        } else {
            let remaining = mask.iter_mut().filter(|mask| **mask);
            for (mask, &byte) in remaining.zip(bytes) {
                *mask = byte > self.boundary;
                if byte == self.boundary {
                    *mask = keeps_tie();
                }
            }
        }
    }
}

/// The numbers of entries that drew a byte below a window, and each byte of the window.
type Counts = [usize; WINDOW + 1];

/// The place of the boundary byte, relative to a window.
#[derive(Debug, PartialEq, Eq)]
enum Boundary {
    /// It is before the window.
    Before,
    /// It is a byte of the window.
    At {
        /// The byte, counted from the first of the window.
        index: usize,
        /// The number of entries that drew less.
        below: usize,
    },
    /// It is behind the window.
    Behind,
}

/// Locates the boundary: the byte that the k-th lowest entry drew.
///
/// For k = 0 nothing is pruned, and every byte qualifies that no entry drew less than.
fn boundary(counts: Counts, k: usize) -> Boundary {
    if k <= counts[0] && counts[0] > 0 {
        return Boundary::Before;
    }
    let mut below = counts[0];
    for (index, &at) in counts[1..].iter().enumerate() {
        if k <= below + at {
            return Boundary::At { index, below };
        }
        below += at;
    }
    Boundary::Behind
}

/// Counts bytes `start..start + len` of a keystream for the window that begins with byte `first`.
fn count(stream: &ChaCha8Rng, start: usize, len: usize, first: u8) -> Counts {
    let mut buffer = [0; CHUNK + 4];
    let mut totals = [0; WINDOW + 1];
    for part in bytes_of(stream, start, len, &mut buffer).chunks(SHORT) {
        let mut counts = [0_u8; WINDOW + 1];
        for &byte in part {
            counts[0] += u8::from(byte < first);
            (1..=WINDOW).for_each(|i| counts[i] += u8::from(byte == first + (i - 1) as u8));
        }
        totals.iter_mut().zip(counts).for_each(|(total, count)| *total += usize::from(count));
    }
    totals
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::Rng;

    use super::*;

    #[test]
    fn the_boundary_is_located() {
        for (counts, k, expected) in [
            // The byte of the k-th lowest entry, from the last one below the window to the first one behind it.
            ([4, 3, 2, 1], 4, Boundary::Before),
            ([4, 3, 2, 1], 5, Boundary::At { index: 0, below: 4 }),
            ([4, 3, 2, 1], 7, Boundary::At { index: 0, below: 4 }),
            ([4, 3, 2, 1], 8, Boundary::At { index: 1, below: 7 }),
            ([4, 3, 2, 1], 9, Boundary::At { index: 1, below: 7 }),
            ([4, 3, 2, 1], 10, Boundary::At { index: 2, below: 9 }),
            ([4, 3, 2, 1], 11, Boundary::Behind),
            // Bytes that no entry drew are passed over.
            ([0, 0, 0, 5], 1, Boundary::At { index: 2, below: 0 }),
            ([0, 3, 0, 5], 4, Boundary::At { index: 2, below: 3 }),
            ([0, 0, 0, 0], 1, Boundary::Behind),
            // Nothing is pruned.
            ([0, 3, 2, 1], 0, Boundary::At { index: 0, below: 0 }),
            ([0, 0, 0, 0], 0, Boundary::At { index: 0, below: 0 }),
        ] {
            assert_eq!(boundary(counts, k), expected, "{counts:?}, {k}");
        }
    }

    /// With few entries, the boundary may be far from the first window, up to either end.
    #[test]
    fn the_lowest_are_pruned_whatever_was_drawn() {
        for seed in 0..400 {
            let mut stream = ChaCha8Rng::seed_from_u64(seed);
            let count = 1 + seed as usize % 90;
            let mut bytes = vec![0; count];
            stream.clone().fill_bytes(&mut bytes);
            stream.set_stream(1);
            for k in 0..=count {
                let mut order: Vec<usize> = (0..count).collect();
                order.sort_by_key(|&i| bytes[i]);
                let boundary = bytes[order[k.saturating_sub(1)]];
                // Those at the boundary draw again, in their order.
                let mut again = stream.clone();
                let words: Vec<u32> =
                    bytes.iter().map(|&byte| if byte == boundary { again.next_u32() } else { 0 }).collect();
                order.sort_by_key(|&i| (bytes[i], words[i]));
                let mut expected = vec![false; count];
                order[..k].iter().for_each(|&i| expected[i] = true);
                assert_eq!(RandomSubset::among(seed, count, k), expected, "seed {seed}, {k} of {count}");
            }
        }
    }

    #[test]
    fn none_or_all_are_pruned() {
        for count in [0, 1, 1000, CHUNK + 1] {
            assert_eq!(RandomSubset::among(888, count, 0), vec![false; count]);
            assert_eq!(RandomSubset::among(888, count, count), vec![true; count]);
        }
    }

    /// Equal words are rare; the order of the entries then decides which are pruned.
    #[test]
    fn equal_words_at_the_threshold_are_told_apart_by_their_order() {
        let (count, k) = (CHUNK + 3000, CHUNK / 2);
        let nothing = vec![(); count];
        let mut subset = RandomSubset::new(888, &[Segment { scores: &nothing, remaining: None }], k);
        let mut bytes = vec![0; count];
        ChaCha8Rng::seed_from_u64(888).fill_bytes(&mut bytes);
        let ties: Vec<usize> = (0..count).filter(|&i| bytes[i] == subset.boundary).collect();
        for last in [0, 1, ties.len() - 1] {
            let word = subset.words.starting_at(last).next().unwrap();
            for (end, pruned) in [(last, false), (last + 1, true)] {
                subset.threshold = Threshold { key: word, end: Position { segment: 0, offset: end }, tie: true };
                let mut kept = vec![true; count];
                kept.chunks_mut(CHUNK).enumerate().for_each(|(index, kept)| subset.clear(index, kept));
                assert_eq!(kept[ties[last]], !pruned, "tie {last}, end {end}");
            }
        }
    }
}
