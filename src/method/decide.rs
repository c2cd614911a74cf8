//! The one door from a method, built in or custom, to a decision about candidates in memory.

use std::sync::Arc;

use ndarray::{Array1, ArrayD, ArrayViewD, Axis, Zip};

use crate::element::Element;
use crate::error::PruneError;
use crate::mask::Mask;
use crate::method::PruningMethod;
use crate::method::candidates::{MemoryCandidates, TensorCandidates};
use crate::method::decision::{Decision, PrunedCandidates};
use crate::pruning_type::PruningType;
use crate::tensor::channels::Channels;

/// Runs a method on candidates. A custom method is given the part of them that its type says.
pub(crate) fn decide<A: Element>(
    method: &dyn PruningMethod<A>,
    candidates: &MemoryCandidates<'_, A>,
) -> Result<Decision<A>, PruneError> {
    if let Some(method) = method.built_in() {
        return method.decide(candidates);
    }
    let TensorCandidates { scores, remaining } = candidates.tensor();
    let all = ArrayD::from_elem(scores.raw_dim(), true);
    let remaining = remaining.as_ref().map_or(all.view(), |remaining| remaining.view());
    match method.pruning_type() {
        PruningType::Structured { dim } => {
            let channels = Channels::of(scores.shape(), dim)?;
            if candidates.is_untouched {
                return whole(method, scores.view(), remaining);
            }
            let kept = candidates.remaining_channels(&channels);
            let axis = Axis(channels.axis);
            let part = run(method, scores.select(axis, &kept).view(), remaining.select(axis, &kept).view())?;
            let mut mask = remaining.to_owned();
            for (&channel, part) in kept.iter().zip(part.axis_iter(axis)) {
                mask.index_axis_mut(axis, channel).assign(&part);
            }
            Ok(Decision::Mask(Arc::new(mask.into())))
        }
        PruningType::Unstructured if !candidates.is_untouched => {
            let scores = Array1::from_iter(candidates.remaining_scores()).into_dyn();
            let mask = run(method, scores.view(), ArrayD::from_elem(scores.raw_dim(), true).view())?;
            let pruned = mask.iter().map(|&kept| !kept).collect();
            let pruned = PrunedCandidates::new(pruned, &candidates.count_in_chunks());
            Ok(Decision::Candidates(Arc::new(pruned)))
        }
        PruningType::Unstructured | PruningType::Groups | PruningType::Global => {
            whole(method, scores.view(), remaining)
        }
    }
}

/// Runs a custom method on a whole tensor.
fn whole<A: Element>(
    method: &dyn PruningMethod<A>,
    scores: ArrayViewD<'_, A>,
    default_mask: ArrayViewD<'_, bool>,
) -> Result<Decision<A>, PruneError> {
    Ok(Decision::Mask(Arc::new(Mask::from(run(method, scores, default_mask)?))))
}

/// Runs a custom method and checks the mask that it returns.
fn run<A: Element>(
    method: &dyn PruningMethod<A>,
    scores: ArrayViewD<'_, A>,
    default_mask: ArrayViewD<'_, bool>,
) -> Result<ArrayD<bool>, PruneError> {
    let mask = method.compute_mask(scores, default_mask.view())?;
    check_mask(method.name(), default_mask, mask.view())?;
    Ok(mask)
}

/// Rejects a mask that has another shape than the one the method was given, or that revives an entry.
pub(crate) fn check_mask(
    method: &str,
    default_mask: ArrayViewD<'_, bool>,
    mask: ArrayViewD<'_, bool>,
) -> Result<(), PruneError> {
    if mask.shape() != default_mask.shape() {
        return Err(PruneError::MethodShape {
            method: method.to_owned(),
            expected: default_mask.shape().to_vec(),
            found: mask.shape().to_vec(),
        });
    }
    if Zip::from(&mask).and(&default_mask).all(|&kept, &before| before || !kept) {
        return Ok(());
    }
    let revived = mask.indexed_iter().find(|(index, kept)| **kept && !default_mask[index]);
    let index = revived.map(|(index, _)| ndarray::Dimension::slice(&index).to_vec()).unwrap_or_default();
    Err(PruneError::MethodRevived { method: method.to_owned(), index })
}
