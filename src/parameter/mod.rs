//! A tensor that may be pruned.

pub(crate) mod commit;
pub(crate) mod container;

pub use container::PruningContainer;
use ndarray::{Array, ArrayD, ArrayView, ArrayViewMut, ArrayViewMutD, CowArray, Dimension, IxDyn, Zip};

use crate::element::Element;
use crate::error::PruneError;
use crate::mask::Mask;
use crate::method::PruningMethod;
use crate::method::candidates::{MemoryCandidates, Tensor};
use crate::tensor::{flat, flat_mut, parallel};

/// A tensor that may be pruned: `value == orig * mask`, always.
///
/// An unpruned parameter is just its tensor. The first pruning moves that tensor into [`orig`](Self::orig) and adds a
/// [`mask`](Self::mask); [`value`](Self::value) is their product and is never stale: whatever changes `orig` or `mask`
/// recomputes it. Arrays are kept in row-major (standard) layout; others are converted once, on the way in.
///
/// ```
/// use ndarray::arr2;
/// use prune::{L1Unstructured, Parameter};
///
/// let mut weight = Parameter::new(arr2(&[[0.1_f32, -2.0], [3.0, -0.4]]));
/// weight.prune(L1Unstructured::new(0.5)?)?;
/// assert_eq!(weight.value(), &arr2(&[[0.0, -2.0], [3.0, -0.0]]).into_dyn());
///
/// // An optimizer trains what is under the mask, and what is pruned stays pruned.
/// weight.update(|mut orig| orig += 1.0);
/// assert_eq!(weight.value(), &arr2(&[[0.0, -1.0], [4.0, 0.0]]).into_dyn());
///
/// weight.remove()?;
/// assert!(!weight.is_pruned());
/// assert_eq!(weight.value(), &arr2(&[[0.0, -1.0], [4.0, 0.0]]).into_dyn());
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// Pruned NaN and infinite entries are NaN, as in PyTorch and in IEEE arithmetic: a mask does not heal a tensor.
#[derive(Debug, Clone)]
pub struct Parameter<A: Element> {
    value: ArrayD<A>,
    pruned: Option<Pruned<A>>,
    methods: PruningContainer<A>,
}

/// What a pruned parameter has beside its value, all of one shape and in standard layout.
#[derive(Debug, Clone)]
struct Pruned<A> {
    orig: ArrayD<A>,
    mask: Mask,
}

impl<A: Element> Parameter<A> {
    /// An unpruned parameter. The tensor is moved, not copied, if it is in standard layout.
    pub fn new<D: Dimension>(tensor: Array<A, D>) -> Self {
        let tensor = tensor.into_dyn();
        let value = if tensor.is_standard_layout() { tensor } else { tensor.as_standard_layout().into_owned() };
        Self { value, pruned: None, methods: PruningContainer::new() }
    }

    /// What a forward pass uses: `orig * mask`.
    pub fn value(&self) -> &ArrayD<A> {
        &self.value
    }

    /// What an optimizer trains; the same array as [`value`](Self::value) when not pruned.
    pub fn orig(&self) -> &ArrayD<A> {
        self.pruned.as_ref().map_or(&self.value, |pruned| &pruned.orig)
    }

    /// True where an entry is kept; `None` when not pruned.
    pub fn mask(&self) -> Option<&Mask> {
        self.pruned.as_ref().map(|pruned| &pruned.mask)
    }

    /// The methods that pruned it, oldest first; empty when not pruned.
    pub fn methods(&self) -> &PruningContainer<A> {
        &self.methods
    }

    /// Whether it has a mask.
    pub fn is_pruned(&self) -> bool {
        self.pruned.is_some()
    }

    /// Edits `orig` in place, then recomputes `value`, also when `f` panics. Returns what `f` returns.
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
                commit::multiply(Some(flat(&pruned.orig)), flat(&pruned.mask), flat_mut(value));
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

    /// Turns a gradient with respect to `value` into one with respect to `orig`, in place: `gradient * mask`.
    ///
    /// By the chain rule of `value = orig * mask`. Without a mask the gradient stays as it is.
    ///
    /// # Errors
    ///
    /// [`PruneError::ShapeMismatch`], and the gradient is unchanged.
    pub fn mask_gradient<D: Dimension>(&self, gradient: ArrayViewMut<'_, A, D>) -> Result<(), PruneError> {
        PruneError::check_shape("gradient", self.value.shape(), gradient.shape())?;
        if let Some(Pruned { mask, .. }) = &self.pruned {
            let mut gradient = gradient.into_dyn();
            match gradient.as_slice_mut() {
                Some(gradient) => commit::multiply(None, flat(mask), gradient),
                None => Zip::from(gradient).and(mask).for_each(|gradient, &kept| *gradient = gradient.masked(kept)),
            }
        }
        Ok(())
    }

