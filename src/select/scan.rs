//! The scan: one pass that counts entries around a bracket of keys and collects those inside.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::key::{Key, Ranked};
use crate::tensor::chunk::{CHUNK, Chunk, remaining_key};

/// The number of entries tested together for lying in the bracket.
pub(super) const BLOCK: usize = 8;

/// The result of one scan of a piece, for the bracket from `lo` to `hi`.
pub(super) struct Scan<K> {
    lo: K,
    hi: K,
    /// The number of entries below `lo`.
    pub below: usize,
    /// The number of entries at `lo`.
    pub at_lo: usize,
    /// The number of entries strictly between `lo` and `hi`.
    pub inside: usize,
    /// The number of entries at `hi`; 0 if `lo` and `hi` are equal.
    pub at_hi: usize,
    /// The keys strictly between `lo` and `hi`, unless there was no room for them.
    pub keys: Vec<K>,
}

/// A chunk as blocks of [`BLOCK`] keys.
struct Blocks<K, F> {
    /// The number of full blocks.
    full: usize,
    /// Returns the keys of a full block by its number.
    keys: F,
    /// The keys of the last block, filled up with keys of pruned entries.
    last: [K; BLOCK],
}

impl<K: Key> Scan<K> {
    /// Scans a piece. `room` is the number of keys that all scans together may still collect.
    ///
    /// The chunks that find room depend on the timing of the threads; the key found in the end does not.
    pub fn new<A: Ranked<Key = K>>(piece: &Chunk<'_, A>, lo: K, hi: K, room: &AtomicUsize) -> Self {
        let mut parts = piece.parts();
        let none = || Self { lo, hi, below: 0, at_lo: 0, inside: 0, at_hi: 0, keys: Vec::new() };
        let mut scan = parts.next().map_or_else(none, |part| Self::part(&part, lo, hi, room));
        for part in parts {
            let Self { below, at_lo, inside, at_hi, keys, .. } = Self::part(&part, lo, hi, room);
            scan.below += below;
            scan.at_lo += at_lo;
            scan.inside += inside;
            scan.at_hi += at_hi;
            scan.keys.extend_from_slice(&keys);
        }
        scan
    }

    /// Scans up to [`CHUNK`] entries.
    fn part<A: Ranked<Key = K>>(chunk: &Chunk<'_, A>, lo: K, hi: K, room: &AtomicUsize) -> Self {
        let (scores, rest) = chunk.scores.as_chunks::<BLOCK>();
        let full = scores.len();
        let last = std::array::from_fn(|i| if i < rest.len() { chunk.key(full * BLOCK + i) } else { K::MAX });
        match chunk.remaining {
            None => {
                let keys = |i: usize| scores[i].map(Ranked::key);
                Self::blocks(Blocks { full, keys, last }, lo, hi, room)
            }
            Some(remaining) => {
                let (remaining, _) = remaining.as_chunks::<BLOCK>();
                let keys = |i: usize| {
                    let (scores, remaining) = (&scores[i], &remaining[i]);
                    std::array::from_fn(|j| remaining_key(scores[j], remaining[j]))
                };
                Self::blocks(Blocks { full, keys, last }, lo, hi, room)
            }
        }
    }

    /// Scans the blocks of a chunk.
    fn blocks(blocks: Blocks<K, impl Fn(usize) -> [K; BLOCK]>, lo: K, hi: K, room: &AtomicUsize) -> Self {
        let Blocks { full, keys, last } = blocks;
        // Few blocks hold anything from `lo` to `hi`. Listing those without a branch, instead of looking into each at once, lets
        // this loop run at the speed of the memory. The counts are as wide as the keys, so that they share their vector lanes; a
        // chunk has few enough entries for 16 bits.
        let mut below = [K::ZERO; BLOCK];
        let mut hits = [0_u16; CHUNK / BLOCK];
        let mut hit_count = 0;
        let width = hi - lo;
        for i in 0..full {
            let mut hit = false;
            for (below, key) in below.iter_mut().zip(keys(i)) {
                *below = *below + K::from(key < lo);
                hit |= key.wrapping_sub(lo) <= width;
            }
            // `hit_count` is at most `i`, which the compiler does not know. The remainder is a bit mask, since the length is a
            // power of two, and replaces a bounds check. With the check, pruning bf16 takes a tenth more instructions.
            hits[hit_count % (CHUNK / BLOCK)] = i as u16;
            hit_count += usize::from(hit);
        }
        let below =
            below.iter().map(|lane| lane.to_usize()).sum::<usize>() + last.iter().filter(|&&key| key < lo).count();

        let mut collected = vec![K::ZERO; (hit_count + 1) * BLOCK];
        let (mut at_lo, mut inside, mut at_hi) = (0, 0, 0);
        for block in hits[..hit_count].iter().map(|&i| keys(usize::from(i))).chain([last]) {
            for key in block {
                at_lo += usize::from(key == lo);
                at_hi += usize::from((key == hi) & (lo < hi));
                collected[inside] = key;
                inside += usize::from((lo < key) & (key < hi));
            }
        }
        collected.truncate(inside);
        collected.shrink_to_fit();
        if room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(inside)).is_err() {
            collected = Vec::new();
        }
        Self { lo, hi, below, at_lo, inside, at_hi, keys: collected }
    }

    /// Returns whether [`Scan::ties`] can count the entries at `key`.
    pub fn knows(&self, key: K) -> bool {
        key == self.lo || key == self.hi || (self.lo < key && key < self.hi && self.keys.len() == self.inside)
    }

    /// Returns the number of entries at `key`, which the scan [knows](Self::knows).
    pub fn ties(&self, key: K) -> usize {
        if key == self.lo {
            self.at_lo
        } else if key == self.hi {
            self.at_hi
        } else {
            self.keys.iter().filter(|&&other| other == key).count()
        }
    }
}
