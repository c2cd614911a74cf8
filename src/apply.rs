//! Carrying a decision out: chunk by chunk, so that the mask is still in the cache when the values are multiplied by it,
//! and on all cores, so that all of them bring in the fresh pages of a first pruning. Those page faults are most of the time.

use ndarray::ArrayViewD;

use crate::candidates::{flat, flat_mut};
use crate::chunk::{CHUNK, Position};
use crate::decision::{Decision, Place};
use crate::{Element, Mask, parallel};

/// One tensor to prune, row-major.
#[derive(Debug)]
pub(crate) struct Target<'a, A> {
    /// On a first pruning, what the values are the product of, with the mask. `None` for a tensor that is pruned already:
    /// its values are multiplied in place, which comes to the same.
    pub orig: Option<&'a [A]>,
    /// What ranks the entries; `None` for their own values.
    pub scores: Option<&'a [A]>,
    /// True where kept. On a first pruning any content will do.
    pub mask: &'a mut [bool],
    /// Always `orig * mask` afterwards.
    pub value: &'a mut [A],
}

/// Carries a decision out on all targets.
pub(crate) fn apply<A: Element>(targets: Vec<Target<'_, A>>, decision: &Decision<'_, A>) {
    let entries = targets.iter().map(|target| target.mask.len()).sum();
    let mut jobs = Vec::with_capacity(targets.iter().map(|target| target.mask.len().div_ceil(CHUNK)).sum());
    for (segment, Target { orig, scores, mask, value }) in targets.into_iter().enumerate() {
        let mut offset = 0;
        for (mask, value) in mask.chunks_mut(CHUNK).zip(value.chunks_mut(CHUNK)) {
            let place = Place { index: jobs.len(), start: Position { segment, offset } };
            let part = |whole: &'_ [A]| offset..(offset + CHUNK).min(whole.len());
            jobs.push((
                place,
                orig.map(|orig| &orig[part(orig)]),
                scores.map(|scores| &scores[part(scores)]),
                mask,
                value,
            ));
            offset += CHUNK;
        }
    }
    parallel::for_each(jobs, entries, |(place, orig, scores, mask, value)| {
        if orig.is_some() {
            mask.fill(true);
        }
        decision.clear(place, scores.or(orig).unwrap_or(value), mask);
        multiply_chunk(orig, mask, value);
    });
}

/// The mask that a decision about some scores, in standard layout, leaves of another mask of their shape.
pub(crate) fn to_mask<A: Element>(
    default_mask: ArrayViewD<'_, bool>,
    scores: ArrayViewD<'_, A>,
    decision: &Decision<'_, A>,
) -> Mask {
    let mut mask = default_mask.as_standard_layout().into_owned();
    parallel::for_each_chunk(flat_mut(&mut mask), flat(&scores), CHUNK, |offset, mask, scores| {
        decision.clear(Place { index: offset / CHUNK, start: Position { segment: 0, offset } }, scores, mask);
    });
    mask
}

/// `value = orig * mask`, or without `orig` in place. Allocates nothing, since training does it after every step.
pub(crate) fn multiply<A: Element>(orig: Option<&[A]>, mask: &[bool], value: &mut [A]) {
    parallel::for_each_chunk(value, mask, CHUNK, |offset, value, mask| {
        multiply_chunk(orig.map(|orig| &orig[offset..]), mask, value);
    });
}

fn multiply_chunk<A: Element>(orig: Option<&[A]>, mask: &[bool], value: &mut [A]) {
    match orig {
        Some(orig) => value.iter_mut().zip(orig).zip(mask).for_each(|((value, orig), &kept)| *value = orig.times(kept)),
        None => value.iter_mut().zip(mask).for_each(|(value, &kept)| *value = value.times(kept)),
    }
}
