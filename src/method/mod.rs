//! The [`PruningMethod`] trait; its implementations are one to a file.

pub(crate) mod candidates;
mod custom_from_mask;
pub(crate) mod decision;
mod identity;
mod l1_unstructured;
mod ln_structured;
mod random_source;
mod random_structured;
mod random_unstructured;
pub(crate) mod request;

use std::fmt::Debug;

use ndarray::{ArrayD, ArrayViewD, Zip};

pub(crate) use custom_from_mask::AppliedMask;
pub use custom_from_mask::CustomFromMask;
pub use identity::Identity;
pub use l1_unstructured::L1Unstructured;
pub use ln_structured::LnStructured;
pub use random_source::RandomSource;
pub use random_structured::RandomStructured;
pub use random_unstructured::RandomUnstructured;

use crate::element::Element;
use crate::error::PruneError;
use crate::mask::Mask;
use crate::method::candidates::{MemoryCandidates, Remaining};
use crate::method::decision::Decision;
use crate::method::request::Request;
use crate::pruning_type::PruningType;
use crate::select::scores::infallible;

/// What every method can say of itself, whatever the element type.
pub trait Describe: Debug + Send + Sync {
    /// The name of the method, for histories and messages.
    fn name(&self) -> &str;
    /// What the method chooses among.
    fn pruning_type(&self) -> PruningType;
}

/// A way to choose what is pruned: the analogue of
/// [`BasePruningMethod`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.BasePruningMethod.html).
///
/// A method of one's own derives `Debug` and `Clone` and implements [`Describe`] and [`compute_mask`](Self::compute_mask):
///
/// ```
/// use ndarray::{ArrayViewD, arr1};
/// use prune::{Describe, Element, Mask, Parameter, PruneError, PruningMethod, PruningType};
///
/// /// Prunes what is closer to zero than a threshold.
/// #[derive(Debug, Clone)]
/// struct Below(f64);
///
/// impl Describe for Below {
///     fn name(&self) -> &str {
///         "Below"
///     }
///     fn pruning_type(&self) -> PruningType {
///         PruningType::Unstructured
///     }
/// }
///
/// impl<A: Element> PruningMethod<A> for Below {
///     fn compute_mask(&self, scores: ArrayViewD<'_, A>, mask: ArrayViewD<'_, bool>) -> Result<Mask, PruneError> {
///         let threshold = A::from(self.0).ok_or_else(|| PruneError::method("Below", "no such threshold"))?;
///         Ok(ndarray::Zip::from(scores).and(mask).map_collect(|x, &kept| kept && x.abs() >= threshold))
///     }
/// }
///
/// let mut weight = Parameter::new(arr1(&[0.5_f32, -0.01, 2.0]));
/// weight.prune(Below(0.1))?;
/// assert_eq!(weight.value(), &arr1(&[0.5, -0.0, 2.0]).into_dyn());
/// # Ok::<(), PruneError>(())
/// ```
pub trait PruningMethod<A: Element>: Describe + CloneMethod<A> {
    /// The mask that is left of `default_mask`: true where an entry is kept.
    ///
    /// `scores` and `default_mask` have one shape, and so has the result. On the first pruning of a parameter they are the
    /// whole tensor; later they are what [`pruning_type`](Describe::pruning_type) says. An entry that `default_mask` does
    /// not keep must not be kept. Whoever calls a method checks both, and turns a breach into an error.
    ///
    /// # Errors
    ///
    /// Whatever the method cannot do; [`PruneError::method`] makes the error of a method that is not one of this crate's.
    fn compute_mask(&self, scores: ArrayViewD<'_, A>, default_mask: ArrayViewD<'_, bool>) -> Result<Mask, PruneError>;

    /// The pruned tensor, touching no module: `tensor` times the mask for `importance_scores`, or for the tensor itself.
    ///
    /// Entries that `default_mask` does not keep still count, as in PyTorch: only a
    /// [`PruningContainer`](crate::PruningContainer) leaves them out.
    ///
    /// ```
    /// use ndarray::arr1;
    /// use prune::{L1Unstructured, PruningMethod};
    ///
    /// let tensor = arr1(&[3.0, -1.0, 2.0]).into_dyn();
    /// let pruned = L1Unstructured::new(1)?.prune(tensor.view(), None, None)?;
    /// assert_eq!(pruned, arr1(&[3.0, -0.0, 2.0]).into_dyn());
    /// # Ok::<(), prune::PruneError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PruneError::ShapeMismatch`], and what [`compute_mask`](Self::compute_mask) says.
    fn prune(
        &self,
        tensor: ArrayViewD<'_, A>,
        default_mask: Option<ArrayViewD<'_, bool>>,
        importance_scores: Option<ArrayViewD<'_, A>>,
    ) -> Result<ArrayD<A>, PruneError> {
        let scores = importance_scores.unwrap_or_else(|| tensor.view());
        PruneError::check_shape("importance_scores", tensor.shape(), scores.shape())?;
        let ones = Mask::from_elem(tensor.raw_dim(), true);
        let default_mask = default_mask.unwrap_or_else(|| ones.view());
        PruneError::check_shape("default_mask", tensor.shape(), default_mask.shape())?;
        let mask = self.compute_mask(scores, default_mask.view())?;
        check_mask(self.name(), default_mask, mask.view())?;
        Ok(Zip::from(tensor).and(&mask).map_collect(|x, &kept| x.masked(kept)))
    }

