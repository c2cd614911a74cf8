//! Candidates: the remaining entries of one tensor or of several, in memory or in a file.

use std::convert::Infallible;
use std::ops::Range;

use ndarray::ArrayViewD;
use num_traits::Zero;

use crate::element::Element;
use crate::error::PruneError;
use crate::method::request::{Remaining, Request};
use crate::method::resolved::ResolvedRequest;
use crate::score::group::GroupScore;
use crate::score::{Norm, norm};
use crate::select::scores::Scores;
use crate::tensor::channels::Channels;
use crate::tensor::chunk::{CHUNK, Chunk, Position, Segment, chunks, count_true};
use crate::tensor::numbered::NumberedGroups;
use crate::tensor::{STANDARD, flat, parallel};

/// The entries that a request is carried out on, where they lie: nothing is gathered or concatenated.
pub(crate) trait Candidates<A: Element> {
    /// The reason why entries cannot be read.
    type Error: Send;
    /// The scores of all tensors, in the order of the call.
    type Scores: Scores<Score = A, Error = Self::Error> + ?Sized;

    /// The scores of all tensors.
    fn scores(&self) -> &Self::Scores;
    /// The number of remaining entries in each chunk.
    fn remaining_in_chunks(&self) -> Result<Vec<usize>, Self::Error>;
    /// The norms of channels of the only tensor, for which they are [defined](Norm::check).
    fn norms(&self, channels: &Channels, remaining: &[usize], norm: Norm) -> Result<Vec<A>, Self::Error>;
    /// The scores of groups of the only tensor, those with more than `keep` remaining entries. Pruned entries are zeros.
    fn group_scores(
        &self,
        groups: &NumberedGroups,
        by: GroupScore,
        keep: usize,
    ) -> Result<GroupScores<A::Accumulator>, Self::Error>;
    /// Calls `f` with the scores of neighbouring entries of the only tensor.
    fn with_range<R>(
        &self,
        range: Range<usize>,
        f: impl FnOnce(&Self::Scores) -> Result<R, Self::Error>,
    ) -> Result<R, Self::Error>;
    /// Calls `f` with all scores of the only tensor, in standard layout, and with its mask if something is pruned.
    fn with_tensor<R>(&self, f: impl FnOnce(ArrayViewD<'_, A>, Option<&[bool]>) -> R) -> Result<R, Self::Error>;
}

/// The scores of groups, in order.
#[derive(Debug)]
pub struct GroupScores<R> {
    pub scores: Vec<R>,
    /// `true` for a group that may be pruned; `None` if all may.
    pub open: Option<Vec<bool>>,
}

/// Candidates in memory.
#[derive(Debug)]
pub struct MemoryCandidates<'a, A> {
    /// The tensors, in the order of the call; at least one.
    tensors: Vec<TensorCandidates<'a, A>>,
    chunks: Vec<Chunk<'a, A>>,
    /// The number of remaining entries.
    remaining: usize,
    /// `true` for a tensor of which nothing was pruned before: a custom method sees it as a whole.
    pub is_untouched: bool,
}

/// One tensor of [`MemoryCandidates`].
#[derive(Debug)]
pub struct TensorCandidates<'a, A> {
    /// In standard layout.
    pub scores: ArrayViewD<'a, A>,
    /// The mask so far, in standard layout; `None` if nothing is pruned.
    pub remaining: Option<ArrayViewD<'a, bool>>,
}

impl<'a, A: Element> MemoryCandidates<'a, A> {
    /// The remaining entries of these tensors.
    pub fn new(tensors: Vec<TensorCandidates<'a, A>>) -> Self {
        let segments: Vec<_> = tensors.iter().map(TensorCandidates::segment).collect();
        let mut candidates = Self { tensors, chunks: chunks(&segments), remaining: 0, is_untouched: false };
        candidates.remaining = candidates.count_in_chunks().into_iter().sum();
        candidates
    }

    /// All entries of a tensor of which nothing was pruned before.
    pub fn untouched(scores: ArrayViewD<'a, A>) -> Self {
        let tensor = TensorCandidates { scores, remaining: None };
        let chunks = chunks(&[tensor.segment()]);
        Self { remaining: tensor.scores.len(), chunks, tensors: vec![tensor], is_untouched: true }
    }

