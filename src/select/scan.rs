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
        // The last block is filled up with keys of pruned entries.
        let last = std::array::from_fn(|i| if i < rest.len() { chunk.key(full * BLOCK + i) } else { K::MAX });
        let mut hits = [0; CHUNK / BLOCK];
        let is_comparable = hi <= A::COMPARABLE;
        let (below_lo, up_to_hi) = (|score: A| score.is_below(lo), |score: A| score.is_up_to(hi));
        match chunk.remaining {
            None => {
                let keys = |i: usize| scores[i].map(Ranked::key);
                let listed = if is_comparable {
                    list_hits::<K, A>(full, |i| scores[i], below_lo, up_to_hi, &mut hits)
                } else {
                    list_hits::<K, K>(full, keys, |key| key < lo, |key| key <= hi, &mut hits)
                };
                Self::collect(listed, &hits, keys, last, lo, hi, room)
            }
            Some(remaining) => {
                let (remaining, _) = remaining.as_chunks::<BLOCK>();
                let keys = |i: usize| {
                    let (scores, remaining) = (&scores[i], &remaining[i]);
                    std::array::from_fn(|j| remaining_key(scores[j], remaining[j]))
                };
                let entries = |i: usize| {
                    let (scores, remaining) = (&scores[i], &remaining[i]);
                    std::array::from_fn(|j| scores[j].if_remaining(remaining[j]))
                };
                let listed = if is_comparable {
                    list_hits::<K, A>(full, entries, below_lo, up_to_hi, &mut hits)
                } else {
                    list_hits::<K, K>(full, keys, |key| key < lo, |key| key <= hi, &mut hits)
                };
                Self::collect(listed, &hits, keys, last, lo, hi, room)
            }
        }
    }

    /// Counts and collects what is in the blocks that were hit, and in the last one.
    fn collect(
        (below, hit_count): (usize, usize),
        hits: &Hits,
        keys: impl Fn(usize) -> [K; BLOCK],
        last: [K; BLOCK],
        lo: K,
        hi: K,
        room: &AtomicUsize,
    ) -> Self {
        let below = below + last.iter().filter(|&&key| key < lo).count();
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

/// The numbers of the blocks of a chunk that were hit.
type Hits = [u16; CHUNK / BLOCK];

/// Counts the entries below the bracket, and lists the blocks that have one in it. Returns the two numbers.
///
/// Few blocks hold anything in the bracket. Listing those without a branch, instead of looking into each at once, lets this loop
/// run at the speed of the memory. The counts are as wide as the keys, so that they share their vector lanes; a chunk has few
/// enough entries for 16 bits.
#[inline(always)]
fn list_hits<K: Key, T: Copy>(
    full: usize,
    block: impl Fn(usize) -> [T; BLOCK],
    below_lo: impl Fn(T) -> bool,
    up_to_hi: impl Fn(T) -> bool,
    hits: &mut Hits,
) -> (usize, usize) {
    let mut below = [K::ZERO; BLOCK];
    let mut hit_count = 0;
    for i in 0..full {
        let mut hit = false;
        for (below, entry) in below.iter_mut().zip(block(i)) {
            let is_below = below_lo(entry);
            *below = *below + K::from(is_below);
            hit |= up_to_hi(entry) & !is_below;
        }
        // `hit_count` is at most `i`, which the compiler does not know. The remainder is a bit mask, since the length is a power
        // of two, and replaces a bounds check. With the check, pruning bf16 takes a tenth more instructions.
        hits[hit_count % (CHUNK / BLOCK)] = i as u16;
        hit_count += usize::from(hit);
    }
    (below.iter().map(|lane| lane.to_usize()).sum(), hit_count)
}
