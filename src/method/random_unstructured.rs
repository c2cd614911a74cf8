use std::sync::Arc;

use ndarray::ArrayViewD;

use super::{BuiltIn, Describe, PruningMethod, PruningType, built_in_mask};
use crate::candidates::Candidates;
use crate::decision::{Chosen, Decision};
use crate::draw::Draw;
use crate::key::Key;
use crate::{Amount, Element, Mask, PruneError, RandomSource, TieBreak, select, torch};

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
        Ok(Self {
            amount: PruneError::check_amount(amount.into())?,
            source: source.into(),
            tie_break: TieBreak::PyTorch,
        })
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

impl<A: Element> PruningMethod<A> for RandomUnstructured {
    fn compute_mask(&self, scores: ArrayViewD<'_, A>, default_mask: ArrayViewD<'_, bool>) -> Result<Mask, PruneError> {
        built_in_mask(self, scores, default_mask)
    }
    fn built_in(&self) -> Option<&dyn BuiltIn<A>> {
        Some(self)
    }
}

impl<A: Element> BuiltIn<A> for RandomUnstructured {
    fn decide(&self, candidates: &Candidates<'_, A>) -> Result<Decision<'_, A>, PruneError> {
        let count = self.amount.count(candidates.count)?;
        if count == 0 {
            return Ok(Decision::Keep);
        }
        match &self.source {
            RandomSource::Seed(seed) => Ok(Decision::Draw(Arc::new(Draw::new(*seed, &candidates.segments(), count)))),
            RandomSource::Torch(generator) => {
                // PyTorch prunes the largest of its numbers, drawn in the type of the tensor.
                let draws = generator.draw::<A>(candidates.count);
                let keys: Vec<A::Key> = draws.into_iter().map(|u| u.key().reversed()).collect();
                let (mut pruned, tie) = select::lowest_keys(&keys, count);
                if tie && self.tie_break == TieBreak::PyTorch {
                    pruned = torch::first_k(&keys, count);
                }
                Ok(Decision::Candidates(Chosen::new(pruned, candidates)))
            }
        }
    }
}
