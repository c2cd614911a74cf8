//! Requests with their counts, and the one place that decides which entries are pruned, in memory and on files.

use std::ops::Range;
use std::sync::Arc;

use crate::element::Element;
use crate::element::wide::narrow_key;
use crate::key::{Key, Ranked};
use crate::mask::Mask;
use crate::method::RandomSource;
use crate::method::candidates::{Candidates, GroupScores};
use crate::method::decision::{Decision, GroupRule, PrunedCandidates};
use crate::method::request::{ChannelScore, Factors, Quota, Score};
use crate::score::group::GroupScore;
use crate::score::saliency::distances;
use crate::select::in_groups::clear_up_to;
use crate::select::random::RandomSubset;
use crate::select::scaled::{Factored, ScaledScores};
use crate::select::scores::Scores;
use crate::select::signed::signed_key;
use crate::select::{self, KeyOf, Threshold, TieBreak, lowest_keys, lowest_of};
use crate::tensor::channels::Channels;
use crate::tensor::chunk::{CHUNK, Position, Segment, count_true};
use crate::tensor::numbered::{ChosenGroups, NumberedGroups};
use crate::tensor::{flat, parallel};
use crate::torch;

/// The longest stretch of whole groups, in entries, that is carried out without a look ahead: a block of a file.
const MAX_STRETCH: usize = 1 << 18;

/// A request for certain tensors. From here on, only entries that cannot be read are an error.
#[derive(Debug, Clone)]
pub enum ResolvedRequest {
    Nothing,
    Lowest { count: usize, score: Score, tie_break: TieBreak },
    UpTo { key: u64, ties: usize },
    Random { count: usize, source: RandomSource, tie_break: TieBreak },
    Channels { channels: Channels, remaining: Vec<usize>, count: usize, by: ChannelScore },
    InGroups(GroupRule),
    Groups(RankedGroups),
    Mask(Arc<Mask>),
}

/// Groups of which those with the lowest scores are pruned by a rule.
#[derive(Debug, Clone)]
pub struct RankedGroups {
    pub numbered: NumberedGroups,
    /// The number of entries that a pruned group keeps. A group with no more remaining ones is not ranked.
    pub keep: usize,
    /// The number of groups to prune.
    pub count: usize,
    pub by: GroupScore,
    pub rule: GroupRule,
}

/// The way in which scores are read before a decision.
#[cfg(feature = "safetensors")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// No scores are read: the decision ranks where it is carried out, chunk by chunk, or needs none.
    Nothing,
    /// In pieces of any size.
    Pieces,
    /// In rows of the first axis.
    Rows,
    /// The whole tensor at once.
    Whole,
}

impl ResolvedRequest {
    /// The number of units to prune, if it is one number.
    pub fn count(&self) -> Option<usize> {
        match *self {
            Self::Nothing => Some(0),
            Self::Lowest { count, .. } | Self::Random { count, .. } | Self::Channels { count, .. } => Some(count),
            Self::Groups(RankedGroups { count, .. }) => Some(count),
            Self::UpTo { .. } | Self::InGroups(_) | Self::Mask(_) => None,
        }
    }

    /// The number of entries that are pruned in the end, where `before` are so far, if it is known without a look at them.
    #[cfg(feature = "safetensors")]
    pub fn pruned(&self, before: usize) -> Option<usize> {
        match self {
            Self::Nothing | Self::Channels { count: 0, .. } => Some(before),
            Self::Lowest { count, .. } | Self::Random { count, .. } => Some(before + count),
            Self::Channels { channels, count, .. } => (before == 0).then(|| count * channels.size()),
            Self::Groups(RankedGroups { count: 0, .. }) => Some(before),
            Self::UpTo { .. } | Self::InGroups(_) | Self::Groups(_) | Self::Mask(_) => None,
        }
    }

