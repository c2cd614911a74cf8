//! Parses option values.

use clap::ValueEnum;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use prune::checkpoint::{Format, Scope};
use prune::{Amount, MethodInfo, MethodOption, Norm};

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

/// A value of `--method`: a built-in method of the library, or the masks of a file.
#[derive(Debug, Clone, Copy)]
pub enum MethodName {
    BuiltIn(&'static MethodInfo),
    Mask,
}

impl MethodName {
    const MASK: &str = "mask";

    /// The methods that an option value can select, with their help. A method that takes a mask takes it from a file here.
    fn built_in() -> impl Iterator<Item = &'static MethodInfo> {
        MethodInfo::all().iter().filter(|method| !method.options().contains(&MethodOption::Mask))
    }

    /// Parses a value of `--method`.
    pub fn parser() -> impl TypedValueParser<Value = Self> {
        let built_in = Self::built_in()
            .map(|method| PossibleValue::new(method.name()).aliases(&method.names()[1..]).help(method.summary()));
        let mask = PossibleValue::new(Self::MASK).help("Prune the entries that the masks of a file do not keep");
        PossibleValuesParser::new(built_in.chain([mask])).map(|name| {
            let built_in = Self::built_in().find(|method| method.names().contains(&name.as_str()));
            built_in.map_or(Self::Mask, Self::BuiltIn)
        })
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::BuiltIn(method) => method.name(),
            Self::Mask => Self::MASK,
        }
    }

    /// The options of `nn-prune prune` that the method takes.
    pub fn flags(self) -> Vec<&'static str> {
        match self {
            Self::BuiltIn(method) => {
                let flags = method.options().iter().filter_map(|&option| flag(option));
                let mut flags: Vec<_> = flags.chain(method.ranks_globally().then_some("--scope")).collect();
                flags.sort_unstable();
                flags
            }
            Self::Mask => vec!["--mask"],
        }
    }
}

/// The option of `nn-prune prune` that sets an option of a method.
pub fn flag(option: MethodOption) -> Option<&'static str> {
    match option {
        MethodOption::Amount => Some("--amount"),
        MethodOption::Norm => Some("--norm"),
        MethodOption::Dim => Some("--dim"),
        MethodOption::Source => Some("--seed"),
        // Files have no PyTorch order of ties, and masks come from a file.
        MethodOption::TieBreak | MethodOption::Mask => None,
        // The enum of the library may grow: a new option needs a flag to be of use here.
        _ => None,
    }
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
