//! The history of a parameter, and how a method is run on what the earlier ones have left.

use std::ops::Index;
use std::panic::{RefUnwindSafe, UnwindSafe};

use std::sync::Arc;

use ndarray::{Array1, ArrayViewD, Axis};

use crate::element::Element;
use crate::error::PruneError;
use crate::mask::Mask;
use crate::method::candidates::{MemoryCandidates, Tensor};
use crate::method::decision::{Decision, PrunedCandidates};
use crate::method::{PruningMethod, check_mask};
use crate::pruning_type::PruningType;

/// The methods that pruned a parameter, oldest first: the analogue of
/// [`torch.nn.utils.prune.PruningContainer`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.PruningContainer.html).
///
/// ```
/// use prune::{Identity, L1Unstructured, Parameter};
///
/// let mut weight = Parameter::new(ndarray::arr1(&[1.0_f32, 2.0, 3.0, 4.0]));
/// weight.prune(Identity)?;
/// weight.prune(L1Unstructured::new(0.5)?)?;
/// let names: Vec<&str> = weight.methods().iter().map(|method| method.name()).collect();
/// assert_eq!(names, ["Identity", "L1Unstructured"]);
/// # Ok::<(), prune::PruneError>(())
/// ```
#[derive(Debug, Clone)]
pub struct PruningContainer<A: Element> {
    methods: Vec<Box<dyn PruningMethod<A>>>,
}

impl<A: Element> PruningContainer<A> {
    /// A container without methods.
    pub const fn new() -> Self {
        Self { methods: Vec::new() }
    }

    /// Adds the method that is to be run next.
    pub fn push(&mut self, method: impl PruningMethod<A> + 'static) {
        self.methods.push(Box::new(method));
    }

    /// The number of methods.
    pub fn len(&self) -> usize {
        self.methods.len()
    }

    /// Whether there is no method.
    pub fn is_empty(&self) -> bool {
        self.methods.is_empty()
    }

    /// The methods, oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &dyn PruningMethod<A>> + DoubleEndedIterator {
        self.methods.iter().map(|method| &**method)
    }

    /// The method at an index, oldest first.
    pub fn get(&self, index: usize) -> Option<&dyn PruningMethod<A>> {
        self.methods.get(index).map(|method| &**method)
    }

    /// The mask that the last method leaves of `default_mask`, where it sees only what `default_mask` keeps.
    ///
    /// By its [`PruningType`], an unstructured method is handed the kept entries as a vector, a structured one the channels
    /// that have a kept entry, a global one everything. `scores` and `default_mask` have one shape, and so has the result.
    /// The earlier methods live on through `default_mask` alone.
    ///
    /// ```
    /// use ndarray::arr1;
    /// use prune::{L1Unstructured, PruningContainer};
    ///
    /// let mut methods = PruningContainer::new();
    /// methods.push(L1Unstructured::new(1)?);
    /// let scores = arr1(&[1.0, 2.0, 3.0]).into_dyn();
    /// let mask = methods.compute_mask(scores.view(), arr1(&[false, true, true]).into_dyn().view())?;
    /// assert_eq!(mask, arr1(&[false, false, true]).into_dyn());
    /// # Ok::<(), prune::PruneError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PruneError::EmptyContainer`], [`PruneError::ShapeMismatch`], and whatever the method says.
    pub fn compute_mask(
        &self,
        scores: ArrayViewD<'_, A>,
        default_mask: ArrayViewD<'_, bool>,
    ) -> Result<Mask, PruneError> {
        let method = self.methods.last().ok_or(PruneError::EmptyContainer)?;
        PruneError::check_shape("default_mask", scores.shape(), default_mask.shape())?;
        let (scores, remaining) = (scores.as_standard_layout(), default_mask.as_standard_layout());
        let tensor = Tensor { scores: scores.view(), remaining: Some(remaining.view()) };
        let decision = decide(method, &MemoryCandidates::new(vec![tensor]))?;
        Ok(decision.mask(default_mask, scores.view()))
    }
}

