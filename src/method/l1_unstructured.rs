//! Magnitude pruning.

use crate::amount::Amount;
use crate::error::PruneError;
use crate::method::Describe;
use crate::method::built_in::BuiltIn;
use crate::method::registry::{MethodOptions, Named};
use crate::method::request::{Request, Score};
use crate::method_option::MethodOption;
use crate::pruning_type::PruningType;
use crate::select::TieBreak;

/// Magnitude pruning: prunes the entries with the lowest absolute scores.
///
/// Ranks the remaining entries by `|s|`, where `s` is the importance score, or the value if no scores are given, and prunes
/// the `k` lowest of `n`:
///
/// ```text
/// k = round_half_even(fraction * n)   or   k = count   or   k = round_half_even(sparsity * all) - pruned
/// ```
///
/// # Guarantees
///
/// - **Count:** exactly `k` entries are pruned.
/// - **Ties:** the lowest row-major index is pruned first; see [`tie_break`](Self::tie_break) for PyTorch's order.
/// - **NaN** ranks above infinity, so it is pruned last. 0.0 and -0.0 rank equal.
/// - **Cost:** linear in `n`, on all cores with the feature `rayon`. The mask does not depend on the number of threads.
///
/// # Example
///
/// ```
/// let mut weight = prune::Parameter::new(ndarray::arr1(&[1.0_f32, -3.0, 2.0, -1.0]));
/// weight.prune(prune::L1Unstructured::new(1)?)?; // 1.0 and -1.0 tie: the lower index is pruned
/// assert_eq!(weight.value(), &ndarray::arr1(&[0.0, -3.0, 2.0, -1.0]).into_dyn());
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # Errors
///
/// Pruning returns [`PruneError::AmountTooLarge`] if `k > n`. [`new`](Self::new) rejects invalid fractions.
///
/// # References
///
/// [`torch.nn.utils.prune.L1Unstructured`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.L1Unstructured.html);
/// *Learning both Weights and Connections for Efficient Neural Networks* (2015).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct L1Unstructured {
    amount: Amount,
    tie_break: TieBreak,
}

impl L1Unstructured {
    /// Returns the method that prunes this amount of the remaining entries.
    ///
    /// # Errors
    ///
    /// [`PruneError::InvalidFraction`] if `amount` is a fraction or sparsity that is NaN or outside `0.0..=1.0`.
    pub fn new(amount: impl Into<Amount>) -> Result<Self, PruneError> {
        Ok(Self { amount: amount.into().validated()?, tie_break: TieBreak::default() })
    }

    /// Sets the order in which equal magnitudes are pruned.
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
    fn options(&self) -> String {
        format!("amount={} ties={}", self.amount, self.tie_break)
    }
}

impl BuiltIn for L1Unstructured {
    fn request(&self, _: &[&str]) -> Result<Request, PruneError> {
        Ok(Request::Lowest { amount: self.amount, score: Score::Magnitude, tie_break: self.tie_break })
    }
}

impl Named for L1Unstructured {
    const NAMES: &'static [&'static str] = &["l1", "l1_unstructured"];
    const SUMMARY: &'static str = "Prune the entries with the lowest magnitudes";
    const OPTIONS: &'static [MethodOption] = &[MethodOption::Amount, MethodOption::TieBreak];
    const RANKS_GLOBALLY: bool = true;

    fn from_options(options: &MethodOptions) -> Result<Self, PruneError> {
        Ok(Self::new(options.needed_amount("l1")?)?.tie_break(options.tie_break.unwrap_or_default()))
    }
}
