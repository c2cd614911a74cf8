//! Pruning nothing.

use crate::error::PruneError;
use crate::method::Describe;
use crate::method::built_in::BuiltIn;
use crate::method::registry::{MethodOptions, Named};
use crate::method::request::Request;
use crate::method_option::MethodOption;
use crate::pruning_type::PruningType;

/// Prunes nothing: the parameter gets a mask that keeps every entry.
///
/// ```
/// let mut weight = prune::Parameter::new(ndarray::arr1(&[1.0_f32, 2.0]));
/// weight.prune(prune::Identity)?;
/// assert!(weight.is_pruned());
/// assert_eq!(weight.value(), weight.orig());
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # References
///
/// [`torch.nn.utils.prune.Identity`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.Identity.html).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Identity;

impl Describe for Identity {
    fn name(&self) -> &str {
        "Identity"
    }
    fn pruning_type(&self) -> PruningType {
        PruningType::Unstructured
    }
    fn options(&self) -> String {
        String::new()
    }
}

impl BuiltIn for Identity {
    fn request(&self, _: &[&str]) -> Result<Request, PruneError> {
        Ok(Request::Nothing)
    }
}

impl Named for Identity {
    const NAMES: &'static [&'static str] = &["identity"];
    const SUMMARY: &'static str = "Prune nothing";
    const OPTIONS: &'static [MethodOption] = &[];
    const RANKS_GLOBALLY: bool = true;

    fn from_options(_: &MethodOptions) -> Result<Self, PruneError> {
        Ok(Self)
    }
}
