//! The options and their help.

use std::path::{Path, PathBuf};

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use prune::checkpoint::{Checkpoint, Format, MaskSource, OpenOptions, Output};

use crate::compact_args::CompactArgs;
use crate::cut::{CountArgs, CutArgs};
use crate::error::CliError;
use crate::input;
use crate::pack::PackArgs;
use crate::parse::{BlockName, FormatName, PatternName};
use crate::permute::PermuteArgs;
use crate::plot::svg_path;
use crate::recipe::Recipe;
use crate::recipe::selection::Names;
use crate::statistics::StatisticsArgs;
use crate::text::escape_invisible;

const EXAMPLES: &str = "\
Examples:
  nn-prune inspect model.safetensors
  nn-prune prune model.safetensors -o half.safetensors --method l1 --amount 0.5
  nn-prune diff model.safetensors half.safetensors
  nn-prune prune model.pth -o half.safetensors --method l1 --amount 0.5

Exit codes:
  0    success
  1    a file cannot be read or written, or the command does not apply to its contents
  2    the command line is invalid
  3    diff: the checkpoints differ; verify: a tensor breaks the pattern
  130  interrupted; temporary files were removed

Tables are as wide as the terminal, or as COLUMNS says; in a file or a pipe they are not shortened.";

/// Prune neural network checkpoints in safetensors files, of any size, without model code
///
/// Pruning sets weights to zero. The methods are those of torch.nn.utils.prune. Files are read in pieces, so a checkpoint
/// may be larger than memory. Input files are never changed: results are written to a new file. Files of PyTorch are read
/// too, without executing anything in them; results are safetensors files. Of an ONNX model, only the weights differ in the
/// result.
#[derive(Debug, Parser)]
#[command(name = "nn-prune", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Prune(Box<PruneArgs>),
    Count(CountArgs),
    Cut(CutArgs),
    Compact(CompactArgs),
    Permute(PermuteArgs),
    Inspect(InspectArgs),
    Remove(RemoveArgs),
    Restore(RestoreArgs),
    Masks(MasksArgs),
    Pack(PackArgs),
    Unpack(UnpackArgs),
    Diff(DiffArgs),
    Verify(VerifyArgs),
    Statistics(StatisticsArgs),
    /// Print a completion script for a shell
    ///
    /// For example: nn-prune completions bash > ~/.local/share/bash-completion/completions/nn-prune
    Completions {
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub struct Input {
    /// A .safetensors file or one of PyTorch (.pt, .pth, .bin), the shards of a checkpoint, its *.index.json, or the directory
    /// of either; or an ONNX model, for commands that change nothing but values
    #[arg(value_name = "IN", required = true)]
    pub paths: Vec<PathBuf>,
    /// Take all shards in the directory of the index as they are, whatever the index says; an output gets a right index
    #[arg(long)]
    pub ignore_index: bool,
    #[command(flatten)]
    pub key: Key,
}

#[derive(Debug, Args)]
pub struct Key {
    /// In files of PyTorch, read the tensors under this key, such as `model` or `ema.model`; '' reads all. By default, the only
    /// dictionary with weights is read
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

impl Key {
    /// Returns the options for opening files.
    pub fn options(&self) -> OpenOptions {
        self.key.iter().fold(OpenOptions::new(), OpenOptions::key)
    }
}

impl Input {
    /// Opens the checkpoint. Unless `quiet`, says which tensors of files of PyTorch are left out.
    pub fn open(&self, quiet: bool) -> Result<Checkpoint, CliError> {
        let options = self.key.options();
        let checkpoint = match self.ignore_index {
            true => input::open_ignoring_index(&self.paths, options)?,
            false => options.open(&self.paths)?,
        };
        if !quiet {
            input::note_keys(&checkpoint);
        }
        Ok(checkpoint)
    }
}

#[derive(Debug, Args)]
pub struct OutputOptions {
    /// Replace output files that exist
    #[arg(long)]
    pub force: bool,
    /// Continue an interrupted run of the same command into a directory: keep the shards that it has finished
    #[arg(long)]
    pub resume: bool,
    /// Write only weights and index into a directory; by default, configuration, tokenizer and processor files are copied
    #[arg(long)]
    pub weights_only: bool,
}

impl OutputOptions {
    /// Returns the output in a directory.
    pub fn directory(&self, path: &Path) -> Output {
        let Self { force, resume, weights_only } = *self;
        Output::new(path).force(force).resume(resume).weights_only(weights_only)
    }

    /// Returns the output at a path, which is a file or a directory as the path says.
    pub fn output(&self, path: &Path, checkpoint: &Checkpoint, format: Format) -> Result<Output, CliError> {
        let Self { resume, weights_only, .. } = *self;
        let output = self.directory(path);
        let is_directory = output.is_directory(checkpoint, format)?;
        match [("--resume", resume), ("--weights-only", weights_only)].into_iter().find(|&(_, given)| given) {
            Some((flag, _)) if !is_directory => {
                let path = path.to_string_lossy();
                let path = escape_invisible(&path);
                Err(CliError::usage(format!("{flag} applies to an output directory, but `{path}` is a file")))
            }
            Some(_) | None => Ok(output),
        }
    }
}

/// Parses the path of an output. Results are not written to standard output.
pub fn output_path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| match path.to_str() {
        Some("-") => Err("results are files and cannot be written to standard output; write a path, or `./-` for a file of that name"),
        Some(_) | None => Ok(path),
    })
}

