//! Pruning with data: the values of its options, and the methods that they make.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use clap::ValueEnum;
use prune::calibration::{Admm, DampeningOf, LeastSquares, Pattern, Ria, SparseGpt, Statistics, Swaps, Wanda};
use prune::{AnyMethod, PruneError};
use serde::{Deserialize, Serialize};

use crate::error::CliError;
use crate::parse::{AllocationName, BlockName, PatternName};

/// A method that needs statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CalibratedName {
    Wanda,
    SparseGpt,
    Ria,
    Admm,
}

impl CalibratedName {
    pub const ALL: [Self; 4] = [Self::Wanda, Self::SparseGpt, Self::Ria, Self::Admm];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wanda => "wanda",
            Self::SparseGpt => "sparsegpt",
            Self::Ria => "ria",
            Self::Admm => "admm",
        }
    }

    /// The help of the value.
    pub fn summary(self) -> &'static str {
        match self {
            Self::Wanda => {
                "Prune the entries of each output row with the lowest magnitudes times input norms; needs --statistics"
            }
            Self::SparseGpt => {
                "Prune block by block of columns, and update the weights that are kept; needs --statistics"
            }
            Self::Ria => {
                "Prune the entries of each output row by relative importance and input norms; needs --statistics"
            }
            Self::Admm => "Find mask and weights together by ADMM; needs --statistics",
        }
    }

    /// The options of `nn-prune prune` that the method takes, in order.
    pub fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Wanda | Self::Ria => &["--allocation", "--amount", "--pattern", "--sparsity", "--statistics"],
            Self::SparseGpt => &[
                "--allocation",
                "--amount",
                "--block",
                "--dampening",
                "--dampening-of",
                "--pattern",
                "--sparsity",
                "--statistics",
            ],
            Self::Admm => &["--allocation", "--amount", "--dampening", "--pattern", "--sparsity", "--statistics"],
        }
    }
}

/// A value of `--refine`: `swaps`, or `swaps:N` for at most N in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Refine {
    steps: Option<usize>,
}

impl FromStr for Refine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "swaps" => Ok(Self { steps: None }),
            Some(("swaps", steps)) if steps.parse::<usize>().is_ok() => Ok(Self { steps: steps.parse().ok() }),
            Some(_) | None => Err("must be swaps, or swaps:N with the most swaps in a row".into()),
        }
    }
}

impl TryFrom<String> for Refine {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Refine> for String {
    fn from(Refine { steps }: Refine) -> Self {
        steps.map_or("swaps".into(), |steps| format!("swaps:{steps}"))
    }
}

/// A value of `--allocation`: a rule of the library, or `owl` with its options.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum AllocationRule {
    Named(AllocationName),
    Owl(OwlOptions),
}

/// The multiple of the mean above which a weight is an outlier, and the spread of sparsities.
#[derive(Debug, Clone, Copy)]
pub struct OwlOptions {
    pub multiple: f64,
    pub spread: f64,
}

impl FromStr for AllocationRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(name) = AllocationName::from_str(text, false) {
            return Ok(Self::Named(name));
        }
        let invalid =
            || "must be uniform, erdos-renyi, erk, lamp, global, owl or owl:M,LAMBDA, such as owl:5,0.08".to_owned();
        let numbers = match text.split_once(':') {
            None if text == "owl" => "5",
            Some(("owl", numbers)) => numbers,
            Some(_) | None => return Err(invalid()),
        };
        let number = |text: &str| text.parse::<f64>().ok().filter(|number| *number >= 0.0 && number.is_finite());
        let (multiple, spread) = numbers.split_once(',').unwrap_or((numbers, "0.08"));
        let (multiple, spread) = number(multiple).zip(number(spread)).ok_or_else(invalid)?;
        Ok(Self::Owl(OwlOptions { multiple, spread }))
    }
}

