//! The options that built-in methods have.

use std::fmt;

/// An option of a built-in method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MethodOption {
    /// The amount to prune. Every method that has it needs it, but for N:M patterns, which are applied to all groups.
    Amount,
    /// The norm that ranks channels or blocks; 2 by default.
    Norm,
    /// The axis of the channels, 0 by default; or that of the groups of a pattern, the last one by default.
    Dim,
    /// The seed or generator of random numbers; the seed 0 by default.
    Source,
    /// The order of equal scores; the method's own by default.
    TieBreak,
    /// The mask to apply. Every method that has it needs it.
    Mask,
    /// The N:M pattern. Every method that has it needs it.
    Pattern,
    /// The size of a block along each axis. Every method that has it needs it.
    Block,
}

impl MethodOption {
    /// All options.
    pub(crate) const ALL: [Self; 8] =
        [Self::Amount, Self::Norm, Self::Dim, Self::Source, Self::TieBreak, Self::Mask, Self::Pattern, Self::Block];
}

/// The name as in [`MethodOptions`](crate::MethodOptions): `amount`, `norm`, ...
impl fmt::Display for MethodOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Amount => "amount",
            Self::Norm => "norm",
            Self::Dim => "dim",
            Self::Source => "source",
            Self::TieBreak => "tie_break",
            Self::Mask => "mask",
            Self::Pattern => "pattern",
            Self::Block => "block",
        })
    }
}
