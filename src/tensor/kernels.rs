//! The loops over every entry that take most of the time of a call: written so that the compiler turns each into vector
//! instructions, on the oldest x86-64 too. Those that gain from newer instructions are compiled for them as well
//! ([`vectorized!`]).
//!
//! All of them have no branch that depends on an entry, comparisons that are signed or of floats ([`Ranked::is_below`]), and counts
//! as wide as what is counted, so that they share its vector lanes.

use crate::element::Element;
use crate::key::{Key, Ranked};
use crate::tensor::simd::vectorized;

/// The entries that a threshold prunes, among entries that all lie on one side of the end of its tie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut<K> {
    /// The entries that rank below a limit, which is [comparable](Ranked::COMPARABLE).
    Below(K),
    /// The entries that rank up to a limit, which is [comparable](Ranked::COMPARABLE).
    UpTo(K),
    /// All entries.
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

vectorized! {
    /// Clears the entries of a mask that are cut.
    pub(crate) fn clear<'a, S: Ranked>(cut: Cut<S::Key>, scores: &'a [S], mask: &'a mut [bool]) {
        with_test!(cut, |pruned| mask.iter_mut().zip(scores).for_each(|(kept, &score)| *kept &= !pruned(score)));
    }

    /// Writes the mask and the product of a first pruning.
    ///
    /// One pass takes 0.15 ns for an entry of `f32` in the cache, three (fill, clear, multiply) take 0.27: the mask is not read
    /// again and not widened to the lanes of the product.
    pub(crate) fn prune_first<'a, S: Element>(
        cut: Cut<S::Key>,
        scores: &'a [S],
        orig: &'a [S],
        mask: &'a mut [bool],
        value: &'a mut [S],
    ) {
        with_test!(cut, |pruned| {
            value.iter_mut().zip(mask).zip(orig.iter().zip(scores)).for_each(|((value, mask), (orig, &score))| {
                let kept = !pruned(score);
                *mask = kept;
                *value = orig.masked(kept);
            });
        });
    }

    /// Clears the mask and multiplies in place, where the values are the scores and their product with the mask so far.
    pub(crate) fn prune_again<'a, S: Element>(cut: Cut<S::Key>, mask: &'a mut [bool], value: &'a mut [S]) {
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
    pub(crate) fn multiply<'a, A: Element>(orig: &'a [A], mask: &'a [bool], value: &'a mut [A]) {
        value.iter_mut().zip(orig).zip(mask).for_each(|((value, orig), &kept)| *value = orig.masked(kept));
    }

    /// `value = value * mask`.
    pub(crate) fn multiply_in_place<'a, A: Element>(mask: &'a [bool], value: &'a mut [A]) {
        value.iter_mut().zip(mask).for_each(|(value, &kept)| *value = value.masked(kept));
    }

    /// Appends the upper halves of ranks.
    pub(crate) fn upper_halves<'a, S: Ranked>(scores: &'a [S], remaining: Option<&'a [bool]>, halves: &'a mut Vec<i16>) {
        match remaining {
            None => halves.extend(scores.iter().map(|score| score.upper_half())),
            Some(remaining) => halves.extend(scores.iter().zip(remaining).map(|(score, &remaining)| {
                // The maximum of 16 signed bits is an instruction.
                score.upper_half().max(if remaining { i16::MIN } else { i16::MAX })
            })),
        }
    }

    /// Counts the halves below a limit.
    pub(crate) fn count_below<'a>(halves: &'a [i16], limit: i16) -> usize {
        // So few that a count fits in the lane of an entry.
        const SHORT: usize = 1 << 14;
        let count = |part: &[i16]| part.iter().fold(0_i16, |count, &half| count + i16::from(half < limit));
        halves.chunks(SHORT).map(|part| count(part) as usize).sum()
    }
}

/// Counts the remaining entries at a key, or finds the `n`-th of them: returns its offset or, if there are fewer, their count.
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
