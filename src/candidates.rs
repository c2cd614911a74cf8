//! What a method may choose from: the entries that are not pruned yet, of one tensor or of many.

use ndarray::{ArrayBase, ArrayViewD, Data, IxDyn};

use crate::channels::Channels;
use crate::{Element, PruneError};

/// The entries that a method may choose from, where they lie: nothing is gathered or concatenated.
#[derive(Debug)]
pub struct Candidates<'a, A> {
    /// The tensors, in the order of the call.
    pub segments: Vec<Segment<'a, A>>,
    /// How many entries there are to choose from.
    pub count: usize,
}

/// One tensor of [`Candidates`].
#[derive(Debug)]
pub struct Segment<'a, A> {
    /// In row-major (standard) layout.
    pub scores: ArrayViewD<'a, A>,
    /// The mask so far, in standard layout too; `None` where nothing is pruned.
    pub alive: Option<ArrayViewD<'a, bool>>,
}

impl<'a, A: Element> Candidates<'a, A> {
    pub fn new(segments: Vec<Segment<'a, A>>) -> Self {
        let count = segments.iter().map(Segment::count).sum();
        Self { segments, count }
    }

    /// All entries of one tensor.
    pub fn whole(scores: ArrayViewD<'a, A>) -> Self {
        Self::new(vec![Segment { scores, alive: None }])
    }

    /// The channels of the only tensor along `dim`, and which of them have an entry left.
    pub fn channels(&self, dim: isize) -> Result<(Channels, Vec<usize>), PruneError> {
        let segment = &self.segments[0];
        let channels = Channels::of(segment.scores.shape(), dim)?;
        let living = channels.living(segment.alive());
        Ok((channels, living))
    }

    /// The scores of the entries that are left, in order.
    pub fn living(&self) -> impl Iterator<Item = A> {
        self.segments.iter().flat_map(|segment| {
            let alive = segment.alive();
            segment.flat().iter().enumerate().filter(move |(i, _)| alive.is_none_or(|alive| alive[*i])).map(|(_, &x)| x)
        })
    }
}

impl<A: Element> Segment<'_, A> {
    /// The scores in row-major order.
    pub fn flat(&self) -> &[A] {
        flat(&self.scores)
    }

    /// The mask so far in row-major order.
    pub fn alive(&self) -> Option<&[bool]> {
        self.alive.as_ref().map(flat)
    }

    fn count(&self) -> usize {
        match self.alive() {
            Some(alive) => alive.iter().filter(|&&alive| alive).count(),
            None => self.scores.len(),
        }
    }
}

/// The elements of an array in row-major order.
pub(crate) fn flat<T, S: Data<Elem = T>>(array: &ArrayBase<S, IxDyn>) -> &[T] {
    // Parameters, masks and scores are brought into standard layout where they enter the crate.
    array.as_slice().expect("arrays inside the crate are in standard layout")
}
