//! What a method may choose from: the entries that are not pruned yet, of one tensor or of many, in memory or in a file.

use ndarray::ArrayViewD;

use crate::element::Element;
use crate::error::PruneError;
use crate::pruning_type::PruningType;
use crate::score::{Norm, norm};
use crate::select::scores::Scores;
use crate::tensor::channels::Channels;
use crate::tensor::chunk::{Chunk, Segment, chunks, count_true};
use crate::tensor::{STANDARD, flat, parallel};
use std::convert::Infallible;

/// Where the entries are that an [`Request`](crate::request::Request) is about. Nothing is gathered or concatenated.
pub(crate) trait Candidates<A: Element> {
    /// Why entries could not be looked at.
    type Error;
    /// The scores of all tensors, in the order of the call.
    type Scores: Scores<Score = A, Error = Self::Error> + ?Sized;

    fn scores(&self) -> &Self::Scores;
    /// How many entries are left in each chunk.
    fn left_in_chunks(&self) -> Result<Vec<usize>, Self::Error>;
    /// Norms of channels of the only tensor, for which they are [defined](Norm::check).
    fn norms(&self, channels: &Channels, left: &[usize], norm: Norm) -> Result<Vec<A>, Self::Error>;
}

/// What is left before a method is run: all that it knows when it says what it [asks](crate::method::BuiltIn::request) for.
#[derive(Debug)]
pub struct Remaining<'s> {
    /// The name of the only tensor, on files.
    pub name: Option<&'s str>,
    /// The shape of the only tensor, or of the first.
    pub shape: &'s [usize],
    /// The element type: its name and its size in bytes.
    pub dtype: (&'static str, usize),
    /// How many entries are left, of all tensors.
    pub entries: usize,
    /// For a structured method: the channels, and those with an entry left.
    pub channels: Option<(Channels, Vec<usize>)>,
}

impl Remaining<'_> {
    pub fn channels(&mut self) -> (Channels, Vec<usize>) {
        self.channels.take().expect("a structured method is told of channels")
    }
}

/// Entries in memory, where they lie.
#[derive(Debug)]
pub struct MemoryCandidates<'a, A> {
    /// The tensors, in the order of the call; at least one.
    tensors: Vec<Tensor<'a, A>>,
    chunks: Vec<Chunk<'a, A>>,
    /// How many entries there are to choose from.
    pub count: usize,
}

/// One tensor of [`MemoryCandidates`].
#[derive(Debug)]
pub struct Tensor<'a, A> {
    /// In row-major (standard) layout.
    pub scores: ArrayViewD<'a, A>,
    /// The mask so far, in standard layout too; `None` where nothing is pruned.
    pub remaining: Option<ArrayViewD<'a, bool>>,
}

impl<'a, A: Element> MemoryCandidates<'a, A> {
    pub fn new(tensors: Vec<Tensor<'a, A>>) -> Self {
        let segments: Vec<_> = tensors.iter().map(Tensor::segment).collect();
        let mut candidates = Self { tensors, chunks: chunks(&segments), count: 0 };
        candidates.count = candidates.left_in_each_chunk().into_iter().sum();
        candidates
    }

    /// All entries of one tensor.
    pub fn whole(scores: ArrayViewD<'a, A>) -> Self {
        let tensor = Tensor { scores, remaining: None };
        Self { count: tensor.scores.len(), chunks: chunks(&[tensor.segment()]), tensors: vec![tensor] }
    }

    /// The first tensor, which is the only one outside global pruning.
    pub fn tensor(&self) -> &Tensor<'a, A> {
        &self.tensors[0]
    }

    /// What is left for a method of this type.
    pub fn left(&self, kind: PruningType) -> Result<Remaining<'_>, PruneError> {
        let channels = kind.channels().map(|dim| self.channels(dim)).transpose()?;
        let shape = self.tensor().scores.shape();
        Ok(Remaining { name: None, shape, dtype: (A::DTYPE, size_of::<A>()), entries: self.count, channels })
    }

    /// The channels of the tensor along `dim`, and which of them have an entry left.
    pub fn channels(&self, dim: isize) -> Result<(Channels, Vec<usize>), PruneError> {
        let Tensor { scores, remaining } = self.tensor();
        let channels = Channels::of(scores.shape(), dim)?;
        let living = channels.remaining(remaining.as_ref().map(flat));
        Ok((channels, living))
    }

    /// The scores of the entries that are left, in order.
    pub fn living(&self) -> impl Iterator<Item = A> {
        self.chunks.iter().flat_map(|&Chunk { scores, remaining, .. }| {
            let lives = move |&(i, _): &(usize, &A)| remaining.is_none_or(|remaining| remaining[i]);
            scores.iter().enumerate().filter(lives).map(|(_, &score)| score)
        })
    }

    pub fn left_in_each_chunk(&self) -> Vec<usize> {
        let size = self.tensors.iter().map(|tensor| tensor.scores.len()).sum();
        parallel::map(&self.chunks, size, |chunk| chunk.remaining.map_or(chunk.scores.len(), count_true))
    }
}

impl<'a, A: Element> Candidates<A> for MemoryCandidates<'a, A> {
    type Error = Infallible;
    type Scores = [Chunk<'a, A>];

    fn scores(&self) -> &Self::Scores {
        &self.chunks
    }
    fn left_in_chunks(&self) -> Result<Vec<usize>, Infallible> {
        Ok(self.left_in_each_chunk())
    }
    fn norms(&self, channels: &Channels, left: &[usize], norm: Norm) -> Result<Vec<A>, Infallible> {
        Ok(norm::norms(self.tensor().scores.view(), channels, left, norm))
    }
}

impl<'a, A> Tensor<'a, A> {
    fn segment(&self) -> Segment<'a, A> {
        Segment {
            scores: self.scores.to_slice().expect(STANDARD),
            remaining: self.remaining.as_ref().map(|remaining| remaining.to_slice().expect(STANDARD)),
        }
    }
}
