//! Which of several equal scores goes first.

use std::fmt;

/// Which of several equal scores is pruned first, where a cut falls between them.
///
/// It matters more than it seems: half-precision tensors of some size nearly always have equal magnitudes at the cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TieBreak {
    /// The one with the lowest row-major index, on every platform: a promise of this crate.
    #[default]
    LowestIndex,
    /// The one that PyTorch takes, which depends on all scores and has no simple rule (x86-64 Linux, PyTorch 2.15).
    ///
    /// It costs a pass over a copy of the scores, but only when a tie straddles the cut.
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
