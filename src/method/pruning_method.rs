//! The trait of all pruning methods, built in and custom.

use std::fmt::Debug;

use ndarray::{ArrayD, ArrayViewD, Zip};

use crate::element::Element;
use crate::error::PruneError;
use crate::mask::Mask;
use crate::method::Units;
use crate::method::built_in::BuiltIn;
use crate::method::decide::check_mask;
use crate::method::reconstruct::Reconstruct;
use crate::pruning_type::PruningType;

/// The name and the pruning type of a method, for any element type.
pub trait Describe: Debug + Send + Sync {
    /// Returns the name shown in histories and error messages.
    fn name(&self) -> &str;

    /// Returns the unit that the method selects.
    fn pruning_type(&self) -> PruningType;

    /// Returns the options of the method as a short text, such as `amount=0.5 norm=2 dim=0`: equal texts under one name mean
    /// the same method. An interrupted run over files is resumed only by a method with the same name and options.
    ///
    /// A custom method has its `Debug` text here unless it returns another one.
    fn options(&self) -> String {
        format!("{self:?}")
    }

    /// Returns the number of units that an [`Amount`](crate::Amount) of this method counts in a tensor: channels for a
    /// structured method, blocks or groups for [`Block`](crate::Block) and [`NM`](crate::NM), entries for all others.
    ///
    /// # Errors
    ///
    /// [`PruneError::ShapeMismatch`] if the mask has another shape; any error of a method that does not apply to tensors of
    /// this shape.
    fn units(&self, shape: &[usize], mask: Option<&Mask>) -> Result<Units, PruneError> {
        Units::of(self.pruning_type(), shape, mask)
    }
}

/// A rule that decides which entries of a tensor are pruned, like PyTorch's
/// [`BasePruningMethod`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.BasePruningMethod.html).
///
/// A custom method derives `Debug` and `Clone` and implements [`Describe`] and [`compute_mask`](Self::compute_mask). It is
/// then accepted wherever a built-in method is:
///
/// ```
/// use ndarray::{ArrayD, ArrayViewD, arr1};
/// use prune::{Describe, Element, Parameter, PruneError, PruningMethod, PruningType};
///
/// /// Prunes entries that are closer to zero than a threshold.
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
///     fn compute_mask(&self, scores: ArrayViewD<'_, A>, mask: ArrayViewD<'_, bool>) -> Result<ArrayD<bool>, PruneError> {
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
///
/// # Saliency and other scores
///
/// A criterion that needs more than the weights, such as `|weight * gradient|`, is not a method but an array of *scores*
/// for one: a method that held the gradient could not use it the second time, when it is given the remaining entries as a
/// vector. Compute the scores for the whole tensor, and let a built-in method rank them:
///
/// ```
/// use ndarray::arr1;
/// use prune::{L1Unstructured, Parameter};
///
/// let mut weight = Parameter::new(arr1(&[3.0_f32, 1.0, -2.0, 0.5]));
/// let gradient = arr1(&[0.01, 0.5, -0.1, 2.0]).into_dyn();
/// for _ in 0..2 {
///     let saliency = weight.value() * &gradient; // the method ranks magnitudes; `score` has this and other scores
///     weight.prune_with_scores(L1Unstructured::new(1)?, saliency.view())?;
/// }
/// assert_eq!(weight.value(), &arr1(&[0.0, 1.0, -0.0, 0.5]).into_dyn());
/// # Ok::<(), prune::PruneError>(())
/// ```
pub trait PruningMethod<A: Element>: Describe + CloneMethod<A> {
    /// Returns the new mask: `true` for every entry that is kept.
    ///
    /// `scores` and `default_mask` have the same shape. The result must have it too, and must be `false` wherever
    /// `default_mask` is `false`. The call and the type of the method decide what it is given:
    ///
    /// | call | unstructured | structured | groups, global |
    /// |---|---|---|---|
    /// | first pruning of a parameter | whole tensor | whole tensor | whole tensor |
    /// | later pruning | remaining entries, as a vector | channels with a remaining entry | whole tensor |
    /// | [`global_unstructured`](crate::global_unstructured) | remaining entries of all targets, as a vector | error | error |
    ///
    /// Every function that prunes with the method checks the result and returns [`PruneError::MethodShape`] or
    /// [`PruneError::MethodRevived`] if it breaks these rules. A direct call is not checked.
    ///
    /// # Errors
    ///
    /// Any reason why the method cannot prune these scores. Custom methods return [`PruneError::method`].
    fn compute_mask(
        &self,
        scores: ArrayViewD<'_, A>,
        default_mask: ArrayViewD<'_, bool>,
    ) -> Result<ArrayD<bool>, PruneError>;

