use std::sync::Arc;

use ndarray::ArrayViewD;

use crate::element::Element;
use crate::error::PruneError;
use crate::mask::Mask;
use crate::method::candidates::Remaining;
use crate::method::request::Request;
use crate::method::{BuiltIn, Describe, PruningMethod};
use crate::pruning_type::PruningType;

/// Prunes what a mask of one's own does not keep, as
/// [`torch.nn.utils.prune.CustomFromMask`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.CustomFromMask.html).
///
/// ```
/// use ndarray::arr1;
/// use prune::{CustomFromMask, Parameter};
///
/// let mut weight = Parameter::new(arr1(&[1.0_f32, 2.0, 3.0]));
/// weight.prune(CustomFromMask::new(arr1(&[true, false, true]).into_dyn()))?;
/// assert_eq!(weight.value(), &arr1(&[1.0, 0.0, 3.0]).into_dyn());
/// # Ok::<(), prune::PruneError>(())
/// ```
#[derive(Debug, Clone)]
pub struct CustomFromMask {
    /// In standard layout. Shared, so that cloning a history copies no masks.
    mask: Arc<Mask>,
}

impl CustomFromMask {
    /// Keeps what is true in the mask.
    pub fn new(mask: Mask) -> Self {
        let mask = if mask.is_standard_layout() { mask } else { mask.as_standard_layout().into_owned() };
        Self { mask: Arc::new(mask) }
    }

    /// The mask.
    pub fn mask(&self) -> &Mask {
        &self.mask
    }
}

impl Describe for CustomFromMask {
    fn name(&self) -> &str {
        "CustomFromMask"
    }
    fn pruning_type(&self) -> PruningType {
        PruningType::Global
    }
}

impl BuiltIn for CustomFromMask {
    fn request(&self, left: Remaining<'_>) -> Result<Request, PruneError> {
        PruneError::check_shape("mask", left.shape, self.mask.shape())?;
        Ok(Request::Mask(Arc::clone(&self.mask)))
    }
}

/// What a history holds for a mask that came from outside the parameter: from global pruning, or from a state dict.
///
/// PyTorch keeps a [`CustomFromMask`] there, with one more full mask for every round of global pruning. The parameter's own
/// mask already holds all of them, so here only the entry is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AppliedMask;

impl Describe for AppliedMask {
    fn name(&self) -> &str {
        "CustomFromMask"
    }
    fn pruning_type(&self) -> PruningType {
        PruningType::Global
    }
}

impl<A: Element> PruningMethod<A> for AppliedMask {
    fn compute_mask(&self, _: ArrayViewD<'_, A>, _: ArrayViewD<'_, bool>) -> Result<Mask, PruneError> {
        let reason = "stands for a mask that was computed outside the parameter; only the parameter's mask is kept";
        Err(PruneError::method("CustomFromMask", reason))
    }
}
