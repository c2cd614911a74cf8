//! A tensor with its mask and its history.

pub(crate) mod commit;
mod container;
mod pruning;

use std::sync::Arc;

pub use container::{PruningContainer, Record};
use ndarray::{Array, ArrayD, ArrayView, ArrayViewMut, ArrayViewMutD, CowArray, Dimension, IxDyn, Zip};
use num_traits::Zero;

use crate::element::Element;
use crate::error::PruneError;
use crate::mask::{Mask, fraction};
use crate::method::decide::check_mask;
use crate::method::decision::Decision;
use crate::method::{PruningMethod, Reconstruct, Reconstruction, Units};
use crate::parameter::commit::multiply;
use crate::tensor::slice::Slice;
use crate::tensor::{flat, flat_mut, parallel};

/// A tensor with an optional pruning mask, such that `value == orig * mask` at all times.
///
/// A new parameter is unpruned: `orig` is `value`, and there is no mask. The first pruning adds the mask; later ones clear
/// more of it and never set an entry. Every change of `orig` or the mask recomputes `value`, so it is never stale.
///
/// - **Layout:** arrays are row-major (standard layout). [`new`](Self::new) converts other layouts, with one copy.
/// - **Pruned entries** are `orig * 0`: -0.0 for negative numbers, NaN for NaN and infinities, as in PyTorch.
///
/// ```
/// use ndarray::arr2;
/// use prune::{L1Unstructured, Parameter};
///
/// let mut weight = Parameter::new(arr2(&[[0.1_f32, -2.0], [3.0, -0.4]]));
/// weight.prune(L1Unstructured::new(0.5)?)?;
/// assert_eq!(weight.value(), &arr2(&[[0.0, -2.0], [3.0, -0.0]]).into_dyn());
/// assert_eq!((weight.pruned(), weight.sparsity()), (2, 0.5));
///
/// // An optimizer trains the tensor under the mask, and pruned entries stay pruned.
/// weight.update(|mut orig| orig += 1.0);
/// assert_eq!(weight.value(), &arr2(&[[0.0, -1.0], [4.0, 0.0]]).into_dyn());
///
/// weight.remove()?;
/// assert!(!weight.is_pruned());
/// assert_eq!(weight.value(), &arr2(&[[0.0, -1.0], [4.0, 0.0]]).into_dyn());
/// # Ok::<(), prune::PruneError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Parameter<A: Element> {
    value: ArrayD<A>,
    pruned: Option<Pruned<A>>,
    methods: PruningContainer<A>,
}

/// The tensor under the mask, and the mask, of one shape with the value and in standard layout.
#[derive(Debug, Clone)]
struct Pruned<A> {
    orig: ArrayD<A>,
    mask: Mask,
}

impl<A: Element> Parameter<A> {
    /// Creates an unpruned parameter. Moves `tensor` if it is in standard layout, otherwise copies it.
    pub fn new<D: Dimension>(tensor: Array<A, D>) -> Self {
        Self { value: standard(tensor), pruned: None, methods: PruningContainer::new() }
    }

    /// Returns the effective tensor, `orig * mask`.
    pub fn value(&self) -> &ArrayD<A> {
        &self.value
    }

