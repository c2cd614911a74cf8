//! What a method decided, before anything has changed: the line between computing and committing.

use std::sync::Arc;

use ndarray::{ArrayD, ArrayViewD};

use crate::element::Element;
use crate::key::{Key, Ranked};
use crate::mask::Mask;
use crate::method::request::Score;
use crate::select::Threshold;
use crate::select::random::RandomSubset;
use crate::tensor::channels::Channels;
use crate::tensor::chunk::{CHUNK, Position, running_sum};
use crate::tensor::groups::Groups;
use crate::tensor::{flat, flat_mut, parallel};

/// What is to be pruned, not yet carried out.
///
/// A decision only ever clears entries of a mask, so that no method can bring a pruned entry back, and carrying it out
/// cannot fail, so that an error leaves everything as it was.
#[derive(Debug, Clone)]
pub enum Decision<A: Element> {
    /// Nothing is pruned.
    Keep,
    /// The scores up to a cut.
    Lowest(Threshold<A::Key>),
    /// Who drew the lowest numbers.
    Random(Arc<RandomSubset>),
    /// Candidate by candidate, in order.
    Candidates(Arc<PrunedCandidates>),
    /// Whole channels of the only tensor: true = pruned.
    Channels(Channels, Vec<bool>),
    /// Whatever this mask of the only tensor, in standard layout, does not keep.
    Mask(Arc<Mask>),
    /// Within each group all but so many.
    Groups(Groups, usize, Score),
}

/// Where a chunk lies.
#[derive(Clone, Copy, Debug)]
pub struct ChunkId {
    /// Its number among all chunks.
    pub index: usize,
    /// Its first entry.
    pub start: Position,
}

impl<A: Element> Decision<A> {
    /// A decision is carried out on stretches of so many entries, and a rest: a multiple of 8.
    pub fn stretch(&self) -> usize {
        match self {
            // Draws and choices are numbered by the chunk.
            Self::Keep
            | Self::Lowest(_)
            | Self::Random(_)
            | Self::Candidates(_)
            | Self::Channels(..)
            | Self::Mask(_) => CHUNK,
            Self::Groups(groups, ..) => {
                let stretch = groups.stretch();
                // A mask in bits is cut at bytes.
                let stretch = stretch << 3_u32.saturating_sub(stretch.trailing_zeros());
                CHUNK.next_multiple_of(stretch)
            }
        }
    }

    /// The same decision in another type.
    #[cfg(feature = "safetensors")]
    pub fn map_key<B: Element>(self, cut: impl FnOnce(Threshold<A::Key>) -> Threshold<B::Key>) -> Decision<B> {
        match self {
            Self::Keep => Decision::Keep,
            Self::Lowest(own) => Decision::Lowest(cut(own)),
            Self::Random(draw) => Decision::Random(draw),
            Self::Candidates(chosen) => Decision::Candidates(chosen),
            Self::Channels(channels, pruned) => Decision::Channels(channels, pruned),
            Self::Mask(mask) => Decision::Mask(mask),
            Self::Groups(groups, keep, score) => Decision::Groups(groups, keep, score),
        }
    }

    /// Whether [`clear`](Self::clear) looks at the scores.
    #[cfg(feature = "safetensors")]
    pub fn looks_at_scores(&self) -> bool {
        match self {
            Self::Keep | Self::Random(_) | Self::Candidates(_) | Self::Channels(..) | Self::Mask(_) => false,
            Self::Lowest(_) | Self::Groups(..) => true,
        }
    }

    /// The mask that is left of `default_mask` once the decision about these scores, of one shape with it, is carried out.
    pub fn mask(&self, default_mask: ArrayViewD<'_, bool>, scores: ArrayViewD<'_, A>) -> ArrayD<bool> {
        let stretch = self.stretch();
        let mut mask = default_mask.as_standard_layout().into_owned();
        parallel::for_each_chunk(flat_mut(&mut mask), flat(&scores), stretch, |offset, mask, scores| {
            self.clear(ChunkId { index: offset / stretch, start: Position { segment: 0, offset } }, scores, mask);
        });
        mask
    }

    /// Clears what is pruned in one chunk of a mask. The mask comes as it was when the decision was made.
    pub fn clear(&self, place: ChunkId, scores: &[A], mask: &mut [bool]) {
        match self {
            Self::Keep => {}
            Self::Lowest(cut) => {
                // Up to the end of the cut, equals are pruned, and behind it they are kept.
                let (before, behind) = scores.split_at(place.start.before(cut.end, scores.len()));
                let (mask_before, mask_behind) = mask.split_at_mut(before.len());
                keep_from(cut.key + A::Key::ONE, before, mask_before);
                keep_from(cut.key, behind, mask_behind);
            }
            Self::Random(draw) => draw.clear(place.index, mask),
            Self::Candidates(chosen) => chosen.clear(place.index, mask),
            Self::Channels(channels, pruned) => channels.clear(pruned, place.start.offset, mask),
            Self::Mask(keep) => {
                let keep = &flat(keep)[place.start.offset..];
                mask.iter_mut().zip(keep).for_each(|(kept, keep)| *kept &= keep);
            }
            Self::Groups(groups, keep, Score::Magnitude) => groups.keep_highest(*keep, |i| scores[i].key(), mask),
            Self::Groups(groups, keep, Score::Scaled(factors)) => {
                let factor = |i: usize| A::Accumulator::from(factors[(place.start.offset + i) % factors.len()]);
                groups.keep_highest(*keep, |i| (scores[i].widen_abs() * factor(i)).key(), mask);
            }
        }
    }
}

/// Keeps what ranks at or above a limit.
fn keep_from<A: Ranked>(limit: A::Key, scores: &[A], mask: &mut [bool]) {
    mask.iter_mut().zip(scores).for_each(|(kept, score)| *kept &= score.key() >= limit);
}

/// A choice for each candidate, in order.
#[derive(Debug)]
pub struct PrunedCandidates {
    /// True = pruned.
    pruned: Vec<bool>,
    /// How many candidates come before each chunk.
    starts: Vec<usize>,
}

impl PrunedCandidates {
    /// The choice for all living entries, of which there are so many in each chunk.
    pub fn new(pruned: Vec<bool>, left_in_chunks: &[usize]) -> Arc<Self> {
        Arc::new(Self { pruned, starts: running_sum(left_in_chunks).collect() })
    }

    fn clear(&self, index: usize, mask: &mut [bool]) {
        let living = mask.iter_mut().filter(|kept| **kept);
        living.zip(&self.pruned[self.starts[index]..]).for_each(|(kept, pruned)| *kept = !pruned);
    }
}