    /// The way in which scores are read before the decision.
    #[cfg(feature = "safetensors")]
    pub fn reads(&self) -> Reads {
        match self {
            Self::Nothing | Self::Random { .. } | Self::Mask(_) => Reads::Nothing,
            Self::Lowest { count: 0, .. } | Self::Channels { count: 0, .. } => Reads::Nothing,
            Self::UpTo { ties: 0 | usize::MAX, .. } => Reads::Nothing,
            Self::UpTo { .. } => Reads::Pieces,
            Self::Channels { by: ChannelScore::Random(_), .. } => Reads::Nothing,
            // PyTorch's choice among equals depends on all keys, in order.
            Self::Lowest { tie_break: TieBreak::PyTorch, .. } => Reads::Whole,
            Self::Lowest { tie_break: TieBreak::LowestIndex, .. } => Reads::Pieces,
            Self::Channels { channels, by: ChannelScore::Norm(..), .. } if channels.axis == 0 => Reads::Rows,
            Self::Channels { by: ChannelScore::Norm(..) | ChannelScore::Distances, .. } => Reads::Whole,
            Self::InGroups(rule) if rule.groups.stretch() <= MAX_STRETCH => Reads::Nothing,
            Self::InGroups(rule) if rule.long_ranges().is_some() => Reads::Pieces,
            Self::InGroups(_) => Reads::Whole,
            Self::Groups(RankedGroups { count: 0, .. }) => Reads::Nothing,
            Self::Groups(RankedGroups { rule, .. }) if rule.prunes_whole() => Reads::Pieces,
            Self::Groups(RankedGroups { rule, .. }) if rule.groups.stretch() <= MAX_STRETCH => Reads::Pieces,
            Self::Groups(_) => Reads::Whole,
        }
    }

    /// Decides which entries are pruned.
    pub(crate) fn decide<A: Element, C: Candidates<A>>(&self, candidates: &C) -> Result<Decision<A>, C::Error> {
        if self.count() == Some(0) {
            return Ok(Decision::Keep);
        }
        match self {
            Self::Nothing => Ok(Decision::Keep),
            Self::Lowest { count, score: Score::Magnitude, tie_break } => {
                let lowest = Lowest::of(candidates.scores(), *count, *tie_break, || candidates.remaining_in_chunks())?;
                Ok(lowest.decision(Decision::Lowest))
            }
            Self::Lowest { count, score: Score::Scaled(factors), tie_break } => {
                let factored = Factored { scores: candidates.scores(), factors };
                let lowest =
                    Lowest::of(&ScaledScores::new(&factored), *count, *tie_break, || candidates.remaining_in_chunks())?;
                Ok(lowest.decision(|threshold| Decision::LowestScaled(vec![(0, threshold)], Arc::clone(factors))))
            }
            Self::Lowest { count, score: Score::Signed, tie_break } => lowest_signed(candidates, *count, *tie_break),
            &Self::UpTo { key, ties } => Ok(Decision::Lowest(threshold_at(candidates.scores(), key, ties)?)),
            Self::Random { count, source, tie_break } => random(candidates, *count, source, *tie_break),
            Self::Channels { channels, remaining, count, by } => {
                let lowest = match by {
                    &ChannelScore::Norm(norm, tie_break) => {
                        lowest_norms(&candidates.norms(channels, remaining, norm)?, *count, tie_break)
                    }
                    ChannelScore::Random(source) => random_channels(source, remaining.len(), *count),
                    ChannelScore::Distances => {
                        let sums = candidates.with_tensor(|tensor, _| distances(tensor, channels, remaining))?;
                        lowest_norms(&sums, *count, TieBreak::LowestIndex)
                    }
                };
                Ok(Decision::Channels(*channels, channels.expand(remaining, &lowest)))
            }
            Self::InGroups(rule) => in_groups(candidates, rule),
            Self::Groups(ranked) => lowest_groups(candidates, ranked),
            Self::Mask(mask) => Ok(Decision::Mask(Arc::clone(mask))),
        }
    }
}

/// The lowest entries: those up to a threshold, or one by one where PyTorch's choice among equals is asked for.
enum Lowest<K> {
    Threshold(Threshold<K>),
    Candidates(PrunedCandidates),
}

impl<K: Key> Lowest<K> {
    fn of<S: Scores<Score: Ranked<Key = K>> + ?Sized>(
        scores: &S,
        count: usize,
        tie_break: TieBreak,
        remaining_in_chunks: impl FnOnce() -> Result<Vec<usize>, S::Error>,
    ) -> Result<Self, S::Error> {
        let threshold = lowest_of(scores, count)?;
        match tie_break {
            TieBreak::PyTorch if threshold.tie => {
                let pruned = torch::first_k(&remaining_keys(scores)?, count);
                Ok(Self::Candidates(PrunedCandidates::new(pruned, &remaining_in_chunks()?)))
            }
            TieBreak::PyTorch | TieBreak::LowestIndex => Ok(Self::Threshold(threshold)),
        }
    }

