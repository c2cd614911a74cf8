//! The loops over every entry that take most of the time of a call: written so that the compiler turns each into vector
//! instructions, on the oldest x86-64 too.
//!
//! What all of them share: no branch that depends on an entry, compares that are signed or of floats
//! ([`Ranked::is_below`]), and counts as wide as what is counted, so that they share its vector lanes.

use crate::element::Element;
use crate::key::{Key, Ranked};
use crate::tensor::chunk::{count_true, remaining_key};

/// The entries that a threshold prunes, among entries that all lie on one side of the end of its tie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut<K> {
    /// Those that rank below a limit, which is [comparable](Ranked::COMPARABLE).
    Below(K),
    /// Those that rank up to a limit, which is [comparable](Ranked::COMPARABLE).
    UpTo(K),
    /// All of them.
    All,
}

impl<K: Key> Cut<K> {
    /// The entries that rank below `key`.
    pub fn below<S: Ranked<Key = K>>(key: K) -> Self {
        // Only the key of NaN is above the comparable ones: below it is all that compares.
        if key > S::COMPARABLE { Self::UpTo(S::COMPARABLE) } else { Self::Below(key) }
    }

    /// The entries that rank up to `key`.
    pub fn up_to<S: Ranked<Key = K>>(key: K) -> Self {
        if key > S::COMPARABLE { Self::All } else { Self::UpTo(key) }
    }
}

/// Calls a macro's loop with the test of a cut, once for each kind, so that the test is compiled into the loop.
macro_rules! with_test {
    ($cut:expr, |$pruned:ident| $loop:expr) => {
        match $cut {
            Cut::Below(limit) => {
                let $pruned = |score: S| score.is_below(limit);
                $loop
            }
            Cut::UpTo(limit) => {
                let $pruned = |score: S| score.is_up_to(limit);
                $loop
            }
            Cut::All => {
                let $pruned = |_: S| true;
                $loop
            }
        }
    };
}

/// Clears the entries of a mask that are cut.
pub(crate) fn clear<S: Ranked>(cut: Cut<S::Key>, scores: &[S], mask: &mut [bool]) {
    with_test!(cut, |pruned| mask.iter_mut().zip(scores).for_each(|(kept, &score)| *kept &= !pruned(score)));
}

/// Writes the mask and the product of a first pruning.
///
/// One pass takes 0.15 ns for an entry of `f32` in the cache, three (fill, clear, multiply) take 0.27: the mask is not read
/// again and not widened to the lanes of the product.
pub(crate) fn prune_first<S: Element>(cut: Cut<S::Key>, scores: &[S], orig: &[S], mask: &mut [bool], value: &mut [S]) {
    with_test!(cut, |pruned| {
        value.iter_mut().zip(mask).zip(orig.iter().zip(scores)).for_each(|((value, mask), (orig, &score))| {
            let kept = !pruned(score);
            *mask = kept;
            *value = orig.masked(kept);
        });
    });
}

/// Clears the mask and multiplies in place, where the values are the scores and their product with the mask so far.
pub(crate) fn prune_again<S: Element>(cut: Cut<S::Key>, mask: &mut [bool], value: &mut [S]) {
    with_test!(cut, |pruned| {
        value.iter_mut().zip(mask).for_each(|(value, mask)| {
            let kept = !pruned(*value);
            *mask &= kept;
            // An entry that was pruned before is a zero or a NaN: a product with either factor leaves it as it is.
            *value = value.masked(kept);
        });
    });
}

/// `value = orig * mask`.
pub(crate) fn multiply<A: Element>(orig: &[A], mask: &[bool], value: &mut [A]) {
    value.iter_mut().zip(orig).zip(mask).for_each(|((value, orig), &kept)| *value = orig.masked(kept));
}

/// `value = value * mask`.
pub(crate) fn multiply_in_place<A: Element>(mask: &[bool], value: &mut [A]) {
    value.iter_mut().zip(mask).for_each(|(value, &kept)| *value = value.masked(kept));
}

/// Appends the upper halves of ranks.
pub(crate) fn upper_halves<S: Ranked>(scores: &[S], remaining: Option<&[bool]>, halves: &mut Vec<i16>) {
    match remaining {
        None => halves.extend(scores.iter().map(|score| score.upper_half())),
        Some(remaining) => halves.extend(scores.iter().zip(remaining).map(|(score, &remaining)| {
            // The maximum of 16 signed bits is an instruction.
            score.upper_half().max(if remaining { i16::MIN } else { i16::MAX })
        })),
    }
}

/// Counts the halves below a limit.
pub(crate) fn count_below(halves: &[i16], limit: i16) -> usize {
    // So few that a count fits in the lane of an entry.
    const SHORT: usize = 1 << 14;
    let count = |part: &[i16]| part.iter().fold(0_i16, |count, &half| count + i16::from(half < limit));
    halves.chunks(SHORT).map(|part| count(part) as usize).sum()
}

