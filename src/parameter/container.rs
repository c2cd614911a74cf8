//! The history of a parameter.

use std::ops::Index;
use std::panic::{RefUnwindSafe, UnwindSafe};

use ndarray::ArrayViewD;

use crate::element::Element;
use crate::error::PruneError;
use crate::mask::Mask;
use crate::method::PruningMethod;
use crate::method::candidates::{MemoryCandidates, TensorCandidates};
use crate::method::decide::decide;
use crate::pruning_type::PruningType;

/// One entry of the history of a parameter.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Record<A: Element> {
    /// A method that pruned the parameter.
    Method(Box<dyn PruningMethod<A>>),
    /// A mask that came from elsewhere: from global pruning, a state dict or a mask file.
    ///
    /// PyTorch keeps a `CustomFromMask` there, with one more full mask for each round of global pruning. The mask of the
    /// parameter holds all of them already, so only the entry is kept here.
    Mask,
}

impl<A: Element> Record<A> {
    /// Returns the name of the method; `CustomFromMask`, as in PyTorch, for a mask.
    pub fn name(&self) -> &str {
        match self {
            Self::Method(method) => method.name(),
            Self::Mask => "CustomFromMask",
        }
    }

    /// Returns the pruning type of the method; global for a mask.
    pub fn pruning_type(&self) -> PruningType {
        match self {
            Self::Method(method) => method.pruning_type(),
            Self::Mask => PruningType::Global,
        }
    }

    /// Returns the method, or `None` for a mask that came from elsewhere.
    pub fn method(&self) -> Option<&dyn PruningMethod<A>> {
        match self {
            Self::Method(method) => Some(&**method),
            Self::Mask => None,
        }
    }
}

/// The methods that pruned a parameter, oldest first, like PyTorch's
/// [`PruningContainer`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.PruningContainer.html).
///
/// ```
/// use prune::{Identity, L1Unstructured, Parameter};
///
/// let mut weight = Parameter::new(ndarray::arr1(&[1.0_f32, 2.0, 3.0, 4.0]));
/// weight.prune(Identity)?;
/// weight.prune(L1Unstructured::new(0.5)?)?;
/// let names: Vec<&str> = weight.methods().iter().map(|record| record.name()).collect();
/// assert_eq!(names, ["Identity", "L1Unstructured"]);
/// # Ok::<(), prune::PruneError>(())
/// ```
#[derive(Debug, Clone)]
pub struct PruningContainer<A: Element> {
    records: Vec<Record<A>>,
}

impl<A: Element> PruningContainer<A> {
    /// Returns a container without methods.
    pub const fn new() -> Self {
        Self { records: Vec::new() }
    }

    /// Adds the method that is run next.
    pub fn push(&mut self, method: impl PruningMethod<A> + 'static) {
        // A history does not keep the data of a layer alive.
        let method = method.without_data().unwrap_or_else(|| Box::new(method));
        self.records.push(Record::Method(method));
    }

    /// Adds a mask that came from elsewhere.
    pub(crate) fn push_mask(&mut self) {
        self.records.push(Record::Mask);
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Returns `true` if there are no entries.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Returns an iterator over the entries, oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Record<A>> + DoubleEndedIterator {
        self.records.iter()
    }

    /// Returns the entry at an index, oldest first.
    pub fn get(&self, index: usize) -> Option<&Record<A>> {
        self.records.get(index)
    }

    /// Returns the mask that the last method leaves of `default_mask`, where it selects among the entries that
    /// `default_mask` keeps.
    ///
    /// By its [`PruningType`], an unstructured method is given the kept entries as a vector, a structured one the channels
    /// that have a kept entry, any other one the whole tensor. `scores` and `default_mask` have the same shape, and so has
    /// the result. Earlier methods count only through `default_mask`.
    ///
    /// ```
    /// use ndarray::arr1;
    /// use prune::{L1Unstructured, PruningContainer};
    ///
    /// let mut methods = PruningContainer::new();
    /// methods.push(L1Unstructured::new(1)?);
    /// let scores = arr1(&[1.0, 2.0, 3.0]).into_dyn();
    /// let mask = methods.compute_mask(scores.view(), arr1(&[false, true, true]).into_dyn().view())?;
    /// assert_eq!(mask, arr1(&[false, false, true]));
    /// # Ok::<(), prune::PruneError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PruneError::EmptyContainer`] if there are no entries, [`PruneError::NotAMethod`] if the last one is a mask that
    /// came from elsewhere, [`PruneError::ShapeMismatch`] if the shapes differ, and any error of the method.
    pub fn compute_mask(
        &self,
        scores: ArrayViewD<'_, A>,
        default_mask: ArrayViewD<'_, bool>,
    ) -> Result<Mask, PruneError> {
        let method = self.records.last().ok_or(PruneError::EmptyContainer)?.method().ok_or(PruneError::NotAMethod)?;
        PruneError::check_shape("default_mask", scores.shape(), default_mask.shape())?;
        let (scores, remaining) = (scores.as_standard_layout(), default_mask.as_standard_layout());
        let tensor = TensorCandidates { scores: scores.view(), remaining: Some(remaining.view()) };
        let decision = decide(method, &MemoryCandidates::new(vec![tensor]))?;
        Ok(decision.mask(default_mask, scores.view()).into())
    }
}

// Methods are only called through `&self`, and nothing is committed before they return: one that panics leaves the history
// and the parameter as they were. A `dyn PruningMethod` does not say so by itself.
impl<A: Element> UnwindSafe for PruningContainer<A> {}
impl<A: Element> RefUnwindSafe for PruningContainer<A> {}

impl<A: Element> Default for PruningContainer<A> {
    fn default() -> Self {
        Self::new()
    }
}

/// The entry at an index, oldest first.
///
/// # Panics
///
/// If there is no such entry, like the index of a `Vec`.
impl<A: Element> Index<usize> for PruningContainer<A> {
    type Output = Record<A>;

    fn index(&self, index: usize) -> &Self::Output {
        &self.records[index]
    }
}