    /// The first tensor, which is the only one outside global pruning.
    pub fn tensor(&self) -> &TensorCandidates<'a, A> {
        &self.tensors[0]
    }

    /// The request with its counts.
    pub fn resolve(&self, request: Request) -> Result<ResolvedRequest, PruneError> {
        let shapes: Vec<&[usize]> = self.tensors.iter().map(|tensor| tensor.scores.shape()).collect();
        let entries = self.tensors.iter().map(|tensor| tensor.scores.len()).sum();
        let dtype = (A::DTYPE, size_of::<A>());
        let tensors = Remaining { shapes: &shapes, dtype, entries, remaining: self.remaining };
        let remaining_channels = |channels: &Channels| Ok(self.remaining_channels(channels));
        let open_groups = |groups: &NumberedGroups, keep| Ok(self.open_groups(groups, keep));
        request.resolve(tensors, remaining_channels, open_groups, std::convert::identity)
    }

    /// The channels of the only tensor with a remaining entry.
    pub fn remaining_channels(&self, channels: &Channels) -> Vec<usize> {
        channels.remaining(self.tensor().remaining.as_ref().map(flat))
    }

    /// The number of groups of the only tensor with more than `keep` remaining entries.
    fn open_groups(&self, groups: &NumberedGroups, keep: usize) -> usize {
        let Segment { scores, remaining } = self.tensor().segment();
        let open = |part: &Range<usize>| groups.count_open(part.clone(), remaining.map(|all| &all[part.clone()]), keep);
        parallel::map(&groups.chunks(), scores.len(), open).into_iter().sum()
    }

    /// The scores of the remaining entries, in order.
    pub fn remaining_scores(&self) -> impl Iterator<Item = A> {
        self.chunks.iter().flat_map(|&Chunk { scores, remaining, .. }| {
            let remains = move |&(i, _): &(usize, &A)| remaining.is_none_or(|remaining| remaining[i]);
            scores.iter().enumerate().filter(remains).map(|(_, &score)| score)
        })
    }

    /// The number of remaining entries in each chunk.
    pub fn count_in_chunks(&self) -> Vec<usize> {
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
    fn remaining_in_chunks(&self) -> Result<Vec<usize>, Infallible> {
        Ok(self.count_in_chunks())
    }
    fn norms(&self, channels: &Channels, remaining: &[usize], norm: Norm) -> Result<Vec<A>, Infallible> {
        Ok(norm::norms(self.tensor().scores.view(), channels, remaining, norm))
    }
    fn group_scores(
        &self,
        groups: &NumberedGroups,
        by: GroupScore,
        keep: usize,
    ) -> Result<GroupScores<A::Accumulator>, Infallible> {
        let Segment { scores: entries, remaining } = self.tensor().segment();
        let remaining_in = |part: &Range<usize>| remaining.map(|all| &all[part.clone()]);
        let mut scores = vec![A::Accumulator::zero(); groups.count()];
        let (mut parts, mut rest) = (Vec::new(), &mut scores[..]);
        for part in groups.chunks() {
            let own;
            (own, rest) = rest.split_at_mut(groups.numbers(part.clone()).len());
            parts.push((part, own));
        }
        parallel::for_each(parts, entries.len(), |(part, scores)| {
            by.score(groups, part.clone(), &entries[part.clone()], remaining_in(&part), scores);
        });
        let open = |part: &Range<usize>| groups.open(part.clone(), remaining_in(part), keep);
        let all_open = remaining.is_none() && groups.are_all_open(keep);
        let open = (!all_open).then(|| parallel::map(&groups.chunks(), entries.len(), open).concat());
        Ok(GroupScores { scores, open })
    }
    fn with_range<R>(
        &self,
        range: Range<usize>,
        f: impl FnOnce(&Self::Scores) -> Result<R, Infallible>,
    ) -> Result<R, Infallible> {
        let Segment { scores, remaining } = self.tensor().segment();
        let starts = range.clone().step_by(CHUNK);
        let chunks: Vec<_> = starts
            .map(|offset| {
                let part = offset..(offset + CHUNK).min(range.end);
                let remaining = remaining.map(|remaining| &remaining[part.clone()]);
                Chunk { start: Position { segment: 0, offset }, scores: &scores[part], remaining }
            })
            .collect();
        f(&chunks)
    }
    fn with_tensor<R>(&self, f: impl FnOnce(ArrayViewD<'_, A>, Option<&[bool]>) -> R) -> Result<R, Infallible> {
        let TensorCandidates { scores, remaining } = self.tensor();
        Ok(f(scores.view(), remaining.as_ref().map(flat)))
    }
}

impl<'a, A> TensorCandidates<'a, A> {
    fn segment(&self) -> Segment<'a, A> {
        Segment { scores: slice(&self.scores), remaining: self.remaining.as_ref().map(slice) }
    }
}

/// The entries of a view in row-major order, for as long as what it borrows.
fn slice<'a, T>(view: &ArrayViewD<'a, T>) -> &'a [T] {
    view.to_slice().expect(STANDARD)
}
