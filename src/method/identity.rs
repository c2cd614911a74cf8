use crate::error::PruneError;
use crate::method::candidates::Remaining;
use crate::method::request::Request;
use crate::method::{BuiltIn, Describe};
use crate::pruning_type::PruningType;

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

impl BuiltIn for Identity {
    fn request(&self, _: Remaining<'_>) -> Result<Request, PruneError> {
        Ok(Request::Nothing)
    }
}
