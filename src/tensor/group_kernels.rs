//! The loops that rank entries within small groups, written like those of [`kernels`](crate::tensor::kernels): every entry is
//! compared with every other of its group, many groups side by side.

use crate::key::{Key, Ranked};
use crate::tensor::chunk::count_true;
use crate::tensor::simd::vectorized;

/// The largest group of which every entry is compared with every other. Above, a threshold for each group is faster.
pub(crate) const MAX_RANKED: usize = 32;

/// One value for each of the groups side by side.
type Lanes<T, const WIDTH: usize> = [T; WIDTH];

vectorized! {
    /// Clears the lowest entries of groups of `size` neighbours, which fill the scores without a rest. `counts` has the number
    /// to clear for each number of remaining entries. Of equals, the first is cleared first.
    pub(crate) fn clear_neighbours<'a, S: Ranked>(
        size: usize,
        scores: &'a [S],
        mask: &'a mut [bool],
        counts: &'a [usize],
    ) {
        // A group of 16-bit ranks fills half a wide vector at most. Side by side with others, 4:8 of bf16 takes 0.6 ns an entry, not 0.8.
        let fills_vector = !is_wide(FUSED) || size_of::<S::Key>() > 2;
        match size {
            2 => clear_by_rotation::<S, 2>(scores, mask, counts),
            4 if fills_vector => clear_by_rotation::<S, 4>(scores, mask, counts),
            8 if fills_vector => clear_by_rotation::<S, 8>(scores, mask, counts),
            // Loops over a few entries take half the time if their length is constant.
            3 => clear_transposed::<S, FUSED>(3, scores, mask, counts),
            4 => clear_transposed::<S, FUSED>(4, scores, mask, counts),
            5 => clear_transposed::<S, FUSED>(5, scores, mask, counts),
            6 => clear_transposed::<S, FUSED>(6, scores, mask, counts),
            7 => clear_transposed::<S, FUSED>(7, scores, mask, counts),
            8 => clear_transposed::<S, FUSED>(8, scores, mask, counts),
            _ => clear_transposed::<S, FUSED>(size, scores, mask, counts),
        }
    }

    /// [`clear_neighbours`] for `width` groups side by side: the entries of each have the distance `width`.
    pub(crate) fn clear_side_by_side<'a, S: Ranked>(
        width: usize,
        scores: &'a [S],
        mask: &'a mut [bool],
        counts: &'a [usize],
    ) {
        if is_wide(FUSED) {
            clear_side_by_side_in::<S, 64>(width, scores, mask, counts)
        } else {
            clear_side_by_side_in::<S, 16>(width, scores, mask, counts)
        }
    }
}

/// Returns `true` if 64 groups side by side are faster than 16. With AVX2, loops of 16 and 32 lanes are unrolled before they become
/// vector instructions.
#[inline(always)]
const fn is_wide(fused: bool) -> bool {
    fused && cfg!(target_arch = "x86_64")
}

/// Clears in groups of neighbours, which are brought side by side.
#[inline(always)]
fn clear_transposed<S: Ranked, const FUSED: bool>(size: usize, scores: &[S], mask: &mut [bool], counts: &[usize]) {
    if is_wide(FUSED) {
        clear_transposed_in::<S, 64>(size, scores, mask, counts)
    } else {
        clear_transposed_in::<S, 16>(size, scores, mask, counts)
    }
}

#[inline(always)]
fn clear_transposed_in<S: Ranked, const WIDTH: usize>(size: usize, scores: &[S], mask: &mut [bool], counts: &[usize]) {
    let mut rows = Rows::<S::Key, WIDTH>::new(mask, counts);
    for (scores, mask) in scores.chunks(size * WIDTH).zip(mask.chunks_mut(size * WIDTH)) {
        // The remainder of a number that is less than the divisor shows the compiler that no check is needed.
        for (lane, (scores, mask)) in scores.chunks_exact(size).zip(mask.chunks_exact(size)).enumerate() {
            if rows.limit.is_some() {
                for (row, &score) in scores.iter().enumerate() {
                    rows.keys[row % MAX_RANKED][lane % WIDTH] = score.signed_rank();
                }
            } else {
                for (row, (&score, &kept)) in scores.iter().zip(mask).enumerate() {
                    rows.keys[row % MAX_RANKED][lane % WIDTH] = remaining_rank(score, kept);
                    rows.kept[row % MAX_RANKED][lane % WIDTH] = kept;
                }
            }
        }
        rows.clear();
        for (lane, mask) in mask.chunks_exact_mut(size).enumerate() {
            for (row, kept) in mask.iter_mut().enumerate() {
                *kept = rows.kept[row % MAX_RANKED][lane % WIDTH];
            }
        }
    }
}

/// Clears in groups that lie side by side.
#[inline(always)]
fn clear_side_by_side_in<S: Ranked, const WIDTH: usize>(
    width: usize,
    scores: &[S],
    mask: &mut [bool],
    counts: &[usize],
) {
    let size = counts.len() - 1;
    let mut rows = Rows::<S::Key, WIDTH>::new(mask, counts);
    for start in (0..width).step_by(WIDTH) {
        let lanes = WIDTH.min(width - start);
        for row in 0..size {
            let part = row * width + start..row * width + start + lanes;
            rows.load(row, &scores[part.clone()], &mask[part]);
        }
        rows.clear();
        for row in 0..size {
            mask[row * width + start..][..lanes].copy_from_slice(&rows.kept[row][..lanes]);
        }
    }
}

