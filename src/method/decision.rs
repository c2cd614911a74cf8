//! Decisions: the line between computing and committing.

use std::ops::Range;
use std::sync::Arc;

use ndarray::{ArrayD, ArrayViewD};

use crate::element::Element;
use crate::key::{Key, Ranked};
use crate::mask::Mask;
use crate::method::request::{Factors, Quota, Score};
use crate::select::in_groups::{clear_lowest, clear_lowest_scaled, clear_up_to};
use crate::select::random::RandomSubset;
use crate::select::scaled::{factors_from, scaled};
use crate::select::signed::signed_key;
use crate::select::{Threshold, TieBreak};
use crate::tensor::channels::Channels;
use crate::tensor::chunk::{CHUNK, Position, running_sum};
use crate::tensor::groups::Groups;
use crate::tensor::numbered::ChosenGroups;
use crate::tensor::{flat, flat_mut, parallel};
use crate::torch;

/// The entries to be pruned, with nothing changed yet.
///
/// A decision only clears entries of a mask, so that no method can revive a pruned entry, and carrying it out cannot fail,
/// so that an error leaves everything as it was.
#[derive(Debug, Clone)]
pub enum Decision<A: Element> {
    /// None.
    Keep,
    /// Magnitudes up to a threshold.
    Lowest(Threshold<A::Key>),
    /// Magnitudes up to a threshold for each range of the only tensor, which starts at the given entry.
    LowestInRanges(Vec<(usize, Threshold<A::Key>)>),
    /// Scaled magnitudes up to a threshold for each range, or for all tensors. Keys are those of `f64`.
    LowestScaled(Vec<(usize, Threshold<u64>)>, Arc<[Factors]>),
    /// The lowest of every group, ranked where the decision is carried out.
    InGroups(GroupRule),
    /// Whole groups of the only tensor.
    Groups(Arc<ChosenGroups>),
    /// A random subset.
    Random(Arc<RandomSubset>),
    /// Candidate by candidate, in order.
    Candidates(Arc<PrunedCandidates>),
    /// Whole channels of the only tensor: `true` = pruned.
    Channels(Channels, Vec<bool>),
    /// The entries of the only tensor that this mask does not keep.
    Mask(Arc<Mask>),
}

/// The place of a chunk.
#[derive(Clone, Copy, Debug)]
pub struct ChunkId {
    /// Its number among all chunks.
    pub index: usize,
    /// Its first entry.
    pub start: Position,
}

impl ChunkId {
    /// The place of the first chunk of the only tensor.
    pub const FIRST: Self = Self { index: 0, start: Position::START };

    /// The places of the first chunks of tensors of these lengths.
    pub fn of_tensors(lens: impl Iterator<Item = usize>) -> impl Iterator<Item = Self> {
        let starts = lens.scan(0, |next, len| Some(std::mem::replace(next, *next + len.div_ceil(CHUNK))));
        starts.enumerate().map(|(segment, index)| Self { index, start: Position { segment, offset: 0 } })
    }

    /// The place of the stretch that begins at `offset`, if this is the place of the first one of the tensor.
    pub fn at(self, offset: usize, stretch: usize) -> Self {
        Self { index: self.index + offset / stretch, start: Position { offset, ..self.start } }
    }
}

impl<A: Element> Decision<A> {
    /// The number of entries of which the parts must be multiples that the decision is carried out on.
    pub fn unit(&self) -> usize {
        match self {
            Self::Keep
            | Self::Lowest(_)
            | Self::LowestInRanges(_)
            | Self::LowestScaled(..)
            | Self::Channels(..)
            | Self::Groups(_)
            | Self::Mask(_) => 1,
            // Random subsets and candidates are numbered by the chunk.
            Self::Random(_) | Self::Candidates(_) => CHUNK,
            Self::InGroups(rule) => rule.groups.stretch(),
        }
    }

    /// The length of the stretches on which the decision is carried out, the last one of a tensor excepted.
    pub fn stretch(&self) -> usize {
        let unit = self.unit();
        // A mask of one bit per entry is cut at bytes, so stretches are multiples of 8.
        CHUNK.next_multiple_of(unit << 3_u32.saturating_sub(unit.trailing_zeros()))
    }