    /// Returns a pruned copy of `tensor`, without a [`Parameter`](crate::Parameter).
    ///
    /// Ranks `importance_scores` if given, otherwise `tensor`. Without a `default_mask`, every entry starts as kept. As in
    /// PyTorch, entries that `default_mask` has pruned still count towards the amount; a
    /// [`PruningContainer`](crate::PruningContainer) excludes them.
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
    /// - [`PruneError::ShapeMismatch`] if `default_mask` or `importance_scores` differs from `tensor` in shape.
    /// - [`PruneError::MethodShape`] or [`PruneError::MethodRevived`] if the returned mask breaks the rules above.
    /// - Any error of [`compute_mask`](Self::compute_mask).
    fn prune(
        &self,
        tensor: ArrayViewD<'_, A>,
        default_mask: Option<ArrayViewD<'_, bool>>,
        importance_scores: Option<ArrayViewD<'_, A>>,
    ) -> Result<ArrayD<A>, PruneError> {
        let scores = importance_scores.unwrap_or_else(|| tensor.view());
        PruneError::check_shape("importance_scores", tensor.shape(), scores.shape())?;
        let ones = ArrayD::from_elem(tensor.raw_dim(), true);
        let default_mask = default_mask.unwrap_or_else(|| ones.view());
        PruneError::check_shape("default_mask", tensor.shape(), default_mask.shape())?;
        let mask = self.compute_mask(scores, default_mask.view())?;
        check_mask(self.name(), default_mask, mask.view())?;
        Ok(masked(tensor, &mask))
    }

    /// The request of a built-in method, which needs no gathered copy of the remaining entries.
    #[doc(hidden)]
    fn built_in(&self) -> Option<&dyn BuiltIn> {
        None
    }

    /// The method as one that changes the weights too.
    #[doc(hidden)]
    fn reconstructing(&self) -> Option<&dyn Reconstruct<A>> {
        None
    }

    /// The method with the data of one tensor of a checkpoint, or `None` if it is the same for all.
    #[doc(hidden)]
    fn for_tensor(&self, name: &str, shape: &[usize]) -> Result<Option<Box<dyn PruningMethod<A>>>, PruneError> {
        let _ = (name, shape);
        Ok(None)
    }

    /// The method without large data, for a history; `None` if it has none.
    #[doc(hidden)]
    fn without_data(&self) -> Option<Box<dyn PruningMethod<A>>> {
        None
    }
}

/// Returns a tensor multiplied by a mask. It is not a part of [`PruningMethod::prune`], which is compiled for each method.
fn masked<A: Element>(tensor: ArrayViewD<'_, A>, mask: &ArrayD<bool>) -> ArrayD<A> {
    Zip::from(tensor).and(mask).map_collect(|x, &kept| x.masked(kept))
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

/// A method for one element type that is chosen at run time; [`AnyMethod`](crate::AnyMethod) is one for all of them.
impl<A: Element> Describe for Box<dyn PruningMethod<A>> {
    fn name(&self) -> &str {
        (**self).name()
    }
    fn pruning_type(&self) -> PruningType {
        (**self).pruning_type()
    }
    fn options(&self) -> String {
        (**self).options()
    }
    fn units(&self, shape: &[usize], mask: Option<&Mask>) -> Result<Units, PruneError> {
        (**self).units(shape, mask)
    }
}

impl<A: Element> PruningMethod<A> for Box<dyn PruningMethod<A>> {
    fn compute_mask(
        &self,
        scores: ArrayViewD<'_, A>,
        default_mask: ArrayViewD<'_, bool>,
    ) -> Result<ArrayD<bool>, PruneError> {
        (**self).compute_mask(scores, default_mask)
    }
    fn built_in(&self) -> Option<&dyn BuiltIn> {
        (**self).built_in()
    }
    fn reconstructing(&self) -> Option<&dyn Reconstruct<A>> {
        (**self).reconstructing()
    }
    fn for_tensor(&self, name: &str, shape: &[usize]) -> Result<Option<Box<dyn PruningMethod<A>>>, PruneError> {
        (**self).for_tensor(name, shape)
    }
    fn without_data(&self) -> Option<Box<dyn PruningMethod<A>>> {
        (**self).without_data()
    }
}
