//! Recipes: everything that decides which entries are pruned, as options of the command line or in a file.

mod check;
mod file;
mod pruner;
pub mod selection;

use std::path::{Path, PathBuf};

use clap::Args;
use clap::error::ErrorKind;
use prune::Amount;
use serde::{Deserialize, Serialize};

use crate::amount::LayerAmount;
use crate::args::PruneArgs;
use crate::calibrated::{AllocationRule, DampeningOfName, Refine, Update};
use crate::error::CliError;
use crate::parse::{BlockName, MethodName, NormName, PatternName, ScopeName, TiesName};
use crate::recipe::selection::Names;

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
    #[serde(deserialize_with = "file::amounts", skip_serializing_if = "Vec::is_empty")]
    amount: Vec<LayerAmount>,
    /// The sparsity to reach, instead of --amount: what is pruned or zero already is a part of it; for l1, ln and block
    #[arg(long, value_name = "[PATTERN=]SPARSITY", value_parser = LayerAmount::sparsity, conflicts_with = "amount")]
    #[serde(deserialize_with = "file::sparsities", skip_serializing_if = "Vec::is_empty")]
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
    #[arg(long, value_name = "SPARSITY", requires = "allocation", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    min_sparsity: Option<f64>,
    /// The highest sparsity of a tensor, a fraction, so that none loses all; for --allocation
    #[arg(long, value_name = "SPARSITY", requires = "allocation", allow_negative_numbers = true)]
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
    #[arg(long, allow_negative_numbers = true)]
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
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
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

    /// Returns the files that it names.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        [&self.mask, &self.statistics].into_iter().flatten().map(PathBuf::as_path)
    }

    fn is_global(&self) -> bool {
        matches!(self.scope, Some(ScopeName::Global))
    }
}

/// The error of an option that the method needs and does not have.
fn missing(method: MethodName, option: &str) -> CliError {
    usage(ErrorKind::MissingRequiredArgument, &format!("--method {} needs {option}", method.as_str()))
}

/// An error in the options of `prune`.
fn usage(kind: ErrorKind, message: &str) -> CliError {
    PruneArgs::augment_args(clap::Command::new("nn-prune prune")).error(kind, message).into()
}
