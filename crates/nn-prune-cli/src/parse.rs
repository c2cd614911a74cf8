//! Parses option values.

use clap::ValueEnum;
use prune::checkpoint::{Format, Scope};
use prune::{Amount, Norm};

/// Parses an amount as PyTorch does: an integer is a count, a number with a decimal point is a fraction.
pub fn amount(text: &str) -> Result<Amount, String> {
    if let Ok(count) = text.parse() {
        return Ok(Amount::Count(count));
    }
    let invalid = "must be a fraction such as 0.5 or a count such as 100";
    if !text.contains('.') {
        return Err(invalid.into());
    }
    let amount = Amount::Fraction(text.parse().map_err(|_| invalid)?);
    // Any valid fraction of 0 units is 0. An error means that the fraction is out of range.
    amount.count(0).map(|_| amount).map_err(|error| error.to_string())
}

/// Parses the order of a norm, with PyTorch's names.
pub fn norm(text: &str) -> Result<Norm, String> {
    match text {
        "fro" => Ok(Norm::Frobenius),
        "nuc" => Ok(Norm::Nuclear),
        "inf" | "+inf" => Ok(Norm::L(f64::INFINITY)),
        "-inf" => Ok(Norm::L(f64::NEG_INFINITY)),
        number => match number.parse() {
            Ok(n) if f64::is_finite(n) => Ok(Norm::L(n)),
            _ => Err("must be a number, inf, -inf, fro or nuc".into()),
        },
    }
}

// The comments of the variants below are the help of their values.

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MethodName {
    /// Entries with the lowest magnitudes
    L1,
    /// Random entries
    Random,
    /// Channels along --dim with the lowest norms
    Ln,
    /// Random channels
    RandomStructured,
    /// Entries that the masks of a file prune
    Mask,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ScopeName {
    /// Rank each tensor separately and prune the amount in each
    Tensor,
    /// Rank all selected tensors together and prune the amount in total
    Global,
}

impl From<ScopeName> for Scope {
    fn from(name: ScopeName) -> Self {
        match name {
            ScopeName::Tensor => Self::Tensor,
            ScopeName::Global => Self::Global,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatName {
    /// The same checkpoint, with zeros for pruned entries
    Weights,
    /// PyTorch's form of a pruned model: W_orig and W_mask instead of W
    Pytorch,
    /// Only the masks, in one file with one bit per entry
    Masks,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Weights => Self::Weights,
            FormatName::Pytorch => Self::PyTorch,
            FormatName::Masks => Self::Masks,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_point_makes_a_fraction() {
        for (text, expected) in [
            ("1", Some(Amount::Count(1))),
            ("1.0", Some(Amount::Fraction(1.0))),
            ("0.5", Some(Amount::Fraction(0.5))),
            (".5", Some(Amount::Fraction(0.5))),
            ("0", Some(Amount::Count(0))),
            ("1.5", None),
            ("-0.5", None),
            ("-1", None),
            ("1e-1", None),
            ("nan", None),
            ("inf", None),
            ("50%", None),
            ("", None),
        ] {
            assert_eq!(amount(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn norms_have_pytorchs_names() {
        for (text, expected) in [
            ("2", Some(Norm::L(2.0))),
            ("0.5", Some(Norm::L(0.5))),
            ("-inf", Some(Norm::L(f64::NEG_INFINITY))),
            ("fro", Some(Norm::Frobenius)),
            ("nuc", Some(Norm::Nuclear)),
            ("nan", None),
            ("l2", None),
        ] {
            assert_eq!(norm(text).ok(), expected, "{text:?}");
        }
    }
}