/// Counts the remaining entries at a key, or finds the `n`-th of them if there are so many: its offset, or else the count.
pub(crate) fn find_nth_at<S: Ranked>(
    scores: &[S],
    remaining: Option<&[bool]>,
    key: S::Key,
    n: usize,
) -> Result<usize, usize> {
    // So few that a count fits in a lane, and enough to fill several.
    const SHORT: usize = 64;
    let mut seen = 0;
    for (number, part) in scores.chunks(SHORT).enumerate() {
        let start = number * SHORT;
        let remaining = remaining.map(|remaining| &remaining[start..][..part.len()]);
        let is_at = |score: S| {
            if key > S::COMPARABLE { score.key() == key } else { score.is_up_to(key) & !score.is_below(key) }
        };
        let count = match remaining {
            None => part.iter().fold(S::Key::ZERO, |count, &score| count + S::Key::from(is_at(score))),
            Some(remaining) => part
                .iter()
                .zip(remaining)
                .fold(S::Key::ZERO, |count, (&score, &remaining)| count + S::Key::from(is_at(score) & remaining)),
        };
        let count = count.to_usize();
        if n <= seen + count {
            let remains = |i: usize| remaining.is_none_or(|remaining| remaining[i]);
            let mut at = (0..part.len()).filter(|&i| is_at(part[i]) && remains(i));
            if let Some(offset) = at.nth(n - seen - 1) {
                return Ok(start + offset);
            }
        }
        seen += count;
    }
    Err(seen)
}

/// The largest group of which every entry is compared with every other. Above, a threshold for each group is faster.
pub(crate) const MAX_RANKED: usize = 32;

/// The number of groups of which the ranks are counted side by side: two or four vectors.
const SIDE_BY_SIDE: usize = 16;

/// One value for each of the groups side by side.
type Lanes<T> = [T; SIDE_BY_SIDE];

/// Clears the lowest entries of groups of `size` neighbours, which fill the scores without a rest. `counts` has the number to
/// clear for each number of remaining entries. Of equals, the first is cleared first.
pub(crate) fn clear_neighbours<S: Ranked>(size: usize, scores: &[S], mask: &mut [bool], counts: &[usize]) {
    let limit = limit_for_all(mask, counts);
    match size {
        2 => clear_by_rotation::<S, 2>(scores, mask, limit, counts),
        4 => clear_by_rotation::<S, 4>(scores, mask, limit, counts),
        8 => clear_by_rotation::<S, 8>(scores, mask, limit, counts),
        _ => {
            // Groups are brought side by side.
            let step = size * SIDE_BY_SIDE;
            for (scores, mask) in scores.chunks(step).zip(mask.chunks_mut(step)) {
                // The places of a row. Lanes without a group repeat the last one.
                let last = scores.len() / size - 1;
                let places = |row: usize| -> Lanes<usize> { std::array::from_fn(|lane| lane.min(last) * size + row) };
                clear_in_rows(scores, mask, limit, counts, places);
            }
        }
    }
}

/// [`clear_neighbours`] for `width` groups side by side: the entries of each have the distance `width`.
pub(crate) fn clear_side_by_side<S: Ranked>(width: usize, scores: &[S], mask: &mut [bool], counts: &[usize]) {
    let limit = limit_for_all(mask, counts);
    for start in (0..width).step_by(SIDE_BY_SIDE) {
        let last = (width - start).min(SIDE_BY_SIDE) - 1;
        let (scores, mask) = (&scores[start..], &mut mask[start..]);
        if last + 1 == SIDE_BY_SIDE {
            clear_in_rows(scores, mask, limit, counts, |row| row * width);
        } else {
            let places = |row: usize| -> Lanes<usize> { std::array::from_fn(|lane| row * width + lane.min(last)) };
            clear_in_rows(scores, mask, limit, counts, places);
        }
    }
}

/// The number to clear in every group, if all entries remain.
fn limit_for_all<K: Key>(mask: &[bool], counts: &[usize]) -> Option<K> {
    let limit = || (0..counts[counts.len() - 1]).fold(K::ZERO, |limit, _| limit + K::ONE);
    (count_true(mask) == mask.len()).then(limit)
}

/// [`clear_neighbours`] where a group is a vector or two: its entries are compared with those that lie 1, 2, .. places further
/// on, in the same vector rotated. This takes 0.9 ns an entry for 2:4 and 1.1 for 4:8 in the cache, and comparing the groups side
/// by side 1.3 for both.
fn clear_by_rotation<S: Ranked, const M: usize>(
    scores: &[S],
    mask: &mut [bool],
    limit: Option<S::Key>,
    counts: &[usize],
) {
    let (scores, masks) = (scores.as_chunks::<M>().0, mask.as_chunks_mut::<M>().0);
    if let Some(limit) = limit {
        for (scores, mask) in scores.iter().zip(masks) {
            let ranks = ranks_by_rotation(scores.map(|score| score.key().flipped()));
            *mask = ranks.map(|rank| rank >= limit);
        }
        return;
    }
    for (scores, mask) in scores.iter().zip(masks) {
        let keys: [S::Key; M] = std::array::from_fn(|i| remaining_key(scores[i], mask[i]).flipped());
        let limit = counts[mask.iter().map(|&kept| usize::from(kept)).sum::<usize>()];
        let ranks = ranks_by_rotation(keys);
        (0..M).for_each(|i| mask[i] &= ranks[i].to_usize() >= limit);
    }
}

