//! The amount that a method with data prunes, and the groups within which entries compete.

use std::fmt;
use std::str::FromStr;

use crate::amount::Amount;
use crate::error::PruneError;
use crate::method::request::Quota;
use crate::tensor::groups::Granularity;

/// The amount that is pruned, and the groups of entries within which it counts.
///
/// ```
/// use prune::calibration::Pattern;
///
/// assert_eq!(Pattern::from(0.5), Pattern::Amount(0.5.into()));
/// assert_eq!("2:4".parse(), Ok(Pattern::KeepOf { keep: 2, of: 4 }));
/// # Ok::<(), prune::PruneError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Pattern {
    /// An amount of the entries of each output row, or of each block of columns, as the method says.
    Amount(Amount),
    /// At most `keep` of every `of` consecutive entries of a row are kept: NVIDIA's 2:4, for example. A shorter group at the end
    /// of a row has `(of - keep) * size / of` of its entries pruned, rounded down.
    ///
    /// Of a convolution, `Wanda` takes the groups along the input channels, axis 1. The other methods return an error.
    KeepOf {
        /// The entries that are kept.
        keep: usize,
        /// The entries of a group.
        of: usize,
    },
}

impl Pattern {
    /// Rejects fractions outside `0.0..=1.0` and groups that keep more than they have.
    pub(crate) fn validated(self) -> Result<Self, PruneError> {
        match self {
            Self::Amount(amount) => amount.validated().map(Self::Amount),
            Self::KeepOf { keep: n, of: m } if m == 0 || n > m => Err(PruneError::InvalidPattern { n, m }),
            Self::KeepOf { .. } => Ok(self),
        }
    }

    /// Rejects weights without rows and, for groups, all but matrices.
    pub(crate) fn check(self, shape: &[usize]) -> Result<(), PruneError> {
        match self {
            _ if shape.len() < 2 => Err(PruneError::TooFewDimensions { shape: shape.to_vec() }),
            Self::KeepOf { .. } if shape.len() > 2 => {
                let reason = format!("groups such as 2:4 need a weight of 2 dimensions, not shape {shape:?}");
                Err(PruneError::method("Pattern", reason))
            }
            Self::Amount(_) | Self::KeepOf { .. } => Ok(()),
        }
    }

    /// Returns the groups of a weight, and the entries that are pruned from each.
    pub(crate) fn groups(self) -> (Granularity, Quota) {
        match self {
            // A row is whole along all axes but the first, and there must be another one.
            Self::Amount(amount) => (Granularity::Blocks(vec![1, usize::MAX]), Quota::Amount(amount)),
            Self::KeepOf { keep, of } => (Granularity::Along { dim: 1, size: of }, Quota::KeepOf { keep, of }),
        }
    }
}

impl<T: Into<Amount>> From<T> for Pattern {
    fn from(amount: T) -> Self {
        Self::Amount(amount.into())
    }
}

/// `0.5` for a fraction, `3` for a count, `2:4` for a group.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Amount(amount) => amount.fmt(f),
            Self::KeepOf { keep, of } => write!(f, "{keep}:{of}"),
        }
    }
}

/// Reads `2:4`: of every four entries two are kept.
impl FromStr for Pattern {
    type Err = PruneError;

    fn from_str(text: &str) -> Result<Self, PruneError> {
        let pair = text.split_once(':').and_then(|(keep, of)| Some((keep.parse().ok()?, of.parse().ok()?)));
        let Some((keep, of)) = pair else {
            return Err(PruneError::method("Pattern", format!("`{text}` is not a pattern such as 2:4")));
        };
        Self::KeepOf { keep, of }.validated()
    }
}
