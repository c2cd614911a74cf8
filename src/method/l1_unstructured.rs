use ndarray::ArrayViewD;

use super::{BuiltIn, Describe, PruningMethod, PruningType, built_in_mask};
use crate::candidates::Candidates;
use crate::decision::{Chosen, Decision};
use crate::key::Ranked;
use crate::{Amount, Element, Mask, PruneError, TieBreak, select, torch};

/// Prunes the entries of lowest magnitude, as
/// [`torch.nn.utils.prune.L1Unstructured`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.L1Unstructured.html).
///
/// NaN ranks above infinity, so it is pruned last. Exactly the asked number of entries goes; among equal magnitudes the one
/// with the lowest row-major index goes first, unless [`tie_break`](Self::tie_break) says otherwise.
///
/// ```
/// let mut weight = prune::Parameter::new(ndarray::arr1(&[1.0_f32, -3.0, 2.0, 4.0]));
/// weight.prune(prune::L1Unstructured::new(0.5)?)?;
/// assert_eq!(weight.value(), &ndarray::arr1(&[0.0, -3.0, 0.0, 4.0]).into_dyn());
/// # Ok::<(), prune::PruneError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct L1Unstructured {
    amount: Amount,
    tie_break: TieBreak,
}

impl L1Unstructured {
    /// Prunes this share or number of the entries that are left.
    ///
    /// # Errors
    ///
    /// [`PruneError::InvalidFraction`].
    pub fn new(amount: impl Into<Amount>) -> Result<Self, PruneError> {
        Ok(Self { amount: PruneError::check_amount(amount.into())?, tie_break: TieBreak::default() })
    }

    /// Sets which of several equal magnitudes goes first.
    pub fn tie_break(self, tie_break: TieBreak) -> Self {
        Self { tie_break, ..self }
    }
}

impl Describe for L1Unstructured {
    fn name(&self) -> &str {
        "L1Unstructured"
    }
    fn pruning_type(&self) -> PruningType {
        PruningType::Unstructured
    }
}

impl<A: Element> PruningMethod<A> for L1Unstructured {
    fn compute_mask(&self, scores: ArrayViewD<'_, A>, default_mask: ArrayViewD<'_, bool>) -> Result<Mask, PruneError> {
        built_in_mask(self, scores, default_mask)
    }
    fn built_in(&self) -> Option<&dyn BuiltIn<A>> {
        Some(self)
    }
}

impl<A: Element> BuiltIn<A> for L1Unstructured {
    fn decide(&self, candidates: &Candidates<'_, A>) -> Result<Decision<'_, A>, PruneError> {
        let count = self.amount.count(candidates.count)?;
        if count == 0 {
            return Ok(Decision::Keep);
        }
        let cut = select::lowest(&candidates.segments(), count);
        if cut.tie && self.tie_break == TieBreak::PyTorch {
            let keys: Vec<A::Key> = candidates.living().map(Ranked::key).collect();
            return Ok(Decision::Candidates(Chosen::new(torch::first_k(&keys, count), candidates)));
        }
        Ok(Decision::Cut(cut))
    }
}
