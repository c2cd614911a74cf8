//! What a method decided, before anything has changed: the line between computing and committing.

use ndarray::{ArrayViewD, CowArray, IxDyn};

use crate::Element;
use crate::candidates::flat;
use crate::channels::Channels;
use crate::select::{Cut, Position};

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
    /// Candidate by candidate, in order: true = pruned.
    Candidates(Vec<bool>),
    /// Whole channels: true = pruned.
    Channels(Channels, Vec<bool>),
    /// Whatever this mask, in standard layout, does not keep.
    Mask(CowArray<'m, bool, IxDyn>),
}

/// How far the candidates have been walked, over one tensor or many.
#[derive(Debug, Default)]
pub struct Cursor {
    segment: usize,
    candidate: usize,
}

impl<A: Element> Decision<'_, A> {
    /// Clears what is pruned in the mask of the next tensor.
    pub fn clear(&self, cursor: &mut Cursor, scores: &[A], mask: &mut [bool]) {
        match self {
            Self::Keep => {}
            Self::Cut(cut) => {
                for (offset, (kept, score)) in mask.iter_mut().zip(scores).enumerate() {
                    *kept &= !cut.prunes(score.magnitude(), Position { segment: cursor.segment, offset });
                }
            }
            Self::Candidates(pruned) => {
                for kept in mask.iter_mut().filter(|kept| **kept) {
                    *kept = !pruned[cursor.candidate];
                    cursor.candidate += 1;
                }
            }
            Self::Channels(channels, pruned) => channels.clear(pruned, 0, mask),
            Self::Mask(keep) => {
                for (kept, keep) in mask.iter_mut().zip(flat(keep)) {
                    *kept &= keep;
                }
            }
        }
        cursor.segment += 1;
    }

    /// The mask that is left of `default_mask`.
    pub fn applied_to(&self, scores: &[A], default_mask: ArrayViewD<'_, bool>) -> crate::Mask {
        let mut mask = default_mask.as_standard_layout().into_owned();
        if let Some(mask) = mask.as_slice_mut() {
            self.clear(&mut Cursor::default(), scores, mask);
        }
        mask
    }
}
