use crate::amount::Amount;
use crate::error::PruneError;
use crate::method::candidates::Remaining;
use crate::method::request::{By, Request};
use crate::method::{BuiltIn, Describe, RandomSource};
use crate::pruning_type::PruningType;

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
}

impl BuiltIn for RandomStructured {
    fn request(&self, mut left: Remaining<'_>) -> Result<Request, PruneError> {
        let (channels, left) = left.channels();
        let count = self.amount.count_of(left.len(), "channels")?;
        Ok(Request::Channels { channels, left, count, by: By::Random(self.source.clone()) })
    }
}
