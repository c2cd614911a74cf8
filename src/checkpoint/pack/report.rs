//! The report of a packing.

use std::fmt;
use std::path::PathBuf;

use crate::checkpoint::read::Dtype;
use crate::checkpoint::report::Companions;

/// The result of packing a checkpoint, with one entry per tensor.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "the report lists the tensors that stay dense"]
pub struct PackReport {
    /// The tensors, ordered by shard and by position in the shard. A tensor that is stored as `w_orig` and `w_mask` has one
    /// entry, `w`.
    pub tensors: Vec<PackedTensorReport>,
    /// The shards that an earlier run finished, and this one kept.
    pub resumed: Vec<PathBuf>,
    /// The files beside the weights, as in [`PruneReport::companions`](crate::checkpoint::PruneReport::companions).
    pub companions: Companions,
}

/// The sizes of one tensor.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PackedTensorReport {
    /// The name.
    pub name: String,
    /// The dtype.
    pub dtype: Dtype,
    /// The shape.
    pub shape: Vec<usize>,
    /// The number of entries.
    pub entries: usize,
    /// The number of kept entries; `None` if they were not counted.
    pub kept: Option<usize>,
    /// The bytes of the dense tensor, without a mask.
    pub bytes_dense: u64,
    /// The bytes in the input: those of the original and the mask of a pruned tensor.
    pub bytes_before: u64,
    /// The bytes in the output.
    pub bytes_after: u64,
    /// The reason why the tensor stays dense; `None` if it is packed.
    pub dense: Option<DenseReason>,
}

/// The reason why a tensor is not packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DenseReason {
    /// Its dtype is not F32, F64, F16 or BF16.
    Dtype,
    /// It has too few zeros to become smaller.
    NotSmaller,
    /// Its sparsity is below the one that was asked for.
    BelowSparsity,
    /// It is a part of a tensor that is packed already.
    Packed,
    /// Another tensor has a name that one of its parts would have.
    NameClash,
}

impl fmt::Display for DenseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dtype => "not a float",
            Self::NotSmaller => "would not be smaller",
            Self::BelowSparsity => "below the minimum sparsity",
            Self::Packed => "packed already",
            Self::NameClash => "name of a part is taken",
        })
    }
}

impl PackReport {
    /// Returns the number of packed tensors.
    pub fn packed(&self) -> usize {
        self.tensors.iter().filter(|tensor| tensor.dense.is_none()).count()
    }

    /// Returns the bytes of all tensors in the input.
    pub fn bytes_before(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.bytes_before).sum()
    }

    /// Returns the bytes of all tensors in the output.
    pub fn bytes_after(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.bytes_after).sum()
    }

    /// Returns the bytes that all tensors would take as dense ones, without masks.
    pub fn bytes_dense(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.bytes_dense).sum()
    }
}
