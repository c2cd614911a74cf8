use ndarray::ArrayViewD;

use super::random_structured::channels_of;
use super::{BuiltIn, Describe, PruningMethod, PruningType, built_in_mask};
use crate::candidates::Candidates;
use crate::decision::Decision;
use crate::key::{Key, Ranked};
use crate::{Amount, Element, Mask, Norm, PruneError, TieBreak, norm, select, torch};

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
        let amount = PruneError::check_amount(amount.into())?;
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

impl<A: Element> PruningMethod<A> for LnStructured {
    fn compute_mask(&self, scores: ArrayViewD<'_, A>, default_mask: ArrayViewD<'_, bool>) -> Result<Mask, PruneError> {
        built_in_mask(self, scores, default_mask)
    }
    fn built_in(&self) -> Option<&dyn BuiltIn<A>> {
        Some(self)
    }
}

impl<A: Element> BuiltIn<A> for LnStructured {
    fn decide(&self, candidates: &Candidates<'_, A>) -> Result<Decision<'_, A>, PruneError> {
        let (channels, living) = candidates.channels(self.dim)?;
        let count = self.amount.count_of(living.len(), "channels")?;
        let scores = candidates.tensor().scores.view();
        // A norm that is not defined here is an error for every amount.
        self.norm.check::<A>(scores.shape(), &channels)?;
        if count == 0 {
            return Ok(Decision::Keep);
        }
        let norms = norm::norms(scores, &channels, &living, self.norm);
        let keys: Vec<A::Key> = norms.into_iter().map(Ranked::key).collect();
        let (mut lowest, tie) = select::lowest_keys(&keys, count);
        if tie && self.tie_break == TieBreak::PyTorch {
            // PyTorch selects the channels that it keeps, and equal norms fall accordingly.
            let highest: Vec<A::Key> = keys.iter().map(|key| key.reversed()).collect();
            lowest = torch::first_k(&highest, keys.len() - count).into_iter().map(|kept| !kept).collect();
        }
        Ok(Decision::Channels(channels, channels_of(&channels, &living, &lowest)))
    }
}