#[derive(Debug, Args)]
pub struct ReportOptions {
    /// Print the result as JSON instead of tables
    #[arg(long)]
    pub json: bool,
    /// Show no progress and print no tables, only errors, the JSON of --json and the line of --summary
    #[arg(short, long)]
    pub quiet: bool,
    /// Print only the totals, without a row for each tensor; with --quiet, only one line
    #[arg(long, conflicts_with = "json")]
    pub summary: bool,
    /// Print a row for each tensor, even if nothing happens to it [default: up to 60 rows, then equal layers are one row]
    #[arg(long, conflicts_with_all = ["json", "quiet", "summary"])]
    pub full: bool,
}

const PRUNE_EXAMPLES: &str = "\
Examples:
  # Prune half of each weight matrix
  nn-prune prune model.safetensors -o half.safetensors --method l1 --amount 0.5
  # Prune attention less than all other layers
  nn-prune prune model.safetensors -o half.safetensors --method l1 --amount '*attn*=30%' --amount 60%
  # Rank all weight matrices together and prune 80 % in total; only show the result
  nn-prune prune model.safetensors --method l1 --scope global --amount 0.8 --dry-run
  # Prune half of each output row by weights and inputs, improve the masks, and update the weights that are kept
  nn-prune prune model.safetensors -o half.safetensors --method wanda --statistics inputs.safetensors --amount 0.5 \\
    --refine swaps --update least-squares
  # Prune the weights of Gemm, MatMul and convolutions in an ONNX model, and keep every other byte
  nn-prune prune model.onnx -o pruned.onnx --method l1 --amount 0.5
  # Prune ten output channels of every attention layer of a sharded checkpoint
  nn-prune prune model.safetensors.index.json -o pruned/ --method ln --amount 10 --include '*attn*.weight'";

