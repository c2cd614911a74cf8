//! Committing decisions: some entries at a time, so that the mask is still in the cache when the values are multiplied by it,
//! and on all cores, so that all of them bring in the fresh pages of a first pruning. Those page faults take most of the time.

use std::ops::Range;

use crate::element::Element;
use crate::mask::MaskElement;
use crate::method::decision::{ChunkId, Decision};
use crate::tensor::chunk::CHUNK;
use crate::tensor::{kernels, parallel};

/// Carries a decision out on a tensor that is not pruned yet, whose first chunk has a place among all tensors: writes all of the
/// mask and of the values. Memory that is not touched yet gets its pages from all threads.
///
/// Scores of `None` stand for the tensor. All slices are in standard layout.
pub(crate) fn commit_first<A: Element>(
    decision: &Decision<A>,
    first: ChunkId,
    orig: &[A],
    scores: Option<&[A]>,
    mask: &mut [bool],
    value: &mut [A],
) {
    for_each_stretch(decision, first, mask, value, |chunk, part, mask, value| {
        let scores = scores.map(|scores| &scores[part.clone()]);
        prune_first(decision, chunk, &orig[part], scores, mask, value);
    });
}

/// Carries a decision out on a tensor that is pruned already, whose first chunk has a place among all tensors.
///
/// Scores of `None` stand for the values. All slices are in standard layout.
pub(crate) fn commit_again<A: Element>(
    decision: &Decision<A>,
    first: ChunkId,
    scores: Option<&[A]>,
    mask: &mut [bool],
    value: &mut [A],
) {
    for_each_stretch(decision, first, mask, value, |chunk, part, mask, value| {
        prune_again(decision, chunk, scores.map(|scores| &scores[part]), mask, value);
    });
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
    for_each_stretch(decision, ChunkId::FIRST, mask, value, |chunk, part, mask, value| {
        let (orig, scores) = (&orig[part.clone()], scores.map(|scores| &scores[part.clone()]));
        let kept = match before {
            None => {
                let mut kept = vec![true; value.len()];
                prune_first(decision, chunk, orig, scores, &mut kept, value);
                kept
            }
            Some(before) => {
                let mut kept = before[part].to_vec();
                decision.clear(chunk, scores.unwrap_or(orig), &mut kept);
                kernels::multiply(orig, &kept, value);
                kept
            }
        };
        mask.iter_mut().zip(kept).for_each(|(entry, kept)| *entry = M::of(kept));
    });
}

/// Calls `f` with the place and the range of every stretch of a decision, and with its parts of the mask and of the values.
fn for_each_stretch<A: Element, M: Send>(
    decision: &Decision<A>,
    first: ChunkId,
    mask: &mut [M],
    value: &mut [A],
    f: impl Fn(ChunkId, Range<usize>, &mut [M], &mut [A]) + Sync,
) {
    let (stretch, entries) = (decision.stretch(), value.len());
    let jobs = mask.chunks_mut(stretch).zip(value.chunks_mut(stretch)).enumerate().collect();
    parallel::for_each(jobs, entries, |(number, (mask, value)): (usize, (&mut [M], &mut [A]))| {
        let offset = number * stretch;
        f(first.at(offset, stretch), offset..offset + value.len(), mask, value);
    });
}

/// Carries a decision out on a part of a tensor that is not pruned yet. A threshold, the commonest decision, takes one pass.
fn prune_first<A: Element>(
    decision: &Decision<A>,
    chunk: ChunkId,
    orig: &[A],
    scores: Option<&[A]>,
    mask: &mut [bool],
    value: &mut [A],
) {
    let scores = scores.unwrap_or(orig);
    if let Decision::Lowest(threshold) = decision {
        let (middle, before, after) = threshold.cuts::<A>(chunk.start, value.len());
        let (mask_before, mask_after) = mask.split_at_mut(middle);
        let (value_before, value_after) = value.split_at_mut(middle);
        kernels::prune_first(before, &scores[..middle], &orig[..middle], mask_before, value_before);
        kernels::prune_first(after, &scores[middle..], &orig[middle..], mask_after, value_after);
    } else {
        mask.fill(true);
        decision.clear(chunk, scores, mask);
        kernels::multiply(orig, mask, value);
    }
}

/// Carries a decision out on a part of a tensor whose values are the product with its mask already. A threshold takes one pass
/// if the scores are the values.
fn prune_again<A: Element>(
    decision: &Decision<A>,
    chunk: ChunkId,
    scores: Option<&[A]>,
    mask: &mut [bool],
    value: &mut [A],
) {
    if let (Decision::Lowest(threshold), None) = (decision, scores) {
        let (middle, before, after) = threshold.cuts::<A>(chunk.start, value.len());
        let (mask_before, mask_after) = mask.split_at_mut(middle);
        let (value_before, value_after) = value.split_at_mut(middle);
        kernels::prune_again(before, mask_before, value_before);
        kernels::prune_again(after, mask_after, value_after);
    } else {
        decision.clear(chunk, scores.unwrap_or(value), mask);
        kernels::multiply_in_place(mask, value);
    }
}

/// `value = orig * mask`, or without `orig` in place. Allocates nothing, since training does it after every step.
pub(crate) fn multiply<A: Element>(orig: Option<&[A]>, mask: &[bool], value: &mut [A]) {
    parallel::for_each_chunk(value, mask, CHUNK, |offset, value, mask| match orig {
        Some(orig) => kernels::multiply(&orig[offset..], mask, value),
        None => kernels::multiply_in_place(mask, value),
    });
}