    /// The same decision in another element type; `threshold` converts the thresholds of magnitudes.
    #[cfg(feature = "safetensors")]
    pub fn map_key<B: Element>(self, threshold: impl Fn(Threshold<A::Key>) -> Threshold<B::Key>) -> Decision<B> {
        match self {
            Self::Keep => Decision::Keep,
            Self::Lowest(own) => Decision::Lowest(threshold(own)),
            Self::LowestInRanges(ranges) => {
                Decision::LowestInRanges(ranges.into_iter().map(|(start, own)| (start, threshold(own))).collect())
            }
            Self::LowestScaled(ranges, factors) => Decision::LowestScaled(ranges, factors),
            Self::InGroups(rule) => Decision::InGroups(rule),
            Self::Groups(chosen) => Decision::Groups(chosen),
            Self::Random(subset) => Decision::Random(subset),
            Self::Candidates(pruned) => Decision::Candidates(pruned),
            Self::Channels(channels, pruned) => Decision::Channels(channels, pruned),
            Self::Mask(mask) => Decision::Mask(mask),
        }
    }

    /// Returns `true` if [`clear`](Self::clear) reads the scores.
    #[cfg(feature = "safetensors")]
    pub fn reads_scores(&self) -> bool {
        match self {
            Self::Keep
            | Self::Random(_)
            | Self::Candidates(_)
            | Self::Channels(..)
            | Self::Groups(_)
            | Self::Mask(_) => false,
            Self::Lowest(_) | Self::LowestInRanges(_) | Self::LowestScaled(..) | Self::InGroups(_) => true,
        }
    }

    /// The mask that remains of `default_mask` after the decision about these scores, which have its shape and are in
    /// standard layout.
    pub fn mask(&self, default_mask: ArrayViewD<'_, bool>, scores: ArrayViewD<'_, A>) -> ArrayD<bool> {
        let mut mask = default_mask.as_standard_layout().into_owned();
        self.clear_tensor(ChunkId::FIRST, flat(&scores), flat_mut(&mut mask));
        mask
    }

    /// Clears the pruned entries of a whole tensor, whose first chunk has this place.
    pub fn clear_tensor(&self, first: ChunkId, scores: &[A], mask: &mut [bool]) {
        let stretch = self.stretch();
        parallel::for_each_chunk(mask, scores, stretch, |offset, mask, scores| {
            self.clear(first.at(offset, stretch), scores, mask);
        });
    }

    /// Clears the pruned entries in one chunk of a mask, which comes as it was when the decision was made.
    pub fn clear(&self, chunk: ChunkId, scores: &[A], mask: &mut [bool]) {
        match self {
            Self::Keep => {}
            Self::Lowest(threshold) => clear_up_to(threshold, chunk.start, scores, mask),
            Self::LowestInRanges(ranges) => in_ranges(ranges, chunk.start, mask.len(), |threshold, start, range| {
                clear_up_to(threshold, start, &scores[range.clone()], &mut mask[range]);
            }),
            Self::LowestScaled(ranges, factors) => {
                let factors = factors_from(&factors[chunk.start.segment], chunk.start.offset);
                let scores: Vec<f64> = scores.iter().zip(factors).map(|(&x, factor)| scaled(x, factor)).collect();
                in_ranges(ranges, chunk.start, mask.len(), |threshold, start, range| {
                    clear_up_to(threshold, start, &scores[range.clone()], &mut mask[range]);
                });
            }
            Self::InGroups(rule) => rule.clear(chunk.start.offset, scores, mask),
            Self::Groups(chosen) => chosen.clear(chunk.start.offset, mask),
            Self::Random(subset) => subset.clear(chunk.index, mask),
            Self::Candidates(pruned) => pruned.clear(chunk.index, mask),
            Self::Channels(channels, pruned) => channels.clear(pruned, chunk.start.offset, mask),
            Self::Mask(keep) => {
                let keep = &keep.as_slice()[chunk.start.offset..];
                mask.iter_mut().zip(keep).for_each(|(kept, keep)| *kept &= keep);
            }
        }
    }
}

/// Calls `f` for every range of which a part lies among the `len` entries from `start` on, with that part's first entry and
/// its range within the `len` entries.
fn in_ranges<T>(ranges: &[(usize, T)], start: Position, len: usize, mut f: impl FnMut(&T, Position, Range<usize>)) {
    let first = ranges.partition_point(|&(range, _)| range <= start.offset).saturating_sub(1);
    for (number, (range, threshold)) in ranges.iter().enumerate().skip(first) {
        let next = ranges.get(number + 1).map_or(usize::MAX, |&(next, _)| next);
        let part = range.saturating_sub(start.offset)..next.saturating_sub(start.offset).min(len);
        if part.start >= len {
            break;
        }
        f(threshold, Position { offset: start.offset + part.start, ..start }, part);
    }
}

