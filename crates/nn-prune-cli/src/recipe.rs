//! Recipes: everything that decides which entries are pruned, as options of the command line or in a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;
use clap::error::ErrorKind;
use prune::calibration::{Pattern, Statistics};
use prune::checkpoint::{self, Checkpoint, CheckpointError, Observer, Owl, Pruner, Selection};
use prune::training::{Allocation, Bounds};
use prune::{Amount, AnyMethod, MethodOption, MethodOptions, PruneError};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::amount::{LayerAmount, Written};
use crate::args::PruneArgs;
use crate::calibrated::{self, AllocationRule, Calibrated, DampeningOfName, OwlOptions, Refine, Update};
use crate::error::CliError;
use crate::parse::{BlockName, MethodName, NormName, PatternName, ScopeName, TiesName};

/// The options that decide which entries are pruned. `--save-recipe` writes them to a file, and `--recipe` reads it.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// The method that selects what is pruned
    #[arg(long, value_parser = MethodName::parser(), required_unless_present_any = ["recipe", "cut"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<MethodName>,
    /// How much to prune: a fraction (0.5, 50%), or a count of entries, channels or blocks (100). PATTERN=AMOUNT is for the
    /// tensors whose names match; may be repeated, the first match counts. nm needs none
    #[arg(long, value_name = "[PATTERN=]AMOUNT", allow_hyphen_values = true)]
    #[serde(deserialize_with = "amounts", skip_serializing_if = "Vec::is_empty")]
    amount: Vec<LayerAmount>,
    /// The sparsity to reach, instead of --amount: what is pruned or zero already is a part of it; for l1, ln and block
    #[arg(long, value_name = "[PATTERN=]SPARSITY", value_parser = LayerAmount::sparsity, conflicts_with = "amount")]
    #[serde(deserialize_with = "sparsities", skip_serializing_if = "Vec::is_empty")]
    sparsity: Vec<LayerAmount>,
    /// The entries that are ranked together; for l1 and random [default: tensor]
    #[arg(long, value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<ScopeName>,
    /// How the amount of all tensors together is divided among them: uniform, erdos-renyi, erk, lamp or global, for l1 and
    /// random (lamp and global: for l1); or by --statistics `owl` or `owl:M,LAMBDA`, less where more weights times inputs are above M
    /// times their mean, at most LAMBDA away from the amount [default: owl:5,0.08]
    #[arg(long, value_name = "RULE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    allocation: Option<AllocationRule>,
    /// The lowest sparsity of a tensor, a fraction; for --allocation
    #[arg(long, value_name = "SPARSITY", requires = "allocation")]
    #[serde(skip_serializing_if = "Option::is_none")]
    min_sparsity: Option<f64>,
    /// The highest sparsity of a tensor, a fraction, so that none loses all; for --allocation
    #[arg(long, value_name = "SPARSITY", requires = "allocation")]
    #[serde(skip_serializing_if = "Option::is_none")]
    max_sparsity: Option<f64>,
    /// The axis of the channels, negative to count from the last; for ln, fpgm and random-structured [default: that of the
    /// layer's output channels]. For nm, the axis of the groups [default: -1, which is that of the input channels of a
    /// linear layer]
    #[arg(long, allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    dim: Option<isize>,
    /// The norm that ranks channels: a number, inf, -inf, fro or nuc; for ln. For block, the mean that ranks blocks: of
    /// magnitudes (1) or squares (2), or the largest magnitude (inf) [default: 2]
    #[arg(long, allow_hyphen_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    norm: Option<NormName>,
    /// The pattern: at most n of every m entries along an axis are kept, such as 2:4; for nm, and for wanda, sparsegpt, ria and
    /// admm instead of --amount
    #[arg(long, value_name = "N:M")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pattern: Option<PatternName>,
    /// The size of a block along each axis, such as 16x1 or 4x4; axes left out are whole; for block. For sparsegpt, the
    /// columns of a block [default: 128]
    #[arg(long, value_name = "AxB")]
    #[serde(skip_serializing_if = "Option::is_none")]
    block: Option<BlockName>,
    /// The choice among equal scores; for l1, ln, nm and block [default: lowest-index]
    #[arg(long, value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    ties: Option<TiesName>,
    /// The seed of random numbers; for random and random-structured [default: 0]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    /// The mask file; for mask
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    mask: Option<PathBuf>,
    /// The statistics of layer inputs, by which wanda, sparsegpt, ria, admm, --refine and --update prune
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    statistics: Option<PathBuf>,
    /// What is added to the diagonal of the Hessian, as a share of its mean; for sparsegpt and --update [default: 0.01], for admm
    /// [default: 0.1]
    #[arg(long, value_name = "SHARE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    dampening: Option<f64>,
    /// The inputs over which that mean is taken; for sparsegpt and --update [default: all]
    #[arg(long, value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    dampening_of: Option<DampeningOfName>,
    /// Improve the masks: swap kept and pruned entries of a row, at most N times, while the error falls [default N: 100]
    #[arg(long, value_name = "swaps[:N]")]
    #[serde(skip_serializing_if = "Option::is_none")]
    refine: Option<Refine>,
    /// Update the weights that are kept
    #[arg(long, value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    update: Option<Update>,
    #[command(flatten)]
    #[serde(flatten)]
    pub names: Names,
}