/// The entries of groups side by side: a row has one entry of each group.
struct Rows<'c, K, const WIDTH: usize> {
    /// The ranks as signed numbers.
    keys: [Lanes<K, WIDTH>; MAX_RANKED],
    kept: [Lanes<bool, WIDTH>; MAX_RANKED],
    counts: &'c [usize],
    /// The number to clear in every group, if all entries remain. Then no mask is read: half the time for 16-bit ranks, and two thirds
    /// for groups of 16.
    limit: Option<K>,
}

impl<'c, K: Key, const WIDTH: usize> Rows<'c, K, WIDTH> {
    #[inline(always)]
    fn new(mask: &[bool], counts: &'c [usize]) -> Self {
        Self {
            keys: [[K::ZERO; WIDTH]; MAX_RANKED],
            kept: [[true; WIDTH]; MAX_RANKED],
            counts,
            limit: limit_for_all(mask, counts),
        }
    }

    /// Sets the first lanes of a row.
    #[inline(always)]
    fn load<S: Ranked<Key = K>>(&mut self, row: usize, scores: &[S], mask: &[bool]) {
        let (keys, kept) = (&mut self.keys[row], &mut self.kept[row]);
        if let (Ok(scores), Ok(mask)) = (<&Lanes<S, WIDTH>>::try_from(scores), <&Lanes<bool, WIDTH>>::try_from(mask)) {
            // Loops of fixed length.
            if self.limit.is_some() {
                *keys = scores.map(S::signed_rank);
            } else {
                for lane in 0..WIDTH {
                    keys[lane] = remaining_rank(scores[lane], mask[lane]);
                }
                *kept = *mask;
            }
        } else {
            for (lane, (&score, &remaining)) in scores.iter().zip(mask).enumerate() {
                keys[lane] = remaining_rank(score, remaining);
                kept[lane] = remaining;
            }
        }
    }

    /// Clears the lowest entries of each group.
    #[inline(always)]
    fn clear(&mut self) {
        let size = self.counts.len() - 1;
        let (keys, kept) = (&self.keys[..size], &mut self.kept[..size]);
        if let Some(limit) = self.limit {
            for (row, kept) in kept.iter_mut().enumerate() {
                *kept = ranks_in_row(keys, row).map(|rank| !rank.is_below_flipped(limit));
            }
            return;
        }
        let mut left = [0_u8; WIDTH];
        for row in &*kept {
            for lane in 0..WIDTH {
                left[lane] += u8::from(row[lane]);
            }
        }
        let limits = left.map(|left| as_key::<K>(self.counts[usize::from(left)]));
        for (row, kept) in kept.iter_mut().enumerate() {
            let ranks = ranks_in_row(keys, row);
            for lane in 0..WIDTH {
                kept[lane] &= !ranks[lane].is_below_flipped(limits[lane]);
            }
        }
    }
}

/// The number of entries that are cleared before those of a row, in each group.
#[inline(always)]
fn ranks_in_row<K: Key, const WIDTH: usize>(keys: &[Lanes<K, WIDTH>], row: usize) -> Lanes<K, WIDTH> {
    let (earlier, rest) = keys.split_at(row);
    let own = rest[0];
    let mut ranks = [K::ZERO; WIDTH];
    // Of equals, the earlier one comes first.
    for other in earlier {
        for lane in 0..WIDTH {
            ranks[lane] = ranks[lane] + K::from(!own[lane].is_below_flipped(other[lane]));
        }
    }
    for other in rest {
        for lane in 0..WIDTH {
            ranks[lane] = ranks[lane] + K::from(other[lane].is_below_flipped(own[lane]));
        }
    }
    ranks
}

/// Clears where a group is a vector or two: its entries are compared with those that lie 1, 2, .. places further on, in the same
/// vector rotated. For groups of 4 this takes two thirds of the time of groups side by side.
#[inline(always)]
fn clear_by_rotation<S: Ranked, const M: usize>(scores: &[S], mask: &mut [bool], counts: &[usize]) {
    let limit = limit_for_all::<S::Key>(mask, counts);
    let (scores, masks) = (scores.as_chunks::<M>().0, mask.as_chunks_mut::<M>().0);
    if let Some(limit) = limit {
        for (scores, mask) in scores.iter().zip(masks) {
            let ranks = ranks_by_rotation(scores.map(|score| score.signed_rank()));
            *mask = ranks.map(|rank| !rank.is_below_flipped(limit));
        }
        return;
    }
    for (scores, mask) in scores.iter().zip(masks) {
        let keys: [S::Key; M] = std::array::from_fn(|i| remaining_rank(scores[i], mask[i]));
        let limit = as_key(counts[mask.iter().map(|&kept| usize::from(kept)).sum::<usize>()]);
        let ranks = ranks_by_rotation(keys);
        (0..M).for_each(|i| mask[i] &= !ranks[i].is_below_flipped(limit));
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

/// The rank of an entry as a signed number, above all others if the entry is pruned.
#[inline(always)]
fn remaining_rank<S: Ranked>(score: S, remaining: bool) -> S::Key {
    if remaining { score.signed_rank() } else { S::Key::MAX >> 1 }
}

/// The number to clear in every group, if all entries remain.
fn limit_for_all<K: Key>(mask: &[bool], counts: &[usize]) -> Option<K> {
    (count_true(mask) == mask.len()).then(|| as_key(counts[counts.len() - 1]))
}

/// A count of entries of a group as a key, so that it shares the lanes of ranks.
#[inline(always)]
fn as_key<K: Key>(count: usize) -> K {
    (0..count).fold(K::ZERO, |key, _| key + K::ONE)
}