// Methods are only ever called through `&self`, and nothing is committed before they have returned: one that panics leaves
// the history and the parameter as they were. A `dyn PruningMethod` just does not say so.
impl<A: Element> UnwindSafe for PruningContainer<A> {}
impl<A: Element> RefUnwindSafe for PruningContainer<A> {}

impl<A: Element> Default for PruningContainer<A> {
    fn default() -> Self {
        Self::new()
    }
}

/// The method at an index, oldest first.
///
/// # Panics
///
/// When there is no such method, like the index of a `Vec`.
impl<A: Element> Index<usize> for PruningContainer<A> {
    type Output = dyn PruningMethod<A>;

    fn index(&self, index: usize) -> &Self::Output {
        &*self.methods[index]
    }
}

/// What a method prunes of a parameter that nothing has pruned yet: it sees the whole tensor.
pub(crate) fn decide_first<A: Element>(
    method: &dyn PruningMethod<A>,
    scores: ArrayViewD<'_, A>,
) -> Result<Decision<A>, PruneError> {
    if let Some(method) = method.built_in() {
        return method.decide(&MemoryCandidates::whole(scores));
    }
    if let PruningType::Structured { dim } = method.pruning_type() {
        crate::tensor::channels::Channels::of(scores.shape(), dim)?;
    }
    whole(method, scores.view(), Mask::from_elem(scores.raw_dim(), true).view())
}

/// What a method prunes of what is left: it sees the candidates, by its type.
pub(crate) fn decide<A: Element>(
    method: &dyn PruningMethod<A>,
    candidates: &MemoryCandidates<'_, A>,
) -> Result<Decision<A>, PruneError> {
    if let Some(method) = method.built_in() {
        return method.decide(candidates);
    }
    let Tensor { scores, remaining } = candidates.tensor();
    let all = Mask::from_elem(scores.raw_dim(), true);
    let remaining = remaining.as_ref().map_or(all.view(), |remaining| remaining.view());
    match method.pruning_type() {
        PruningType::Unstructured => {
            let scores = Array1::from_iter(candidates.living()).into_dyn();
            let mask = run(method, scores.view(), Mask::from_elem(scores.raw_dim(), true).view())?;
            let pruned = mask.iter().map(|&kept| !kept).collect();
            Ok(Decision::Candidates(PrunedCandidates::new(pruned, &candidates.left_in_each_chunk())))
        }
        PruningType::Structured { dim } => {
            let (channels, living) = candidates.channels(dim)?;
            let axis = Axis(channels.axis);
            let part = run(method, scores.select(axis, &living).view(), remaining.select(axis, &living).view())?;
            let mut mask = remaining.to_owned();
            for (&channel, part) in living.iter().zip(part.axis_iter(axis)) {
                mask.index_axis_mut(axis, channel).assign(&part);
            }
            Ok(Decision::Mask(Arc::new(mask)))
        }
        PruningType::Groups | PruningType::Global => whole(method, scores.view(), remaining),
    }
}

fn whole<A: Element>(
    method: &dyn PruningMethod<A>,
    scores: ArrayViewD<'_, A>,
    default_mask: ArrayViewD<'_, bool>,
) -> Result<Decision<A>, PruneError> {
    let mask = run(method, scores, default_mask)?;
    Ok(Decision::Mask(Arc::new(mask.as_standard_layout().into_owned())))
}

/// Runs a method that is not this crate's and checks what it returns.
fn run<A: Element>(
    method: &dyn PruningMethod<A>,
    scores: ArrayViewD<'_, A>,
    default_mask: ArrayViewD<'_, bool>,
) -> Result<Mask, PruneError> {
    let mask = method.compute_mask(scores, default_mask.view())?;
    check_mask(method.name(), default_mask, mask.view())?;
    Ok(mask)
}
