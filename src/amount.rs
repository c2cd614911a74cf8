//! How much to prune: the only rounding in the crate.

use crate::error::PruneError;

/// How much to prune: a share of what is left, or a number of units.
///
/// A unit is an entry for the unstructured methods and a channel for the structured ones. What is already pruned does not
/// count: a half of a tensor that is half pruned is a quarter of it.
///
/// ```
/// use prune::Amount;
///
/// assert_eq!(Amount::from(0.5), Amount::Fraction(0.5));
/// assert_eq!(Amount::from(3), Amount::Count(3));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Amount {
    /// A share, from 0 to 1.
    Fraction(f64),
    /// An absolute number.
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
    /// How many of `available` entries this comes to. A fraction is one `f64` product, rounded half to even.
    ///
    /// Methods of one's own call this, so that an amount means the same everywhere.
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
    /// [`PruneError::InvalidFraction`] for a fraction outside 0 to 1, [`PruneError::AmountTooLarge`] for a count above
    /// `available`.
    pub fn count(self, available: usize) -> Result<usize, PruneError> {
        self.count_of(available, "entries")
    }

    /// [`count`](Self::count), with the name of what is counted for the message.
    pub(crate) fn count_of(self, available: usize, unit: &'static str) -> Result<usize, PruneError> {
        let count = match PruneError::check_amount(self)? {
            Self::Count(count) => count,
            Self::Fraction(fraction) => (fraction * available as f64).round_ties_even() as usize,
        };
        if count > available {
            return Err(PruneError::AmountTooLarge { count, available, unit });
        }
        Ok(count)
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
