//! Amounts: the number of units that one call prunes. This is the only place where a count is rounded.

use std::fmt;

use crate::error::PruneError;

/// The amount that one call prunes: a fraction or a count of the remaining units, or the sparsity that results.
///
/// A unit is an entry for unstructured methods and a channel for structured ones. Pruned units do not count for
/// [`Fraction`](Self::Fraction) and [`Count`](Self::Count): a fraction of 0.5 prunes half of a new tensor, and a quarter of
/// the whole if applied again. They do count for [`Sparsity`](Self::Sparsity), which prunes half of the whole and then
/// nothing more.
///
/// ```
/// use prune::{Amount, L1Unstructured, Parameter};
///
/// assert_eq!(Amount::from(0.5), Amount::Fraction(0.5));
/// assert_eq!(Amount::from(3), Amount::Count(3));
///
/// let mut weight = Parameter::new(ndarray::arr1(&[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]));
/// weight.prune(L1Unstructured::new(0.5)?)?;
/// weight.prune(L1Unstructured::new(Amount::sparsity(0.9))?)?; // four more
/// assert_eq!(weight.pruned(), 9);
/// # Ok::<(), prune::PruneError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Amount {
    /// A fraction of the remaining units, from 0.0 to 1.0.
    Fraction(f64),
    /// A number of units.
    Count(usize),
    /// The fraction of all units that is pruned after the call, from 0.0 to 1.0. A tensor that is sparser already is left
    /// as it is.
    Sparsity(f64),
}

impl From<f64> for Amount {
    fn from(fraction: f64) -> Self {
        Self::Fraction(fraction)
    }
}

impl From<usize> for Amount {
    fn from(count: usize) -> Self {
        Self::Count(count)
    }
}

/// `0.5` for a fraction, `3` for a count, `sparsity:0.9` for a sparsity.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Debug keeps the decimal point, which tells a fraction from a count.
            Self::Fraction(fraction) => write!(f, "{fraction:?}"),
            Self::Count(count) => write!(f, "{count}"),
            Self::Sparsity(sparsity) => write!(f, "sparsity:{sparsity:?}"),
        }
    }
}

impl Amount {
    /// Returns the amount that leaves a tensor with this sparsity: [`Amount::Sparsity`].
    pub fn sparsity(sparsity: f64) -> Self {
        Self::Sparsity(sparsity)
    }

    /// Returns the number of units to prune where `available` remain and none is pruned yet. A fraction is multiplied in
    /// `f64` and rounded half to even.
    ///
    /// Custom methods call this, so that an amount means the same everywhere.
    ///
    /// ```
    /// use prune::Amount;
    ///
    /// assert_eq!(Amount::Fraction(0.5).count(5)?, 2);
    /// assert_eq!(Amount::Fraction(0.285).count(100)?, 28);
    /// assert!(Amount::Count(6).count(5).is_err());
    /// # Ok::<(), prune::PruneError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PruneError::InvalidFraction`] if a fraction is NaN or outside `0.0..=1.0`; [`PruneError::AmountTooLarge`] if a
    /// count exceeds `available`.
    pub fn count(self, available: usize) -> Result<usize, PruneError> {
        self.count_remaining(available, available)
    }

    /// Returns the number of units to prune where `remaining` of `all` units are not pruned yet.
    ///
    /// ```
    /// use prune::Amount;
    ///
    /// assert_eq!(Amount::Fraction(0.5).count_remaining(10, 6)?, 3);
    /// assert_eq!(Amount::Sparsity(0.5).count_remaining(10, 6)?, 1); // four are pruned already
    /// assert_eq!(Amount::Sparsity(0.3).count_remaining(10, 6)?, 0);
    /// # Ok::<(), prune::PruneError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`count`](Self::count); the limit of a count is `remaining`.
    pub fn count_remaining(self, all: usize, remaining: usize) -> Result<usize, PruneError> {
        self.count_units(all, remaining, "entries")
    }

    /// [`count_remaining`](Self::count_remaining), with the name of the units for the message.
    pub(crate) fn count_units(self, all: usize, remaining: usize, unit: &'static str) -> Result<usize, PruneError> {
        let part = |fraction: f64, whole: usize| (fraction * whole as f64).round_ties_even() as usize;
        let count = match self.validated()? {
            Self::Count(count) => count,
            Self::Fraction(fraction) => part(fraction, remaining),
            Self::Sparsity(sparsity) => part(sparsity, all).saturating_sub(all - remaining),
        };
        if count > remaining {
            return Err(PruneError::AmountTooLarge { count, available: remaining, unit });
        }
        Ok(count)
    }

    /// Rejects fractions and sparsities that are NaN or outside `0.0..=1.0`.
    pub(crate) fn validated(self) -> Result<Self, PruneError> {
        match self {
            // Written so that NaN fails too.
            Self::Fraction(found) | Self::Sparsity(found) if !(0.0..=1.0).contains(&found) => {
                Err(PruneError::InvalidFraction { found })
            }
            Self::Fraction(_) | Self::Count(_) | Self::Sparsity(_) => Ok(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_round_half_to_even() {
        for (fraction, size, expected) in [
            (0.25, 10, 2),
            (0.35, 10, 4),
            (0.5, 3, 2),
            (0.5, 5, 2),
            (0.285, 100, 28),
            (-0.0, 7, 0),
            (1.0, 7, 7),
            (0.5, 0, 0),
        ] {
            assert_eq!(Amount::Fraction(fraction).count(size), Ok(expected), "{fraction} of {size}");
            assert_eq!(Amount::Sparsity(fraction).count(size), Ok(expected), "{fraction} of {size}");
        }
    }

    #[test]
    fn a_sparsity_counts_what_is_pruned() {
        for (sparsity, all, remaining, expected) in
            [(0.9, 10, 10, 9), (0.9, 10, 5, 4), (0.9, 10, 1, 0), (0.5, 10, 2, 0), (1.0, 7, 3, 3), (0.25, 10, 9, 1)]
        {
            assert_eq!(Amount::Sparsity(sparsity).count_remaining(all, remaining), Ok(expected), "{sparsity} of {all}");
        }
        assert_eq!(Amount::Sparsity(1.5).count(3), Err(PruneError::InvalidFraction { found: 1.5 }));
    }

    #[test]
    fn counts_beyond_32_bits() {
        assert_eq!(Amount::Fraction(0.5).count(1 << 40), Ok(1 << 39));
        assert_eq!(Amount::Count(1 << 33).count(1 << 34), Ok(1 << 33));
    }
}
