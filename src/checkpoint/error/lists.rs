//! The lists in messages: of files, of reasons and of names.

use std::fmt;

use crate::checkpoint::report::SkipReason;
use crate::file::escape::Quoted;

/// The ends of the names of files that can be read.
pub(super) const fn weights() -> &'static str {
    if cfg!(feature = "pytorch") { ".safetensors, .bin, .pt or .pth" } else { ".safetensors" }
}

/// The number of tensors that all reasons are for.
pub(super) fn total(reasons: &[(SkipReason, usize)]) -> usize {
    reasons.iter().map(|(_, count)| count).sum()
}

/// Reasons with their numbers, in parentheses.
pub(super) struct Reasons<'a>(pub(super) &'a [(SkipReason, usize)]);

impl fmt::Display for Reasons<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (reason, count)) in self.0.iter().enumerate() {
            f.write_str(if number == 0 { " (" } else { "; " })?;
            write!(f, "{count}: {reason}")?;
        }
        f.write_str(if self.0.is_empty() { "" } else { ")" })
    }
}

/// The first of some names.
pub(super) struct Names<'a>(pub(super) &'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 10;
        if self.0.is_empty() {
            return f.write_str("no tensor");
        }
        for (i, name) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { ", " }, Quoted(name))?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
