//! The k lowest of n ranks: exact, in linear time, usually in one pass, holding at most n / 64 keys.
//!
//! Up to some 10^5 entries in memory ([`bisect_to`]) are ranked by **bisection** ([`bisect`]), and very few are sorted. All others:
//!
//! 1. A **sample** ([`sample`]) brackets the k-th key. It lies, almost surely, between two keys `lo` and `hi` with about 1 %
//!    of the entries between them.
//! 2. A **scan** ([`scan`]) of all entries counts those below `lo`, at `lo` and at `hi`, and collects those strictly between.
//! 3. The counts tell where the k-th key is. If it is `lo` or `hi`, it is found; constant tensors and tensors of a few distinct
//!    values end here. If it lies between, the collected keys are searched in the same way.
//!
//! No input makes the result wrong, but an input may make the sample useless: the k-th key lies outside the bracket, or too
//! many entries lie inside it. The counts of the scan still hold, and a **radix** search ([`radix`]) takes over within the
//! interval that contains the key. It passes over all entries once per eleven bits of the key, so the worst case is linear
//! too.
//!
//! Scores come from memory or from a file (see [`Scores`]). In a file, the sample consists of runs of neighbours, and the
//! number of keys held has another limit.
//!
//! A pruned entry has the largest key (see [`Key`]). As k never exceeds the number of remaining entries, nothing else in this
//! room treats pruned entries specially.

mod bisect;
#[cfg(test)]
mod group_tests;
pub(crate) mod histogram;
pub(crate) mod in_groups;
pub(crate) mod keystream;
mod radix;
pub(crate) mod random;
mod sample;
pub(crate) mod scaled;
mod scan;
pub(crate) mod scores;
pub(crate) mod signed;
mod tie_break;

use std::sync::atomic::AtomicUsize;

pub use histogram::{Bracket, Histogram};
pub use tie_break::TieBreak;

use crate::key::{Key, Ranked};
use crate::select::bisect::bisect;
use crate::select::radix::radix;
use crate::select::sample::bracket;
use crate::select::scan::Scan;
use crate::select::scores::{Scores, infallible};
use crate::tensor::chunk::{Chunk, Position, Segment, chunks, remaining_key};
use crate::tensor::kernels::{Cut, find_nth_at};
use crate::tensor::parallel;

/// The largest number of entries that are copied and partially sorted, if they are not in memory: a sample of so few says little.
const SORT_LIMIT: usize = 1 << 11;
/// The smallest number of entries in memory that bisection is faster for than a partial sort.
const BISECT_FROM: usize = 1 << 7;
/// The largest number of entries in memory that bisection is faster for than a scan by several threads, and by few.
const BISECT_TO: usize = 1 << 17;
const BISECT_FAR: usize = 1 << 20;

/// The result of a selection: prune the remaining entries that rank below `key`, and those at `key` before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold<K> {
    /// The k-th lowest key.
    pub key: K,
    /// The position before which entries at `key` are pruned.
    pub end: Position,
    /// True if some entries at `key` are pruned and others kept.
    pub tie: bool,
}

impl<K: Key> Threshold<K> {
    /// The threshold that prunes nothing.
    pub const NOTHING: Self = Self { key: K::ZERO, end: Position::START, tie: false };

    /// Returns whether a remaining entry is pruned.
    pub fn prunes(&self, key: K, position: Position) -> bool {
        key < self.key || (key == self.key && position < self.end)
    }

    /// Returns the number of the `len` entries from `start` on that come before the end of the tie, and the cuts of those and of
    /// the rest.
    pub(crate) fn cuts<S: Ranked<Key = K>>(&self, start: Position, len: usize) -> (usize, Cut<K>, Cut<K>) {
        // Up to the end of the tie, equals are pruned, and after it they are kept.
        (start.before(self.end, len), Cut::up_to::<S>(self.key), Cut::below::<S>(self.key))
    }
}

