//! The source of the numbers of random methods.

use std::fmt;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::hash::fnv1a;
use crate::torch::Generator;

/// The source of the numbers of a random method: a value that the method holds, never a hidden state.
///
/// | made from | what it means |
/// |---|---|
/// | a `u64` | a seed of ChaCha8[^1]: the same mask every time, on every platform and for any number of threads |
/// | `&mut R` of any [`rand::Rng`] | one seed drawn there and then |
/// | [`torch::Generator`](crate::torch::Generator), owned or borrowed | a handle on PyTorch's stream: each use advances it, and the masks are PyTorch's |
///
/// Masks of a seed are part of the crate's stability promise: they change only with a major version.
///
/// ```
/// use prune::{RandomSource, torch};
///
/// let seed = RandomSource::from(42);
/// let drawn = RandomSource::from(&mut rand::rng());
/// let shared = RandomSource::from(&torch::Generator::manual_seed(888));
/// ```
///
/// [^1]: D. J. Bernstein, [ChaCha, a variant of Salsa20](https://cr.yp.to/chacha.html) (2008), with 8 rounds.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RandomSource {
    /// The seed of ChaCha8.
    Seed(u64),
    /// A handle on PyTorch's generator.
    Torch(Generator),
}

impl From<u64> for RandomSource {
    fn from(seed: u64) -> Self {
        Self::Seed(seed)
    }
}

impl<R: Rng + ?Sized> From<&mut R> for RandomSource {
    fn from(rng: &mut R) -> Self {
        Self::Seed(rng.next_u64())
    }
}

impl From<Generator> for RandomSource {
    fn from(generator: Generator) -> Self {
        Self::Torch(generator)
    }
}

impl From<&Generator> for RandomSource {
    fn from(generator: &Generator) -> Self {
        Self::Torch(generator.clone())
    }
}

/// The seed, or `torch` and the address of the generator.
impl fmt::Display for RandomSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seed(seed) => write!(f, "{seed}"),
            Self::Torch(generator) => write!(f, "torch:{:x}", generator.address()),
        }
    }
}

/// Returns a seed for one of several tensors that are pruned at random, by its name.
///
/// Tensors of one shape then differ, and the mask of a tensor does not depend on the others. Checkpoints are pruned so, unless
/// all tensors are ranked together: with this seed, [`RandomUnstructured`](crate::RandomUnstructured) and
/// [`RandomStructured`](crate::RandomStructured) give a tensor the same mask in memory. The seed consists of the first eight
/// bytes, in little-endian order, that ChaCha8 generates for `seed` in the stream with the number of the 64-bit FNV-1a hash of
/// the name.
///
/// ```
/// use prune::tensor_seed;
///
/// assert_ne!(tensor_seed(42, "0.weight"), tensor_seed(42, "1.weight"));
/// ```
pub fn tensor_seed(seed: u64, tensor: &str) -> u64 {
    let mut stream = ChaCha8Rng::seed_from_u64(seed);
    stream.set_stream(fnv1a(tensor.bytes()));
    stream.next_u64()
}
