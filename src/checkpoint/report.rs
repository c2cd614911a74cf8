use std::fmt;
use std::path::PathBuf;

use crate::checkpoint::read::Dtype;

/// What became of every tensor of a checkpoint.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "it says what was skipped"]
pub struct PruneReport {
    /// The tensors in the order of the shards, and of their data within each. Of a tensor that was pruned already, which is
    /// two tensors in the file, there is one entry under its plain name.
    pub tensors: Vec<TensorReport>,
    /// What the amounts count.
    pub unit: Unit,
    /// How many units were asked for in all; `None` for masks from a file.
    pub asked: Option<usize>,
    /// With L1 and global scope, the magnitude up to which entries were pruned; `None` otherwise, and if nothing was asked.
    pub threshold: Option<f64>,
    /// The shards that an earlier run had finished.
    pub resumed: Vec<PathBuf>,
}

/// What amounts count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Entries, with an unstructured method.
    Entries,
    /// Channels, with a structured method.
    Channels,
}

/// What became of a tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorReport {
    /// Its name.
    pub name: String,
    /// Its dtype.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The shard that it is in, an index into [`Checkpoint::shards`](crate::checkpoint::Checkpoint::shards).
    pub shard: usize,
    /// The number of its entries.
    pub entries: usize,
    /// Whether it was pruned.
    pub outcome: Outcome,
}

/// Whether a tensor was pruned.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It was.
    Pruned {
        /// How many units were asked for; `None` with global scope and for masks from a file.
        asked: Option<usize>,
        /// How many entries its mask pruned before; 0 for a tensor without a mask, whatever zeros it has.
        before: usize,
        /// How many entries its mask prunes now.
        after: usize,
    },
    /// It was not, and passed through as it is.
    Skipped(SkipReason),
}

/// Why a tensor was not pruned.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// Its dtype is none of F32, F64, F16 and BF16.
    Dtype,
    /// It has fewer than two dimensions, and no pattern includes it.
    Rank,
    /// Its name marks it as something that is not pruned unless a pattern includes it.
    Name {
        /// The word in the name, such as `embed`.
        mark: &'static str,
    },
    /// There are patterns to include, and none matches it.
    NotIncluded,
    /// A pattern excludes it.
    Excluded {
        /// The pattern.
        pattern: String,
    },
    /// The mask file has no mask for it.
    NoMask,
}

impl PruneReport {
    /// How many entries the masks of all pruned tensors prune now.
    pub fn pruned_after(&self) -> usize {
        self.pruned().map(|(_, after)| after).sum()
    }

    /// How many entries their masks pruned before.
    pub fn pruned_before(&self) -> usize {
        self.pruned().map(|(before, _)| before).sum()
    }

    /// The number of entries of all tensors that were pruned.
    pub fn selected_entries(&self) -> usize {
        let selected = self.tensors.iter().filter(|tensor| matches!(tensor.outcome, Outcome::Pruned { .. }));
        selected.map(|tensor| tensor.entries).sum()
    }

    fn pruned(&self) -> impl Iterator<Item = (usize, usize)> {
        self.tensors.iter().filter_map(|tensor| match tensor.outcome {
            Outcome::Pruned { before, after, .. } => Some((before, after)),
            Outcome::Skipped(_) => None,
        })
    }
}

/// A reason in a few words, as for the last column of a table.
impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dtype => f.write_str("not F32, F64, F16 or BF16"),
            Self::Rank => f.write_str("fewer than 2 dimensions"),
            Self::Name { mark } => write!(f, "`{mark}` in its name"),
            Self::NotIncluded => f.write_str("not included"),
            Self::Excluded { pattern } => write!(f, "excluded by `{pattern}`"),
            Self::NoMask => f.write_str("no mask for it"),
        }
    }
}
