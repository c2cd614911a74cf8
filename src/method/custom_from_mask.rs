//! Pruning by a given mask.

use std::sync::Arc;

use crate::error::PruneError;
use crate::mask::Mask;
use crate::method::Describe;
use crate::method::built_in::BuiltIn;
use crate::method::registry::{MethodOptions, Named};
use crate::method::request::Request;
use crate::method_option::MethodOption;
use crate::pruning_type::PruningType;

/// Prunes the entries that a given mask does not keep.
///
/// ```
/// use ndarray::arr1;
/// use prune::{CustomFromMask, Parameter};
///
/// let mut weight = Parameter::new(arr1(&[1.0_f32, 2.0, 3.0]));
/// weight.prune(CustomFromMask::new(arr1(&[true, false, true])))?;
/// assert_eq!(weight.value(), &arr1(&[1.0, 0.0, 3.0]).into_dyn());
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # Errors
///
/// Pruning returns [`PruneError::ShapeMismatch`] if the mask has another shape than the tensor.
///
/// # References
///
/// [`torch.nn.utils.prune.CustomFromMask`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.CustomFromMask.html).
#[derive(Debug, Clone, PartialEq)]
pub struct CustomFromMask {
    /// Shared, so that cloning a history copies no masks.
    mask: Arc<Mask>,
}

impl CustomFromMask {
    /// Returns the method that keeps the entries that `mask` keeps.
    pub fn new(mask: impl Into<Mask>) -> Self {
        Self { mask: Arc::new(mask.into()) }
    }

    /// Returns the mask.
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
    fn options(&self) -> String {
        format!("mask={}", self.mask.fingerprint())
    }
}

impl BuiltIn for CustomFromMask {
    fn request(&self, _: &[&str]) -> Result<Request, PruneError> {
        Ok(Request::Mask(Arc::clone(&self.mask)))
    }
}

impl Named for CustomFromMask {
    const NAMES: &'static [&'static str] = &["custom-from-mask", "custom_from_mask"];
    const SUMMARY: &'static str = "Prune the entries that a mask does not keep";
    const OPTIONS: &'static [MethodOption] = &[MethodOption::Mask];
    const RANKS_GLOBALLY: bool = false;

    fn from_options(options: &MethodOptions) -> Result<Self, PruneError> {
        let missing =
            || PruneError::MissingOption { method: "custom-from-mask".to_owned(), option: MethodOption::Mask };
        Ok(Self::new(options.mask.clone().ok_or_else(missing)?))
    }
}