/// The rule by which the lowest entries of groups are pruned.
#[derive(Debug, Clone)]
pub struct GroupRule {
    pub groups: Arc<Groups>,
    pub quota: Quota,
    pub score: Score,
    pub tie_break: TieBreak,
    /// The groups that the rule is for; `None` for all.
    pub among: Option<Arc<ChosenGroups>>,
}

impl GroupRule {
    /// The rule for all groups.
    pub fn new(groups: Groups, quota: Quota, score: Score, tie_break: TieBreak) -> Self {
        Self { groups: Arc::new(groups), quota, score, tie_break, among: None }
    }

    /// Returns `true` if a group keeps no entry.
    pub fn prunes_whole(&self) -> bool {
        matches!(self.quota, Quota::Keep(0))
    }

    /// The ranges of all groups, if a threshold for each of them says what is pruned.
    pub fn long_ranges(&self) -> Option<Vec<Range<usize>>> {
        let by_threshold = match (&self.score, self.tie_break) {
            (Score::Magnitude | Score::Scaled(_), TieBreak::LowestIndex) => self.among.is_none(),
            (Score::Signed, _) | (_, TieBreak::PyTorch) => false,
        };
        by_threshold.then(|| self.groups.long_ranges()).flatten()
    }

    /// Clears the lowest entries of the groups in a part of a mask that begins at `offset`.
    pub fn clear<A: Element>(&self, offset: usize, scores: &[A], mask: &mut [bool]) {
        match &self.among {
            None => self.clear_all(offset, scores, mask),
            Some(among) => {
                let before = mask.to_vec();
                self.clear_all(offset, scores, mask);
                among.restore_others(offset, &before, mask);
            }
        }
    }

    /// Clears the lowest entries of each group.
    fn clear_all<A: Element>(&self, offset: usize, scores: &[A], mask: &mut [bool]) {
        let count = |all, remaining| self.quota.count(all, remaining);
        match (&self.score, self.tie_break) {
            (Score::Magnitude, TieBreak::LowestIndex) => clear_lowest(&self.groups, offset, scores, mask, count),
            (Score::Magnitude, TieBreak::PyTorch) => self.clear_as_torch(offset, mask, |at| scores[at].key()),
            (Score::Signed, TieBreak::LowestIndex) => {
                let keys: Vec<A::Key> = scores.iter().map(|&score| signed_key(score)).collect();
                clear_lowest(&self.groups, offset, &keys, mask, count);
            }
            (Score::Signed, TieBreak::PyTorch) => self.clear_as_torch(offset, mask, |at| signed_key(scores[at])),
            (Score::Scaled(factors), tie_break) => {
                // Groups are of a single tensor.
                let factors = factors.first().map(|factors| &**factors).unwrap_or_default();
                match tie_break {
                    TieBreak::LowestIndex => clear_lowest_scaled(&self.groups, offset, scores, factors, mask, count),
                    TieBreak::PyTorch => {
                        let factor = |at: usize| factors[(offset + at) % factors.len()];
                        self.clear_as_torch(offset, mask, |at| scaled(scores[at], factor(at)).key());
                    }
                }
            }
        }
    }

    /// Clears the entries of each group that PyTorch selects.
    fn clear_as_torch<K: Key>(&self, offset: usize, mask: &mut [bool], key: impl Fn(usize) -> K) {
        self.groups.for_each(offset, mask.len(), |start, group| {
            let remaining: Vec<usize> = group.iter().map(|at| start + at).filter(|&at| mask[at]).collect();
            let keys: Vec<K> = remaining.iter().map(|&at| key(at)).collect();
            let pruned = torch::first_k(&keys, self.quota.count(group.len(), keys.len()));
            remaining.iter().zip(pruned).for_each(|(&at, pruned)| mask[at] = !pruned);
        });
    }
}

/// A choice for each candidate, in order.
#[derive(Debug)]
pub struct PrunedCandidates {
    /// `true` = pruned.
    pruned: Vec<bool>,
    /// The number of candidates before each chunk.
    starts: Vec<usize>,
}

impl PrunedCandidates {
    /// Returns the choice for all candidates, given their number in each chunk.
    pub fn new(pruned: Vec<bool>, remaining_in_chunks: &[usize]) -> Self {
        Self { pruned, starts: running_sum(remaining_in_chunks).collect() }
    }

    fn clear(&self, index: usize, mask: &mut [bool]) {
        let remaining = mask.iter_mut().filter(|kept| **kept);
        remaining.zip(&self.pruned[self.starts[index]..]).for_each(|(kept, pruned)| *kept = !pruned);
    }
}
