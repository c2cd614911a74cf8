//! Amounts: how many units one call prunes. This is the only place where a count is rounded.

use crate::error::PruneError;

/// How much one call prunes: a fraction or a count of the remaining units.
///
/// A unit is an entry for unstructured methods and a channel for structured ones. Pruned units do not count: a fraction of
/// 0.5 prunes half of a new tensor, and a quarter of the whole if applied again.
///
/// ```
/// use prune::Amount;
///
/// assert_eq!(Amount::from(0.5), Amount::Fraction(0.5));
/// assert_eq!(Amount::from(3), Amount::Count(3));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Amount {
    /// A fraction of the remaining units, from 0.0 to 1.0.
    Fraction(f64),
    /// A number of units.
    Count(usize),
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

impl Amount {
    /// Returns how many of `available` units to prune. A fraction is multiplied in `f64` and rounded half to even.
    ///
    /// Custom methods call this function, so that an amount has the same meaning for every method.
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
    /// [`PruneError::InvalidFraction`] if a fraction is NaN or outside `0.0..=1.0`; [`PruneError::AmountTooLarge`] if a count
    /// exceeds `available`.
    pub fn count(self, available: usize) -> Result<usize, PruneError> {
        self.count_of(available, "entries")
    }

    /// [`count`](Self::count), with the name of the unit for the message.
    pub(crate) fn count_of(self, available: usize, unit: &'static str) -> Result<usize, PruneError> {
        let count = match self.validated()? {
            Self::Count(count) => count,
            Self::Fraction(fraction) => (fraction * available as f64).round_ties_even() as usize,
        };
        if count > available {
            return Err(PruneError::AmountTooLarge { count, available, unit });
        }
        Ok(count)
    }

    /// Rejects a fraction that is NaN or outside `0.0..=1.0`.
    pub(crate) fn validated(self) -> Result<Self, PruneError> {
        match self {
            // NaN is in no range, so that it is rejected too.
            Self::Fraction(found) if !(0.0..=1.0).contains(&found) => Err(PruneError::InvalidFraction { found }),
            Self::Fraction(_) | Self::Count(_) => Ok(self),
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
        }
    }

    #[test]
    fn counts_beyond_32_bits() {
        assert_eq!(Amount::Fraction(0.5).count(1 << 40), Ok(1 << 39));
        assert_eq!(Amount::Count(1 << 33).count(1 << 34), Ok(1 << 33));
    }
}
