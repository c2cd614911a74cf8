//! What a method may choose from: the entries that are not pruned yet, of one tensor or of many.

use ndarray::{ArrayBase, ArrayViewD, Data, DataMut, IxDyn};

use crate::channels::Channels;
use crate::chunk::{Segment, chunks, count_true};
use crate::{Element, PruneError, parallel};

/// The entries that a method may choose from, where they lie: nothing is gathered or concatenated.
#[derive(Debug)]
pub struct Candidates<'a, A> {
    /// The tensors, in the order of the call; at least one.
    tensors: Vec<Tensor<'a, A>>,
    /// How many entries there are to choose from.
    pub count: usize,
}

/// One tensor of [`Candidates`].
#[derive(Debug)]
pub struct Tensor<'a, A> {
    /// In row-major (standard) layout.
    pub scores: ArrayViewD<'a, A>,
    /// The mask so far, in standard layout too; `None` where nothing is pruned.
    pub alive: Option<ArrayViewD<'a, bool>>,
}

impl<'a, A: Element> Candidates<'a, A> {
    pub fn new(tensors: Vec<Tensor<'a, A>>) -> Self {
        let mut candidates = Self { tensors, count: 0 };
        let segments = candidates.segments();
        let chunks = chunks(&segments);
        let size = candidates.tensors.iter().map(|tensor| tensor.scores.len()).sum();
        let living = |chunk: &crate::chunk::Chunk<'_, A>| chunk.alive.map_or(chunk.scores.len(), count_true);
        candidates.count = parallel::map(&chunks, size, living).into_iter().sum();
        candidates
    }

    /// All entries of one tensor.
    pub fn whole(scores: ArrayViewD<'a, A>) -> Self {
        Self { count: scores.len(), tensors: vec![Tensor { scores, alive: None }] }
    }

    /// The first tensor, which is the only one outside global pruning.
    pub fn tensor(&self) -> &Tensor<'a, A> {
        &self.tensors[0]
    }

    /// The tensors as flat slices.
    pub fn segments(&self) -> Vec<Segment<'_, A>> {
        self.tensors.iter().map(Tensor::segment).collect()
    }

    /// The channels of the tensor along `dim`, and which of them have an entry left.
    pub fn channels(&self, dim: isize) -> Result<(Channels, Vec<usize>), PruneError> {
        let Tensor { scores, alive } = self.tensor();
        let channels = Channels::of(scores.shape(), dim)?;
        let living = channels.living(alive.as_ref().map(flat));
        Ok((channels, living))
    }

    /// The scores of the entries that are left, in order.
    pub fn living(&self) -> impl Iterator<Item = A> {
        self.segments().into_iter().flat_map(|Segment { scores, alive }| {
            let lives = move |&(i, _): &(usize, &A)| alive.is_none_or(|alive| alive[i]);
            scores.iter().enumerate().filter(lives).map(|(_, &score)| score)
        })
    }
}

impl<A> Tensor<'_, A> {
    fn segment(&self) -> Segment<'_, A> {
        Segment { scores: flat(&self.scores), alive: self.alive.as_ref().map(flat) }
    }
}

/// The elements of an array in row-major order.
pub(crate) fn flat<T, S: Data<Elem = T>>(array: &ArrayBase<S, IxDyn>) -> &[T] {
    array.as_slice().expect(STANDARD)
}

/// The elements of an array in row-major order, mutably.
pub(crate) fn flat_mut<T, S: DataMut<Elem = T>>(array: &mut ArrayBase<S, IxDyn>) -> &mut [T] {
    array.as_slice_mut().expect(STANDARD)
}

/// Parameters, masks and scores are brought into standard layout where they enter the crate.
const STANDARD: &str = "arrays inside the crate are in standard layout";
