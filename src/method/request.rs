//! Requests: the units that a method prunes, as data. Memory and files carry them out alike.

use std::sync::Arc;

use crate::amount::Amount;
use crate::error::PruneError;
use crate::mask::Mask;
use crate::method::RandomSource;
use crate::method::decision::GroupRule;
use crate::method::resolved::{RankedGroups, ResolvedRequest};
use crate::score::Norm;
use crate::score::group::GroupScore;
use crate::select::TieBreak;
use crate::tensor::channels::Channels;
use crate::tensor::groups::Granularity;
use crate::tensor::numbered::NumberedGroups;

/// The entries or channels that a method prunes, before any score is read and any unit is counted.
#[derive(Debug, Clone)]
pub enum Request {
    /// No entry.
    Nothing,
    /// The entries with the lowest scores, of one tensor or of all together.
    Lowest { amount: Amount, score: Score, tie_break: TieBreak },
    /// The entries below a magnitude, a key of `f64`, and the first `ties` entries at it.
    UpTo { key: u64, ties: usize },
    /// A random subset of the entries, of one tensor or of all together.
    Random { amount: Amount, source: RandomSource, tie_break: TieBreak },
    /// Channels along the axis `dim`.
    Channels { dim: isize, amount: Amount, by: ChannelScore },
    /// The entries with the lowest scores of every group.
    InGroups { granularity: Granularity, quota: Quota, score: Score, tie_break: TieBreak },
    /// The groups with the lowest scores, among those with more than `keep` remaining entries. Each keeps the
    /// `keep` entries with the highest magnitudes.
    Groups(GroupRequest),
    /// The entries of the only tensor that a mask does not keep.
    Mask(Arc<Mask>),
}

/// The groups that a method prunes.
#[derive(Debug, Clone)]
pub struct GroupRequest {
    pub granularity: Granularity,
    pub amount: Amount,
    /// The name of the groups in messages.
    pub unit: &'static str,
    pub by: GroupScore,
    /// The number of entries that a pruned group keeps.
    pub keep: usize,
    pub tie_break: TieBreak,
}

/// The criterion that ranks entries.
#[derive(Debug, Clone)]
pub enum Score {
    /// The magnitude.
    Magnitude,
    /// The score itself, with its sign.
    Signed,
    /// The magnitude times a factor for each entry of a row of the first axis, one list of factors for each tensor. The product is
    /// taken in `f64`, where it is exact for `f32`, `f16` and `bf16`.
    Scaled(Arc<[Factors]>),
}

/// The factors of one tensor.
pub type Factors = Arc<[f32]>;

/// The criterion that ranks channels.
#[derive(Debug, Clone)]
pub enum ChannelScore {
    /// The norm of the entries.
    Norm(Norm, TieBreak),
    /// A random number.
    Random(RandomSource),
    /// The sum of the distances to the other channels.
    Distances,
}

/// The number of entries that are pruned from one group.
#[derive(Debug, Clone, Copy)]

pub enum Quota {
    /// An amount of the group's entries.
    Amount(Amount),
    /// All entries but this number.
    Keep(usize),
    /// All but `keep` of a full group of `of` entries, and the same share of a smaller one, rounded down.
    KeepOf { keep: usize, of: usize },
}

impl Quota {
    /// The number of entries to prune in a group of `all` entries of which `remaining` are not pruned yet.
    pub fn count(self, all: usize, remaining: usize) -> usize {
        match self {
            // A count above the size of a group was rejected for the largest group; smaller ones are pruned as a whole.
            Self::Amount(amount) => amount.count_remaining(all, remaining).unwrap_or(remaining),
            Self::Keep(keep) => remaining.saturating_sub(keep),
            Self::KeepOf { keep, of } => {
                let kept = all - (of.saturating_sub(keep) * all).checked_div(of).unwrap_or(0).min(all);
                remaining.saturating_sub(kept)
            }
        }
    }
}

/// The tensors that a request is about, and how many of their entries are not pruned yet.
#[derive(Debug, Clone, Copy)]
pub struct Remaining<'s> {
    /// The shape of each tensor; one, except in global pruning.
    pub shapes: &'s [&'s [usize]],
    /// The name of the element type and its size in bytes.
    pub dtype: (&'static str, usize),
    /// The number of entries of all tensors.
    pub entries: usize,
    /// The number of entries that are not pruned yet.
    pub remaining: usize,
}