/// Returns the threshold that prunes `k` remaining entries: lowest rank first, then lowest position first.
///
/// `k` is at most the number of remaining entries.
pub fn lowest<A: Ranked>(segments: &[Segment<'_, A>], k: usize) -> Threshold<A::Key> {
    infallible(lowest_of(&chunks(segments)[..], k))
}

/// [`lowest`] for scores of any origin.
pub(crate) fn lowest_of<S: Scores + ?Sized>(scores: &S, k: usize) -> Result<Threshold<KeyOf<S>>, S::Error> {
    if k == 0 {
        return Ok(Threshold::NOTHING);
    }
    let (KeyRank { key, below, at }, scans) = find(scores, k)?;
    let pruned = k - below;
    if pruned == at {
        return Ok(Threshold { key, end: Position::END, tie: false });
    }
    Ok(Threshold { key, end: end_of_tie(scores, &scans, key, pruned)?, tie: true })
}

/// Returns the threshold that prunes all remaining entries below a key, and the first `ties` of those at it.
pub(crate) fn up_to<S: Scores + ?Sized>(
    scores: &S,
    key: KeyOf<S>,
    ties: usize,
) -> Result<Threshold<KeyOf<S>>, S::Error> {
    let end = match ties {
        0 => Position::START,
        usize::MAX => Position::END,
        n => end_of_tie(scores, &[], key, n)?,
    };
    Ok(Threshold { key, end, tie: end != Position::START && end != Position::END })
}

pub(crate) type KeyOf<S> = <<S as Scores>::Score as Ranked>::Key;

/// Returns which of the keys are the `k` lowest, and whether the threshold splits a tie.
pub fn lowest_keys<K: Key>(keys: &[K], k: usize) -> (Vec<bool>, bool) {
    let threshold = lowest(&[Segment { scores: keys, remaining: None }], k);
    let prunes = |(offset, &key)| threshold.prunes(key, Position { segment: 0, offset });
    (keys.iter().enumerate().map(prunes).collect(), threshold.tie)
}

/// A key with the number of entries that rank below it and at it.
struct KeyRank<K> {
    key: K,
    below: usize,
    at: usize,
}

/// Returns the position behind the `n`-th entry at `key`.
fn end_of_tie<S: Scores + ?Sized>(
    scores: &S,
    scans: &[Scan<KeyOf<S>>],
    key: KeyOf<S>,
    mut n: usize,
) -> Result<Position, S::Error> {
    for piece in 0..scores.pieces() {
        // The scan has usually counted them already, so that only one piece is looked at again.
        let counted = scans.get(piece).filter(|scan| scan.knows(key)).map(|scan| scan.ties(key));
        let found = match counted {
            Some(ties) if ties < n => Err(ties),
            _ => scores.with(piece, |chunk| find_nth_at(chunk.scores, chunk.remaining, key, n))?,
        };
        match found {
            Ok(offset) => {
                let start = scores.start(piece);
                return Ok(Position { offset: start.offset + offset + 1, ..start });
            }
            Err(ties) => n = n.saturating_sub(ties),
        }
    }
    Ok(Position::END)
}

/// The result of [`find`]: the k-th lowest key, and the scan of each piece (none if the entries were sorted).
type Search<K> = (KeyRank<K>, Vec<Scan<K>>);

/// Finds the k-th lowest key.
fn find<S: Scores + ?Sized>(scores: &S, k: usize) -> Result<Search<KeyOf<S>>, S::Error> {
    let (zero, one, max) = (KeyOf::<S>::ZERO, KeyOf::<S>::ONE, KeyOf::<S>::MAX);
    let entries = scores.entries();
    let is_in_memory = S::RUN == 1;
    if entries < if is_in_memory { BISECT_FROM } else { SORT_LIMIT + 1 } {
        return Ok((sort(scores, entries, k)?, Vec::new()));
    }
    if is_in_memory && entries <= bisect_to::<KeyOf<S>>() {
        return Ok((bisect(scores, entries, k)?, Vec::new()));
    }
    let (lo, hi) = bracket(scores, entries, k)?;
    let room = AtomicUsize::new(scores.room());
    let scans = scores.map(|chunk| Scan::new(chunk, lo, hi, &room))?;
    let total = |count: fn(&Scan<KeyOf<S>>) -> usize| scans.iter().map(count).sum::<usize>();

    let below_lo = total(|scan| scan.below);
    let up_to_lo = below_lo + total(|scan| scan.at_lo);
    let inside = total(|scan| scan.inside);
    let below_hi = up_to_lo + inside;
    let up_to_hi = below_hi + total(|scan| scan.at_hi);

    // | k is at most | the k-th key is | it is found by                                                   |
    // |--------------|-----------------|------------------------------------------------------------------|
    // | `below_lo`   | below `lo`      | a radix search (the sample was useless)                          |
    // | `up_to_lo`   | `lo`            | the counts                                                       |
    // | `below_hi`   | between the two | a search of the collected keys; a radix search if some had no    |
    // |              |                 | room, or if they are so many that recursion would not be linear  |
    // | `up_to_hi`   | `hi`            | the counts; never if `lo == hi`, as `at_hi` is then 0            |
    // | `entries`    | above `hi`      | a radix search (the sample was useless)                          |
    let found = if k <= below_lo {
        radix(scores, zero, lo - one, 0, k)?
    } else if k <= up_to_lo {
        KeyRank { key: lo, below: below_lo, at: up_to_lo - below_lo }
    } else if k <= below_hi {
        let collected: Vec<_> = scans.iter().map(|scan| Segment { scores: &scan.keys, remaining: None }).collect();
        if collected.iter().map(|keys| keys.scores.len()).sum::<usize>() == inside && inside <= entries / 2 {
            let (found, _) = infallible(find(&chunks(&collected)[..], k - up_to_lo));
            KeyRank { below: up_to_lo + found.below, ..found }
        } else {
            radix(scores, lo + one, hi - one, up_to_lo, k)?
        }
    } else if k <= up_to_hi {
        KeyRank { key: hi, below: below_hi, at: up_to_hi - below_hi }
    } else {
        radix(scores, hi + one, max, up_to_hi, k)?
    };
    Ok((found, scans))
}

/// The largest number of entries that bisection is faster for. It runs on one thread, and other threads help with a scan. On one,
/// 262,144 entries take 0.5 ns each instead of 0.9 (`f32`), and 0.3 instead of 0.75 if halves are whole keys (`bf16`). Two threads
/// take as long for a scan of 10^6 entries as one for its bisection, and longer for fewer.
fn bisect_to<K>() -> usize {
    match (size_of::<K>(), parallel::threads()) {
        (2 | 4, ..=2) => BISECT_FAR,
        _ => BISECT_TO,
    }
}

/// Finds the k-th lowest key of a few entries: copies all keys and sorts as far as needed.
fn sort<S: Scores + ?Sized>(scores: &S, entries: usize, k: usize) -> Result<KeyRank<KeyOf<S>>, S::Error> {
    let mut keys = Vec::with_capacity(entries);
    for piece in 0..scores.pieces() {
        scores.with(piece, |&Chunk { scores, remaining, .. }| match remaining {
            None => keys.extend(scores.iter().map(|score| score.key())),
            Some(remaining) => {
                keys.extend(scores.iter().zip(remaining).map(|(&score, &remaining)| remaining_key(score, remaining)))
            }
        })?;
    }
    let key = *keys.select_nth_unstable(k - 1).1;
    let count = |test: fn(KeyOf<S>, KeyOf<S>) -> bool| keys.iter().filter(|&&other| test(other, key)).count();
    Ok(KeyRank { key, below: count(|a, b| a < b), at: count(|a, b| a == b) })
}

#[cfg(test)]
mod tests;
