//! Parses option values.

use std::str::FromStr;

use clap::ValueEnum;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use prune::checkpoint::{Format, Scope};
use prune::{MethodInfo, MethodOption, Norm, TieBreak};
use serde::{Deserialize, Serialize};

/// A value of `--norm`, with PyTorch's names.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NormName(pub Norm);

impl FromStr for NormName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(match text {
            "fro" => Norm::Frobenius,
            "nuc" => Norm::Nuclear,
            "inf" | "+inf" => Norm::L(f64::INFINITY),
            "-inf" => Norm::L(f64::NEG_INFINITY),
            number => match number.parse() {
                Ok(n) if f64::is_finite(n) => Norm::L(n),
                _ => return Err("must be a number, inf, -inf, fro or nuc".into()),
            },
        }))
    }
}

impl TryFrom<String> for NormName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<NormName> for String {
    fn from(NormName(norm): NormName) -> Self {
        norm.to_string()
    }
}

// The comments of the variants below are the help of their values.

/// A value of `--method`: a built-in method of the library, or the masks of a file.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&str")]
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
        PossibleValuesParser::new(built_in.chain([mask])).map(|name| Self::of(&name).unwrap_or(Self::Mask))
    }

    fn of(name: &str) -> Option<Self> {
        let built_in = Self::built_in().find(|method| method.names().contains(&name));
        built_in.map(Self::BuiltIn).or((name == Self::MASK).then_some(Self::Mask))
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
                let options = method.options();
                // Zeros without a mask are a part of the sparsity, and scores tie, only where a ranking takes the lowest.
                let ranks = options.contains(&MethodOption::TieBreak) && !options.contains(&MethodOption::Source);
                let flags = options.iter().filter_map(|&option| flag(option)).filter(|&flag| ranks || flag != "--ties");
                let flags = flags.chain(ranks.then_some("--sparsity"));
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
        MethodOption::TieBreak => Some("--ties"),
        MethodOption::Pattern => Some("--pattern"),
        MethodOption::Block => Some("--block"),
        // Masks come from a file.
        MethodOption::Mask => None,
        // The enum of the library may grow: a new option needs a flag to be of use here.
        _ => None,
    }
}

impl TryFrom<String> for MethodName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::of(&name).ok_or_else(|| format!("no method is named `{name}`"))
    }
}

impl From<MethodName> for &'static str {
    fn from(method: MethodName) -> Self {
        method.as_str()
    }
}

#[derive(Debug, Clone, Copy, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TiesName {
    /// The entry or channel with the lowest index is pruned first
    LowestIndex,
    /// PyTorch's choice; a tensor with such ties is held in memory
    Torch,
}

impl From<TiesName> for TieBreak {
    fn from(name: TiesName) -> Self {
        match name {
            TiesName::LowestIndex => Self::LowestIndex,
            TiesName::Torch => Self::PyTorch,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
            assert_eq!(text.parse().ok().map(|NormName(norm)| norm), expected, "{text:?}");
        }
    }
}
