//! What methods request for, as data; and how it is decided, wherever the entries are.

use std::sync::Arc;

use crate::element::Element;
use crate::key::{Key, Ranked};
use crate::mask::Mask;
use crate::method::RandomSource;
use crate::method::candidates::Candidates;
use crate::method::decision::{Decision, PrunedCandidates};
use crate::score::Norm;
use crate::select::random::RandomSubset;
use crate::select::scores::Scores;
use crate::select::{TieBreak, lowest_keys, lowest_of};
use crate::tensor::channels::Channels;
use crate::tensor::groups::Groups;
use crate::torch;

/// What a method asks for, before it has seen a single score. Amounts have become counts, and all that could be refused has
/// been: from here on, only entries that cannot be read are an error.
#[derive(Debug, Clone)]
pub enum Request {
    /// That nothing is pruned.
    Nothing,
    /// The entries of lowest magnitude.
    Lowest { count: usize, tie_break: TieBreak },
    /// Entries at random.
    Random { count: usize, source: RandomSource, tie_break: TieBreak },
    /// So many of the channels with an entry left.
    Channels { channels: Channels, left: Vec<usize>, count: usize, by: By },
    /// Of each group all but the entries of highest magnitude, of which so many are kept.
    Groups { groups: Groups, keep: usize, score: Score },
    /// Whatever this mask of the only tensor, in standard layout, does not keep.
    Mask(Arc<Mask>),
}

/// How scores are read to decide what goes.
#[cfg(feature = "safetensors")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// Not at all: what goes is found where it is carried out, chunk by chunk.
    Nothing,
    /// In any pieces.
    Pieces,
    /// In rows of the first axis.
    Rows,
    /// All of a tensor at once.
    Whole,
}

/// What ranks an entry.
#[derive(Debug, Clone)]
pub enum Score {
    Magnitude,
    /// The magnitude times a factor for the place along the last axis.
    Scaled(Arc<[f32]>),
}

/// What ranks channels.
#[derive(Debug, Clone)]
pub enum By {
    Norm(Norm, TieBreak),
    Random(RandomSource),
}

impl Request {
    /// How many units are to go, where that is one number.
    pub fn count(&self) -> Option<usize> {
        match *self {
            Self::Nothing => Some(0),
            Self::Lowest { count, .. } | Self::Random { count, .. } | Self::Channels { count, .. } => Some(count),
            Self::Groups { .. } | Self::Mask(_) => None,
        }
    }

    /// How many of `entries` will be pruned where `before` are so far, if that is known without looking.
    #[cfg(feature = "safetensors")]
    pub fn pruned(&self, entries: usize, before: usize) -> Option<usize> {
        match self {
            Self::Nothing => Some(before),
            Self::Lowest { count, .. } => Some(before + count),
            // A generator may take one more than asked, but not among entries.
            Self::Random { count, .. } => Some(before + count),
            Self::Channels { count: 0, .. } => Some(before),
            Self::Channels { channels, count, .. } => (before == 0).then(|| count * channels.size()),
            Self::Groups { groups, keep, .. } => (before == 0).then(|| entries - entries / groups.size() * keep),
            Self::Mask(_) => None,
        }
    }

    /// The same for a tensor that has a seed of its own.
    #[cfg(feature = "safetensors")]
    pub fn reseeded(mut self, own: impl FnOnce(u64) -> u64) -> Self {
        if let Self::Random { source: RandomSource::Seed(seed), .. }
        | Self::Channels { by: By::Random(RandomSource::Seed(seed)), .. } = &mut self
        {
            *seed = own(*seed);
        }
        self
    }

    /// How scores are read before the first entry goes.
    #[cfg(feature = "safetensors")]
    pub fn reads(&self) -> Reads {
        match self {
            Self::Lowest { count: 0, .. } | Self::Channels { count: 0, .. } => Reads::Nothing,
            Self::Lowest { .. } => Reads::Pieces,
            Self::Channels { channels, by: By::Norm(..), .. } if channels.axis == 0 => Reads::Rows,
            Self::Channels { by: By::Norm(..), .. } => Reads::Whole,
            Self::Channels { by: By::Random(_), .. } => Reads::Nothing,
            Self::Nothing | Self::Random { .. } | Self::Groups { .. } | Self::Mask(_) => Reads::Nothing,
        }
    }

