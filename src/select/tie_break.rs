//! The choice among equal scores.

use std::fmt;

/// The choice among equal scores, if the threshold falls between them.
///
/// Half-precision tensors of some size nearly always have equal magnitudes at the threshold, so the choice matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum TieBreak {
    /// The lowest row-major index is pruned first, on every platform.
    #[default]
    LowestIndex,
    /// PyTorch's choice, which depends on all scores and has no simple rule (x86-64 Linux, PyTorch 2.15).
    ///
    /// It costs a pass over a copy of the scores, but only if a tie straddles the threshold.
    PyTorch,
}

/// `lowest-index` or `torch`.
impl fmt::Display for TieBreak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LowestIndex => "lowest-index",
            Self::PyTorch => "torch",
        })
    }
}
