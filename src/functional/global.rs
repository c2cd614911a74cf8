//! One ranking across many parameters.

use ndarray::{ArrayView, ArrayViewD, Dimension};

use crate::element::Element;
use crate::error::PruneError;
use crate::method::PruningMethod;
use crate::method::candidates::MemoryCandidates;
use crate::method::decide::decide;
use crate::parameter::{ImportanceScores, Parameter};
use crate::pruning_type::PruningType;

/// A parameter that takes part in global pruning, with or without importance scores.
///
/// Made from `&mut Parameter`, or from a pair of it and a view of scores. A call can mix both by collecting targets.
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

/// Prunes several parameters by one ranking of all their entries, like
/// [`torch.nn.utils.prune.global_unstructured`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.global_unstructured.html).
///
/// The amount is relative to the remaining entries of all targets together. Equal scores are pruned in the order of the
/// targets, and by lowest index within each. Nothing is concatenated. On error, no target changes. Each history then holds
/// a [`Record::Mask`](crate::Record::Mask), whose name is `CustomFromMask` as in PyTorch.
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
/// [`PruneError::NoTargets`] if there are no targets; [`PruneError::NotUnstructured`] if the method does not select single
/// entries; [`PruneError::ShapeMismatch`] if scores have another shape than their parameter; any error of the method.
pub fn global_unstructured<'a, A, T>(
    targets: impl IntoIterator<Item = T>,
    method: impl PruningMethod<A>,
) -> Result<(), PruneError>
where
    A: Element,
    T: Into<Target<'a, A>>,
{
    let targets = targets.into_iter().map(Into::into).enumerate().map(checked).collect::<Result<Vec<_>, _>>()?;
    check_global(&method, targets.len())?;
    let tensors = targets.iter().map(|(parameter, scores)| parameter.candidates(scores.as_ref())).collect();
    let decision = decide(&method, &MemoryCandidates::new(tensors))?;
    Parameter::commit_mask(targets, &decision);
    Ok(())
}

/// Rejects a call without targets, and a method that does not select single entries.
pub(crate) fn check_global<A: Element>(method: &dyn PruningMethod<A>, targets: usize) -> Result<(), PruneError> {
    if targets == 0 {
        return Err(PruneError::NoTargets);
    }
    if method.pruning_type() != PruningType::Unstructured {
        return Err(PruneError::NotUnstructured { method: method.name().to_owned(), found: method.pruning_type() });
    }
    Ok(())
}

/// A target with its scores in standard layout, if they have its shape.
fn checked<'a, A: Element>(
    (index, target): (usize, Target<'a, A>),
) -> Result<(&'a mut Parameter<A>, Option<ImportanceScores<'a, A>>), PruneError> {
    let argument = format!("importance_scores of target {index}");
    let scores = target.scores.map(|scores| target.parameter.checked_scores(&argument, scores)).transpose()?;
    Ok((target.parameter, scores))
}
