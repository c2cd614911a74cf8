//! One ranking across many parameters.

use ndarray::{ArrayView, ArrayViewD, Dimension};

use crate::element::Element;
use crate::error::PruneError;
use crate::method::candidates::MemoryCandidates;
use crate::method::{AppliedMask, PruningMethod};
use crate::parameter::{ImportanceScores, Parameter, commit, container};
use crate::pruning_type::PruningType;

/// A parameter that takes part in a global pruning, with importance scores of its own or without.
///
/// Made from `&mut Parameter`, or from a pair of it and a view of scores; a call can mix both by collecting targets.
#[derive(Debug)]
pub struct Target<'a, A: Element> {
    parameter: &'a mut Parameter<A>,
    scores: Option<ArrayViewD<'a, A>>,
}

impl<'a, A: Element> From<&'a mut Parameter<A>> for Target<'a, A> {
    fn from(parameter: &'a mut Parameter<A>) -> Self {
        Self { parameter, scores: None }
    }
}

impl<'a, A: Element, D: Dimension> From<(&'a mut Parameter<A>, ArrayView<'a, A, D>)> for Target<'a, A> {
    fn from((parameter, scores): (&'a mut Parameter<A>, ArrayView<'a, A, D>)) -> Self {
        Self { parameter, scores: Some(scores.into_dyn()) }
    }
}

/// Prunes across parameters by one ranking of all their entries, as
/// [`torch.nn.utils.prune.global_unstructured`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.global_unstructured.html).
///
/// The amount counts the entries of all targets that are not pruned yet, in the order of the targets; among equal scores
/// the first goes first. Nothing is concatenated. Either every target is pruned or, on an error, none. As in PyTorch, each
/// history then holds `CustomFromMask`.
///
/// ```
/// use ndarray::arr1;
/// use prune::{L1Unstructured, ParameterStore};
///
/// let mut net = ParameterStore::from_iter([("a", arr1(&[5.0_f32, 1.0, 3.0])), ("b", arr1(&[2.0, 4.0, 0.5]))]);
/// prune::global_unstructured(prune::parameters_mut(&mut net, &["a", "b"])?, L1Unstructured::new(0.5)?)?;
/// assert_eq!(net["a"].value(), &arr1(&[5.0, 0.0, 3.0]).into_dyn());
/// assert_eq!(net["b"].value(), &arr1(&[0.0, 4.0, 0.0]).into_dyn());
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # Errors
///
/// [`PruneError::NoTargets`]; [`PruneError::NotUnstructured`] for a method that does not choose single entries;
/// [`PruneError::ShapeMismatch`] for scores of another shape than their parameter; whatever the method says.
pub fn global_unstructured<'a, A, T>(
    targets: impl IntoIterator<Item = T>,
    method: impl PruningMethod<A>,
) -> Result<(), PruneError>
where
    A: Element,
    T: Into<Target<'a, A>>,
{
    let mut targets = targets.into_iter().map(Into::into).enumerate().map(checked).collect::<Result<Vec<_>, _>>()?;
    if targets.is_empty() {
        return Err(PruneError::NoTargets);
    }
    if method.pruning_type() != PruningType::Unstructured {
        return Err(PruneError::NotUnstructured { method: method.name().to_owned(), found: method.pruning_type() });
    }
    let tensors = targets.iter().map(|(parameter, scores)| parameter.tensor(scores.as_ref())).collect();
    let decision = container::decide(&method, &MemoryCandidates::new(tensors))?;
    commit::commit(
        targets.iter_mut().map(|(parameter, scores)| parameter.target(scores.as_ref())).collect(),
        &decision,
    );
    for (parameter, _) in targets {
        parameter.record(AppliedMask);
    }
    Ok(())
}

/// A target whose scores, if it has any, are of its shape and in standard layout.
fn checked<'a, A: Element>(
    (index, target): (usize, Target<'a, A>),
) -> Result<(&'a mut Parameter<A>, Option<ImportanceScores<'a, A>>), PruneError> {
    let argument = format!("importance_scores of target {index}");
    let scores = target.scores.map(|scores| target.parameter.checked_scores(&argument, scores)).transpose()?;
    Ok((target.parameter, scores))
}
