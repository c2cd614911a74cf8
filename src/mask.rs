//! Masks: one boolean for each entry of a tensor, `true` if it is kept.

use std::fmt;
use std::ops::Index;

use half::{bf16, f16};
use ndarray::{Array, ArrayBase, ArrayD, ArrayView, ArrayViewD, Data, Dimension, IntoDimension, IxDyn};

use crate::error::PruneError;
use crate::hash::fnv1a;
use crate::tensor::channels::Channels;
use crate::tensor::chunk::count_true;
use crate::tensor::{flat, flat_mut};

/// The kept entries of a tensor: `true` = kept, `false` = pruned.
///
/// Made from an array of `bool` of any shape and layout, and compared with one. How a mask is stored is not part of the
/// interface: [`get`](Self::get), [`iter`](Self::iter) and [`to_array`](Self::to_array) read it.
///
/// ```
/// use ndarray::arr2;
/// use prune::Mask;
///
/// let mask = Mask::from(arr2(&[[true, false, true], [false, false, true]]));
/// assert_eq!((mask.shape(), mask.kept(), mask.pruned()), (&[2, 3][..], 3, 3));
/// assert_eq!((mask.get([0, 1]), mask[[1, 2]]), (Some(false), true));
/// assert_eq!(mask.sparsity(), 0.5);
/// assert_eq!(mask, arr2(&[[true, false, true], [false, false, true]]));
/// assert_eq!(mask.to_string(), "[[1, 0, 1],\n [0, 0, 1]]");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Mask {
    /// In standard layout.
    kept: ArrayD<bool>,
}

impl Mask {
    /// Returns a mask for a tensor of this shape that keeps every entry, or none.
    pub fn from_elem(shape: impl IntoDimension, kept: bool) -> Self {
        Self { kept: ArrayD::from_elem(shape.into_dimension().into_dyn(), kept) }
    }

    /// Returns the size of each axis.
    pub fn shape(&self) -> &[usize] {
        self.kept.shape()
    }

    /// Returns the number of axes.
    pub fn ndim(&self) -> usize {
        self.kept.ndim()
    }

    /// Returns the number of entries, kept and pruned.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Returns `true` if there are no entries.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Returns whether the entry at `index` is kept, or `None` if there is no such entry.
    pub fn get(&self, index: impl IntoDimension) -> Option<bool> {
        self.kept.get(index.into_dimension().into_dyn()).copied()
    }

    /// Returns an iterator over all entries in row-major order: `true` = kept.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = bool> + DoubleEndedIterator {
        self.as_slice().iter().copied()
    }

    /// Returns the number of kept entries.
    pub fn kept(&self) -> usize {
        count_true(self.as_slice())
    }

    /// Returns the number of pruned entries.
    pub fn pruned(&self) -> usize {
        self.len() - self.kept()
    }

    /// Returns the fraction of entries that are pruned, from 0.0 to 1.0; 0.0 if there are no entries.
    pub fn sparsity(&self) -> f64 {
        fraction(self.pruned(), self.len())
    }

    /// Returns the indices of the channels along `dim` that have a kept entry, in order. A negative `dim` counts from the
    /// last axis.
    ///
    /// ```
    /// let mask = prune::Mask::from(ndarray::arr2(&[[true, false], [false, false]]));
    /// assert_eq!(mask.kept_channels(0)?, [0]);
    /// # Ok::<(), prune::PruneError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PruneError::TooFewDimensions`] if the mask has fewer than two axes, [`PruneError::AxisOutOfRange`] if it has no
    /// axis `dim`, and [`PruneError::TooManyChannels`] if it has no entries but more than a million channels.
    pub fn kept_channels(&self, dim: isize) -> Result<Vec<usize>, PruneError> {
        Ok(Channels::of(self.shape(), dim)?.remaining(Some(self.as_slice())))
    }

    /// Returns a copy as an array of `bool`, in standard layout.
    pub fn to_array(&self) -> ArrayD<bool> {
        self.kept.clone()
    }

    /// The shape and a hash of the entries, by which two masks can be told apart.
    pub(crate) fn fingerprint(&self) -> String {
        format!("{:?}:{:016x}", self.shape(), fnv1a(self.iter().map(u8::from)))
    }

    /// A mask that keeps the remaining entries: all of them if nothing is pruned.
    pub(crate) fn of_remaining(shape: IxDyn, remaining: Option<&[bool]>) -> Self {
        let mut mask = Self::from_elem(shape, true);
        if let Some(remaining) = remaining {
            mask.as_mut_slice().copy_from_slice(remaining);
        }
        mask
    }

    /// The entries as an array.
    pub(crate) fn view(&self) -> ArrayViewD<'_, bool> {
        self.kept.view()
    }

    /// The entries in row-major order.
    pub(crate) fn as_slice(&self) -> &[bool] {
        flat(&self.kept)
    }

    /// The entries in row-major order, mutably.
    pub(crate) fn as_mut_slice(&mut self) -> &mut [bool] {
        flat_mut(&mut self.kept)
    }
}