    fn decision<A: Element>(self, up_to: impl FnOnce(Threshold<K>) -> Decision<A>) -> Decision<A> {
        match self {
            Self::Threshold(threshold) => up_to(threshold),
            Self::Candidates(pruned) => Decision::Candidates(Arc::new(pruned)),
        }
    }
}

/// The threshold that prunes all entries below a magnitude, given as a key of `f64`, and the first `ties` entries at it.
fn threshold_at<A: Element, S: Scores<Score = A> + ?Sized>(
    scores: &S,
    magnitude: u64,
    ties: usize,
) -> Result<Threshold<A::Key>, S::Error> {
    let (key, is_exact) = narrow_key::<A>(magnitude);
    // A type that cannot hold the magnitude has no ties.
    select::up_to(scores, key, if is_exact { ties } else { 0 })
}

/// The keys of the remaining entries, in order.
fn remaining_keys<S: Scores + ?Sized>(scores: &S) -> Result<Vec<KeyOf<S>>, S::Error> {
    let mut keys = Vec::with_capacity(scores.entries());
    for piece in 0..scores.pieces() {
        scores.with(piece, |chunk| keys.extend(chunk.keys().filter(|&key| key != Key::MAX)))?;
    }
    Ok(keys)
}

fn random<A: Element, C: Candidates<A>>(
    candidates: &C,
    count: usize,
    source: &RandomSource,
    tie_break: TieBreak,
) -> Result<Decision<A>, C::Error> {
    let remaining = candidates.remaining_in_chunks()?;
    match source {
        RandomSource::Seed(seed) => {
            let entries = candidates.scores().entries();
            Ok(Decision::Random(Arc::new(RandomSubset::of(*seed, &remaining, entries, count))))
        }
        RandomSource::Torch(generator) => {
            // PyTorch prunes the largest of its numbers, drawn in the type of the tensor.
            let draws = generator.draw::<A>(remaining.iter().sum());
            let keys: Vec<A::Key> = draws.into_iter().map(|u| u.key().reversed()).collect();
            let (mut pruned, tie) = lowest_keys(&keys, count);
            if tie && tie_break == TieBreak::PyTorch {
                pruned = torch::first_k(&keys, count);
            }
            Ok(Decision::Candidates(Arc::new(PrunedCandidates::new(pruned, &remaining))))
        }
    }
}

/// Marks the `count` lowest norms.
fn lowest_norms<A: Element>(norms: &[A], count: usize, tie_break: TieBreak) -> Vec<bool> {
    let keys: Vec<A::Key> = norms.iter().map(|norm| norm.key()).collect();
    let (lowest, tie) = lowest_keys(&keys, count);
    match tie_break {
        TieBreak::PyTorch if tie => {
            // PyTorch selects the channels that it keeps, and equal norms fall accordingly.
            let highest: Vec<A::Key> = keys.iter().map(|key| key.reversed()).collect();
            torch::first_k(&highest, keys.len() - count).into_iter().map(|kept| !kept).collect()
        }
        TieBreak::PyTorch | TieBreak::LowestIndex => lowest,
    }
}

/// Marks `count` of `channels` at random.
fn random_channels(source: &RandomSource, channels: usize, count: usize) -> Vec<bool> {
    match source {
        RandomSource::Seed(seed) => RandomSubset::among(*seed, channels, count),
        RandomSource::Torch(generator) => {
            // One f32 per channel, whatever the type of the tensor, and every channel up to the threshold is pruned.
            let keys: Vec<u32> = generator.draw::<f32>(channels).into_iter().map(f32::key).collect();
            let threshold = *keys.clone().select_nth_unstable(count - 1).1;
            keys.into_iter().map(|key| key <= threshold).collect()
        }
    }
}

