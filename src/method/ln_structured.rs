use crate::amount::Amount;
use crate::error::PruneError;
use crate::method::candidates::Remaining;
use crate::method::request::{By, Request};
use crate::method::{BuiltIn, Describe};
use crate::pruning_type::PruningType;
use crate::score::Norm;
use crate::select::TieBreak;

/// Prunes the channels of lowest norm, as
/// [`torch.nn.utils.prune.LnStructured`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.LnStructured.html).
///
/// Norms come out as PyTorch computes them, to the last bit ([`channel_norms`](crate::channel_norms)), and a NaN norm ranks
/// highest. Exactly the asked number of channels goes; among equal norms the channel with the lowest index goes first,
/// unless [`tie_break`](Self::tie_break) says otherwise. Half-precision norms are rounded, so they are often equal.
///
/// ```
/// use prune::{LnStructured, Parameter};
///
/// let mut weight = Parameter::new(ndarray::arr2(&[[1.0_f32, 1.0], [0.5, -1.0], [2.0, 0.0]]));
/// weight.prune(LnStructured::new(1, 2, 0)?)?;
/// assert_eq!(weight.value(), &ndarray::arr2(&[[1.0, 1.0], [0.0, -0.0], [2.0, 0.0]]).into_dyn());
/// # Ok::<(), prune::PruneError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct LnStructured {
    amount: Amount,
    norm: Norm,
    dim: isize,
    tie_break: TieBreak,
}

impl LnStructured {
    /// Prunes this share or number of the channels along `dim` that have an entry left.
    ///
    /// # Errors
    ///
    /// [`PruneError::InvalidFraction`], [`PruneError::InvalidNorm`].
    pub fn new(amount: impl Into<Amount>, norm: impl Into<Norm>, dim: isize) -> Result<Self, PruneError> {
        let amount = amount.into().validated()?;
        Ok(Self { amount, norm: norm.into().validated()?, dim, tie_break: TieBreak::default() })
    }

    /// Sets which of several channels of equal norm goes first.
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
}

impl BuiltIn for LnStructured {
    fn request(&self, mut ask_of: Remaining<'_>) -> Result<Request, PruneError> {
        let (channels, left) = ask_of.channels();
        let count = self.amount.count_of(left.len(), "channels")?;
        // A norm that is not defined here is an error for every amount.
        self.norm.check(ask_of.dtype, ask_of.shape, &channels)?;
        Ok(Request::Channels { channels, left, count, by: By::Norm(self.norm, self.tie_break) })
    }
}
