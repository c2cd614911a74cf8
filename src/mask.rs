//! Masks.

use half::{bf16, f16};
use ndarray::{ArrayBase, Data, Dimension};

use crate::error::PruneError;

/// Which entries of a tensor are kept: true = kept, false = pruned.
pub type Mask = ndarray::ArrayD<bool>;

/// What [`custom_from_mask`](crate::custom_from_mask) takes: arrays and views of any layout, of `bool` or of numbers that
/// are all 0 or 1.
///
/// ```
/// use ndarray::arr1;
/// use prune::IntoMask;
///
/// assert_eq!(arr1(&[1_u8, 0]).into_mask()?, arr1(&[true, false]).into_dyn());
/// assert_eq!(arr1(&[1.0, 0.5]).into_mask().unwrap_err().to_string(), "mask holds 0.5 at [1]; only 0 and 1 are allowed");
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
