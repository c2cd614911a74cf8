//! Chunks of tensors: the unit of work of a thread, small enough to stay in its cache between two passes.

use crate::key::{Key, Ranked};

/// The number of entries in a chunk. 16 K entries of f32 are 64 KiB: an eighth of a core's second-level cache, and 16 fresh pages.
pub(crate) const CHUNK: usize = 1 << 14;

/// The scores of one tensor, row-major.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a, A> {
    /// One score per entry.
    pub scores: &'a [A],
    /// True for every entry that remains; `None` if all do.
    pub remaining: Option<&'a [bool]>,
}

/// The position of an entry among all tensors: in the order of the tensors, row-major within each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The index of the tensor.
    pub segment: usize,
    /// The row-major index of the entry in its tensor.
    pub offset: usize,
}

impl Position {
    /// The position before all entries.
    pub const START: Self = Self { segment: 0, offset: 0 };
    /// The position behind all entries.
    pub const END: Self = Self { segment: usize::MAX, offset: usize::MAX };

    /// Returns how many of the `len` entries from `self` on lie before `end`.
    pub fn before(self, end: Self, len: usize) -> usize {
        match self.segment.cmp(&end.segment) {
            std::cmp::Ordering::Less => len,
            std::cmp::Ordering::Equal => end.offset.saturating_sub(self.offset).min(len),
            std::cmp::Ordering::Greater => 0,
        }
    }
}

/// Neighbouring scores of one tensor: up to [`CHUNK`] in memory, more if they come from a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk<'a, A> {
    /// The position of the first entry.
    pub start: Position,
    /// One score per entry.
    pub scores: &'a [A],
    /// True for every entry that remains; `None` if all do.
    pub remaining: Option<&'a [bool]>,
}

/// Cuts all tensors into chunks, in order. No chunk is empty.
pub(crate) fn chunks<'a, A>(segments: &[Segment<'a, A>]) -> Vec<Chunk<'a, A>> {
    let count = segments.iter().map(|s| s.scores.len().div_ceil(CHUNK)).sum();
    let mut chunks = Vec::with_capacity(count);
    for (segment, &Segment { scores, remaining }) in segments.iter().enumerate() {
        let starts = (0..scores.len()).step_by(CHUNK);
        chunks.extend(starts.zip(scores.chunks(CHUNK)).map(|(offset, scores)| Chunk {
            start: Position { segment, offset },
            scores,
            remaining: remaining.map(|remaining| &remaining[offset..][..scores.len()]),
        }));
    }
    chunks
}

impl<'a, A> Chunk<'a, A> {
    /// Splits the chunk into parts of up to [`CHUNK`] entries.
    pub fn parts(&self) -> impl Iterator<Item = Chunk<'a, A>> {
        let Self { start, scores, remaining } = *self;
        scores.chunks(CHUNK).enumerate().map(move |(i, scores)| Chunk {
            start: Position { offset: start.offset + i * CHUNK, ..start },
            scores,
            remaining: remaining.map(|remaining| &remaining[i * CHUNK..][..scores.len()]),
        })
    }
}

impl<A: Ranked> Chunk<'_, A> {
    /// Returns the rank of entry `i`. A pruned entry has the largest.
    pub fn key(&self, i: usize) -> A::Key {
        match self.remaining {
            Some(remaining) if !remaining[i] => A::Key::MAX,
            _ => self.scores[i].key(),
        }
    }

    /// Returns all ranks in order, for loops that need not be the fastest.
    pub fn keys(&self) -> impl Iterator<Item = A::Key> {
        (0..self.scores.len()).map(|i| self.key(i))
    }
}

/// Returns the rank of `score` if its entry remains, otherwise the largest rank, without a branch.
#[inline]
pub(crate) fn remaining_key<A: Ranked>(score: A, remaining: bool) -> A::Key {
    // The right operand is 0 if the entry remains, otherwise all ones.
    score.key() | A::Key::from(remaining).wrapping_sub(A::Key::ONE)
}

/// Counts the entries that are true.
pub(crate) fn count_true(mask: &[bool]) -> usize {
    // The count of so few entries fits in a byte, so that counts share the vector lanes of the entries.
    const SHORT: usize = 128;
    mask.chunks(SHORT).map(|part| usize::from(part.iter().map(|&remaining| u8::from(remaining)).sum::<u8>())).sum()
}

/// Returns, for each count, the sum of the counts before it.
pub(crate) fn running_sum(counts: &[usize]) -> impl Iterator<Item = usize> {
    counts.iter().scan(0, |sum, count| Some(std::mem::replace(sum, *sum + count)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each part has the position, the scores and the mask of its entries in the whole.
    #[test]
    fn parts_are_in_place() {
        let scores: Vec<u32> = (0..2 * CHUNK as u32 + 5).collect();
        let remaining: Vec<bool> = scores.iter().map(|score| score % 3 > 0).collect();
        for remaining in [None, Some(&remaining[7..])] {
            let whole = Chunk { start: Position { segment: 3, offset: 7 }, scores: &scores[7..], remaining };
            let mut at = 7;
            for part in whole.parts() {
                assert_eq!(part.start, Position { segment: 3, offset: at });
                assert_eq!(part.scores, &scores[at..][..part.scores.len()]);
                assert_eq!(part.remaining, remaining.map(|remaining| &remaining[at - 7..][..part.scores.len()]));
                assert!(part.scores.len() == CHUNK || at + part.scores.len() == scores.len());
                at += part.scores.len();
            }
            assert_eq!(at, scores.len());
        }
    }
}
