//! Committing decisions: chunk by chunk, so that the mask is still in the cache when the values are multiplied by it, and
//! on all cores, so that all of them bring in the fresh pages of a first pruning. Those page faults take most of the time.

use crate::element::Element;
use crate::mask::MaskElement;
use crate::method::decision::{ChunkId, Decision};
use crate::tensor::chunk::{CHUNK, Position};
use crate::tensor::{kernels, parallel};

/// One tensor to prune, in standard layout.
#[derive(Debug)]
pub(crate) struct CommitTarget<'a, A> {
    /// The tensor that the values are the product of, with the mask. `None` if the values are that product already, by the
    /// mask so far: they are then multiplied in place.
    pub orig: Option<&'a [A]>,
    /// The scores that rank the entries; `None` for `orig` or the values.
    pub scores: Option<&'a [A]>,
    /// The mask so far, and the new one in the end.
    pub mask: &'a mut [bool],
    /// Whether the content of `mask` is still undefined, and stands for a mask that keeps every entry.
    pub is_first: bool,
    /// `orig * mask` in the end.
    pub value: &'a mut [A],
}

/// The part of a target that lies in one chunk.
struct Job<'a, A> {
    chunk: ChunkId,
    part: CommitTarget<'a, A>,
}

/// Carries a decision out on all targets.
pub(crate) fn commit<A: Element>(targets: Vec<CommitTarget<'_, A>>, decision: &Decision<A>) {
    let stretch = decision.stretch();
    let entries = targets.iter().map(|target| target.mask.len()).sum();
    let mut jobs = Vec::with_capacity(targets.iter().map(|target| target.mask.len().div_ceil(stretch)).sum());
    for (segment, CommitTarget { orig, scores, mask, is_first, value }) in targets.into_iter().enumerate() {
        let mut offset = 0;
        for (mask, value) in mask.chunks_mut(stretch).zip(value.chunks_mut(stretch)) {
            let chunk = ChunkId { index: jobs.len(), start: Position { segment, offset } };
            let part = |whole: &'_ [A]| offset..(offset + stretch).min(whole.len());
            let orig = orig.map(|orig| &orig[part(orig)]);
            let scores = scores.map(|scores| &scores[part(scores)]);
            jobs.push(Job { chunk, part: CommitTarget { orig, scores, mask, is_first, value } });
            offset += stretch;
        }
    }
    parallel::for_each(jobs, entries, |Job { chunk, part }| prune_chunk(decision, chunk, part));
}

/// Carries a decision out on one tensor, of which the mask so far is an array of `bool` and the new one an array of any other
/// type. A chunk of `bool` stands between the two, and stays in the cache.
pub(crate) fn commit_as<A: Element, M: MaskElement>(
    orig: &[A],
    scores: Option<&[A]>,
    before: Option<&[bool]>,
    (mask, value): (&mut [M], &mut [A]),
    decision: &Decision<A>,
) {
    let (stretch, entries) = (decision.stretch(), orig.len());
    let jobs = mask.chunks_mut(stretch).zip(value.chunks_mut(stretch)).enumerate().collect();
    parallel::for_each(jobs, entries, |(index, (mask, value)): (usize, (&mut [M], &mut [A]))| {
        let offset = index * stretch;
        let part = offset..offset + value.len();
        let mut kept = before.map_or_else(|| vec![true; value.len()], |before| before[part.clone()].to_vec());
        let target = CommitTarget {
            orig: Some(&orig[part.clone()]),
            scores: scores.map(|scores| &scores[part]),
            mask: &mut kept,
            is_first: before.is_none(),
            value,
        };
        prune_chunk(decision, ChunkId { index, start: Position { segment: 0, offset } }, target);
        mask.iter_mut().zip(kept).for_each(|(entry, kept)| *entry = M::of(kept));
    });
}

/// Carries a decision out on one chunk. The commonest decision, a threshold, takes one pass where the scores are the tensor.
fn prune_chunk<A: Element>(decision: &Decision<A>, chunk: ChunkId, part: CommitTarget<'_, A>) {
    let CommitTarget { orig, scores, mask, is_first, value } = part;
    match (decision, orig, scores) {
        (Decision::Lowest(threshold), Some(orig), _) if is_first => {
            let scores = scores.unwrap_or(orig);
            let (middle, before, after) = threshold.cuts::<A>(chunk.start, value.len());
            let (mask_before, mask_after) = mask.split_at_mut(middle);
            let (value_before, value_after) = value.split_at_mut(middle);
            kernels::prune_first(before, &scores[..middle], &orig[..middle], mask_before, value_before);
            kernels::prune_first(after, &scores[middle..], &orig[middle..], mask_after, value_after);
        }
        (Decision::Lowest(threshold), None, None) if !is_first => {
            let (middle, before, after) = threshold.cuts::<A>(chunk.start, value.len());
            let (mask_before, mask_after) = mask.split_at_mut(middle);
            let (value_before, value_after) = value.split_at_mut(middle);
            kernels::prune_again(before, mask_before, value_before);
            kernels::prune_again(after, mask_after, value_after);
        }
        _ => {
            if is_first {
                mask.fill(true);
            }
            decision.clear(chunk, scores.or(orig).unwrap_or(value), mask);
            multiply_chunk(orig, mask, value);
        }
    }
}

/// `value = orig * mask`, or without `orig` in place. Allocates nothing, since training does it after every step.
pub(crate) fn multiply<A: Element>(orig: Option<&[A]>, mask: &[bool], value: &mut [A]) {
    parallel::for_each_chunk(value, mask, CHUNK, |offset, value, mask| {
        multiply_chunk(orig.map(|orig| &orig[offset..]), mask, value);
    });
}

fn multiply_chunk<A: Element>(orig: Option<&[A]>, mask: &[bool], value: &mut [A]) {
    match orig {
        Some(orig) => kernels::multiply(orig, mask, value),
        None => kernels::multiply_in_place(mask, value),
    }
}
