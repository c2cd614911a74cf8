//! Parses option values.

use std::str::FromStr;

use clap::ValueEnum;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use prune::checkpoint::{Format, Scope};
use prune::training::Allocation;
use prune::{MethodInfo, MethodOption, Norm, TieBreak};
use serde::{Deserialize, Serialize};

use crate::calibrated::CalibratedName;

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

/// A value of `--pattern`: `2:4` keeps at most 2 of every 4 entries.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PatternName {
    pub n: usize,
    pub m: usize,
}

impl FromStr for PatternName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once(':').and_then(|(n, m)| Some((n.parse().ok()?, m.parse().ok()?)));
        let (n, m) = numbers.ok_or("must be n:m, such as 2:4")?;
        match prune::NM::new(n, m, -1) {
            Ok(_) => Ok(Self { n, m }),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl TryFrom<String> for PatternName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<PatternName> for String {
    fn from(PatternName { n, m }: PatternName) -> Self {
        format!("{n}:{m}")
    }
}

/// A value of `--block`: `16x1` is a block of 16 entries along the first axis, and one along the second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BlockName(pub Vec<usize>);

impl FromStr for BlockName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size = |size: &str| size.parse().ok().filter(|&size| size > 0);
        let shape: Option<Vec<usize>> = text.split('x').map(size).collect();
        shape.map(Self).ok_or_else(|| "must be sizes of at least 1, such as 16x1".into())
    }
}

impl TryFrom<String> for BlockName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<BlockName> for String {
    fn from(BlockName(shape): BlockName) -> Self {
        shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
    }
}

// The comments of the variants below are the help of their values.

/// A value of `--method`: a built-in method of the library, one that needs statistics, or the masks of a file.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&str")]
pub enum MethodName {
    BuiltIn(&'static MethodInfo),
    Calibrated(CalibratedName),
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
        let calibrated = CalibratedName::ALL.map(|name| PossibleValue::new(name.as_str()).help(name.summary()));
        PossibleValuesParser::new(built_in.chain(calibrated).chain([mask]))
            .map(|name| Self::of(&name).unwrap_or(Self::Mask))
    }

    fn of(name: &str) -> Option<Self> {
        let built_in = Self::built_in().find(|method| method.names().contains(&name));
        let calibrated = CalibratedName::ALL.into_iter().find(|method| method.as_str() == name);
        let built_in = built_in.map(Self::BuiltIn).or(calibrated.map(Self::Calibrated));
        built_in.or((name == Self::MASK).then_some(Self::Mask))
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::BuiltIn(method) => method.name(),
            Self::Calibrated(method) => method.as_str(),
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
                // The amount of a pattern is a share of groups, not a sparsity.
                let has_sparsity = ranks && !options.contains(&MethodOption::Pattern);
                let flags = flags.chain(has_sparsity.then_some("--sparsity"));
                let of_all = ["--scope", "--allocation", "--min-sparsity", "--max-sparsity"];
                let of_all = of_all.into_iter().filter(|_| method.ranks_globally());
                let mut flags: Vec<_> = flags.chain(of_all).collect();
                flags.sort_unstable();
                flags
            }
            Self::Calibrated(method) => method.flags().to_vec(),
            Self::Mask => vec!["--mask"],
        }
    }

    /// Returns `true` if the method prunes entries of single tensors, so that masks can be improved and weights updated.
    pub fn prunes_entries(self) -> bool {
        match self {
            Self::BuiltIn(method) => {
                !method.options().contains(&MethodOption::Norm) && method.name() != "random-structured"
            }
            Self::Calibrated(_) => true,
            Self::Mask => false,
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

#[derive(Debug, Clone, Copy, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AllocationName {
    /// The same sparsity in each tensor
    Uniform,
    /// Erdős-Rényi: small layers keep more of their entries, by their numbers of input and output channels
    ErdosRenyi,
    /// Erdős-Rényi-Kernel: the same with the sizes of kernels
    Erk,
    /// One ranking of LAMP scores
    Lamp,
    /// One ranking of magnitudes, as --scope global, but within bounds
    Global,
}

impl From<AllocationName> for Allocation {
    fn from(name: AllocationName) -> Self {
        match name {
            AllocationName::Uniform => Self::Uniform,
            AllocationName::ErdosRenyi => Self::ErdosRenyi,
            AllocationName::Erk => Self::Erk,
            AllocationName::Lamp => Self::Lamp,
            AllocationName::Global => Self::Global,
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
    fn patterns_and_blocks() {
        assert_eq!("2:4".parse(), Ok(PatternName { n: 2, m: 4 }));
        assert_eq!(String::from(PatternName { n: 2, m: 4 }), "2:4");
        for (text, error) in [
            ("2", "must be n:m, such as 2:4"),
            ("2:x", "must be n:m, such as 2:4"),
            ("5:4", "5:4 is not a pattern of n kept among every m entries; n must be at most m, and m at least 1"),
        ] {
            assert_eq!(text.parse::<PatternName>(), Err(error.to_owned()));
        }
        assert_eq!("16x1".parse(), Ok(BlockName(vec![16, 1])));
        assert_eq!("4".parse(), Ok(BlockName(vec![4])));
        assert_eq!(String::from(BlockName(vec![4, 4])), "4x4");
        for text in ["", "0x4", "4x", "4,4", "-1"] {
            assert!(text.parse::<BlockName>().is_err(), "{text}");
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
            assert_eq!(text.parse().ok().map(|NormName(norm)| norm), expected, "{text:?}");
        }
    }
}