impl TryFrom<String> for AllocationRule {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<AllocationRule> for String {
    fn from(rule: AllocationRule) -> Self {
        match rule {
            AllocationRule::Named(name) => prune::training::Allocation::from(name).to_string(),
            AllocationRule::Owl(OwlOptions { multiple, spread }) => format!("owl:{multiple:?},{spread:?}"),
        }
    }
}

/// A pattern that matches a name only.
pub fn literal(name: &str) -> String {
    let escaped = name.chars().map(|letter| match letter {
        '*' | '?' | '[' | '{' | '}' | '\\' => format!("[{letter}]"),
        other => other.to_string(),
    });
    escaped.collect()
}

// The comments of the variants below are the help of their values.

/// A value of `--update`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Update {
    /// The weights that change the outputs of the layer least, for the statistics
    LeastSquares,
}

/// A value of `--dampening-of`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DampeningOfName {
    /// All inputs, as in the published SparseGPT
    All,
    /// The inputs that are not always zero
    Live,
}

impl From<DampeningOfName> for DampeningOf {
    fn from(name: DampeningOfName) -> Self {
        match name {
            DampeningOfName::All => Self::All,
            DampeningOfName::Live => Self::Live,
        }
    }
}

/// The options of methods with data.
#[derive(Debug)]
pub struct Calibrated<'r> {
    pub statistics: Arc<Statistics>,
    pub pattern: Option<PatternName>,
    pub block: Option<&'r BlockName>,
    pub dampening: Option<f64>,
    pub dampening_of: Option<DampeningOfName>,
    pub refine: Option<Refine>,
    pub update: Option<Update>,
}

/// Opens a statistics file.
pub fn open(path: &Path) -> Result<Arc<Statistics>, CliError> {
    let failed = |error| CliError::caused_by(format!("cannot use the statistics `{}`", path.display()), error);
    Statistics::open(path).map(Arc::new).map_err(failed)
}

impl Calibrated<'_> {
    /// The method of a name for an amount or pattern.
    pub fn method(&self, name: CalibratedName, pattern: Pattern) -> Result<AnyMethod, PruneError> {
        let statistics = Arc::clone(&self.statistics);
        Ok(match name {
            CalibratedName::Wanda => AnyMethod::new(Wanda::new(pattern, statistics)?),
            CalibratedName::Ria => AnyMethod::new(Ria::new(pattern, statistics)?),
            CalibratedName::SparseGpt => {
                let method = SparseGpt::new(pattern, statistics)?;
                let method = self.dampening.into_iter().fold(method, SparseGpt::dampening);
                let method =
                    self.dampening_of.into_iter().fold(method, |method, of| method.dampening_of(DampeningOf::from(of)));
                let columns = match self.block.map(|block| block.0.as_slice()) {
                    None => None,
                    Some([columns]) => Some(*columns),
                    Some(_) => return Err(PruneError::method("SparseGpt", "a block is a number of columns")),
                };
                AnyMethod::new(columns.into_iter().fold(method, SparseGpt::block))
            }
            CalibratedName::Admm => {
                let method = Admm::new(pattern, statistics)?;
                AnyMethod::new(self.dampening.into_iter().fold(method, Admm::dampening))
            }
        })
    }

    /// The method, with better masks and new weights if the options ask for them.
    pub fn refined(&self, method: AnyMethod) -> AnyMethod {
        let statistics = || Arc::clone(&self.statistics);
        let method = match self.refine {
            None => method,
            Some(Refine { steps }) => {
                let swaps = Swaps::new(method, statistics());
                let swaps = steps.into_iter().fold(swaps, Swaps::steps);
                let groups = self.pattern.map(|PatternName { m, .. }| m);
                AnyMethod::new(groups.into_iter().fold(swaps, Swaps::within))
            }
        };
        match self.update {
            None => method,
            Some(Update::LeastSquares) => {
                let update = LeastSquares::after(method, statistics());
                let update = self.dampening.into_iter().fold(update, LeastSquares::dampening);
                let of = self.dampening_of.map(DampeningOf::from);
                AnyMethod::new(of.into_iter().fold(update, LeastSquares::dampening_of))
            }
        }
    }
}