/// Write a pruned copy of a checkpoint
///
/// By default the weights of layers are pruned: not embeddings, norms, biases, buffers or output layers over a vocabulary. Other
/// tensors are copied byte for byte. The table shows for each tensor how many entries are pruned, or
/// why it was skipped. Tensors that are already pruned (W_orig and W_mask) are pruned further: amounts are relative to
/// their remaining entries.
///
/// Pruned weights are stored as zeros, so the file does not shrink. `nn-prune pack` writes a smaller one.
#[derive(Debug, Args)]
#[command(after_help = PRUNE_EXAMPLES)]
pub struct PruneArgs {
    #[command(flatten)]
    pub input: Input,
    /// The output: a file OUT.safetensors, or a directory OUT/, which is created if missing; a directory for shards. Of an ONNX
    /// model, a file OUT.onnx, or a directory if it has external data
    #[arg(short, long, value_name = "OUT", required_unless_present = "dry_run", value_parser = output_path())]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    recipe: Recipe,
    /// Prune by a recipe, a TOML or JSON file, instead of the options that it replaces
    #[arg(id = "recipe", long = "recipe", value_name = "FILE", conflicts_with_all = Recipe::OPTIONS)]
    recipe_file: Option<PathBuf>,
    /// Prune some shards of a checkpoint up to the threshold that `nn-prune cut` has found for all, instead of by a method
    #[arg(long, value_name = "FILE", conflicts_with_all = Recipe::OPTIONS, conflicts_with_all = ["recipe", "save_recipe", "check"])]
    pub cut: Option<PathBuf>,
    /// Write the options that decide what is pruned to a file, for --recipe: JSON if its name ends in .json, otherwise TOML;
    /// --force replaces it
    #[arg(long, value_name = "FILE", conflicts_with = "recipe")]
    pub save_recipe: Option<PathBuf>,
    /// Measure the error of each layer's output on these statistics of other data, and on those of --statistics
    #[arg(long, value_name = "FILE")]
    pub check: Option<PathBuf>,
    /// The content of the output
    #[arg(long, value_enum, default_value = "weights")]
    pub format: FormatName,
    /// Report what would be pruned, without writing an output
    #[arg(long, conflicts_with_all = ["force", "resume", "weights_only"])]
    pub dry_run: bool,
    #[command(flatten)]
    pub output_options: OutputOptions,
    #[command(flatten)]
    pub report: ReportOptions,
}

impl PruneArgs {
    /// Returns `true` if the command line names statistics that neither prune nor measure.
    pub fn has_useless_statistics(&self, recipe: &Recipe) -> bool {
        // A recipe of a run with --check may be run without it.
        self.recipe_file.is_none() && self.check.is_none() && recipe.only_measures()
    }

    /// Returns the files that are read besides the checkpoint and those of the recipe.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        [&self.recipe_file, &self.cut, &self.check].into_iter().flatten().map(PathBuf::as_path)
    }

    /// Returns the recipe of the options, or of the file that they name.
    pub fn recipe(&self) -> Result<Recipe, CliError> {
        match &self.recipe_file {
            Some(path) => Recipe::read(path),
            None => Ok(self.recipe.clone()),
        }
    }
}

/// List the tensors of a checkpoint, their sparsity and their sizes in packed formats
///
/// With --include or --exclude, only the tensors are listed and drawn that `prune` would select with the same patterns.
#[derive(Debug, Args)]
pub struct InspectArgs {
    #[command(flatten)]
    pub input: Input,
    #[command(flatten)]
    pub names: Names,
    /// Write a plot, an SVG picture: the distribution of magnitudes and the sparsity of each tensor
    #[arg(long, value_name = "OUT.svg", value_parser = PathBufValueParser::new().try_map(svg_path))]
    pub plot: Option<PathBuf>,
    /// Replace the plot if it exists
    #[arg(long, requires = "plot")]
    pub force: bool,
    #[command(flatten)]
    pub report: ReportOptions,
}

/// Make pruning permanent: replace W_orig and W_mask by W, with zeros for pruned entries
///
/// This is `remove` of torch.nn.utils.prune, which removes the masks, not the pruning. It is not an undo: the original values
/// of pruned entries are not in the output. To have them back, use `nn-prune restore`.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    #[command(flatten)]
    pub convert: ConvertArgs,
}

