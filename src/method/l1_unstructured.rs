use crate::amount::Amount;
use crate::error::PruneError;
use crate::method::candidates::Remaining;
use crate::method::request::Request;
use crate::method::{BuiltIn, Describe};
use crate::pruning_type::PruningType;
use crate::select::TieBreak;

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
        Ok(Self { amount: amount.into().validated()?, tie_break: TieBreak::default() })
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

impl BuiltIn for L1Unstructured {
    fn request(&self, left: Remaining<'_>) -> Result<Request, PruneError> {
        Ok(Request::Lowest { count: self.amount.count(left.entries)?, tie_break: self.tie_break })
    }
}