    /// What of it takes memory for every entry, or depends on the order of tensors: not for files.
    #[cfg(feature = "safetensors")]
    pub fn only_in_memory(&self) -> Option<&'static str> {
        match self {
            Self::Lowest { tie_break: TieBreak::PyTorch, .. }
            | Self::Channels { by: By::Norm(_, TieBreak::PyTorch), .. } => Some("TieBreak::PyTorch"),
            Self::Random { source: RandomSource::Torch(_), .. }
            | Self::Channels { by: By::Random(RandomSource::Torch(_)), .. } => Some("torch::Generator"),
            Self::Mask(_) => Some("CustomFromMask"),
            Self::Nothing | Self::Lowest { .. } | Self::Random { .. } | Self::Channels { .. } | Self::Groups { .. } => {
                None
            }
        }
    }

    /// Decides which entries go.
    pub(crate) fn decide<A: Element, C: Candidates<A>>(&self, candidates: &C) -> Result<Decision<A>, C::Error> {
        if self.count() == Some(0) {
            return Ok(Decision::Keep);
        }
        Ok(match self {
            Self::Nothing => Decision::Keep,
            &Self::Lowest { count, tie_break } => {
                let cut = lowest_of(candidates.scores(), count)?;
                if cut.tie && tie_break == TieBreak::PyTorch {
                    let keys = left_keys(candidates.scores())?;
                    let chosen = PrunedCandidates::new(torch::first_k(&keys, count), &candidates.left_in_chunks()?);
                    return Ok(Decision::Candidates(chosen));
                }
                Decision::Lowest(cut)
            }
            Self::Random { count, source: RandomSource::Seed(seed), .. } => {
                let entries = candidates.scores().entries();
                Decision::Random(Arc::new(RandomSubset::of(*seed, &candidates.left_in_chunks()?, entries, *count)))
            }
            Self::Random { count, source: RandomSource::Torch(generator), tie_break } => {
                let left = candidates.left_in_chunks()?;
                // PyTorch prunes the largest of its numbers, drawn in the type of the tensor.
                let draws = generator.draw::<A>(left.iter().sum());
                let keys: Vec<A::Key> = draws.into_iter().map(|u| u.key().reversed()).collect();
                let (mut pruned, tie) = lowest_keys(&keys, *count);
                if tie && *tie_break == TieBreak::PyTorch {
                    pruned = torch::first_k(&keys, *count);
                }
                Decision::Candidates(PrunedCandidates::new(pruned, &left))
            }
            Self::Channels { channels, left, count, by } => {
                let lowest = match by {
                    &By::Norm(norm, tie_break) => {
                        let norms = candidates.norms(channels, left, norm)?;
                        let keys: Vec<A::Key> = norms.into_iter().map(Ranked::key).collect();
                        let (lowest, tie) = lowest_keys(&keys, *count);
                        if tie && tie_break == TieBreak::PyTorch {
                            // PyTorch selects the channels that it keeps, and equal norms fall accordingly.
                            let highest: Vec<A::Key> = keys.iter().map(|key| key.reversed()).collect();
                            torch::first_k(&highest, keys.len() - count).into_iter().map(|kept| !kept).collect()
                        } else {
                            lowest
                        }
                    }
                    By::Random(RandomSource::Seed(seed)) => RandomSubset::among(*seed, left.len(), *count),
                    By::Random(RandomSource::Torch(generator)) => {
                        // One f32 per channel, whatever the type of the tensor, and everything up to the threshold goes.
                        let keys: Vec<u32> = generator.draw::<f32>(left.len()).into_iter().map(f32::key).collect();
                        let threshold = *keys.clone().select_nth_unstable(count - 1).1;
                        keys.into_iter().map(|key| key <= threshold).collect()
                    }
                };
                let mut pruned = vec![false; channels.len];
                left.iter().zip(lowest).for_each(|(&channel, lowest)| pruned[channel] = lowest);
                Decision::Channels(*channels, pruned)
            }
            Self::Groups { groups, keep, score } => Decision::Groups(*groups, *keep, score.clone()),
            Self::Mask(mask) => Decision::Mask(Arc::clone(mask)),
        })
    }
}

/// The keys of the entries that are left, in order.
fn left_keys<S: Scores + ?Sized>(scores: &S) -> Result<Vec<<S::Score as Ranked>::Key>, S::Error> {
    let mut keys = Vec::new();
    for piece in 0..scores.pieces() {
        scores.with(piece, |chunk| keys.extend(chunk.keys().filter(|&key| key != Key::MAX)))?;
    }
    Ok(keys)
}