/// The names of the tensors to prune.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
#[serde(default)]
pub struct Names {
    /// Prune only layers whose tensor names match this glob; may be repeated
    #[arg(long, value_name = "GLOB")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// Skip tensors whose whole name matches this glob; may be repeated
    #[arg(long, value_name = "GLOB")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Prune exactly the tensors whose names match this glob, whatever they are; may be repeated
    #[arg(long, value_name = "GLOB", conflicts_with = "include")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// Prune every floating-point tensor, whatever it is: --only '*'
    #[arg(long, conflicts_with_all = ["include", "only"])]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}

impl Names {
    pub fn selection(&self) -> Selection {
        let Self { include, exclude, only, all } = self;
        let selection = if *all { Selection::new().only("*") } else { Selection::new() };
        let selection = only.iter().fold(selection, Selection::only);
        let selection = include.iter().fold(selection, Selection::include);
        exclude.iter().fold(selection, Selection::exclude)
    }

    /// Returns `true` if no pattern is given.
    pub fn is_default(&self) -> bool {
        let Self { include, exclude, only, all } = self;
        include.is_empty() && exclude.is_empty() && only.is_empty() && !all
    }
}

/// Reads a list of amounts, or one amount without brackets.
fn amounts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<LayerAmount>, D::Error> {
    one_or_many(deserializer, LayerAmount::from_str)
}

/// Reads a list of sparsities, or one sparsity without brackets.
fn sparsities<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<LayerAmount>, D::Error> {
    one_or_many(deserializer, LayerAmount::sparsity)
}

fn one_or_many<'de, D: Deserializer<'de>>(
    deserializer: D,
    parse: impl Fn(&str) -> Result<LayerAmount, String>,
) -> Result<Vec<LayerAmount>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Amounts {
        One(Written),
        Many(Vec<Written>),
    }
    let written = match Amounts::deserialize(deserializer)? {
        Amounts::One(amount) => vec![amount],
        Amounts::Many(amounts) => amounts,
    };
    written.iter().map(|written| parse(&written.to_string()).map_err(D::Error::custom)).collect()
}

impl Recipe {
    /// The options of the command line that a recipe replaces, and the group of the names.
    pub const OPTIONS: [&str; 20] = [
        "method",
        "amount",
        "sparsity",
        "scope",
        "allocation",
        "min_sparsity",
        "max_sparsity",
        "dim",
        "norm",
        "pattern",
        "block",
        "ties",
        "seed",
        "mask",
        "statistics",
        "dampening",
        "dampening_of",
        "refine",
        "update",
        "Names",
    ];