/// The lowest entries of every group. Short groups are ranked where the decision is carried out, without a pass of their own.
fn in_groups<A: Element, C: Candidates<A>>(candidates: &C, rule: &GroupRule) -> Result<Decision<A>, C::Error> {
    if rule.groups.stretch() <= MAX_STRETCH {
        return Ok(Decision::InGroups(rule.clone()));
    }
    let Some(ranges) = rule.long_ranges() else {
        // Groups of far apart entries, such as columns of a large matrix: they are ranked in memory.
        return candidates.with_tensor(|scores, remaining| {
            let mut mask = Mask::of_remaining(scores.raw_dim(), remaining);
            rule.clear(0, flat(&scores), mask.as_mut_slice());
            Decision::Mask(Arc::new(mask))
        });
    };
    let quota = rule.quota;
    match &rule.score {
        Score::Magnitude | Score::Signed => {
            let threshold = |range: &Range<usize>| {
                let lowest = candidates.with_range(range.clone(), |scores| quota_threshold(scores, quota))?;
                Ok((range.start, lowest))
            };
            Ok(Decision::LowestInRanges(ranges.iter().map(threshold).collect::<Result<_, _>>()?))
        }
        Score::Scaled(factors) => {
            let threshold = |range: &Range<usize>| {
                let scaled =
                    |scores: &C::Scores| quota_threshold(&ScaledScores::new(&Factored { scores, factors }), quota);
                Ok((range.start, candidates.with_range(range.clone(), scaled)?))
            };
            let ranges = ranges.iter().map(threshold).collect::<Result<_, _>>()?;
            Ok(Decision::LowestScaled(ranges, Arc::<[Factors]>::clone(factors)))
        }
    }
}

/// The groups with the lowest scores, which are pruned as the rule says.
fn lowest_groups<A: Element, C: Candidates<A>>(candidates: &C, ranked: &RankedGroups) -> Result<Decision<A>, C::Error> {
    let RankedGroups { numbered, keep, count, by, rule } = ranked;
    let GroupScores { scores, open } = candidates.group_scores(numbered, *by, *keep)?;
    let threshold = select::lowest(&[Segment { scores: &scores, remaining: open.as_deref() }], *count);
    let spared = match rule.tie_break {
        TieBreak::PyTorch if threshold.tie => {
            let is_open = |number: usize| open.as_ref().is_none_or(|open| open[number]);
            let keys: Vec<_> =
                (0..scores.len()).filter(|&number| is_open(number)).map(|number| scores[number].key()).collect();
            let mut first = torch::first_k(&keys, *count).into_iter();
            (0..scores.len()).map(|number| !(is_open(number) && first.next().unwrap_or(false))).collect()
        }
        TieBreak::PyTorch | TieBreak::LowestIndex => {
            // There are millions of small blocks. Zeros cost nothing before a thread fills its chunk.
            let mut spared = vec![false; scores.len()];
            parallel::for_each_chunk(&mut spared, &scores, CHUNK, |offset, spared, scores| {
                spared.fill(true);
                clear_up_to(&threshold, Position { segment: 0, offset }, scores, spared);
                if let Some(open) = &open {
                    spared.iter_mut().zip(&open[offset..]).for_each(|(spared, open)| *spared |= !open);
                }
            });
            spared
        }
    };
    let chosen = Arc::new(ChosenGroups { groups: numbered.clone(), spared });
    if rule.prunes_whole() {
        return Ok(Decision::Groups(chosen));
    }
    in_groups(candidates, &GroupRule { among: Some(chosen), ..rule.clone() })
}

/// The entries with the lowest scores, signs included.
fn lowest_signed<A: Element, C: Candidates<A>>(
    candidates: &C,
    count: usize,
    tie_break: TieBreak,
) -> Result<Decision<A>, C::Error> {
    let scores = candidates.scores();
    let mut keys = Vec::new();
    for piece in 0..scores.pieces() {
        scores.with(piece, |chunk| {
            let remains = |&(i, _): &(usize, &A)| chunk.remaining.is_none_or(|remaining| remaining[i]);
            keys.extend(chunk.scores.iter().enumerate().filter(remains).map(|(_, &score)| signed_key(score)));
        })?;
    }
    let (mut pruned, tie) = lowest_keys(&keys, count);
    if tie && tie_break == TieBreak::PyTorch {
        pruned = torch::first_k(&keys, count);
    }
    let pruned = PrunedCandidates::new(pruned, &candidates.remaining_in_chunks()?);
    Ok(Decision::Candidates(Arc::new(pruned)))
}

/// The threshold of one group.
fn quota_threshold<S: Scores + ?Sized>(scores: &S, quota: Quota) -> Result<Threshold<KeyOf<S>>, S::Error> {
    let mut remaining = 0;
    for piece in 0..scores.pieces() {
        let kept = scores.with(piece, |chunk| chunk.remaining.map(count_true))?;
        let Some(kept) = kept else {
            // A tensor without a mask has none in any piece.
            remaining = scores.entries();
            break;
        };
        remaining += kept;
    }
    lowest_of(scores, quota.count(scores.entries(), remaining))
}
