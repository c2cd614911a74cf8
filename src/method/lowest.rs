//! Pruning by scores with signs.

use crate::amount::Amount;
use crate::error::PruneError;
use crate::method::Describe;
use crate::method::built_in::BuiltIn;
use crate::method::request::{Request, Score};
use crate::pruning_type::PruningType;
use crate::select::TieBreak;

/// Prunes the entries with the lowest scores, signs included: -3 is pruned before -1, and -1 before 2.
///
/// [`L1Unstructured`](crate::L1Unstructured) ranks magnitudes of scores, as PyTorch does, and is what most scores need. This
/// method is for scores whose sign has a meaning, as in movement pruning. It needs scores: without them, it
/// prunes the most negative weights.
///
/// # Guarantees
///
/// - **Count:** exactly the requested number of entries is pruned.
/// - **Ties:** the lowest row-major index is pruned first; 0.0 and -0.0 are equal. **NaN** ranks above infinity.
/// - **Cost:** linear; it holds a key for each remaining entry. It works in memory only.
///
/// # Example
///
/// ```
/// use ndarray::arr1;
/// use prune::{Lowest, Parameter};
///
/// let mut weight = Parameter::new(arr1(&[3.0_f32, 1.0, -2.0, 0.5]));
/// let scores = arr1(&[-0.1_f32, 0.7, 0.2, -0.9]);
/// weight.prune_with_scores(Lowest::new(0.5)?, scores.view().into_dyn())?;
/// assert_eq!(weight.value(), &arr1(&[0.0, 1.0, -2.0, 0.0]).into_dyn());
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # Errors
///
/// Pruning returns [`PruneError::AmountTooLarge`] if fewer entries remain than requested.
///
/// # References
///
/// *Movement Pruning: Adaptive Sparsity by Fine-Tuning* (2020), <https://arxiv.org/abs/2005.07683>.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lowest {
    amount: Amount,
    tie_break: TieBreak,
}

impl Lowest {
    /// Returns the method that prunes this amount of the remaining entries.
    ///
    /// # Errors
    ///
    /// [`PruneError::InvalidFraction`] if `amount` is a fraction or sparsity that is NaN or outside `0.0..=1.0`.
    pub fn new(amount: impl Into<Amount>) -> Result<Self, PruneError> {
        Ok(Self { amount: amount.into().validated()?, tie_break: TieBreak::default() })
    }

    /// Sets the order in which equal scores are pruned.
    pub fn tie_break(self, tie_break: TieBreak) -> Self {
        Self { tie_break, ..self }
    }
}

impl Describe for Lowest {
    fn name(&self) -> &str {
        "Lowest"
    }
    fn pruning_type(&self) -> PruningType {
        PruningType::Unstructured
    }
    fn options(&self) -> String {
        format!("amount={} ties={}", self.amount, self.tie_break)
    }
}

impl BuiltIn for Lowest {
    fn request(&self, _: &[&str]) -> Result<Request, PruneError> {
        Ok(Request::Lowest { amount: self.amount, score: Score::Signed, tie_break: self.tie_break })
    }
}