    /// How this crate's own methods work on tensors where they lie, without a gathered copy of what is left of them.
    #[doc(hidden)]
    fn built_in(&self) -> Option<&dyn BuiltIn> {
        None
    }
}

/// A method of this crate. The trait cannot be named outside.
pub trait BuiltIn: Describe + std::panic::RefUnwindSafe {
    /// What is to be pruned of what is left; refuses whatever can be refused. The same in memory and on files.
    fn request(&self, left: Remaining<'_>) -> Result<Request, PruneError>;
}

impl dyn BuiltIn + '_ {
    /// What is pruned of candidates in memory.
    pub(crate) fn decide<A: Element>(&self, candidates: &MemoryCandidates<'_, A>) -> Result<Decision<A>, PruneError> {
        let request = self.request(candidates.left(self.pruning_type())?)?;
        Ok(infallible(request.decide(candidates)))
    }
}

impl<A: Element, M: BuiltIn + Clone + 'static> PruningMethod<A> for M {
    fn compute_mask(&self, scores: ArrayViewD<'_, A>, default_mask: ArrayViewD<'_, bool>) -> Result<Mask, PruneError> {
        built_in_mask(self, scores, default_mask)
    }
    fn built_in(&self) -> Option<&dyn BuiltIn> {
        Some(self)
    }
}

/// `compute_mask` of a method of this crate.
fn built_in_mask<A: Element>(
    method: &dyn BuiltIn,
    scores: ArrayViewD<'_, A>,
    default_mask: ArrayViewD<'_, bool>,
) -> Result<Mask, PruneError> {
    PruneError::check_shape("default_mask", scores.shape(), default_mask.shape())?;
    let scores = scores.as_standard_layout();
    let decision = method.decide(&MemoryCandidates::whole(scores.view()))?;
    // Entries that are pruned already were candidates too, so the decision is about a mask that keeps everything.
    let mask = decision.mask(Mask::from_elem(scores.raw_dim(), true).view(), scores.view());
    Ok(Zip::from(&mask).and(default_mask).map_collect(|&kept, &before| kept && before))
}

/// `Ok` when a method's mask has the shape of the one it was given and revives no entry.
pub(crate) fn check_mask(
    method: &str,
    default_mask: ArrayViewD<'_, bool>,
    mask: ArrayViewD<'_, bool>,
) -> Result<(), PruneError> {
    if mask.shape() != default_mask.shape() {
        return Err(PruneError::MethodShape {
            method: method.to_owned(),
            expected: default_mask.shape().to_vec(),
            found: mask.shape().to_vec(),
        });
    }
    if Zip::from(&mask).and(&default_mask).all(|&kept, &before| before || !kept) {
        return Ok(());
    }
    let revived = mask.indexed_iter().find(|(index, kept)| **kept && !default_mask[index]);
    let index = revived.map(|(index, _)| ndarray::Dimension::slice(&index).to_vec()).unwrap_or_default();
    Err(PruneError::MethodRevived { method: method.to_owned(), index })
}

/// Clones a method behind a pointer; implemented for every method that is `Clone`.
pub trait CloneMethod<A: Element> {
    #[doc(hidden)]
    fn clone_box(&self) -> Box<dyn PruningMethod<A>>;
}

impl<A: Element, M: PruningMethod<A> + Clone + 'static> CloneMethod<A> for M {
    fn clone_box(&self) -> Box<dyn PruningMethod<A>> {
        Box::new(self.clone())
    }
}

impl<A: Element> Clone for Box<dyn PruningMethod<A>> {
    fn clone(&self) -> Self {
        (**self).clone_box()
    }
}

/// A method that is chosen at run time.
impl<A: Element> Describe for Box<dyn PruningMethod<A>> {
    fn name(&self) -> &str {
        (**self).name()
    }
    fn pruning_type(&self) -> PruningType {
        (**self).pruning_type()
    }
}

impl<A: Element> PruningMethod<A> for Box<dyn PruningMethod<A>> {
    fn compute_mask(&self, scores: ArrayViewD<'_, A>, default_mask: ArrayViewD<'_, bool>) -> Result<Mask, PruneError> {
        (**self).compute_mask(scores, default_mask)
    }
    fn built_in(&self) -> Option<&dyn BuiltIn> {
        (**self).built_in()
    }
}
