//! What the words of the command line stand for.

use clap::ValueEnum;
use prune::checkpoint::{Format, Scope};
use prune::{Amount, Norm};

/// As in PyTorch: an integer is a count, a number with a decimal point a share.
pub fn amount(text: &str) -> Result<Amount, String> {
    if let Ok(count) = text.parse() {
        return Ok(Amount::Count(count));
    }
    let wrong = "expected a share such as 0.5 or a count such as 100";
    if !text.contains('.') {
        return Err(wrong.into());
    }
    let amount = Amount::Fraction(text.parse().map_err(|_| wrong)?);
    // Of nothing there is any share, unless it is not one.
    amount.count(0).map(|_| amount).map_err(|error| error.to_string())
}

pub fn norm(text: &str) -> Result<Norm, String> {
    match text {
        "fro" => Ok(Norm::Frobenius),
        "nuc" => Ok(Norm::Nuclear),
        "inf" | "+inf" => Ok(Norm::L(f64::INFINITY)),
        "-inf" => Ok(Norm::L(f64::NEG_INFINITY)),
        number => match number.parse() {
            Ok(n) if f64::is_finite(n) => Ok(Norm::L(n)),
            _ => Err("expected a number, inf, -inf, fro or nuc".into()),
        },
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MethodName {
    /// Entries of lowest magnitude
    L1,
    /// Entries at random
    Random,
    /// Channels (slices along --dim) of lowest norm
    Ln,
    /// Channels at random
    RandomStructured,
    /// What the masks in a file do not keep
    Mask,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ScopeName {
    /// Each tensor loses the amount
    Tensor,
    /// All selected tensors are ranked together and lose the amount as a whole
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
    /// The same checkpoint with zeros where entries were pruned
    Weights,
    /// PyTorch's form of a pruned model: W_orig and W_mask in place of W
    Pytorch,
    /// Only the masks, one bit an entry, in one file
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
    fn a_decimal_point_makes_a_share() {
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
    fn norms_by_pytorchs_names() {
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
