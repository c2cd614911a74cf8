//! What a method chooses among.

use std::fmt;

/// What a method chooses among, and so what a second pruning of the same parameter hands to it.
///
/// PyTorch calls it
/// [`PRUNING_TYPE`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.BasePruningMethod.html).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PruningType {
    /// Single entries. The method sees the entries that are not pruned yet, as a vector.
    Unstructured,
    /// Channels along an axis. The method sees the channels that have an entry left.
    Structured {
        /// The axis; negative numbers count from the last one.
        dim: isize,
    },
    /// Entries within groups, such as rows. The method sees the whole tensor.
    Groups,
    /// The tensor as a whole. The method sees all of it.
    Global,
}

impl fmt::Display for PruningType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unstructured => f.write_str("unstructured"),
            Self::Structured { dim } => write!(f, "structured along axis {dim}"),
            Self::Groups => f.write_str("in groups"),
            Self::Global => f.write_str("global"),
        }
    }
}