/// The number of entries of a group that are cleared before each of them.
#[inline(always)]
fn ranks_by_rotation<K: Key, const M: usize>(keys: [K; M]) -> [K; M] {
    let mut ranks = [K::ZERO; M];
    for distance in 1..M {
        for i in 0..M {
            let other = (i + distance) % M;
            // Of equals, the earlier one comes first.
            let own = keys[i].wrapping_add(K::from(other < i));
            ranks[i] = ranks[i] + K::from(keys[other].is_below_flipped(own));
        }
    }
    ranks
}

/// The places of one row, an entry of each group side by side.
trait Places {
    fn load<T: Copy>(&self, entries: &[T]) -> Lanes<T>;
    fn store(&self, kept: Lanes<bool>, mask: &mut [bool]);
}

/// Neighbours from a place on, which are loaded as vectors.
impl Places for usize {
    #[inline(always)]
    fn load<T: Copy>(&self, entries: &[T]) -> Lanes<T> {
        let entries = &entries[*self..][..SIDE_BY_SIDE];
        std::array::from_fn(|lane| entries[lane])
    }
    #[inline(always)]
    fn store(&self, kept: Lanes<bool>, mask: &mut [bool]) {
        mask[*self..][..SIDE_BY_SIDE].copy_from_slice(&kept);
    }
}

/// Entries anywhere. Where a place is repeated, so is what is stored.
impl Places for Lanes<usize> {
    #[inline(always)]
    fn load<T: Copy>(&self, entries: &[T]) -> Lanes<T> {
        self.map(|place| entries[place])
    }
    #[inline(always)]
    fn store(&self, kept: Lanes<bool>, mask: &mut [bool]) {
        self.iter().zip(kept).for_each(|(&place, kept)| mask[place] = kept);
    }
}

/// Clears the lowest entries of groups side by side; `places` gives the places of a row.
#[inline(always)]
fn clear_in_rows<S: Ranked, P: Places>(
    scores: &[S],
    mask: &mut [bool],
    limit: Option<S::Key>,
    counts: &[usize],
    places: impl Fn(usize) -> P,
) {
    let size = counts.len() - 1;
    let mut keys = [[S::Key::ZERO; SIDE_BY_SIDE]; MAX_RANKED];
    if let Some(limit) = limit {
        for (row, keys) in keys[..size].iter_mut().enumerate() {
            *keys = places(row).load(scores).map(|score| score.key().flipped());
        }
        for row in 0..size {
            places(row).store(ranks_in_row(&keys[..size], row).map(|rank| rank >= limit), mask);
        }
        return;
    }
    let (mut before, mut left) = ([[false; SIDE_BY_SIDE]; MAX_RANKED], [0; SIDE_BY_SIDE]);
    for row in 0..size {
        let (scores, remaining) = (places(row).load(scores), places(row).load(mask));
        keys[row] = std::array::from_fn(|lane| remaining_key(scores[lane], remaining[lane]).flipped());
        left.iter_mut().zip(remaining).for_each(|(left, remaining)| *left += usize::from(remaining));
        before[row] = remaining;
    }
    let limits = left.map(|left| counts[left]);
    for (row, before) in before[..size].iter().enumerate() {
        let ranks = ranks_in_row(&keys[..size], row);
        let kept = std::array::from_fn(|lane| before[lane] & (ranks[lane].to_usize() >= limits[lane]));
        places(row).store(kept, mask);
    }
}

/// The number of entries that are cleared before those of a row, in each group.
#[inline(always)]
fn ranks_in_row<K: Key>(keys: &[Lanes<K>], row: usize) -> Lanes<K> {
    let (earlier, rest) = keys.split_at(row);
    let own = rest[0];
    // Of equals, the earlier one comes first.
    let next = own.map(|key| key.wrapping_add(K::ONE));
    let mut ranks = [K::ZERO; SIDE_BY_SIDE];
    let mut add = |others: &Lanes<K>, own: &Lanes<K>| {
        for ((rank, &other), &own) in ranks.iter_mut().zip(others).zip(own) {
            *rank = *rank + K::from(other.is_below_flipped(own));
        }
    };
    earlier.iter().for_each(|others| add(others, &next));
    rest.iter().for_each(|others| add(others, &own));
    ranks
}