impl<'s> Remaining<'s> {
    /// The shape of the only tensor.
    fn shape(&self) -> &'s [usize] {
        self.shapes.first().copied().unwrap_or_default()
    }
}

impl Request {
    /// The feature of the request that needs every entry in memory or depends on the order of tensors; files refuse it.
    #[cfg(feature = "safetensors")]
    pub fn only_in_memory(&self) -> Option<&'static str> {
        match self {
            Self::Random { source: RandomSource::Torch(_), .. }
            | Self::Channels { by: ChannelScore::Random(RandomSource::Torch(_)), .. } => Some("torch::Generator"),
            Self::Mask(_) => Some("CustomFromMask"),
            // Tensors of several dtypes are ranked by magnitudes in a common type.
            Self::Lowest { score: Score::Signed, .. } | Self::InGroups { score: Score::Signed, .. } => Some("Lowest"),
            Self::Nothing
            | Self::Lowest { .. }
            | Self::UpTo { .. }
            | Self::Random { source: RandomSource::Seed(_), .. }
            | Self::Channels { by: ChannelScore::Norm(..) | ChannelScore::Distances, .. }
            | Self::Channels { by: ChannelScore::Random(RandomSource::Seed(_)), .. }
            | Self::InGroups { .. }
            | Self::Groups(_) => None,
        }
    }

    /// Returns `true` for a request about whole groups, whose amount is a number of groups.
    #[cfg(feature = "safetensors")]
    pub fn counts_groups(&self) -> bool {
        match self {
            Self::Groups(_) => true,
            Self::Nothing
            | Self::Lowest { .. }
            | Self::UpTo { .. }
            | Self::Random { .. }
            | Self::Channels { .. }
            | Self::InGroups { .. }
            | Self::Mask(_) => false,
        }
    }

    /// The amount of a request for entries of tensors as a whole.
    #[cfg(feature = "safetensors")]
    pub fn amount_of_entries(&self) -> Option<Amount> {
        match self {
            Self::Lowest { amount, .. } | Self::Random { amount, .. } => Some(*amount),
            Self::Nothing
            | Self::UpTo { .. }
            | Self::Channels { .. }
            | Self::InGroups { .. }
            | Self::Groups(_)
            | Self::Mask(_) => None,
        }
    }

    /// The same request for another amount, if it is one for entries.
    #[cfg(feature = "safetensors")]
    pub fn with_amount(self, amount: Amount) -> Self {
        match self {
            Self::Lowest { amount: _, score, tie_break } => Self::Lowest { amount, score, tie_break },
            Self::Random { amount: _, source, tie_break } => Self::Random { amount, source, tie_break },
            Self::Nothing
            | Self::UpTo { .. }
            | Self::Channels { .. }
            | Self::InGroups { .. }
            | Self::Groups(_)
            | Self::Mask(_) => self,
        }
    }

    /// Returns `true` for a request for the entries with the lowest magnitudes.
    #[cfg(feature = "safetensors")]
    pub fn ranks_magnitudes(&self) -> bool {
        matches!(self, Self::Lowest { score: Score::Magnitude, .. })
    }

    /// The same request for channels along another axis. A request for anything else is as it was.
    #[cfg(feature = "safetensors")]
    pub fn along(self, axis: usize) -> Self {
        match self {
            Self::Channels { dim: _, amount, by } => Self::Channels { dim: axis as isize, amount, by },
            Self::Nothing
            | Self::Lowest { .. }
            | Self::UpTo { .. }
            | Self::Random { .. }
            | Self::InGroups { .. }
            | Self::Groups(_)
            | Self::Mask(_) => self,
        }
    }

    /// The same request with a seed of its own, made from the given one.
    #[cfg(feature = "safetensors")]
    pub fn reseeded(self, own: impl FnOnce(u64) -> u64) -> Self {
        let reseed = |source: RandomSource| match source {
            RandomSource::Seed(seed) => RandomSource::Seed(own(seed)),
            RandomSource::Torch(generator) => RandomSource::Torch(generator),
        };
        match self {
            Self::Random { amount, source, tie_break } => Self::Random { amount, source: reseed(source), tie_break },
            Self::Channels { dim, amount, by: ChannelScore::Random(source) } => {
                Self::Channels { dim, amount, by: ChannelScore::Random(reseed(source)) }
            }
            Self::Nothing
            | Self::Lowest { .. }
            | Self::UpTo { .. }
            | Self::Channels { by: ChannelScore::Norm(..) | ChannelScore::Distances, .. }
            | Self::InGroups { .. }
            | Self::Groups(_)
            | Self::Mask(_) => self,
        }
    }

    /// Turns amounts into counts, and refuses everything that can be refused.
    ///
    /// `remaining_channels` finds the channels with a remaining entry, and `open_groups` counts the groups with more remaining
    /// entries than a number; `refuse` makes the caller's error.
    pub fn resolve<E>(
        self,
        tensors: Remaining<'_>,
        remaining_channels: impl FnOnce(&Channels) -> Result<Vec<usize>, E>,
        open_groups: impl FnOnce(&NumberedGroups, usize) -> Result<usize, E>,
        refuse: impl Fn(PruneError) -> E,
    ) -> Result<ResolvedRequest, E> {
        let entries = |amount: Amount| amount.count_remaining(tensors.entries, tensors.remaining).map_err(&refuse);
        Ok(match self {
            Self::Nothing => ResolvedRequest::Nothing,
            Self::Lowest { amount, score, tie_break } => {
                score.check(tensors.shapes).map_err(&refuse)?;
                ResolvedRequest::Lowest { count: entries(amount)?, score, tie_break }
            }
            Self::UpTo { key, ties } => ResolvedRequest::UpTo { key, ties },
            Self::Random { amount, source, tie_break } => {
                ResolvedRequest::Random { count: entries(amount)?, source, tie_break }
            }
            Self::Channels { dim, amount, by } => {
                let channels = Channels::of(tensors.shape(), dim).map_err(&refuse)?;
                let remaining = remaining_channels(&channels)?;
                let count = amount.count_units(channels.len, remaining.len(), "channels").map_err(&refuse)?;
                if let ChannelScore::Norm(norm, _) = by {
                    // A norm that is not defined here is an error for every amount.
                    norm.check(tensors.dtype, tensors.shape(), &channels).map_err(&refuse)?;
                }
                ResolvedRequest::Channels { channels, remaining, count, by }
            }
            Self::InGroups { granularity, quota, score, tie_break } => {
                score.check(tensors.shapes).map_err(&refuse)?;
                let groups = granularity.groups(tensors.shape()).map_err(&refuse)?;
                if let Quota::Amount(amount) = quota {
                    amount.count(groups.largest()).map_err(&refuse)?;
                }
                ResolvedRequest::InGroups(GroupRule::new(groups, quota, score, tie_break))
            }
            Self::Groups(GroupRequest { granularity, amount, unit, by, keep, tie_break }) => {
                let groups = granularity.groups(tensors.shape()).map_err(&refuse)?;
                let numbered = NumberedGroups::new(&groups);
                let open = open_groups(&numbered, keep)?;
                let count = amount.count_units(numbered.count(), open, unit).map_err(&refuse)?;
                let rule = GroupRule::new(groups, Quota::Keep(keep), Score::Magnitude, tie_break);
                ResolvedRequest::Groups(RankedGroups { numbered, keep, count, by, rule })
            }
            Self::Mask(mask) => {
                PruneError::check_shape("mask", tensors.shape(), mask.shape()).map_err(&refuse)?;
                ResolvedRequest::Mask(mask)
            }
        })
    }
}

impl Score {
    /// Rejects factors that are not one for each entry of a row. They are those of the inputs of a layer.
    fn check(&self, shapes: &[&[usize]]) -> Result<(), PruneError> {
        let Self::Scaled(factors) = self else { return Ok(()) };
        for (shape, factors) in shapes.iter().zip(factors.iter()) {
            if shape.len() < 2 {
                return Err(PruneError::TooFewDimensions { shape: shape.to_vec() });
            }
            PruneError::check_shape("moments", &[shape.iter().skip(1).product()], &[factors.len()])?;
        }
        PruneError::check_shape("moments", &[shapes.len()], &[factors.len()])
    }
}