/// The fraction that a part is of a whole; 0.0 of nothing.
pub(crate) fn fraction(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The state of an entry: `true` = kept.
///
/// # Panics
///
/// If there is no such entry, like the index of an array.
impl<I: IntoDimension> Index<I> for Mask {
    type Output = bool;

    fn index(&self, index: I) -> &bool {
        // A reference to a constant, so that the mask need not hold a `bool` for each entry.
        if self.kept[index.into_dimension().into_dyn()] { &true } else { &false }
    }
}

/// Moves an array in standard layout, and copies any other.
impl<D: Dimension> From<Array<bool, D>> for Mask {
    fn from(kept: Array<bool, D>) -> Self {
        let kept = kept.into_dyn();
        Self { kept: if kept.is_standard_layout() { kept } else { kept.as_standard_layout().into_owned() } }
    }
}

/// Copies the view.
impl<D: Dimension> From<ArrayView<'_, bool, D>> for Mask {
    fn from(kept: ArrayView<'_, bool, D>) -> Self {
        Self { kept: kept.into_dyn().as_standard_layout().into_owned() }
    }
}

/// Copies nothing.
impl From<Mask> for ArrayD<bool> {
    fn from(mask: Mask) -> Self {
        mask.kept
    }
}

impl<S: Data<Elem = bool>, D: Dimension> PartialEq<ArrayBase<S, D>> for Mask {
    fn eq(&self, other: &ArrayBase<S, D>) -> bool {
        self.shape() == other.shape() && self.as_slice().iter().eq(other.iter())
    }
}

impl<S: Data<Elem = bool>, D: Dimension> PartialEq<Mask> for ArrayBase<S, D> {
    fn eq(&self, other: &Mask) -> bool {
        other == self
    }
}

/// The entries as zeros and ones, shortened where there are many.
impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.kept.mapv(u8::from), f)
    }
}

/// `Mask (3 of 6 kept, shape [2, 3])`, and the entries on the lines that follow.
impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mask ({} of {} kept, shape {:?})\n{self}", self.kept(), self.len(), self.shape())
    }
}

/// Anything that [`custom_from_mask`](crate::custom_from_mask) takes: a [`Mask`], or an array or view of any layout, of
/// `bool` or of numbers that are all 0 or 1.
///
/// ```
/// use ndarray::arr1;
/// use prune::IntoMask;
///
/// assert_eq!(arr1(&[1_u8, 0]).into_mask()?, arr1(&[true, false]));
/// assert_eq!(arr1(&[1.0, 0.5]).into_mask().unwrap_err().to_string(), "mask holds 0.5 at [1]; only 0 and 1 are allowed");
/// # Ok::<(), prune::PruneError>(())
/// ```
pub trait IntoMask {
    /// Returns the mask.
    ///
    /// # Errors
    ///
    /// [`PruneError::MaskValue`] if a number is neither 0 nor 1; it names the first one.
    fn into_mask(self) -> Result<Mask, PruneError>;
}

impl IntoMask for Mask {
    fn into_mask(self) -> Result<Mask, PruneError> {
        Ok(self)
    }
}

impl IntoMask for &Mask {
    fn into_mask(self) -> Result<Mask, PruneError> {
        Ok(self.clone())
    }
}

impl<T: MaskElement, S: Data<Elem = T>, D: Dimension> IntoMask for ArrayBase<S, D> {
    fn into_mask(self) -> Result<Mask, PruneError> {
        let array = self.view().into_dyn();
        for (index, value) in array.indexed_iter() {
            if let Err(found) = value.kept() {
                return Err(PruneError::MaskValue { index: index.slice().to_vec(), found });
            }
        }
        Ok(array.map(|value| value.kept() == Ok(true)).into())
    }
}

impl<T: MaskElement, S: Data<Elem = T>, D: Dimension> IntoMask for &ArrayBase<S, D> {
    fn into_mask(self) -> Result<Mask, PruneError> {
        self.view().into_mask()
    }
}

/// The element types of arrays that hold a mask: `bool`, or a number, which is 1 for a kept entry and 0 for a pruned one.
pub trait MaskElement: Copy + Send + 'static {
    /// Returns `true` for a kept entry and `false` for a pruned one, or the number if it stands for neither.
    #[doc(hidden)]
    fn kept(self) -> Result<bool, f64>;
    /// Returns the element of an entry.
    #[doc(hidden)]
    fn of(kept: bool) -> Self;
}

impl MaskElement for bool {
    fn kept(self) -> Result<bool, f64> {
        Ok(self)
    }
    #[inline(always)]
    fn of(kept: bool) -> Self {
        kept
    }
}

macro_rules! mask_of_numbers {
    ($($number:ty => $zero:expr, $one:expr, $to_f64:expr;)*) => {$(
        impl MaskElement for $number {
            fn kept(self) -> Result<bool, f64> {
                match $to_f64(self) {
                    0.0 => Ok(false),
                    1.0 => Ok(true),
                    found => Err(found),
                }
            }
            #[inline(always)]
            fn of(kept: bool) -> Self {
                if kept { $one } else { $zero }
            }
        }
    )*};
}
mask_of_numbers! {
    u8 => 0, 1, f64::from;
    i32 => 0, 1, f64::from;
    i64 => 0, 1, |x| x as f64;
    f16 => f16::ZERO, f16::ONE, f16::to_f64;
    bf16 => bf16::ZERO, bf16::ONE, bf16::to_f64;
    f32 => 0.0, 1.0, f64::from;
    f64 => 0.0, 1.0, f64::from;
}