    /// Returns the effective tensor as a view with a fixed number of axes, for a forward pass.
    ///
    /// ```
    /// use ndarray::{Ix2, arr1, arr2};
    ///
    /// let weight = prune::Parameter::new(arr2(&[[1.0_f32, 2.0], [3.0, 4.0]]));
    /// assert_eq!(weight.view::<Ix2>().dot(&arr1(&[1.0, 1.0])), arr1(&[3.0, 7.0]));
    /// ```
    ///
    /// # Panics
    ///
    /// If the tensor has another number of axes than `D`, like an index with another number of axes.
    pub fn view<D: Dimension>(&self) -> ArrayView<'_, A, D> {
        match self.value.view().into_dimensionality() {
            Ok(view) => view,
            Err(_) => {
                panic!("the tensor has shape {:?}, not {} axes", self.value.shape(), D::NDIM.unwrap_or_default())
            }
        }
    }

    /// Returns the tensor before masking, which an optimizer updates; the same array as [`value`](Self::value) if unpruned.
    pub fn orig(&self) -> &ArrayD<A> {
        self.pruned.as_ref().map_or(&self.value, |pruned| &pruned.orig)
    }

    /// Returns the mask, `true` = kept, or `None` if unpruned.
    pub fn mask(&self) -> Option<&Mask> {
        self.pruned.as_ref().map(|pruned| &pruned.mask)
    }

    /// Returns the history, oldest first; empty if unpruned.
    pub fn methods(&self) -> &PruningContainer<A> {
        &self.methods
    }

    /// Returns `true` if the parameter has a mask, even one that keeps every entry.
    pub fn is_pruned(&self) -> bool {
        self.pruned.is_some()
    }

    /// Returns the number of entries that the mask prunes; 0 if there is no mask.
    pub fn pruned(&self) -> usize {
        self.mask().map_or(0, Mask::pruned)
    }

    /// Returns the fraction of entries of [`value`](Self::value) that are zero, pruned or not, from 0.0 to 1.0; 0.0 if
    /// there are no entries. [`Mask::sparsity`] is the fraction that the mask prunes.
    pub fn sparsity(&self) -> f64 {
        fraction(self.zeros(), self.value.len())
    }

    /// Returns the number of entries of [`value`](Self::value) that are 0.0 or -0.0, pruned or not.
    pub fn zeros(&self) -> usize {
        flat(&self.value).iter().filter(|x| x.is_zero()).count()
    }

    /// Returns the memory that value, original and mask take, in bytes.
    pub fn bytes(&self) -> usize {
        let value = self.value.len() * size_of::<A>();
        self.mask().map_or(value, |mask| 2 * value + mask.len() * size_of::<bool>())
    }

    /// Calls `f` on `orig`, then recomputes `value`, even if `f` panics. Returns the result of `f`.
    ///
    /// ```
    /// let mut weight = prune::Parameter::new(ndarray::arr1(&[1.0_f32, 2.0]));
    /// let sum = weight.update(|mut orig| {
    ///     orig *= 2.0;
    ///     orig.sum()
    /// });
    /// assert_eq!(sum, 6.0);
    /// ```
    pub fn update<T>(&mut self, f: impl FnOnce(ArrayViewMutD<'_, A>) -> T) -> T {
        /// Recomputes the value when it goes out of scope, however that happens.
        struct Recompute<'a, A: Element>(&'a mut ArrayD<A>, &'a mut Pruned<A>);

        impl<A: Element> Drop for Recompute<'_, A> {
            fn drop(&mut self) {
                let Self(value, pruned) = self;
                multiply(Some(flat(&pruned.orig)), pruned.mask.as_slice(), flat_mut(value));
            }
        }

        match &mut self.pruned {
            None => f(self.value.view_mut()),
            Some(pruned) => {
                let recompute = Recompute(&mut self.value, pruned);
                f(recompute.1.orig.view_mut())
            }
        }
    }

    /// Multiplies a gradient by the mask, in place; does nothing if the parameter is unpruned.
    ///
    /// This turns a gradient with respect to `value` into one with respect to `orig`, by the chain rule of
    /// `value = orig * mask`.
    ///
    /// # Errors
    ///
    /// [`PruneError::ShapeMismatch`] if the gradient has another shape than the tensor; it is unchanged then.
    pub fn mask_gradient<D: Dimension>(&self, gradient: ArrayViewMut<'_, A, D>) -> Result<(), PruneError> {
        PruneError::check_shape("gradient", self.value.shape(), gradient.shape())?;
        if let Some(Pruned { mask, .. }) = &self.pruned {
            let mut gradient = gradient.into_dyn();
            match gradient.as_slice_mut() {
                Some(gradient) => multiply(None, mask.as_slice(), gradient),
                None => Zip::from(gradient).and(mask.view()).for_each(|x, &kept| *x = x.masked(kept)),
            }
        }
        Ok(())
    }

    /// Writes 0 where an entry is pruned; does nothing if the parameter is unpruned.
    ///
    /// For gradients and for the states of an optimizer: momentum, moments, averages. They may be of another type than the tensor.
    /// Unlike [`mask_gradient`](Self::mask_gradient), which multiplies, this also clears NaN and infinities.
    ///
    /// ```
    /// use ndarray::arr1;
    ///
    /// let mut weight = prune::Parameter::new(arr1(&[1.0_f32, 2.0]));
    /// weight.prune(prune::L1Unstructured::new(1)?)?;
    /// let mut momentum = arr1(&[f64::NAN, 0.5]);
    /// weight.zero_pruned(momentum.view_mut())?;
    /// assert_eq!(momentum, arr1(&[0.0, 0.5]));
    /// # Ok::<(), prune::PruneError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PruneError::ShapeMismatch`] if the array has another shape than the tensor; it is unchanged then.
    pub fn zero_pruned<T: Zero, D: Dimension>(&self, array: ArrayViewMut<'_, T, D>) -> Result<(), PruneError> {
        PruneError::check_shape("array", self.value.shape(), array.shape())?;
        if let Some(mask) = self.mask() {
            Zip::from(array.into_dyn()).and(mask.view()).for_each(|entry, &kept| {
                if !kept {
                    *entry = T::zero();
                }
            });
        }
        Ok(())
    }

    /// Prunes with `method`, ranking the remaining entries by [`value`](Self::value). On error, nothing changes.
    ///
    /// The first method sees the whole tensor, later ones the part that remains: see [`PruningMethod::compute_mask`].
    ///
    /// # Errors
    ///
    /// Any error of the method.
    pub fn prune(&mut self, method: impl PruningMethod<A> + 'static) -> Result<(), PruneError> {
        self.prune_with(method, None)
    }

    /// Prunes with `method`, ranking the remaining entries by `scores`, which have the shape of the tensor.
    ///
    /// ```
    /// use ndarray::arr1;
    /// use prune::{L1Unstructured, Parameter};
    ///
    /// let mut weight = Parameter::new(arr1(&[1.0_f32, 2.0, 3.0]));
    /// weight.prune_with_scores(L1Unstructured::new(1)?, arr1(&[9.0, 0.1, 5.0]).view())?;
    /// assert_eq!(weight.value(), &arr1(&[1.0, 0.0, 3.0]).into_dyn());
    /// # Ok::<(), prune::PruneError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PruneError::ShapeMismatch`] if the scores have another shape than the tensor, and any error of the method.
    pub fn prune_with_scores<D: Dimension>(
        &mut self,
        method: impl PruningMethod<A> + 'static,
        scores: ArrayView<'_, A, D>,
    ) -> Result<(), PruneError> {
        let scores = self.checked_scores("importance_scores", scores)?;
        self.prune_with(method, Some(scores))
    }

    /// Prunes with a method that changes the weights that it keeps, and returns what it has done. On error, nothing changes.
    ///
    /// The method is given [`orig`](Self::orig) and the mask so far, so that it makes up for what earlier methods pruned too. In the end,
    /// `orig` has the new weights where the mask keeps, and 0 where it prunes: what was made up for must not be made up for again by
    /// the next method. The dense weights are gone, as after [`update`](Self::update).
    ///
    /// ```
    /// use ndarray::arr2;
    /// use prune::calibration::{LeastSquares, Moments, Wanda};
    ///
    /// let mut moments = Moments::with_gram(3);
    /// moments.push(arr2(&[[1.0_f32, 0.9, 0.1], [0.3, 0.2, 0.8], [0.1, 0.4, 0.7]]).view())?;
    /// let moments = std::sync::Arc::new(moments);
    ///
    /// let mut weight = prune::Parameter::new(arr2(&[[0.5_f32, 0.4, 0.3]]));
    /// let mut masked = weight.clone();
    /// masked.prune(Wanda::new(1, moments.clone())?)?;
    /// weight.reconstruct(LeastSquares::after(Wanda::new(1, moments.clone())?, moments))?;
    /// assert_eq!(weight.mask(), masked.mask());
    /// assert!(weight.value() != masked.value());
    /// # Ok::<(), prune::PruneError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Any error of the method; [`PruneError::MethodShape`] or [`PruneError::MethodRevived`] if its mask breaks the rules of
    /// [`PruningMethod::compute_mask`], and [`PruneError::ShapeMismatch`] if its weights have another shape.
    pub fn reconstruct(&mut self, method: impl Reconstruct<A> + 'static) -> Result<Reconstruction<A>, PruneError> {
        let before = self.mask().cloned().unwrap_or_else(|| Mask::from_elem(self.value.raw_dim(), true));
        let done = method.reconstruct(self.orig().view(), before.view())?;
        check_mask(method.name(), before.view(), done.mask.view())?;
        PruneError::check_shape("weights", self.value.shape(), done.weights.shape())?;
        self.value.assign(&done.weights);
        if let Some(Pruned { orig, .. }) = &mut self.pruned {
            orig.assign(&done.weights);
        }
        self.commit_method(&Decision::Mask(Arc::new(done.mask.clone())), method, None);
        Ok(done)
    }

    /// Makes the pruning permanent: keeps `value`, drops `orig`, mask and history. Nothing is copied.
    ///
    /// # Errors
    ///
    /// [`PruneError::NotPruned`] if there is no mask.
    pub fn remove(&mut self) -> Result<(), PruneError> {
        let pruned = self.pruned.take().ok_or(PruneError::NotPruned { parameter: None })?;
        let methods = std::mem::take(&mut self.methods);
        parallel::drop_in_background((pruned, methods), self.value.len() * size_of::<A>());
        Ok(())
    }

    /// Takes the parameter apart: `value`, and `orig` and the mask if it is pruned. Nothing is copied.
    pub fn into_parts(self) -> (ArrayD<A>, Option<(ArrayD<A>, Mask)>) {
        (self.value, self.pruned.map(|Pruned { orig, mask }| (orig, mask)))
    }

    /// Puts a parameter together from the parts of [`into_parts`](Self::into_parts). If there is a mask, `value` is
    /// recomputed in place, and the history is one [`Record::Mask`].
    ///
    /// ```
    /// use ndarray::arr1;
    /// use prune::{Mask, Parameter};
    ///
    /// let mask = Mask::from(arr1(&[true, false]));
    /// let weight = Parameter::from_parts(arr1(&[0.0_f32, 0.0]), Some((arr1(&[1.0, 2.0]), mask)))?;
    /// assert_eq!(weight.value(), &arr1(&[1.0, 0.0]).into_dyn());
    ///
    /// let (value, pruned) = weight.into_parts();
    /// assert_eq!(Parameter::from_parts(value, pruned)?.pruned(), 1);
    /// # Ok::<(), prune::PruneError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PruneError::ShapeMismatch`] if the shapes of the parts differ.
    pub fn from_parts<D: Dimension>(
        value: Array<A, D>,
        pruned: Option<(Array<A, D>, Mask)>,
    ) -> Result<Self, PruneError> {
        let Some((orig, mask)) = pruned else { return Ok(Self::new(value)) };
        PruneError::check_shape("orig", value.shape(), orig.shape())?;
        PruneError::check_shape("mask", value.shape(), mask.shape())?;
        Ok(Self::of_parts(standard(value), standard(orig), mask))
    }

    /// A pruned parameter of an original and a mask of one shape.
    #[cfg(feature = "safetensors")]
    pub(crate) fn restored(orig: ArrayD<A>, mask: Mask) -> Self {
        Self::of_parts(crate::tensor::zeroed(orig.raw_dim()), orig, mask)
    }

    /// A pruned parameter of parts of one shape and in standard layout. The value is recomputed.
    fn of_parts(mut value: ArrayD<A>, orig: ArrayD<A>, mask: Mask) -> Self {
        multiply(Some(flat(&orig)), mask.as_slice(), flat_mut(&mut value));
        let mut methods = PruningContainer::new();
        methods.push_mask();
        Self { value, pruned: Some(Pruned { orig, mask }), methods }
    }

    /// Cuts value, original and mask to a part of the tensor, together. The history stays, and so does a mask that keeps
    /// every entry that remains.
    pub(crate) fn narrow(&mut self, part: &Slice) {
        self.value = part.array(flat(&self.value));
        if let Some(Pruned { orig, mask }) = &mut self.pruned {
            *orig = part.array(flat(orig));
            *mask = Mask::from(part.array(mask.as_slice()));
        }
    }

    /// The units of a method, and those that are left.
    pub(crate) fn units(&self, method: &dyn PruningMethod<A>) -> Result<Units, PruneError> {
        method.units(self.value.shape(), self.mask())
    }

    /// Sets a mask that keeps other entries than before. The original of those that have grown starts at 0.
    pub(crate) fn exchange(&mut self, mask: Mask, grown: &Mask) {
        let Some(pruned) = &mut self.pruned else { return };
        let entries = flat_mut(&mut pruned.orig).iter_mut().zip(grown.iter());
        entries.filter(|(_, grown)| *grown).for_each(|(orig, _)| *orig = A::zero());
        multiply(Some(flat(&pruned.orig)), mask.as_slice(), flat_mut(&mut self.value));
        pruned.mask = mask;
        self.methods.push_mask();
    }

    /// The scores in standard layout, if they have the shape of the tensor.
    pub(crate) fn checked_scores<'s, D: Dimension>(
        &self,
        argument: &str,
        scores: ArrayView<'s, A, D>,
    ) -> Result<ImportanceScores<'s, A>, PruneError> {
        PruneError::check_shape(argument, self.value.shape(), scores.shape())?;
        let scores = scores.into_dyn();
        if scores.is_standard_layout() {
            Ok(scores.into())
        } else {
            Ok(scores.as_standard_layout().into_owned().into())
        }
    }
}

/// The tensor in standard layout.
pub(crate) fn standard<A: Element, D: Dimension>(tensor: Array<A, D>) -> ArrayD<A> {
    let tensor = tensor.into_dyn();
    if tensor.is_standard_layout() { tensor } else { tensor.as_standard_layout().into_owned() }
}

/// Importance scores in standard layout.
pub(crate) type ImportanceScores<'a, A> = CowArray<'a, A, IxDyn>;

impl<A: Element, D: Dimension> From<Array<A, D>> for Parameter<A> {
    fn from(tensor: Array<A, D>) -> Self {
        Self::new(tensor)
    }
}
