use std::sync::Arc;

use half::{bf16, f16};
use ndarray::{ArrayBase, ArrayViewD, Data, Dimension};

use super::{BuiltIn, Describe, PruningMethod, PruningType, built_in_mask};
use crate::candidates::Candidates;
use crate::decision::Decision;
use crate::{Element, Mask, PruneError};

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

impl<A: Element> PruningMethod<A> for CustomFromMask {
    fn compute_mask(&self, scores: ArrayViewD<'_, A>, default_mask: ArrayViewD<'_, bool>) -> Result<Mask, PruneError> {
        built_in_mask(self, scores, default_mask)
    }
    fn built_in(&self) -> Option<&dyn BuiltIn<A>> {
        Some(self)
    }
}

impl<A: Element> BuiltIn<A> for CustomFromMask {
    fn decide(&self, candidates: &Candidates<'_, A>) -> Result<Decision<'_, A>, PruneError> {
        PruneError::check_shape("mask", candidates.tensor().scores.shape(), self.mask.shape())?;
        Ok(Decision::Mask(self.mask.view().into()))
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

/// What [`custom_from_mask`](crate::custom_from_mask) takes: arrays and views of any layout, of `bool` or of numbers that
/// are all 0 or 1.
///
/// ```
/// use ndarray::arr1;
/// use prune::IntoMask;
///
/// assert_eq!(arr1(&[1_u8, 0]).into_mask()?, arr1(&[true, false]).into_dyn());
/// assert_eq!(arr1(&[1.0, 0.5]).into_mask().unwrap_err().to_string(), "mask: expected only 0 and 1, found 0.5 at [1]");
/// # Ok::<(), prune::PruneError>(())
/// ```
pub trait IntoMask {
    /// The mask of booleans.
    ///
    /// # Errors
    ///
    /// [`PruneError::MaskValue`] for the first number that is neither 0 nor 1.
    fn into_mask(self) -> Result<Mask, PruneError>;
}

impl<T: MaskElement, S: Data<Elem = T>, D: Dimension> IntoMask for ArrayBase<S, D> {
    fn into_mask(self) -> Result<Mask, PruneError> {
        let array = self.view().into_dyn();
        for (index, value) in array.indexed_iter() {
            if let Err(found) = value.kept() {
                return Err(PruneError::MaskValue { index: index.slice().to_vec(), found });
            }
        }
        Ok(array.map(|value| value.kept() == Ok(true)))
    }
}

impl<T: MaskElement, S: Data<Elem = T>, D: Dimension> IntoMask for &ArrayBase<S, D> {
    fn into_mask(self) -> Result<Mask, PruneError> {
        self.view().into_mask()
    }
}

/// The elements that a mask can be made of. Cannot be named outside.
pub trait MaskElement: Copy {
    /// Whether it stands for a kept entry, or the number that stands for nothing.
    fn kept(self) -> Result<bool, f64>;
}

impl MaskElement for bool {
    fn kept(self) -> Result<bool, f64> {
        Ok(self)
    }
}

macro_rules! mask_of_numbers {
    ($($number:ty => $to_f64:expr),*) => {$(
        impl MaskElement for $number {
            fn kept(self) -> Result<bool, f64> {
                match $to_f64(self) {
                    0.0 => Ok(false),
                    1.0 => Ok(true),
                    found => Err(found),
                }
            }
        }
    )*};
}
mask_of_numbers!(u8 => f64::from, i32 => f64::from, i64 => |x| x as f64, f16 => f16::to_f64, bf16 => bf16::to_f64, f32 => f64::from, f64 => f64::from);
