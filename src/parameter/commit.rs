//! Carrying a decision out: chunk by chunk, so that the mask is still in the cache when the values are multiplied by it,
//! and on all cores, so that all of them bring in the fresh pages of a first pruning. Those page faults are most of the time.

use crate::element::Element;
use crate::method::decision::{ChunkId, Decision};
use crate::tensor::chunk::{CHUNK, Position};
use crate::tensor::parallel;

/// One tensor to prune, row-major.
#[derive(Debug)]
pub(crate) struct CommitTarget<'a, A> {
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
pub(crate) fn commit<A: Element>(targets: Vec<CommitTarget<'_, A>>, decision: &Decision<A>) {
    let stretch = decision.stretch();
    let entries = targets.iter().map(|target| target.mask.len()).sum();
    let mut jobs = Vec::with_capacity(targets.iter().map(|target| target.mask.len().div_ceil(stretch)).sum());
    for (segment, CommitTarget { orig, scores, mask, value }) in targets.into_iter().enumerate() {
        let mut offset = 0;
        for (mask, value) in mask.chunks_mut(stretch).zip(value.chunks_mut(stretch)) {
            let place = ChunkId { index: jobs.len(), start: Position { segment, offset } };
            let part = |whole: &'_ [A]| offset..(offset + stretch).min(whole.len());
            jobs.push((
                place,
                orig.map(|orig| &orig[part(orig)]),
                scores.map(|scores| &scores[part(scores)]),
                mask,
                value,
            ));
            offset += stretch;
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

/// `value = orig * mask`, or without `orig` in place. Allocates nothing, since training does it after every step.
pub(crate) fn multiply<A: Element>(orig: Option<&[A]>, mask: &[bool], value: &mut [A]) {
    parallel::for_each_chunk(value, mask, CHUNK, |offset, value, mask| {
        multiply_chunk(orig.map(|orig| &orig[offset..]), mask, value);
    });
}

fn multiply_chunk<A: Element>(orig: Option<&[A]>, mask: &[bool], value: &mut [A]) {
    match orig {
        Some(orig) => {
            value.iter_mut().zip(orig).zip(mask).for_each(|((value, orig), &kept)| *value = orig.masked(kept))
        }
        None => value.iter_mut().zip(mask).for_each(|(value, &kept)| *value = value.masked(kept)),
    }
}
