//! What a method decided, before anything has changed: the line between computing and committing.

use std::sync::Arc;

use ndarray::{CowArray, IxDyn};

use crate::Element;
use crate::candidates::flat;
use crate::channels::Channels;
use crate::chunk::{Position, count_true};
use crate::draw::Draw;
use crate::key::{Key, Ranked};
use crate::select::Cut;

/// What is to be pruned, not yet carried out.
///
/// A decision only ever clears entries of a mask, so that no method can bring a pruned entry back, and carrying it out
/// cannot fail, so that an error leaves everything as it was.
#[derive(Debug)]
pub enum Decision<'m, A: Element> {
    /// Nothing is pruned.
    Keep,
    /// The scores up to a cut.
    Cut(Cut<A::Key>),
    /// Who drew the lowest numbers.
    Draw(Arc<Draw>),
    /// Candidate by candidate, in order.
    Candidates(Chosen),
    /// Whole channels of the only tensor: true = pruned.
    Channels(Channels, Vec<bool>),
    /// Whatever this mask of the only tensor, in standard layout, does not keep.
    Mask(CowArray<'m, bool, IxDyn>),
}

/// Where a chunk lies.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Its number among all chunks.
    pub index: usize,
    /// Its first entry.
    pub start: Position,
}

impl<A: Element> Decision<'_, A> {
    /// Clears what is pruned in one chunk of a mask. The mask comes as it was when the decision was made.
    pub fn clear(&self, place: Place, scores: &[A], mask: &mut [bool]) {
        match self {
            Self::Keep => {}
            Self::Cut(cut) => {
                // Up to the end of the cut, equals are pruned, and behind it they are kept.
                let (before, behind) = scores.split_at(place.start.before(cut.end, scores.len()));
                let (mask_before, mask_behind) = mask.split_at_mut(before.len());
                keep_from(cut.key + A::Key::ONE, before, mask_before);
                keep_from(cut.key, behind, mask_behind);
            }
            Self::Draw(draw) => draw.clear(place.index, mask),
            Self::Candidates(chosen) => chosen.clear(place.index, mask),
            Self::Channels(channels, pruned) => channels.clear(pruned, place.start.offset, mask),
            Self::Mask(keep) => {
                let keep = &flat(keep)[place.start.offset..];
                mask.iter_mut().zip(keep).for_each(|(kept, keep)| *kept &= keep);
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
pub struct Chosen {
    /// True = pruned.
    pruned: Vec<bool>,
    /// How many candidates come before each chunk.
    starts: Vec<usize>,
}

impl Chosen {
    /// The choice for all living entries of the candidates.
    pub fn new<A: Element>(pruned: Vec<bool>, candidates: &crate::candidates::Candidates<'_, A>) -> Self {
        let segments = candidates.segments();
        let living = crate::chunk::chunks(&segments)
            .into_iter()
            .map(|chunk| chunk.alive.map_or(chunk.scores.len(), count_true))
            .collect::<Vec<_>>();
        Self { pruned, starts: running_sum(&living).collect() }
    }

    fn clear(&self, index: usize, mask: &mut [bool]) {
        let living = mask.iter_mut().filter(|kept| **kept);
        living.zip(&self.pruned[self.starts[index]..]).for_each(|(kept, pruned)| *kept = !pruned);
    }
}

/// The sum of all that come before, for each.
pub(crate) fn running_sum(counts: &[usize]) -> impl Iterator<Item = usize> {
    counts.iter().scan(0, |sum, count| Some(std::mem::replace(sum, *sum + count)))
}
