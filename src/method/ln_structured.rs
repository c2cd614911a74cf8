//! Pruning channels by their norms.

use crate::amount::Amount;
use crate::error::PruneError;
use crate::method::Describe;
use crate::method::built_in::BuiltIn;
use crate::method::registry::{MethodOptions, Named};
use crate::method::request::{ChannelScore, Request};
use crate::method_option::MethodOption;
use crate::pruning_type::PruningType;
use crate::score::Norm;
use crate::select::TieBreak;

/// Prunes the channels with the lowest norms.
///
/// Ranks the channels along `dim` that have a remaining entry by the norm of their values; pruned entries count as zeros.
/// Norms are computed as PyTorch computes them, to the last bit: see [`channel_norms`](crate::channel_norms).
///
/// # Guarantees
///
/// - **Count:** exactly the requested number of channels is pruned.
/// - **Ties:** the channel with the lowest index is pruned first; see [`tie_break`](Self::tie_break) for PyTorch's order.
///   Norms of half-precision tensors are rounded to their type, so ties are common there.
/// - **NaN** norms rank highest, so their channels are pruned last.
///
/// # Example
///
/// ```
/// use prune::{LnStructured, Parameter};
///
/// let mut weight = Parameter::new(ndarray::arr2(&[[1.0_f32, 1.0], [0.5, -1.0], [2.0, 0.0]]));
/// weight.prune(LnStructured::new(1, 2, 0)?)?;
/// assert_eq!(weight.value(), &ndarray::arr2(&[[1.0, 1.0], [0.0, -0.0], [2.0, 0.0]]).into_dyn());
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # Errors
///
/// Pruning returns [`PruneError::AmountTooLarge`] if fewer channels remain than requested, and those of
/// [`channel_norms`](crate::channel_norms).
///
/// # References
///
/// [`torch.nn.utils.prune.LnStructured`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.LnStructured.html).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LnStructured {
    amount: Amount,
    norm: Norm,
    dim: isize,
    tie_break: TieBreak,
}

impl LnStructured {
    /// Returns the method that prunes this amount of the remaining channels along `dim`; a negative `dim` counts from the
    /// last axis.
    ///
    /// # Errors
    ///
    /// [`PruneError::InvalidFraction`] if `amount` is a fraction or sparsity that is NaN or outside `0.0..=1.0`;
    /// [`PruneError::InvalidNorm`] if the order of the norm is NaN.
    pub fn new(amount: impl Into<Amount>, norm: impl Into<Norm>, dim: isize) -> Result<Self, PruneError> {
        let (amount, norm) = (amount.into().validated()?, norm.into().validated()?);
        Ok(Self { amount, norm, dim, tie_break: TieBreak::default() })
    }

    /// Sets the order in which channels of equal norms are pruned.
    pub fn tie_break(self, tie_break: TieBreak) -> Self {
        Self { tie_break, ..self }
    }
}

impl Describe for LnStructured {
    fn name(&self) -> &str {
        "LnStructured"
    }
    fn pruning_type(&self) -> PruningType {
        PruningType::Structured { dim: self.dim }
    }
    fn options(&self) -> String {
        format!("amount={} norm={} dim={} ties={}", self.amount, self.norm, self.dim, self.tie_break)
    }
}

impl BuiltIn for LnStructured {
    fn request(&self, _: &[&str]) -> Result<Request, PruneError> {
        let by = ChannelScore::Norm(self.norm, self.tie_break);
        Ok(Request::Channels { dim: self.dim, amount: self.amount, by })
    }
}

impl Named for LnStructured {
    const NAMES: &'static [&'static str] = &["ln", "ln_structured"];
    const SUMMARY: &'static str = "Prune the channels with the lowest norms";
    const OPTIONS: &'static [MethodOption] =
        &[MethodOption::Amount, MethodOption::Dim, MethodOption::Norm, MethodOption::TieBreak];
    const RANKS_GLOBALLY: bool = false;

    fn from_options(options: &MethodOptions) -> Result<Self, PruneError> {
        let norm = options.norm.unwrap_or(Norm::L(2.0));
        let method = Self::new(options.needed_amount("ln")?, norm, options.dim_or_default())?;
        Ok(method.tie_break(options.tie_break.unwrap_or_default()))
    }
}
