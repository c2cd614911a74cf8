//! The methods of this crate: they return a request instead of computing a mask.

use std::panic::RefUnwindSafe;

use ndarray::{ArrayD, ArrayViewD, Zip};

use crate::element::Element;
use crate::error::PruneError;
use crate::method::candidates::MemoryCandidates;
use crate::method::decision::Decision;
use crate::method::request::Request;
use crate::method::{Describe, PruningMethod};
use crate::select::scores::infallible;

/// A method of this crate. The trait cannot be named outside.
pub trait BuiltIn: Describe + RefUnwindSafe {
    /// Returns what the method prunes of these tensors, the same in memory and on files.
    ///
    /// `names` are the names of the tensors on files, and empty in memory.
    fn request(&self, names: &[&str]) -> Result<Request, PruneError>;

    /// The method with the data of one tensor; `None` if it is the same for all.
    fn of_tensor(&self, name: &str, shape: &[usize]) -> Result<Option<Self>, PruneError>
    where
        Self: Sized,
    {
        let _ = (name, shape);
        Ok(None)
    }

    /// The method without data, for a history; `None` if it has none.
    fn for_history(&self) -> Option<Self>
    where
        Self: Sized,
    {
        None
    }
}

impl dyn BuiltIn + '_ {
    /// The decision about candidates in memory.
    pub(crate) fn decide<A: Element>(&self, candidates: &MemoryCandidates<'_, A>) -> Result<Decision<A>, PruneError> {
        let request = candidates.resolve(self.request(&[])?)?;
        Ok(infallible(request.decide(candidates)))
    }

    /// The mask for scores: see [`PruningMethod::compute_mask`].
    fn mask<A: Element>(
        &self,
        scores: ArrayViewD<'_, A>,
        default_mask: ArrayViewD<'_, bool>,
    ) -> Result<ArrayD<bool>, PruneError> {
        PruneError::check_shape("default_mask", scores.shape(), default_mask.shape())?;
        let scores = scores.as_standard_layout();
        let decision = self.decide(&MemoryCandidates::untouched(scores.view()))?;
        // Entries that are pruned already were candidates too, so the decision is about a mask that keeps every entry.
        let mask = decision.mask(ArrayD::from_elem(scores.raw_dim(), true).view(), scores.view());
        Ok(Zip::from(&mask).and(default_mask).map_collect(|&kept, &before| kept && before))
    }
}

impl<A: Element, M: BuiltIn + Clone + 'static> PruningMethod<A> for M {
    fn compute_mask(
        &self,
        scores: ArrayViewD<'_, A>,
        default_mask: ArrayViewD<'_, bool>,
    ) -> Result<ArrayD<bool>, PruneError> {
        // Compiled once for each element type, not for each method too.
        let method: &dyn BuiltIn = self;
        method.mask(scores, default_mask)
    }
    fn built_in(&self) -> Option<&dyn BuiltIn> {
        Some(self)
    }
    fn for_tensor(&self, name: &str, shape: &[usize]) -> Result<Option<Box<dyn PruningMethod<A>>>, PruneError> {
        Ok(self.of_tensor(name, shape)?.map(|method| Box::new(method) as _))
    }
    fn without_data(&self) -> Option<Box<dyn PruningMethod<A>>> {
        self.for_history().map(|method| Box::new(method) as _)
    }
}
