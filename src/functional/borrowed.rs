//! Pruning of tensors that another library owns: mask in, mask and value out.

use ndarray::{ArrayView, ArrayViewD, ArrayViewMut, CowArray, Dimension, IntoDimension, IxDyn};

use crate::element::Element;
use crate::error::PruneError;
use crate::functional::global::check_global;
use crate::mask::{Mask, MaskElement};
use crate::method::PruningMethod;
use crate::method::candidates::{MemoryCandidates, TensorCandidates};
use crate::method::decide::decide;
use crate::method::decision::{ChunkId, Decision};
use crate::parameter::commit::commit_as;
use crate::pruning_type::PruningType;
use crate::tensor::flat;

/// A tensor that another library owns, to be pruned without a [`Parameter`](crate::Parameter): a view of its entries, with
/// the mask so far and importance scores if there are any.
///
/// Views in standard layout are not copied, with one exception: a structured or custom method that prunes again ranks a
/// copy of the tensor in which pruned entries are zero.
///
/// ```
/// use ndarray::arr1;
/// use prune::{BorrowedTensor, L1Unstructured};
///
/// let weight = [1.0_f32, -3.0, 2.0, 4.0]; // memory of another framework
/// let tensor = BorrowedTensor::from_slice([4], &weight)?;
/// let (mut mask, mut value) = ([true; 4], [0.0; 4]);
/// tensor.prune_into(&L1Unstructured::new(1)?, (&mut mask).into(), (&mut value).into())?;
/// assert_eq!((mask, value), ([false, true, true, true], [0.0, -3.0, 2.0, 4.0]));
///
/// let mask = tensor.with_mask(arr1(&mask).view())?.prune(&L1Unstructured::new(1)?)?; // one more
/// assert_eq!(mask, arr1(&[false, true, false, true]));
/// # Ok::<(), prune::PruneError>(())
/// ```
#[derive(Debug, Clone)]
pub struct BorrowedTensor<'a, A: Element> {
    /// The tensor in standard layout, which mask and scores have too.
    orig: CowArray<'a, A, IxDyn>,
    mask: Option<CowArray<'a, bool, IxDyn>>,
    scores: Option<CowArray<'a, A, IxDyn>>,
}

impl<'a, A: Element> BorrowedTensor<'a, A> {
    /// Borrows an array: the tensor before masking.
    pub fn new<D: Dimension>(orig: ArrayView<'a, A, D>) -> Self {
        Self { orig: standard(orig), mask: None, scores: None }
    }

    /// Borrows a slice, which holds a tensor of this shape in row-major order.
    ///
    /// # Errors
    ///
    /// [`PruneError::ShapeMismatch`] if the slice has another number of entries than the shape.
    pub fn from_slice(shape: impl IntoDimension, orig: &'a [A]) -> Result<Self, PruneError> {
        let shape = shape.into_dimension().into_dyn();
        let expected = shape.as_array_view().to_vec();
        let orig = ArrayViewD::from_shape(shape, orig).map_err(|_| PruneError::ShapeMismatch {
            argument: "slice".to_owned(),
            expected,
            found: vec![orig.len()],
        })?;
        Ok(Self::new(orig))
    }

    /// Adds the mask so far: only entries that it keeps are pruned, and amounts are relative to them.
    ///
    /// # Errors
    ///
    /// [`PruneError::ShapeMismatch`] if the mask has another shape than the tensor.
    pub fn with_mask<D: Dimension>(self, mask: ArrayView<'a, bool, D>) -> Result<Self, PruneError> {
        PruneError::check_shape("mask", self.orig.shape(), mask.shape())?;
        Ok(Self { mask: Some(standard(mask)), ..self })
    }

    /// Adds importance scores, which rank the entries instead of their values.
    ///
    /// # Errors
    ///
    /// [`PruneError::ShapeMismatch`] if the scores have another shape than the tensor.
    pub fn with_scores<D: Dimension>(self, scores: ArrayView<'a, A, D>) -> Result<Self, PruneError> {
        PruneError::check_shape("importance_scores", self.orig.shape(), scores.shape())?;
        Ok(Self { scores: Some(standard(scores)), ..self })
    }

    /// Returns the mask after pruning with `method`.
    ///
    /// # Errors
    ///
    /// Any error of the method.
    pub fn prune(&self, method: &dyn PruningMethod<A>) -> Result<Mask, PruneError> {
        let decision = self.decide(method)?;
        Ok(self.new_mask(&decision, ChunkId::FIRST))
    }

