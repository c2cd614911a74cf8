use ndarray::ArrayViewD;

use super::{BuiltIn, Describe, PruningMethod, PruningType, built_in_mask};
use crate::candidates::Candidates;
use crate::channels::Channels;
use crate::decision::Decision;
use crate::draw::Draw;
use crate::key::Ranked;
use crate::{Amount, Element, Mask, PruneError, RandomSource};

/// Prunes whole channels at random, as
/// [`torch.nn.utils.prune.RandomStructured`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.RandomStructured.html).
///
/// With a seed, exactly the asked number of channels goes. With PyTorch's generator the channels are PyTorch's, which goes
/// by a threshold: channels whose numbers equal the threshold all go, so that once in a long while one more goes than was
/// asked (about one in 2^25 per channel).
///
/// ```
/// use prune::{Parameter, RandomStructured};
///
/// let mut weight = Parameter::new(ndarray::Array2::<f32>::ones((4, 3)));
/// weight.prune(RandomStructured::new(1, 0, 42)?)?;
/// assert_eq!(weight.value().sum(), 9.0);
/// # Ok::<(), prune::PruneError>(())
/// ```
#[derive(Debug, Clone)]
pub struct RandomStructured {
    amount: Amount,
    dim: isize,
    source: RandomSource,
}

impl RandomStructured {
    /// Prunes this share or number of the channels along `dim` that have an entry left.
    ///
    /// # Errors
    ///
    /// [`PruneError::InvalidFraction`].
    pub fn new(amount: impl Into<Amount>, dim: isize, source: impl Into<RandomSource>) -> Result<Self, PruneError> {
        Ok(Self { amount: PruneError::check_amount(amount.into())?, dim, source: source.into() })
    }
}

impl Describe for RandomStructured {
    fn name(&self) -> &str {
        "RandomStructured"
    }
    fn pruning_type(&self) -> PruningType {
        PruningType::Structured { dim: self.dim }
    }
}

impl<A: Element> PruningMethod<A> for RandomStructured {
    fn compute_mask(&self, scores: ArrayViewD<'_, A>, default_mask: ArrayViewD<'_, bool>) -> Result<Mask, PruneError> {
        built_in_mask(self, scores, default_mask)
    }
    fn built_in(&self) -> Option<&dyn BuiltIn<A>> {
        Some(self)
    }
}

impl<A: Element> BuiltIn<A> for RandomStructured {
    fn decide(&self, candidates: &Candidates<'_, A>) -> Result<Decision<'_, A>, PruneError> {
        let (channels, living) = candidates.channels(self.dim)?;
        let count = self.amount.count_of(living.len(), "channels")?;
        if count == 0 {
            return Ok(Decision::Keep);
        }
        let lowest = match &self.source {
            RandomSource::Seed(seed) => Draw::among(*seed, living.len(), count),
            RandomSource::Torch(generator) => {
                // One f32 per channel, whatever the type of the tensor, and everything up to the threshold goes.
                let keys: Vec<u32> = generator.draw::<f32>(living.len()).into_iter().map(f32::key).collect();
                let threshold = *keys.clone().select_nth_unstable(count - 1).1;
                keys.into_iter().map(|key| key <= threshold).collect()
            }
        };
        Ok(Decision::Channels(channels, channels_of(&channels, &living, &lowest)))
    }
}

/// Spreads what was chosen among the living channels over all channels.
pub(super) fn channels_of(channels: &Channels, living: &[usize], chosen: &[bool]) -> Vec<bool> {
    let mut pruned = vec![false; channels.len];
    for (&channel, &chosen) in living.iter().zip(chosen) {
        pruned[channel] = chosen;
    }
    pruned
}
