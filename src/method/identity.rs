use ndarray::ArrayViewD;

use super::{BuiltIn, Describe, PruningMethod, PruningType, built_in_mask};
use crate::candidates::Candidates;
use crate::decision::Decision;
use crate::{Element, Mask, PruneError};

/// Prunes nothing, and so makes a parameter pruned with a mask of ones, as
/// [`torch.nn.utils.prune.Identity`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.Identity.html).
///
/// ```
/// let mut weight = prune::Parameter::new(ndarray::arr1(&[1.0_f32, 2.0]));
/// weight.prune(prune::Identity)?;
/// assert!(weight.is_pruned());
/// assert_eq!(weight.value(), weight.orig());
/// # Ok::<(), prune::PruneError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Identity;

impl Describe for Identity {
    fn name(&self) -> &str {
        "Identity"
    }
    fn pruning_type(&self) -> PruningType {
        PruningType::Unstructured
    }
}

impl<A: Element> PruningMethod<A> for Identity {
    fn compute_mask(&self, scores: ArrayViewD<'_, A>, default_mask: ArrayViewD<'_, bool>) -> Result<Mask, PruneError> {
        built_in_mask(self, scores, default_mask)
    }
    fn built_in(&self) -> Option<&dyn BuiltIn<A>> {
        Some(self)
    }
}

impl<A: Element> BuiltIn<A> for Identity {
    fn decide(&self, _: &Candidates<'_, A>) -> Result<Decision<'_, A>, PruneError> {
        Ok(Decision::Keep)
    }
}