    /// Prunes what is left of the parameter; on an error nothing has changed.
    ///
    /// The first method sees the whole tensor, a later one what is not pruned yet (see
    /// [`PruningContainer::compute_mask`]). What it ranks is [`value`](Self::value).
    ///
    /// # Errors
    ///
    /// Whatever the method says.
    pub fn prune(&mut self, method: impl PruningMethod<A> + 'static) -> Result<(), PruneError> {
        self.prune_with(method, None)
    }

    /// Prunes by the importance of each entry, of the shape of the tensor, instead of by its value.
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
    /// [`PruneError::ShapeMismatch`], and whatever the method says.
    pub fn prune_with_scores<D: Dimension>(
        &mut self,
        method: impl PruningMethod<A> + 'static,
        scores: ArrayView<'_, A, D>,
    ) -> Result<(), PruneError> {
        let scores = self.checked_scores("importance_scores", scores)?;
        self.prune_with(method, Some(scores))
    }

    /// Makes the mask permanent: the value stays as it is, and `orig`, mask and history go. Nothing is copied.
    ///
    /// # Errors
    ///
    /// [`PruneError::NotPruned`].
    pub fn remove(&mut self) -> Result<(), PruneError> {
        let pruned = self.pruned.take().ok_or(PruneError::NotPruned { parameter: None })?;
        let methods = std::mem::take(&mut self.methods);
        parallel::drop_in_background((pruned, methods), self.value.len() * size_of::<A>());
        Ok(())
    }

    fn prune_with(
        &mut self,
        method: impl PruningMethod<A> + 'static,
        scores: Option<ImportanceScores<'_, A>>,
    ) -> Result<(), PruneError> {
        let decision = match &self.pruned {
            None => container::decide_first(&method, self.tensor(scores.as_ref()).scores)?,
            Some(_) => container::decide(&method, &MemoryCandidates::new(vec![self.tensor(scores.as_ref())]))?,
        };
        commit::commit(vec![self.target(scores.as_ref())], &decision);
        drop(decision);
        self.methods.push(method);
        Ok(())
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

    /// What a method may choose from.
    pub(crate) fn tensor<'s>(&'s self, scores: Option<&'s ImportanceScores<'_, A>>) -> Tensor<'s, A> {
        Tensor {
            scores: scores.map_or_else(|| self.value.view(), |scores| scores.view()),
            remaining: self.mask().map(|mask| mask.view()),
        }
    }

    /// What a decision is carried out on. The caller does so at once: until then a first mask and its value are undefined.
    pub(crate) fn target<'s>(&'s mut self, scores: Option<&'s ImportanceScores<'_, A>>) -> commit::CommitTarget<'s, A> {
        let Self { value, pruned, .. } = self;
        let first = pruned.is_none();
        let Pruned { orig, mask } = pruned.get_or_insert_with(|| {
            let fresh = zeroed(value.raw_dim());
            let orig = std::mem::replace(value, fresh);
            let mask = zeroed(orig.raw_dim());
            Pruned { orig, mask }
        });
        commit::CommitTarget {
            orig: first.then(|| flat(orig)),
            scores: scores.map(|scores| flat(scores)),
            mask: flat_mut(mask),
            value: flat_mut(value),
        }
    }

    /// A pruned parameter as a state dict holds it. Both arrays have one shape and are in standard layout.
    #[cfg(feature = "safetensors")]
    pub(crate) fn restored(orig: ArrayD<A>, mask: Mask) -> Self {
        let value = Zip::from(&orig).and(&mask).map_collect(|orig, &kept| orig.masked(kept));
        let mut methods = PruningContainer::new();
        methods.push(crate::method::AppliedMask);
        Self { value, pruned: Some(Pruned { orig, mask }), methods }
    }

    /// Adds to the history.
    pub(crate) fn record(&mut self, method: impl PruningMethod<A> + 'static) {
        self.methods.push(method);
    }
}

/// An array of memory that nobody has touched yet: its pages come in where it is first written to, on any thread.
fn zeroed<T: bytemuck::Zeroable>(shape: IxDyn) -> ArrayD<T> {
    let elements = bytemuck::zeroed_vec(shape.size());
    ArrayD::from_shape_vec(shape, elements).expect("there are as many elements as the shape asks for")
}

/// Importance scores in standard layout.
pub(crate) type ImportanceScores<'a, A> = CowArray<'a, A, IxDyn>;

impl<A: Element, D: Dimension> From<Array<A, D>> for Parameter<A> {
    fn from(tensor: Array<A, D>) -> Self {
        Self::new(tensor)
    }
}
