//! The lowest of every group, for groups of any shape: many short ones side by side, long ones one by one.

use crate::element::Element;
use crate::key::Ranked;
use crate::select::scaled::{factors_from, scaled};
use crate::select::scores::infallible;
use crate::select::{KeyRank, Threshold, find, lowest};
use crate::tensor::chunk::{Position, Segment, chunks, count_true};
use crate::tensor::group_kernels::{MAX_RANKED, clear_neighbours, clear_side_by_side};
use crate::tensor::groups::Groups;
use crate::tensor::kernels::{self, Cut};

/// Clears the lowest remaining entries of every group in a part of a mask, which starts at a multiple of the
/// [stretch](Groups::stretch) and ends at one or at the end of the tensor.
///
/// `count` gives the number of entries to clear in a group from its number of entries and of remaining ones. Of equal scores,
/// that of the lowest index is cleared first.
pub(crate) fn clear_lowest<S: Ranked>(
    groups: &Groups,
    offset: usize,
    scores: &[S],
    mask: &mut [bool],
    count: impl Fn(usize, usize) -> usize,
) {
    let count = |all: usize, remaining: usize| count(all, remaining).min(remaining);
    let counts = |size: usize| -> Vec<usize> { (0..=size).map(|remaining| count(size, remaining)).collect() };
    let clear_one_by_one = |size: usize, scores: &[S], mask: &mut [bool]| {
        for (scores, mask) in scores.chunks(size).zip(mask.chunks_mut(size)) {
            clear_group(scores, mask, count);
        }
    };
    if let Some((line, size)) = groups.neighbours().filter(|&(_, size)| size > MAX_RANKED) {
        for_each_line(offset, line, size, scores, mask, |scores, mask| clear_one_by_one(size, scores, mask));
    } else if let Some((line, size)) = groups.neighbours().filter(|&(_, size)| size > 0) {
        let counts = counts(size);
        for_each_line(offset, line, size, scores, mask, |scores, mask| {
            // The last group of a line may be shorter.
            let whole = scores.len() / size * size;
            clear_neighbours(size, &scores[..whole], &mut mask[..whole], &counts);
            clear_one_by_one(size, &scores[whole..], &mut mask[whole..]);
        });
    } else if let Some((width, len, size)) = groups.side_by_side().filter(|&(_, _, size)| size <= MAX_RANKED) {
        // A band is one row of groups, of which the last one along the axis may be shorter.
        let mut start = 0;
        let whole = counts(size);
        while start < mask.len() {
            let height = size.min(len - (offset + start) / width % len);
            let band = start..start + height * width;
            let shorter = if height < size { counts(height) } else { Vec::new() };
            let counts = if height < size { &shorter } else { &whole };
            clear_side_by_side(width, &scores[band.clone()], &mut mask[band], counts);
            start += height * width;
        }
    } else {
        groups.clear_lowest(offset, mask, count, |at| scores[at].key());
    }
}

/// [`clear_lowest`] for magnitudes times a factor for each place along the last axis.
pub(crate) fn clear_lowest_scaled<A: Element>(
    groups: &Groups,
    offset: usize,
    scores: &[A],
    factors: &[f32],
    mask: &mut [bool],
    count: impl Fn(usize, usize) -> usize,
) {
    let scaled_from = |offset: usize| factors_from(factors, offset);
    match groups.neighbours() {
        // The groups are rows of the last axis: a row of rounded products stays in the first cache.
        Some((line, size)) if size > MAX_RANKED && size == factors.len() && line == size => {
            let mut row = Vec::with_capacity(size);
            for (scores, mask) in scores.chunks(size).zip(mask.chunks_mut(size)) {
                clear_scaled_group(scores, factors, mask, &count, &mut row);
            }
        }
        _ => {
            let products: Vec<f64> =
                scores.iter().zip(scaled_from(offset)).map(|(&x, factor)| scaled(x, factor)).collect();
            clear_lowest(groups, offset, &products, mask, count);
        }
    }
}

/// Calls `f` with the scores and the mask of every line, or with those of several lines that groups fill without a rest.
fn for_each_line<S>(
    offset: usize,
    line: usize,
    size: usize,
    scores: &[S],
    mask: &mut [bool],
    mut f: impl FnMut(&[S], &mut [bool]),
) {
    if line.is_multiple_of(size) {
        return f(scores, mask);
    }
    let mut start = 0;
    while start < scores.len() {
        let end = (start + line - (offset + start) % line).min(scores.len());
        f(&scores[start..end], &mut mask[start..end]);
        start = end;
    }
}

/// Clears the lowest remaining entries of one group of neighbours.
fn clear_group<S: Ranked>(scores: &[S], mask: &mut [bool], count: impl Fn(usize, usize) -> usize) {
    let left = count_true(mask);
    let k = count(scores.len(), left);
    if k == 0 {
        return;
    }
    let remaining = if left < mask.len() { Some(&*mask) } else { None };
    let threshold = lowest(&[Segment { scores, remaining }], k);
    clear_up_to(&threshold, Position::START, scores, mask);
}

/// Clears the entries up to a threshold, in a part of a tensor that begins at `start`.
pub(crate) fn clear_up_to<S: Ranked>(threshold: &Threshold<S::Key>, start: Position, scores: &[S], mask: &mut [bool]) {
    let (middle, before, after) = threshold.cuts::<S>(start, scores.len());
    let (mask_before, mask_after) = mask.split_at_mut(middle);
    kernels::clear(before, &scores[..middle], mask_before);
    kernels::clear(after, &scores[middle..], mask_after);
}

/// [`clear_group`] for products with factors.
///
/// Products are ranked as `f32` first, in half the memory and in lanes that the oldest vector units compare. Rounding keeps
/// their order, so that only those which are rounded to the threshold are told apart by their exact products.
fn clear_scaled_group<A: Element>(
    scores: &[A],
    factors: &[f32],
    mask: &mut [bool],
    count: impl Fn(usize, usize) -> usize,
    rounded: &mut Vec<f32>,
) {
    let left = count_true(mask);
    let k = count(scores.len(), left).min(left);
    if k == 0 {
        return;
    }
    rounded.clear();
    rounded.extend(scores.iter().zip(factors).map(|(x, &factor)| x.scaled_and_rounded(factor)));
    let remaining = if left < mask.len() { Some(&*mask) } else { None };
    let (KeyRank { key, below, at }, _) = infallible(find(&chunks(&[Segment { scores: rounded, remaining }])[..], k));
    if below + at == k {
        return kernels::clear(Cut::up_to::<f32>(key), rounded, mask);
    }
    let is_at = |&i: &usize| mask[i] && rounded[i].key() == key;
    let mut exact: Vec<(u64, usize)> =
        (0..scores.len()).filter(is_at).map(|i| (scaled(scores[i], factors[i]).key(), i)).collect();
    exact.select_nth_unstable(k - below - 1);
    kernels::clear(Cut::below::<f32>(key), rounded, mask);
    exact[..k - below].iter().for_each(|&(_, i)| mask[i] = false);
}