    /// Reads a recipe: JSON if the name of the file ends in `.json`, TOML otherwise.
    pub fn read(path: &Path) -> Result<Self, CliError> {
        let shown = path.display();
        let text = fs::read_to_string(path)
            .map_err(|error| CliError::caused_by(format!("cannot read recipe `{shown}`"), error))?;
        let invalid =
            |error: Box<dyn std::error::Error>| CliError::caused_by(format!("`{shown}` is not a valid recipe"), error);
        let recipe: Self = if is_json(path) {
            serde_json::from_str(&text).map_err(|error| invalid(error.into()))?
        } else {
            toml::from_str(&text).map_err(|error| invalid(error.message().to_owned().into()))?
        };
        if recipe.method.is_none() {
            return Err(invalid("it names no method".into()));
        }
        Ok(recipe)
    }

    /// The text of a recipe for a file of this name.
    pub fn to_text(&self, path: &Path) -> Result<String, CliError> {
        let failed = |error: Box<dyn std::error::Error>| CliError::caused_by("cannot write the recipe", error);
        if is_json(path) {
            serde_json::to_string_pretty(self).map(|text| text + "\n").map_err(|error| failed(error.into()))
        } else {
            toml::to_string(self).map_err(|error| failed(error.into()))
        }
    }

    /// The count that is pruned of each tensor, if the amount is one count for all.
    pub fn count_of_each(&self) -> Option<usize> {
        match self.amount.as_slice() {
            [LayerAmount { pattern: None, amount: Amount::Count(count), .. }]
                if !self.is_global() && self.allocation.is_none() =>
            {
                Some(*count)
            }
            _ => None,
        }
    }

    fn is_global(&self) -> bool {
        matches!(self.scope, Some(ScopeName::Global))
    }

    /// Returns the pruner. An option of another method is an error, because it would have no effect.
    pub fn pruner(&self) -> Result<Pruner, CliError> {
        let Some(method) = self.method else {
            return Err(usage(ErrorKind::MissingRequiredArgument, "--method is missing"));
        };
        self.check_options(method)?;
        let scope = self.scope.map_or_else(Default::default, Into::into);
        let statistics = self.statistics.as_deref().map(calibrated::open).transpose()?;
        let pruner = self.methods(method, statistics.clone())?.scope(scope).output_axis(self.dim.is_none());
        let pruner = statistics.into_iter().fold(pruner, Pruner::statistics);
        let pruner = match self.allocation()? {
            Some((allocation, bounds)) => pruner.allocation(allocation, bounds),
            None => pruner,
        };
        Ok(pruner.selection(self.names.selection()))
    }

    /// Returns the allocation and its bounds.
    fn allocation(&self) -> Result<Option<(Allocation, Bounds)>, CliError> {
        let default = Bounds::default();
        let bounds =
            Bounds { min: self.min_sparsity.unwrap_or(default.min), max: self.max_sparsity.unwrap_or(default.max) };
        match self.allocation {
            Some(_) if self.is_global() => {
                Err(usage(ErrorKind::ArgumentConflict, "--allocation does not apply to --scope global"))
            }
            Some(AllocationRule::Named(name)) => Ok(Some((name.into(), bounds))),
            Some(AllocationRule::Owl(_)) if bounds != default => {
                let message = "--min-sparsity and --max-sparsity do not apply to --allocation owl";
                Err(usage(ErrorKind::ArgumentConflict, message))
            }
            Some(AllocationRule::Owl(_)) => Ok(None),
            // A recipe in a file is not checked by the parser of the command line.
            None if bounds != default => {
                Err(usage(ErrorKind::MissingRequiredArgument, "--min-sparsity and --max-sparsity need --allocation"))
            }
            None => Ok(None),
        }
    }

