use crate::amount::Amount;
use crate::error::PruneError;
use crate::method::candidates::Remaining;
use crate::method::request::Request;
use crate::method::{BuiltIn, Describe, RandomSource};
use crate::pruning_type::PruningType;
use crate::select::TieBreak;

/// Prunes entries at random, as
/// [`torch.nn.utils.prune.RandomUnstructured`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.RandomUnstructured.html).
///
/// Exactly the asked number of entries goes. With a seed the mask is the same every time; with a handle on PyTorch's
/// generator it is PyTorch's, and the generator advances as PyTorch's would.
///
/// ```
/// use prune::{Parameter, RandomUnstructured};
///
/// let mut weight = Parameter::new(ndarray::Array2::<f32>::ones((4, 4)));
/// weight.prune(RandomUnstructured::new(0.25, 42)?)?;
/// assert_eq!(weight.value().sum(), 12.0);
/// # Ok::<(), prune::PruneError>(())
/// ```
#[derive(Debug, Clone)]
pub struct RandomUnstructured {
    amount: Amount,
    source: RandomSource,
    tie_break: TieBreak,
}

impl RandomUnstructured {
    /// Prunes this share or number of the entries that are left.
    ///
    /// # Errors
    ///
    /// [`PruneError::InvalidFraction`].
    pub fn new(amount: impl Into<Amount>, source: impl Into<RandomSource>) -> Result<Self, PruneError> {
        Ok(Self { amount: amount.into().validated()?, source: source.into(), tie_break: TieBreak::PyTorch })
    }

    /// Sets which of several equal numbers of PyTorch's generator goes first. Without it, PyTorch's order decides.
    ///
    /// What a seed draws is hardly ever equal, and then the lowest index goes first.
    pub fn tie_break(self, tie_break: TieBreak) -> Self {
        Self { tie_break, ..self }
    }
}

impl Describe for RandomUnstructured {
    fn name(&self) -> &str {
        "RandomUnstructured"
    }
    fn pruning_type(&self) -> PruningType {
        PruningType::Unstructured
    }
}

impl BuiltIn for RandomUnstructured {
    fn request(&self, left: Remaining<'_>) -> Result<Request, PruneError> {
        let count = self.amount.count(left.entries)?;
        Ok(Request::Random { count, source: self.source.clone(), tie_break: self.tie_break })
    }
}