/// Undo pruning: replace W_orig and W_mask by W, with the original values of all entries
///
/// This needs W_orig. In a file of weights with zeros, as `nn-prune prune` writes it by default, the original values are gone.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    #[command(flatten)]
    pub convert: ConvertArgs,
}

/// Write a packed checkpoint as a dense one, which every loader reads
///
/// Reads files of `nn-prune pack`, and of compressed-tensors in the format sparse-bitmask.
#[derive(Debug, Args)]
pub struct UnpackArgs {
    #[command(flatten)]
    pub convert: ConvertArgs,
}

/// The input and the output of a conversion.
#[derive(Debug, Args)]
pub struct ConvertArgs {
    #[command(flatten)]
    pub input: Input,
    /// The output: a file OUT.safetensors, or a directory OUT/, which is created if missing; a directory for shards
    #[arg(short, long, value_name = "OUT", value_parser = output_path())]
    pub output: PathBuf,
    #[command(flatten)]
    pub output_options: OutputOptions,
    #[command(flatten)]
    pub report: ReportOptions,
}

/// Write the masks of a pruned checkpoint to a small file, for `prune --method mask`
#[derive(Debug, Args)]
pub struct MasksArgs {
    #[command(flatten)]
    pub input: Input,
    /// The output file
    #[arg(short, long, value_name = "OUT", value_parser = output_path())]
    pub output: PathBuf,
    /// Also make masks from the zeros of unpruned tensors: of those that `prune` would select
    #[arg(long)]
    pub zeros: bool,
    #[command(flatten)]
    pub names: Names,
    /// Replace the output if it exists
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub report: ReportOptions,
}

impl MasksArgs {
    /// Returns the source of the masks. Patterns select tensors for `--zeros`; without it, they would have no effect.
    pub fn source(&self) -> Result<MaskSource, clap::Error> {
        match (self.zeros, self.names.is_default()) {
            (true, _) => Ok(MaskSource::Zeros(self.names.selection())),
            (false, true) => Ok(MaskSource::Masks),
            (false, false) => Err(Self::augment_args(clap::Command::new("nn-prune masks"))
                .error(ErrorKind::MissingRequiredArgument, "--include, --exclude, --only and --all need --zeros")),
        }
    }
}

/// Compare two checkpoints: the tensors that differ, their new zeros, and whether the zeros of one include the other's
///
/// Exits with code 0 if the checkpoints are equal and with code 3 if they differ.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// A file, an index or a directory
    pub a: PathBuf,
    /// The checkpoint to compare with
    pub b: PathBuf,
    #[command(flatten)]
    pub key: Key,
    #[command(flatten)]
    pub report: ReportOptions,
}

const VERIFY_EXAMPLES: &str = "\
Examples:
  nn-prune verify pruned.safetensors --pattern 2:4
  nn-prune verify pruned.safetensors --block 16x1 --include '*mlp*'";

/// Check that the zeros of tensors have a pattern
///
/// By default the tensors are checked that `prune` would select. The tables show which of them break the pattern, and where.
/// Exits with code 0 if the pattern holds and with code 3 if it is broken.
#[derive(Debug, Args)]
#[command(after_help = VERIFY_EXAMPLES)]
pub struct VerifyArgs {
    #[command(flatten)]
    pub input: Input,
    /// At most n of every m entries along an axis are nonzero, such as 2:4
    #[arg(long, value_name = "N:M", required_unless_present = "block", conflicts_with = "block")]
    pub pattern: Option<PatternName>,
    /// The entries of every block, such as 16x1, are all zero or all nonzero
    #[arg(long, value_name = "AxB")]
    pub block: Option<BlockName>,
    /// The axis of the groups of --pattern, negative to count from the last [default: -1]
    #[arg(long, allow_negative_numbers = true, conflicts_with = "block")]
    pub dim: Option<isize>,
    #[command(flatten)]
    pub names: Names,
    #[command(flatten)]
    pub report: ReportOptions,
}