    /// Returns a pruner with the method of each tensor.
    fn methods(&self, name: MethodName, statistics: Option<Arc<Statistics>>) -> Result<Pruner, CliError> {
        if let MethodName::Mask = name {
            let mask = self.mask.clone().ok_or_else(|| missing(name, "--mask FILE"))?;
            return Ok(Pruner::masks(mask));
        }
        let calibrated = statistics.map(|statistics| self.calibrated(statistics));
        let make = |amount: Option<Amount>| {
            let method = self.method(name, amount, calibrated.as_ref())?;
            Ok::<_, CliError>(match &calibrated {
                Some(calibrated) => calibrated.refined(method),
                None => method,
            })
        };
        let amounts = [&self.amount, &self.sparsity].into_iter().flatten();
        let mut others = None;
        let mut layers = Vec::new();
        for LayerAmount { pattern, amount, .. } in amounts {
            match pattern {
                Some(pattern) => layers.push((pattern.clone(), make(Some(*amount))?)),
                None if others.is_some() => {
                    let message = "one amount for all tensors is enough; the others need patterns: PATTERN=AMOUNT";
                    return Err(usage(ErrorKind::TooManyValues, message));
                }
                None => others = Some(make(Some(*amount))?),
            }
        }
        match others {
            None if layers.is_empty() => Ok(Pruner::new(make(None)?)),
            None => Ok(Pruner::by_layer(layers)),
            Some(others) => {
                let add = |pruner: Pruner, (pattern, method)| pruner.layer(pattern, method);
                Ok(layers.into_iter().fold(Pruner::new(others), add))
            }
        }
    }

    /// Returns the pruner with a sparsity for each tensor, if the options ask for an allocation.
    pub fn allocated(&self, checkpoint: &Checkpoint, observer: &dyn Observer) -> Result<Option<Pruner>, CliError> {
        let (Some(AllocationRule::Owl(OwlOptions { multiple, spread })), Some(name), Some(path)) =
            (self.allocation, self.method, &self.statistics)
        else {
            return Ok(None);
        };
        let sparsity = match (self.amount.as_slice(), self.sparsity.as_slice()) {
            ([LayerAmount { pattern: None, amount: Amount::Fraction(share) | Amount::Sparsity(share), .. }], [])
            | ([], [LayerAmount { pattern: None, amount: Amount::Fraction(share) | Amount::Sparsity(share), .. }]) => {
                *share
            }
            _ => {
                let message = "--allocation divides one share: write one --amount or --sparsity, without a pattern";
                return Err(usage(ErrorKind::ArgumentConflict, message));
            }
        };
        let statistics = calibrated::open(path)?;
        let selection = self.names.selection();
        let owl = Owl { sparsity, multiple, spread };
        let sparsities = checkpoint::owl(checkpoint, &selection, &statistics, owl, observer)?;
        let calibrated = self.calibrated(Arc::clone(&statistics));
        let layer = |(tensor, share): (String, f64)| {
            let method = self.method(name, Some(Amount::sparsity(share)), Some(&calibrated))?;
            Ok((calibrated::literal(&tensor), calibrated.refined(method)))
        };
        let layers = sparsities.into_iter().map(layer).collect::<Result<Vec<_>, CliError>>()?;
        Ok(Some(Pruner::by_layer(layers).statistics(statistics).selection(selection)))
    }

