//! The report of a compaction of files.

use std::fmt;
use std::path::PathBuf;

use crate::checkpoint::compact::config::ConfigChange;
use crate::checkpoint::report::Companions;
use crate::compact::{CompactedDimension, HalfDead};
use crate::file::dtype::Dtype;

/// The parts that a compaction of a checkpoint removes.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "the report says whether the output equals a masked model"]
pub struct CompactReport {
    /// The dimensions of the layers that are kept.
    pub dimensions: Vec<CompactedDimension>,
    /// All tensors of the input, ordered by shard and by position in the shard.
    pub tensors: Vec<CompactedTensorReport>,
    /// The keys of `config.json` that change.
    pub config: Vec<ConfigChange>,
    /// The numbers of the dropped layers.
    pub dropped: Vec<usize>,
    /// The model that the output is equal to.
    pub equality: Equality,
    /// Units whose producers are zero, but which biases keep alive; only if dead units are removed.
    pub half_dead: Vec<HalfDead>,
    /// The shards that an earlier run finished, and this one kept.
    pub resumed: Vec<PathBuf>,
    /// The files beside the weights: copied, or left out.
    pub companions: Companions,
}

/// One tensor of the input of a compaction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompactedTensorReport {
    /// The name in the input.
    pub name: String,
    /// The name in the output; `None` if the tensor is dropped with its layer.
    pub renamed: Option<String>,
    /// Its dtype.
    pub dtype: Dtype,
    /// The shape in the input.
    pub before: Vec<usize>,
    /// The shape in the output; the number of entries is 0 if the tensor is dropped.
    pub after: Vec<usize>,
    /// The number of bytes in the input.
    pub bytes_before: u64,
    /// The number of bytes in the output.
    pub bytes_after: u64,
}

/// The model that a compacted one is equal to, up to rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Equality {
    /// The input itself: only dead units were removed, or nothing.
    Input,
    /// The input with the removed units masked: their producers, biases and consumers are zero. It has lost what they
    /// contributed, so it should be trained further.
    Masked,
    /// The input with only the producers of the removed units masked; their constants are folded into the next layer.
    MaskedProducers,
    /// No masked model: the type normalises after each layer, and a dropped layer takes its norms with it.
    None,
}

/// The name in JSON: `input`, `masked`, `masked producers` or `none`.
impl fmt::Display for Equality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Input => "input",
            Self::Masked => "masked",
            Self::MaskedProducers => "masked producers",
            Self::None => "none",
        })
    }
}

impl CompactReport {
    /// Returns the number of entries of all tensors in the input.
    pub fn entries_before(&self) -> usize {
        self.tensors.iter().map(|tensor| tensor.before.iter().product::<usize>()).sum()
    }

    /// Returns the number of entries of all tensors in the output.
    pub fn entries_after(&self) -> usize {
        self.tensors.iter().map(CompactedTensorReport::entries_after).sum()
    }

    /// Returns the number of bytes of all tensors in the input, without headers.
    pub fn bytes_before(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.bytes_before).sum()
    }

    /// Returns the number of bytes of all tensors in the output, without headers.
    pub fn bytes_after(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.bytes_after).sum()
    }
}

impl CompactedTensorReport {
    /// Returns the number of entries in the output.
    pub fn entries_after(&self) -> usize {
        if self.renamed.is_some() { self.after.iter().product() } else { 0 }
    }
}
