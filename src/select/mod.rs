//! The k lowest of n ranks: exact, in linear time, in one look at the data, holding at most n / 64 keys.
//!
//! A **sample** brackets the k-th key: it lies, almost surely, between two keys `lo` and `hi` with about 1 % of the entries between
//! them. A **scan** over all entries counts those below `lo`, at `lo` and at `hi`, and collects those strictly between. The counts
//! tell where the k-th key is. If it is `lo` or `hi`, which is so for constant tensors and tensors of a few distinct values, it is
//! found; if it lies between, the same is done to the few collected, until so few are left that they can be sorted in place.
//!
//! No input makes this wrong, but one may make the sample useless: the k-th key lies outside the bracket, or too many entries inside
//! it. What the scan has counted still holds, and a **radix** search takes over within the interval in which the key must lie. It
//! passes over all entries once for every eleven bits of the key, whatever the data, so the worst case is linear too.
//!
//! Scores come from memory or from elsewhere (see [`Scores`]), where a sample is of runs of neighbours and the number of keys held
//! has another limit.
//!
//! A pruned entry has the largest key (see [`Key`]). Since k never exceeds the number of living entries, nothing else here knows
//! about pruned ones.

pub(crate) mod random;
pub(crate) mod scaled;
pub(crate) mod scores;
mod tie_break;

use std::sync::atomic::{AtomicUsize, Ordering};

pub use tie_break::TieBreak;

use crate::key::{Key, Ranked};
use crate::select::scores::{Scores, infallible};
use crate::tensor::chunk::{CHUNK, Chunk, Position, Segment, chunks, living_key};

/// Up to this many entries are copied and partially sorted: that is faster than sampling them.
const FEW: usize = 1 << 11;
/// The most entries sampled where a look is expensive.
const SAMPLE_LIMIT: usize = 1 << 20;
/// Half the width of the bracket, in standard deviations of the sample's error: one scan in 15 000 misses.
const DEVIATIONS: f64 = 4.0;
/// Entries tested together for lying in the bracket.
const BLOCK: usize = 8;
/// Bits of the key that one pass of the radix search settles.
const DIGIT: u32 = 11;

/// What to prune: the living entries that rank below `key`, and those that rank at `key` and lie before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold<K> {
    /// The k-th lowest key.
    pub key: K,
    /// Where pruning among equals ends.
    pub end: Position,
    /// Whether some of the entries at `key` are pruned and some kept.
    pub tie: bool,
}

impl<K: Key> Threshold<K> {
    /// Prunes nothing.
    pub const NOTHING: Self = Self { key: K::ZERO, end: Position::START, tie: false };

    /// Whether a living entry is pruned.
    pub fn prunes(&self, key: K, position: Position) -> bool {
        key < self.key || (key == self.key && position < self.end)
    }
}

