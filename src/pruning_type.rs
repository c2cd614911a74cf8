//! The unit that a method prunes.

use std::fmt;

/// The unit that a method selects. It decides what [`PruningMethod::compute_mask`](crate::PruningMethod::compute_mask) is given.
///
/// PyTorch calls it
/// [`PRUNING_TYPE`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.BasePruningMethod.html).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PruningType {
    /// Single entries. A later pruning gives the method the remaining entries, as a vector.
    Unstructured,
    /// Channels along an axis. A later pruning gives the method the channels with a remaining entry.
    Structured {
        /// The axis; negative numbers count from the last axis.
        dim: isize,
    },
    /// Entries within groups, such as rows, or whole groups, such as blocks. Every pruning gives the method the whole tensor.
    Groups,
    /// The whole tensor, which every pruning gives to the method.
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
