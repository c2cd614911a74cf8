//! Pruning channels at random.

use crate::amount::Amount;
use crate::error::PruneError;
use crate::method::built_in::BuiltIn;
use crate::method::registry::{MethodOptions, Named};
use crate::method::request::{ChannelScore, Request};
use crate::method::{Describe, RandomSource};
use crate::method_option::MethodOption;
use crate::pruning_type::PruningType;

/// Prunes whole channels at random.
///
/// With a seed, exactly the requested number of channels is pruned. With a PyTorch generator, every channel that ties with
/// the threshold is pruned, as in PyTorch: about one call in 2^25 per channel then prunes more than requested.
///
/// # Example
///
/// ```
/// use prune::{Parameter, RandomStructured};
///
/// let mut weight = Parameter::new(ndarray::Array2::<f32>::ones((4, 3)));
/// weight.prune(RandomStructured::new(1, 0, 42)?)?;
/// assert_eq!(weight.value().sum(), 9.0);
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # Errors
///
/// Pruning returns [`PruneError::AmountTooLarge`] if fewer channels remain than requested,
/// [`PruneError::TooFewDimensions`] for vectors and [`PruneError::AxisOutOfRange`] if the tensor has no axis `dim`.
///
/// # References
///
/// [`torch.nn.utils.prune.RandomStructured`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.RandomStructured.html).
#[derive(Debug, Clone, PartialEq)]
pub struct RandomStructured {
    amount: Amount,
    dim: isize,
    source: RandomSource,
}

impl RandomStructured {
    /// Returns the method that prunes this amount of the remaining channels along `dim`; a negative `dim` counts from the
    /// last axis.
    ///
    /// # Errors
    ///
    /// [`PruneError::InvalidFraction`] if `amount` is a fraction or sparsity that is NaN or outside `0.0..=1.0`.
    pub fn new(amount: impl Into<Amount>, dim: isize, source: impl Into<RandomSource>) -> Result<Self, PruneError> {
        Ok(Self { amount: amount.into().validated()?, dim, source: source.into() })
    }
}

impl Describe for RandomStructured {
    fn name(&self) -> &str {
        "RandomStructured"
    }
    fn pruning_type(&self) -> PruningType {
        PruningType::Structured { dim: self.dim }
    }
    fn options(&self) -> String {
        format!("amount={} dim={} source={}", self.amount, self.dim, self.source)
    }
}

impl BuiltIn for RandomStructured {
    fn request(&self, _: &[&str]) -> Result<Request, PruneError> {
        Ok(Request::Channels { dim: self.dim, amount: self.amount, by: ChannelScore::Random(self.source.clone()) })
    }
}

impl Named for RandomStructured {
    const NAMES: &'static [&'static str] = &["random-structured", "random_structured"];
    const SUMMARY: &'static str = "Prune channels at random";
    const OPTIONS: &'static [MethodOption] = &[MethodOption::Amount, MethodOption::Dim, MethodOption::Source];
    const RANKS_GLOBALLY: bool = false;

    fn from_options(options: &MethodOptions) -> Result<Self, PruneError> {
        Self::new(options.needed_amount("random-structured")?, options.dim_or_default(), options.source_or_default())
    }
}