/// The cut that prunes `k` living entries, lowest rank first, and among equals lowest position first.
///
/// `k` is at most the number of living entries.
pub fn lowest<A: Ranked>(segments: &[Segment<'_, A>], k: usize) -> Threshold<A::Key> {
    infallible(lowest_of(&chunks(segments)[..], k))
}

/// [`lowest`] of scores wherever they come from.
pub(crate) fn lowest_of<S: Scores + ?Sized>(source: &S, k: usize) -> Result<Threshold<KeyOf<S>>, S::Error> {
    if k == 0 {
        return Ok(Threshold::NOTHING);
    }
    let (Found { key, below, at }, scans) = find(source, k)?;
    let pruned = k - below;
    if pruned == at {
        return Ok(Threshold { key, end: Position::END, tie: false });
    }
    Ok(Threshold { key, end: end_of_tie(source, &scans, key, pruned)?, tie: true })
}

pub(crate) type KeyOf<S> = <<S as Scores>::Score as Ranked>::Key;

/// Which of the keys are the `k` lowest, and whether a tie decided.
pub fn lowest_keys<K: Key>(keys: &[K], k: usize) -> (Vec<bool>, bool) {
    let cut = lowest(&[Segment { scores: keys, remaining: None }], k);
    let prunes = |(offset, &key)| cut.prunes(key, Position { segment: 0, offset });
    (keys.iter().enumerate().map(prunes).collect(), cut.tie)
}

/// A key, how many entries rank below it and how many at it.
struct Found<K> {
    key: K,
    below: usize,
    at: usize,
}

/// The position behind the `n`-th entry at `key`.
fn end_of_tie<S: Scores + ?Sized>(
    source: &S,
    scans: &[Scan<KeyOf<S>>],
    key: KeyOf<S>,
    mut n: usize,
) -> Result<Position, S::Error> {
    for piece in 0..source.pieces() {
        // The scan has mostly counted them already, so that only one piece is looked at again.
        let ties = match scans.get(piece) {
            Some(scan) if scan.knows(key) => scan.ties(key),
            _ => source.with(piece, |chunk| chunk.keys().filter(|&other| other == key).count())?,
        };
        if n <= ties {
            let end = source.with(piece, |chunk| {
                let mut places = chunk.keys().enumerate().filter(|&(_, other)| other == key);
                let (offset, _) = places.nth(n - 1)?;
                Some(Position { offset: chunk.start.offset + offset + 1, ..chunk.start })
            })?;
            if let Some(end) = end {
                return Ok(end);
            }
        }
        n = n.saturating_sub(ties);
    }
    Ok(Position::END)
}

/// What [`find`] returns: the key, and what was learnt of each piece on the way (nothing, if there were few entries).
type Search<K> = (Found<K>, Vec<Scan<K>>);

/// The k-th lowest key.
fn find<S: Scores + ?Sized>(source: &S, k: usize) -> Result<Search<KeyOf<S>>, S::Error> {
    let (zero, one, max) = (KeyOf::<S>::ZERO, KeyOf::<S>::ONE, KeyOf::<S>::MAX);
    let entries = source.entries();
    if entries <= FEW {
        return Ok((sort(source, entries, k)?, Vec::new()));
    }
    let (lo, hi) = bracket(source, entries, k)?;
    let room = AtomicUsize::new(source.room());
    let scans = source.map(|chunk| Scan::new(chunk, lo, hi, &room))?;
    let total = |count: fn(&Scan<KeyOf<S>>) -> usize| scans.iter().map(count).sum::<usize>();

    let below_lo = total(|scan| scan.below);
    let below_inside = below_lo + total(|scan| scan.at_lo);
    let inside = total(|scan| scan.inside);
    let below_hi = below_inside + inside;
    let below_rest = below_hi + total(|scan| scan.at_hi);
    let found = if k <= below_lo {
        radix(source, zero, lo - one, 0, k)?
    } else if k <= below_inside {
        Found { key: lo, below: below_lo, at: below_inside - below_lo }
    } else if k <= below_hi {
        let collected: Vec<_> = scans.iter().map(|scan| Segment { scores: &scan.keys, remaining: None }).collect();
        if collected.iter().map(|keys| keys.scores.len()).sum::<usize>() == inside && inside <= entries / 2 {
            let (found, _) = infallible(find(&chunks(&collected)[..], k - below_inside));
            Found { below: below_inside + found.below, ..found }
        } else {
            radix(source, lo + one, hi - one, below_inside, k)?
        }
    } else if k <= below_rest {
        Found { key: hi, below: below_hi, at: below_rest - below_hi }
    } else {
        radix(source, hi + one, max, below_rest, k)?
    };
    Ok((found, scans))
}

/// A few entries: copy and sort as far as needed.
fn sort<S: Scores + ?Sized>(source: &S, entries: usize, k: usize) -> Result<Found<KeyOf<S>>, S::Error> {
    let mut keys = Vec::with_capacity(entries);
    for piece in 0..source.pieces() {
        source.with(piece, |&Chunk { scores, remaining, .. }| match remaining {
            None => keys.extend(scores.iter().map(|score| score.key())),
            Some(remaining) => {
                keys.extend(scores.iter().zip(remaining).map(|(&score, &remaining)| living_key(score, remaining)))
            }
        })?;
    }
    let key = *keys.select_nth_unstable(k - 1).1;
    let count = |test: fn(KeyOf<S>, KeyOf<S>) -> bool| keys.iter().filter(|&&other| test(other, key)).count();
    Ok(Found { key, below: count(|a, b| a < b), at: count(|a, b| a == b) })
}

/// How many entries go on one look of the sample, which takes in `run` of them.
fn stride(entries: usize, run: usize) -> usize {
    if run == 1 {
        // A sample of about n^(2/3) balances what it costs with what the narrower bracket saves.
        return (entries as f64).cbrt() as usize / 2;
    }
    let most = (entries >> 12).clamp(1 << 17, SAMPLE_LIMIT);
    (entries / most).max(32) * run
}

/// The places sampled: one of every `stride` neighbours, which one looks random, so that no period in the data (the columns of a
/// matrix, say) can line up with the stride.
fn places(entries: usize, stride: usize) -> impl Iterator<Item = usize> {
    (0..entries / stride).map(move |stratum| {
        let scrambled =
            (stratum as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32).wrapping_mul(0xd6e8_feb8_6659_fd93)
                >> 32;
        stratum * stride + ((scrambled * stride as u64) >> 32) as usize
    })
}

/// Two keys between which the k-th lowest should lie.
fn bracket<S: Scores + ?Sized>(source: &S, entries: usize, k: usize) -> Result<(KeyOf<S>, KeyOf<S>), S::Error> {
    let stride = stride(entries, S::RUN);
    let mut sample = Vec::with_capacity(entries / stride * S::RUN);
    let mut runs = Vec::new();
    let (mut piece, mut first) = (0, 0);
    for place in places(entries, stride) {
        while place - first >= source.len(piece) {
            first += source.len(piece);
            piece += 1;
        }
        source.peek(piece, place - first, &mut sample)?;
        if S::RUN > 1 {
            runs.push(sample.len());
        }
    }
    // The rank within the sample is k's share of it, give or take the deviation of a binomial distribution and the rounding.
    let share = k as f64 / entries as f64;
    let size = sample.len() as f64;
    let deviation = (size * share * (1.0 - share)).sqrt().max(deviation_of_runs(&sample, &runs, share));
    let margin = DEVIATIONS * deviation + DEVIATIONS;
    let (low, high) = (share * size - margin, share * size + margin);
    let (mut lower, mut hi) = (&mut sample[..], KeyOf::<S>::MAX);
    if high < size {
        let (before, &mut key, _) = lower.select_nth_unstable(high as usize);
        (lower, hi) = (before, key);
    }
    let lo = if low < 0.0 { KeyOf::<S>::ZERO } else { *lower.select_nth_unstable(low as usize).1 };
    Ok((lo, hi))
}

/// The deviation of the number of sampled entries below their `share`-quantile, from how much it varies from run to run:
/// neighbours are alike, so that a run says less than as many entries from anywhere.
fn deviation_of_runs<K: Key>(sample: &[K], ends: &[usize], share: f64) -> f64 {
    let middle = (share * sample.len() as f64) as usize;
    if ends.is_empty() || middle >= sample.len() {
        return 0.0;
    }
    let quantile = *sample.to_vec().select_nth_unstable(middle).1;
    let mut start = 0;
    let squares = ends.iter().map(|&end| {
        let run = &sample[std::mem::replace(&mut start, end)..end];
        let below = run.iter().filter(|&&key| key < quantile).count();
        (below as f64 - share * run.len() as f64).powi(2)
    });
    squares.sum::<f64>().sqrt()
}

/// What one scan learns of a piece.
struct Scan<K> {
    lo: K,
    hi: K,
    below: usize,
    at_lo: usize,
    inside: usize,
    at_hi: usize,
    /// The keys strictly between `lo` and `hi`, unless there was no room for them.
    keys: Vec<K>,
}

impl<K: Key> Scan<K> {
    /// `room` is how many more keys all scans together may collect. Which chunks find room depends on the threads' timing; the key
    /// found in the end does not.
    fn new<A: Ranked<Key = K>>(piece: &Chunk<'_, A>, lo: K, hi: K, room: &AtomicUsize) -> Self {
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

    /// Of up to [`CHUNK`] entries.
    fn part<A: Ranked<Key = K>>(chunk: &Chunk<'_, A>, lo: K, hi: K, room: &AtomicUsize) -> Self {
        let (scores, rest) = chunk.scores.as_chunks::<BLOCK>();
        let full = scores.len();
        // The last block is filled up with keys of pruned entries.
        let last = std::array::from_fn(|i| if i < rest.len() { chunk.key(full * BLOCK + i) } else { K::MAX });
        match chunk.remaining {
            None => Self::blocks(full, |i| &scores[i], |block, i| block[i].key(), last, lo, hi, room),
            Some(remaining) => {
                let (remaining, _) = remaining.as_chunks::<BLOCK>();
                let block = |i| (&scores[i], &remaining[i]);
                Self::blocks(
                    full,
                    block,
                    |(scores, remaining), i| living_key(scores[i], remaining[i]),
                    last,
                    lo,
                    hi,
                    room,
                )
            }
        }
    }

    /// Over `full` blocks and the `last`: `block` gives a block by its number, `key` a key of it.
    fn blocks<B: Copy>(
        full: usize,
        block: impl Fn(usize) -> B,
        key: impl Fn(B, usize) -> K,
        last: [K; BLOCK],
        lo: K,
        hi: K,
        room: &AtomicUsize,
    ) -> Self {
        // Few blocks hold anything from `lo` to `hi`. Listing those without a branch, instead of looking into each at once, lets this
        // loop run at the speed of the memory. The counts are as wide as the keys, so that they share their vector lanes; a chunk has
        // few enough entries for 16 bits.
        let mut below = [K::ZERO; BLOCK];
        let mut hits = [0_u16; CHUNK / BLOCK];
        let mut hit_count = 0;
        let width = hi - lo;
        for i in 0..full {
            let block = block(i);
            let mut hit = false;
            for (j, below) in below.iter_mut().enumerate() {
                let key = key(block, j);
                *below = *below + K::from(key < lo);
                hit |= key.wrapping_sub(lo) <= width;
            }
            hits[hit_count % (CHUNK / BLOCK)] = i as u16;
            hit_count += usize::from(hit);
        }
        let below =
            below.iter().map(|lane| lane.to_usize()).sum::<usize>() + last.iter().filter(|&&key| key < lo).count();

        let mut keys = vec![K::ZERO; (hit_count + 1) * BLOCK];
        let (mut at_lo, mut inside, mut at_hi) = (0, 0, 0);
        let hits = hits[..hit_count].iter().map(|&i| {
            let block = block(usize::from(i));
            std::array::from_fn(|j| key(block, j))
        });
        for block in hits.chain([last]) {
            for key in block {
                at_lo += usize::from(key == lo);
                at_hi += usize::from((key == hi) & (lo < hi));
                keys[inside] = key;
                inside += usize::from((lo < key) & (key < hi));
            }
        }
        keys.truncate(inside);
        keys.shrink_to_fit();
        if room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(inside)).is_err() {
            keys = Vec::new();
        }
        Self { lo, hi, below, at_lo, inside, at_hi, keys }
    }

    /// Whether [`Scan::ties`] can tell how many entries are at `key`.
    fn knows(&self, key: K) -> bool {
        key == self.lo || key == self.hi || (self.lo < key && key < self.hi && self.keys.len() == self.inside)
    }

    fn ties(&self, key: K) -> usize {
        if key == self.lo {
            self.at_lo
        } else if key == self.hi {
            self.at_hi
        } else {
            self.keys.iter().filter(|&&other| other == key).count()
        }
    }
}

/// The k-th lowest key, known to lie from `lo` to `hi`, with `below` entries below `lo`.
fn radix<S: Scores + ?Sized>(
    source: &S,
    mut lo: KeyOf<S>,
    mut hi: KeyOf<S>,
    mut below: usize,
    k: usize,
) -> Result<Found<KeyOf<S>>, S::Error> {
    const BINS: usize = 1 << DIGIT;
    let one = KeyOf::<S>::ONE;
    loop {
        // The interval is cut into up to 2048 bins of 2^shift keys each. The bin behind the last takes all that lies outside.
        let width = hi - lo;
        let shift = width.bits().saturating_sub(DIGIT);
        let bin = |key: KeyOf<S>| {
            let distance = key.wrapping_sub(lo);
            if distance <= width { (distance >> shift).to_usize() } else { BINS }
        };
        let add = |mut totals: Vec<usize>, piece: &Chunk<'_, S::Score>| {
            for chunk in piece.parts() {
                // Neighbours count in four tables, since equal ones would wait for each other's addition.
                let mut counts = [[0_u16; BINS + 1]; 4];
                chunk.keys().enumerate().for_each(|(i, key)| counts[i % 4][bin(key)] += 1);
                for (i, total) in totals.iter_mut().enumerate() {
                    *total += counts.iter().map(|counts| usize::from(counts[i])).sum::<usize>();
                }
            }
            totals
        };
        let merge = |a: Vec<usize>, b: Vec<usize>| a.iter().zip(b).map(|(a, b)| a + b).collect();
        let totals = source.fold(|| vec![0; BINS + 1], add, merge)?;

        let mut first = lo;
        let mut at = totals[0];
        for &next in &totals[1..] {
            if k <= below + at {
                break;
            }
            below += at;
            first = first + (one << shift);
            at = next;
        }
        lo = first;
        hi = hi.min(lo + ((one << shift) - one));
        if shift == 0 {
            return Ok(Found { key: lo, below, at });
        }
    }
}

#[cfg(test)]
mod tests;
