//! The options, and the help that explains them.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use prune::checkpoint::{MaskSource, Method, Selection};
use prune::{Amount, Norm};

use crate::values::{FormatName, MethodName, ScopeName, amount, norm};

const EXAMPLES: &str = "\
Examples:
  nn-prune inspect model.safetensors
  nn-prune prune model.safetensors -o half.safetensors --method l1 --amount 0.5
  nn-prune diff model.safetensors half.safetensors

Exit codes:
  0    done
  1    a file could not be read or written, or its contents do not allow what was asked
  2    the command line is wrong
  3    diff: the checkpoints differ
  130  interrupted; temporary files were removed";

/// Prune neural network checkpoints in safetensors files, of any size, without their model
///
/// A pruned weight is zero. Which weights go is chosen as torch.nn.utils.prune chooses them. Files are read in pieces, so
/// that a checkpoint may be larger than memory, and are never changed: results go to a new file.
#[derive(Debug, Parser)]
#[command(name = "nn-prune", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Prune(PruneArgs),
    Inspect(InspectArgs),
    Remove(RemoveArgs),
    Masks(MasksArgs),
    Diff(DiffArgs),
    /// Print a completion script for a shell
    ///
    /// For example: nn-prune completions bash > ~/.local/share/bash-completion/completions/nn-prune
    Completions {
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub struct Input {
    /// A .safetensors file, the shards of one model, a *.safetensors.index.json, or the folder that they are in
    #[arg(value_name = "IN", required = true)]
    pub paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Destination {
    /// Replace files of the output that exist
    #[arg(long)]
    pub force: bool,
    /// Keep the shards that an interrupted run of the same command has finished
    #[arg(long)]
    pub resume: bool,
}

#[derive(Debug, Args)]
pub struct Report {
    /// Print the result as JSON instead of tables
    #[arg(long)]
    pub json: bool,
    /// Show no progress and no table: errors only, and JSON if it is asked for
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub struct Names {
    /// Select floating-point tensors whose whole name matches this glob, and no others; may be repeated, '*' is all
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// Leave out what matches this glob; may be repeated
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
}

impl Names {
    pub fn selection(&self) -> Selection {
        let included = self.include.iter().fold(Selection::new(), Selection::include);
        self.exclude.iter().fold(included, Selection::exclude)
    }
}

const PRUNE_EXAMPLES: &str = "\
Examples:
  # Half of each weight matrix
  nn-prune prune model.safetensors -o half.safetensors --method l1 --amount 0.5
  # 80 % of all of them together, and see first what would happen
  nn-prune prune model.safetensors --method l1 --scope global --amount 0.8 --dry-run
  # Ten output channels of every attention layer of a model in shards
  nn-prune prune model.safetensors.index.json -o pruned/ --method ln --amount 10 --include '*attn*.weight'";

/// Write a pruned copy of a checkpoint
///
/// Without --include, floating-point tensors of two and more dimensions are pruned, unless their names mark them as
/// embeddings, norms or biases; the table at the end says of each tensor whether it was pruned or why not. Everything else
/// is copied byte for byte. Tensors that are pruned already (W_orig and W_mask) are pruned further, and amounts are shares
/// of what is left.
///
/// Zeros do not shrink the file: they take the space of other numbers. `nn-prune inspect` says what a packed form would take.
#[derive(Debug, Args)]
#[command(after_help = PRUNE_EXAMPLES)]
pub struct PruneArgs {
    #[command(flatten)]
    pub input: Input,
    /// A file; for a model in shards a folder, which is made if it is not there
    #[arg(short, long, value_name = "OUT", required_unless_present = "dry_run")]
    pub output: Option<PathBuf>,
    /// What decides which weights go
    #[arg(long, value_enum)]
    method: MethodName,
    /// How much: with a decimal point a share (0.5, 1.0), an integer a count of entries or channels (1 is one)
    #[arg(long, value_parser = amount, allow_hyphen_values = true)]
    amount: Option<Amount>,
    /// What is ranked together; for l1 and random [default: tensor]
    #[arg(long, value_enum)]
    scope: Option<ScopeName>,
    /// The axis of the channels, negative from the last one; for ln and random-structured [default: 0]
    #[arg(long, allow_negative_numbers = true)]
    dim: Option<isize>,
    /// What ranks channels, a number, inf, -inf, fro or nuc; for ln [default: 2]
    #[arg(long, value_parser = norm, allow_hyphen_values = true)]
    norm: Option<Norm>,
    /// Decides what is drawn; for random and random-structured [default: 0]
    #[arg(long)]
    seed: Option<u64>,
    /// The mask file; for mask
    #[arg(long, value_name = "FILE")]
    mask: Option<PathBuf>,
    #[command(flatten)]
    pub names: Names,
    /// What is written
    #[arg(long, value_enum, default_value = "weights")]
    pub format: FormatName,
    /// Say what would be pruned, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub destination: Destination,
    #[command(flatten)]
    pub report: Report,
}

impl PruneArgs {
    /// The method with its options. One that does not belong to it is an error: it would not do what was meant.
    pub fn method(&self) -> Result<Method, clap::Error> {
        let belong: &[&str] = match self.method {
            MethodName::L1 => &["--amount", "--scope"],
            MethodName::Random => &["--amount", "--scope", "--seed"],
            MethodName::Ln => &["--amount", "--dim", "--norm"],
            MethodName::RandomStructured => &["--amount", "--dim", "--seed"],
            MethodName::Mask => &["--mask"],
        };
        let given = [
            ("--amount", self.amount.is_some()),
            ("--scope", self.scope.is_some()),
            ("--dim", self.dim.is_some()),
            ("--norm", self.norm.is_some()),
            ("--seed", self.seed.is_some()),
            ("--mask", self.mask.is_some()),
        ];
        let named = clap::ValueEnum::to_possible_value(&self.method);
        let named = named.as_ref().map_or("", |value| value.get_name());
        if let Some((option, _)) = given.into_iter().find(|(option, given)| *given && !belong.contains(option)) {
            let message = format!("{option} does not belong to --method {named}, which takes {}", belong.join(", "));
            return Err(Self::error(ErrorKind::ArgumentConflict, &message));
        }

        let lacks =
            |option| Self::error(ErrorKind::MissingRequiredArgument, &format!("--method {named} needs {option}"));
        if self.method == MethodName::Mask {
            return Ok(Method::Masks { path: self.mask.clone().ok_or_else(|| lacks("--mask FILE"))? });
        }
        let amount = self.amount.ok_or_else(|| lacks("--amount AMOUNT"))?;
        let (dim, seed) = (self.dim.unwrap_or(0), self.seed.unwrap_or(0));
        Ok(match self.method {
            MethodName::L1 => Method::L1 { amount },
            MethodName::Random => Method::Random { amount, seed },
            MethodName::Ln => Method::Ln { amount, norm: self.norm.unwrap_or(Norm::L(2.0)), dim },
            MethodName::RandomStructured => Method::RandomStructured { amount, dim, seed },
            MethodName::Mask => unreachable!("it has returned"),
        })
    }

    pub fn scope(&self) -> prune::checkpoint::Scope {
        self.scope.map_or_else(Default::default, Into::into)
    }

    fn error(kind: ErrorKind, message: &str) -> clap::Error {
        Self::augment_args(clap::Command::new("nn-prune prune")).error(kind, message)
    }
}

/// List the tensors of a checkpoint, their zeros, and what they would take packed
#[derive(Debug, Args)]
pub struct InspectArgs {
    #[command(flatten)]
    pub input: Input,
    /// Draw a picture: how the magnitudes are distributed, and the sparsity of every layer
    #[arg(long, value_name = "OUT.svg")]
    pub plot: Option<PathBuf>,
    /// Replace the picture if it exists
    #[arg(long, requires = "plot")]
    pub force: bool,
    #[command(flatten)]
    pub report: Report,
}

/// Make pruning permanent: W_orig and W_mask become W, with zeros where the mask has them
#[derive(Debug, Args)]
pub struct RemoveArgs {
    #[command(flatten)]
    pub input: Input,
    /// A file; for a model in shards a folder
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,
    #[command(flatten)]
    pub destination: Destination,
    #[command(flatten)]
    pub report: Report,
}

/// Write the masks of a pruned checkpoint to one small file, for `prune --method mask`
#[derive(Debug, Args)]
pub struct MasksArgs {
    #[command(flatten)]
    pub input: Input,
    /// A file
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,
    /// Take the zeros of tensors that have no mask for one, too: of those that `prune` would select
    #[arg(long)]
    pub zeros: bool,
    #[command(flatten)]
    pub names: Names,
    /// Replace the output if it exists
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub report: Report,
}

impl MasksArgs {
    /// Where masks come from. Patterns say which zeros are meant, and without `--zeros` would do nothing.
    pub fn source(&self) -> Result<MaskSource, clap::Error> {
        match (self.zeros, self.names.include.is_empty() && self.names.exclude.is_empty()) {
            (true, _) => Ok(MaskSource::Zeros(self.names.selection())),
            (false, true) => Ok(MaskSource::Masks),
            (false, false) => Err(Self::augment_args(clap::Command::new("nn-prune masks"))
                .error(ErrorKind::MissingRequiredArgument, "--include and --exclude need --zeros")),
        }
    }
}

/// Compare two checkpoints: which tensors differ, what became zero, and whether one's zeros contain the other's
///
/// Exits with 0 if they are the same and with 3 if they are not.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// A file, an index or a folder
    pub a: PathBuf,
    /// Another one
    pub b: PathBuf,
    #[command(flatten)]
    pub report: Report,
}