    fn calibrated(&self, statistics: Arc<Statistics>) -> Calibrated<'_> {
        let Self { pattern, dampening, dampening_of, refine, update, .. } = *self;
        Calibrated { statistics, pattern, block: self.block.as_ref(), dampening, dampening_of, refine, update }
    }

    /// Returns the method for one amount.
    fn method(
        &self,
        name: MethodName,
        amount: Option<Amount>,
        calibrated: Option<&Calibrated<'_>>,
    ) -> Result<AnyMethod, CliError> {
        let made = match name {
            MethodName::BuiltIn(method) => AnyMethod::from_name(method.name(), &self.method_options(amount)),
            MethodName::Calibrated(method) => {
                let pattern = match (self.pattern, amount) {
                    (Some(PatternName { n: keep, m: of }), None) => Pattern::KeepOf { keep, of },
                    (None, Some(amount)) => Pattern::Amount(amount),
                    (Some(_), Some(_)) => {
                        let message = "--pattern says how much is pruned, so --amount and --sparsity do not apply";
                        return Err(usage(ErrorKind::ArgumentConflict, message));
                    }
                    (None, None) => return Err(missing(name, "--amount AMOUNT or --pattern N:M")),
                };
                let calibrated = calibrated.ok_or_else(|| missing(name, "--statistics FILE"))?;
                calibrated.method(method, pattern)
            }
            MethodName::Mask => unreachable!("masks are of no amount"),
        };
        made.map_err(|source| match source {
            PruneError::MissingOption { option: MethodOption::Amount, .. } => missing(name, "--amount AMOUNT"),
            PruneError::MissingOption { option: MethodOption::Pattern, .. } => missing(name, "--pattern N:M"),
            PruneError::MissingOption { option: MethodOption::Block, .. } => missing(name, "--block AxB"),
            source => CheckpointError::Method { source }.into(),
        })
    }

    fn method_options(&self, amount: Option<Amount>) -> MethodOptions {
        let options = MethodOptions::new();
        let options = amount.into_iter().fold(options, MethodOptions::amount);
        let options = self.norm.into_iter().fold(options, |options, NormName(norm)| options.norm(norm));
        let options = self.dim.into_iter().fold(options, MethodOptions::dim);
        let options = self.pattern.iter().fold(options, |options, &PatternName { n, m }| options.pattern(n, m));
        let options = self.block.iter().fold(options, |options, BlockName(shape)| options.block(shape));
        let options = self.ties.into_iter().fold(options, |options, ties| options.tie_break(ties.into()));
        self.seed.into_iter().fold(options, MethodOptions::source)
    }

    /// Returns an error for an option that the method does not take.
    fn check_options(&self, method: MethodName) -> Result<(), CliError> {
        let options = [
            ("--amount", !self.amount.is_empty()),
            ("--sparsity", !self.sparsity.is_empty()),
            ("--scope", self.scope.is_some()),
            ("--allocation", self.allocation.is_some()),
            ("--min-sparsity", self.min_sparsity.is_some()),
            ("--max-sparsity", self.max_sparsity.is_some()),
            ("--dim", self.dim.is_some()),
            ("--norm", self.norm.is_some()),
            ("--pattern", self.pattern.is_some()),
            ("--block", self.block.is_some()),
            ("--ties", self.ties.is_some()),
            ("--seed", self.seed.is_some()),
            ("--mask", self.mask.is_some()),
            ("--statistics", self.statistics.is_some()),
            ("--dampening", self.dampening.is_some()),
            ("--dampening-of", self.dampening_of.is_some()),
            ("--refine", self.refine.is_some()),
            ("--update", self.update.is_some()),
        ];
        let mut allowed = method.flags();
        if method.prunes_entries() {
            allowed.extend(["--refine", "--statistics", "--update"]);
        }
        if self.update.is_some() {
            allowed.extend(["--dampening", "--dampening-of"]);
        }
        let with_data = [
            ("--allocation owl", matches!(self.allocation, Some(AllocationRule::Owl(_)))),
            ("--refine", self.refine.is_some()),
            ("--update", self.update.is_some()),
        ];
        let with_data = with_data.into_iter().find(|(_, given)| *given);
        if let Some((option, _)) = with_data.filter(|_| method.prunes_entries()) {
            if self.statistics.is_none() {
                return Err(usage(ErrorKind::MissingRequiredArgument, &format!("{option} needs --statistics FILE")));
            }
            if self.is_global() {
                let message = format!("{option} is for tensors one by one, so --scope global does not apply");
                return Err(usage(ErrorKind::ArgumentConflict, &message));
            }
        }
        match options.into_iter().find(|(option, given)| *given && !allowed.contains(option)) {
            None => Ok(()),
            Some((option, _)) => {
                let (method, allowed) = (method.as_str(), method.flags().join(", "));
                let takes = if allowed.is_empty() { "no options" } else { &allowed };
                let message = format!("{option} does not apply to --method {method}, which takes {takes}");
                Err(usage(ErrorKind::ArgumentConflict, &message))
            }
        }
    }
}

fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
}

fn missing(method: MethodName, option: &str) -> CliError {
    usage(ErrorKind::MissingRequiredArgument, &format!("--method {} needs {option}", method.as_str()))
}

fn usage(kind: ErrorKind, message: &str) -> CliError {
    PruneArgs::augment_args(clap::Command::new("nn-prune prune")).error(kind, message).into()
}