    /// Prunes with `method`, and writes the mask and `orig * mask` into memory of the caller. On error, nothing is written.
    ///
    /// The mask is an array of `bool`, or of numbers: 1 for a kept entry, 0 for a pruned one. PyTorch has masks of the tensor's
    /// own type, for example:
    ///
    /// ```
    /// use prune::{BorrowedTensor, L1Unstructured};
    ///
    /// let weight = [1.0_f32, -3.0, 2.0, 4.0];
    /// let (mut mask, mut value) = ([0.0_f32; 4], [0.0; 4]);
    /// BorrowedTensor::from_slice([4], &weight)?.prune_into(&L1Unstructured::new(2)?, (&mut mask).into(), (&mut value).into())?;
    /// assert_eq!((mask, value), ([0.0, 1.0, 0.0, 1.0], [0.0, -3.0, 0.0, 4.0]));
    /// # Ok::<(), prune::PruneError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PruneError::ShapeMismatch`] if `mask` or `value` has another shape than the tensor, and any error of the method.
    pub fn prune_into<M: MaskElement, D: Dimension, E: Dimension>(
        &self,
        method: &dyn PruningMethod<A>,
        mut mask: ArrayViewMut<'_, M, D>,
        mut value: ArrayViewMut<'_, A, E>,
    ) -> Result<(), PruneError> {
        // A plain slice stands for a tensor of any shape with as many entries.
        let entries = [self.orig.len()];
        let expected = |ndim: usize| if ndim == 1 { &entries[..] } else { self.orig.shape() };
        PruneError::check_shape("mask", expected(mask.ndim()), mask.shape())?;
        PruneError::check_shape("value", expected(value.ndim()), value.shape())?;
        let decision = self.decide(method)?;
        match (mask.as_slice_mut(), value.as_slice_mut()) {
            (Some(mask), Some(value)) => {
                let (scores, before) = (self.scores.as_ref().map(flat), self.mask.as_ref().map(flat));
                commit_as(flat(&self.orig), scores, before, (mask, value), &decision);
            }
            // Memory with gaps is written entry by entry.
            _ => {
                let new = self.new_mask(&decision, ChunkId::FIRST);
                mask.iter_mut().zip(new.iter()).for_each(|(mask, kept)| *mask = M::of(kept));
                let entries = self.orig.iter().zip(new.iter());
                value.iter_mut().zip(entries).for_each(|(value, (x, kept))| *value = x.masked(kept));
            }
        }
        Ok(())
    }

    /// The mask that a decision leaves, for which the first chunk of this tensor has a place.
    fn new_mask(&self, decision: &Decision<A>, first: ChunkId) -> Mask {
        let mut mask = Mask::of_remaining(self.orig.raw_dim(), self.mask.as_ref().map(flat));
        let scores = self.scores.as_ref().unwrap_or(&self.orig);
        decision.clear_tensor(first, flat(scores), mask.as_mut_slice());
        mask
    }

    fn decide(&self, method: &dyn PruningMethod<A>) -> Result<Decision<A>, PruneError> {
        let scores = self.scores.as_ref().unwrap_or(&self.orig);
        let Some(mask) = &self.mask else {
            return decide(method, &MemoryCandidates::untouched(scores.view()));
        };
        let masked;
        let scores = match (method.pruning_type(), &self.scores) {
            // Methods that see more than the remaining entries see the others as zeros, as in a parameter.
            (PruningType::Structured { .. } | PruningType::Groups | PruningType::Global, None) => {
                masked = ndarray::Zip::from(&self.orig).and(mask).map_collect(|x, &kept| x.masked(kept));
                masked.view()
            }
            (PruningType::Unstructured, _) | (_, Some(_)) => scores.view(),
        };
        decide(method, &MemoryCandidates::new(vec![TensorCandidates { scores, remaining: Some(mask.view()) }]))
    }
}

/// Ranks the remaining entries of several borrowed tensors together, like
/// [`global_unstructured`](crate::global_unstructured), and returns the new mask of each, in their order.
///
/// ```
/// use ndarray::arr1;
/// use prune::{BorrowedTensor, L1Unstructured};
///
/// let (a, b) = (arr1(&[5.0_f32, 1.0, 3.0]), arr1(&[2.0, 4.0, 0.5]));
/// let tensors = [BorrowedTensor::new(a.view()), BorrowedTensor::new(b.view())];
/// let masks = prune::global_masks(&tensors, &L1Unstructured::new(0.5)?)?;
/// assert_eq!(masks[0], arr1(&[true, false, true]));
/// assert_eq!(masks[1], arr1(&[false, true, false]));
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # Errors
///
/// [`PruneError::NoTargets`] if there are no tensors; [`PruneError::NotUnstructured`] if the method does not select single
/// entries; any error of the method.
pub fn global_masks<A: Element>(
    tensors: &[BorrowedTensor<'_, A>],
    method: &dyn PruningMethod<A>,
) -> Result<Vec<Mask>, PruneError> {
    check_global(method, tensors.len())?;
    let candidates = tensors.iter().map(|tensor| TensorCandidates {
        scores: tensor.scores.as_ref().unwrap_or(&tensor.orig).view(),
        remaining: tensor.mask.as_ref().map(|mask| mask.view()),
    });
    let decision = decide(method, &MemoryCandidates::new(candidates.collect()))?;
    let places = ChunkId::of_tensors(tensors.iter().map(|tensor| tensor.orig.len()));
    Ok(tensors.iter().zip(places).map(|(tensor, first)| tensor.new_mask(&decision, first)).collect())
}

/// The array in standard layout; a view stays one if it is.
fn standard<T: Clone, D: Dimension>(view: ArrayView<'_, T, D>) -> CowArray<'_, T, IxDyn> {
    let view = view.into_dyn();
    if view.is_standard_layout() { view.into() } else { view.as_standard_layout().into_owned().into() }
}
