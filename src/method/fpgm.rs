//! Pruning channels near the geometric median of all channels.

use crate::amount::Amount;
use crate::error::PruneError;
use crate::method::Describe;
use crate::method::built_in::BuiltIn;
use crate::method::registry::{MethodOptions, Named};
use crate::method::request::{ChannelScore, Request};
use crate::method_option::MethodOption;
use crate::pruning_type::PruningType;

/// Prunes the channels that the other channels can replace best: those nearest to the geometric median of all (FPGM).
///
/// Ranks the channels along `dim` that have a remaining entry by the sum of their Euclidean distances to each other, in `f64`.
/// Unlike a norm, this finds channels that are large but alike. [`score::fpgm`](crate::score::fpgm) returns the sums.
///
/// # Guarantees
///
/// - **Count:** exactly the requested number of channels is pruned.
/// - **Ties:** the channel with the lowest index is pruned first. **NaN** ranks highest: one NaN in the tensor makes all sums NaN.
/// - **Cost:** the square of the number of channels, times their size.
///
/// # Example
///
/// ```
/// use prune::{Fpgm, Parameter};
///
/// let mut weight = Parameter::new(ndarray::arr2(&[[5.0_f32, 5.0], [5.0, 6.0], [0.0, 0.0], [9.0, 9.0]]));
/// weight.prune(Fpgm::new(1, 0)?)?; // not the smallest, but one of the two that are alike
/// assert_eq!(weight.value(), &ndarray::arr2(&[[0.0, 0.0], [5.0, 6.0], [0.0, 0.0], [9.0, 9.0]]).into_dyn());
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # Errors
///
/// Pruning returns [`PruneError::AmountTooLarge`] if fewer channels remain than requested;
/// [`PruneError::TooFewDimensions`], [`PruneError::AxisOutOfRange`] and [`PruneError::TooManyChannels`] as
/// [`channel_norms`](crate::channel_norms) does.
///
/// # References
///
/// *Filter Pruning via Geometric Median for Deep Convolutional Neural Networks Acceleration* (2019),
/// <https://arxiv.org/abs/1811.00250>.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fpgm {
    amount: Amount,
    dim: isize,
}

impl Fpgm {
    /// Returns the method that prunes this amount of the remaining channels along `dim`; a negative `dim` counts from the
    /// last axis.
    ///
    /// # Errors
    ///
    /// [`PruneError::InvalidFraction`] if `amount` is a fraction or sparsity that is NaN or outside `0.0..=1.0`.
    pub fn new(amount: impl Into<Amount>, dim: isize) -> Result<Self, PruneError> {
        Ok(Self { amount: amount.into().validated()?, dim })
    }
}

impl Describe for Fpgm {
    fn name(&self) -> &str {
        "Fpgm"
    }
    fn pruning_type(&self) -> PruningType {
        PruningType::Structured { dim: self.dim }
    }
    fn options(&self) -> String {
        format!("amount={} dim={}", self.amount, self.dim)
    }
}

impl BuiltIn for Fpgm {
    fn request(&self, _: &[&str]) -> Result<Request, PruneError> {
        Ok(Request::Channels { dim: self.dim, amount: self.amount, by: ChannelScore::Distances })
    }
}

impl Named for Fpgm {
    const NAMES: &'static [&'static str] = &["fpgm"];
    const SUMMARY: &'static str = "Prune the channels nearest to the geometric median of all";
    const OPTIONS: &'static [MethodOption] = &[MethodOption::Amount, MethodOption::Dim];
    const RANKS_GLOBALLY: bool = false;

    fn from_options(options: &MethodOptions) -> Result<Self, PruneError> {
        Self::new(options.needed_amount("fpgm")?, options.dim_or_default())
    }
}
