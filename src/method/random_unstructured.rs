//! Pruning entries at random.

use crate::amount::Amount;
use crate::error::PruneError;
use crate::method::built_in::BuiltIn;
use crate::method::registry::{MethodOptions, Named};
use crate::method::request::Request;
use crate::method::{Describe, RandomSource};
use crate::method_option::MethodOption;
use crate::pruning_type::PruningType;
use crate::select::TieBreak;

/// Prunes entries at random.
///
/// With a seed, every subset of the requested size is equally likely, and the seed gives the same mask on every platform.
/// With a PyTorch generator the mask is PyTorch's, and the generator advances as PyTorch's would.
///
/// # Example
///
/// ```
/// use prune::{Parameter, RandomUnstructured};
///
/// let mut weight = Parameter::new(ndarray::Array2::<f32>::ones((4, 4)));
/// weight.prune(RandomUnstructured::new(0.25, 42)?)?;
/// assert_eq!(weight.value().sum(), 12.0);
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # Errors
///
/// Pruning returns [`PruneError::AmountTooLarge`] if fewer entries remain than requested; nothing is drawn then.
///
/// # References
///
/// [`torch.nn.utils.prune.RandomUnstructured`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.RandomUnstructured.html).
#[derive(Debug, Clone, PartialEq)]
pub struct RandomUnstructured {
    amount: Amount,
    source: RandomSource,
    tie_break: TieBreak,
}

impl RandomUnstructured {
    /// Returns the method that prunes this amount of the remaining entries.
    ///
    /// # Errors
    ///
    /// [`PruneError::InvalidFraction`] if `amount` is a fraction or sparsity that is NaN or outside `0.0..=1.0`.
    pub fn new(amount: impl Into<Amount>, source: impl Into<RandomSource>) -> Result<Self, PruneError> {
        Ok(Self { amount: amount.into().validated()?, source: source.into(), tie_break: TieBreak::PyTorch })
    }

    /// Sets the order in which equal numbers of PyTorch's generator are pruned; PyTorch's order by default.
    ///
    /// The numbers of a seed have 40 bits, and equal ones are pruned by lowest index.
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
    fn options(&self) -> String {
        format!("amount={} source={} ties={}", self.amount, self.source, self.tie_break)
    }
}

impl BuiltIn for RandomUnstructured {
    fn request(&self, _: &[&str]) -> Result<Request, PruneError> {
        Ok(Request::Random { amount: self.amount, source: self.source.clone(), tie_break: self.tie_break })
    }
}

impl Named for RandomUnstructured {
    const NAMES: &'static [&'static str] = &["random", "random_unstructured"];
    const SUMMARY: &'static str = "Prune entries at random";
    const OPTIONS: &'static [MethodOption] = &[MethodOption::Amount, MethodOption::Source, MethodOption::TieBreak];
    const RANKS_GLOBALLY: bool = true;

    fn from_options(options: &MethodOptions) -> Result<Self, PruneError> {
        let method = Self::new(options.needed_amount("random")?, options.source_or_default())?;
        Ok(method.tie_break(options.tie_break.unwrap_or(TieBreak::PyTorch)))
    }
}
