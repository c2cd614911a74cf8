//! `nn-prune count` and `nn-prune cut`: one threshold for shards that no process reads all of.

use std::path::{Path, PathBuf};

use clap::Args;
use prune::checkpoint::{CheckpointError, Counts, Cut, Output, check_apart};
use serde::Serialize;

use crate::amount::LayerAmount;
use crate::args::{Input, ReportOptions, output_path};
use crate::error::CliError;
use crate::format;
use crate::outputs;
use crate::progress::ProgressReporter;
use crate::recipe::selection::Names;
use crate::text::visible_path;

const EXAMPLES: &str = "\
Examples:
  # On each machine, for its shards
  nn-prune count model-00003-of-00008.safetensors -o part-3.json
  # On one machine, with the parts of all
  nn-prune cut part-*.json --amount 0.8 -o cut.json
  # For f32 (and f64) count again, within the first cut
  nn-prune count model-00003-of-00008.safetensors --within cut.json -o part-3.json --force
  nn-prune cut part-*.json -o exact.json
  # On each machine
  nn-prune prune model-00003-of-00008.safetensors --cut exact.json -o pruned/model-00003-of-00008.safetensors";

/// Count the magnitudes of some shards, the first step to prune a checkpoint on many machines
///
/// `cut` joins the counts of all shards to one exact threshold, which is that of --method l1 --scope global for the whole
/// checkpoint, and `prune --cut` prunes each shard up to it. See docs/MANY-MACHINES.md.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CountArgs {
    #[command(flatten)]
    input: Input,
    /// The output, a JSON file
    #[arg(short, long, value_name = "PART", value_parser = output_path())]
    output: PathBuf,
    /// Count within a cut that is not exact yet; the selection is that of the cut
    #[arg(long, value_name = "CUT", conflicts_with = "Names")]
    within: Option<PathBuf>,
    #[command(flatten)]
    names: Names,
    /// Replace the output if it exists
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    report: ReportOptions,
}

/// Join the counts of all shards to a cut: the magnitude up to which an amount of all entries is pruned
///
/// For f16 and bf16 the first cut is exact, for f32 the second, for f64 the fourth. The last line says what comes next.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CutArgs {
    /// The counts of all shards, in any order
    #[arg(value_name = "PART", required = true)]
    parts: Vec<PathBuf>,
    /// How much to prune of all shards together: a fraction (0.5, 50%) or a count of entries (100); not needed if the shards were
    /// counted within a cut
    #[arg(long, allow_hyphen_values = true)]
    amount: Option<LayerAmount>,
    /// The sparsity to reach, instead of --amount: what is pruned already is a part of it
    #[arg(long, value_parser = LayerAmount::sparsity, conflicts_with = "amount")]
    sparsity: Option<LayerAmount>,
    /// The output, a JSON file
    #[arg(short, long, value_name = "CUT", value_parser = output_path())]
    output: PathBuf,
    /// Replace the output if it exists
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    report: ReportOptions,
}

/// Runs `nn-prune count`.
pub fn count(args: &CountArgs) -> Result<(), CliError> {
    let cut = args.within.as_ref().map(Cut::read).transpose()?;
    let checkpoint = args.input.open(args.report.quiet)?;
    check_apart([args.output.as_path()], outputs::files_of(&checkpoint).chain(args.within.as_deref()))?;
    if args.output.symlink_metadata().is_ok() && !args.force {
        // Before the shards are read.
        return Err(CheckpointError::OutputExists { path: args.output.clone() }.into());
    }
    let reporter = ProgressReporter::new("counting", args.report.quiet);
    let counts = match &cut {
        Some(cut) => Counts::within(&checkpoint, cut, &reporter)?,
        None => Counts::of(&checkpoint, &args.names.selection(), &reporter)?,
    };
    drop(reporter);
    counts.save(&Output::new(&args.output).force(args.force))?;
    let (entries, shards) = (counts.entries() as usize, checkpoint.shards().len());
    if args.report.json {
        #[derive(Serialize)]
        struct Json<'a> {
            #[serde(serialize_with = "format::path")]
            written: &'a Path,
            shards: usize,
            entries: usize,
        }
        return format::print_json(&Json { written: &args.output, shards, entries });
    }
    let line = || {
        let shards = format::counted(shards, "shard");
        format!("counted:   {} entries of {shards}\nwritten:   {}", format::count(entries), visible_path(&args.output))
    };
    format::print_report(&args.report, line, |out| writeln!(out, "{}", line()), |out| writeln!(out, "{}", line()))
}

/// Runs `nn-prune cut`.
pub fn cut(args: &CutArgs) -> Result<(), CliError> {
    let amount = match args.amount.as_ref().or(args.sparsity.as_ref()) {
        Some(LayerAmount { pattern: Some(_), .. }) => {
            return Err(CliError::usage("a cut is for all tensors together: write an amount without a pattern"));
        }
        Some(LayerAmount { pattern: None, amount, .. }) => Some(*amount),
        None => None,
    };
    check_apart([args.output.as_path()], args.parts.iter().map(PathBuf::as_path))?;
    let parts = args.parts.iter().map(Counts::read).collect::<Result<Vec<_>, _>>()?;
    let cut = Cut::of(&parts, amount)?;
    cut.save(&Output::new(&args.output).force(args.force))?;
    let (low, high) = (cut.bracket().low(), cut.bracket().high());
    if args.report.json {
        #[derive(Serialize)]
        struct Json<'a> {
            #[serde(serialize_with = "format::path")]
            written: &'a Path,
            shards: usize,
            entries: u64,
            count: u64,
            exact: bool,
            // JSON has no NaN.
            low: Option<f64>,
            high: Option<f64>,
        }
        let number = |number: f64| number.is_finite().then_some(number);
        return format::print_json(&Json {
            written: &args.output,
            shards: cut.shards(),
            entries: cut.entries(),
            count: cut.count(),
            exact: cut.threshold().is_some(),
            low: number(low),
            high: number(high),
        });
    }
    let path = visible_path(&args.output);
    let line = || match cut.threshold() {
        Some(threshold) => format!("threshold: magnitudes up to {threshold:.6e}, exactly"),
        None => format!("threshold: between {low:.6e} and {high:.6e}"),
    };
    let next = match cut.threshold() {
        Some(_) => format!("next:      nn-prune prune SHARD --cut {path} -o OUT, for each shard"),
        None => {
            format!("next:      nn-prune count SHARD... --within {path} -o PART, for all shards, then nn-prune cut")
        }
    };
    let (count, entries) = (format::count(cut.count() as usize), format::count(cut.entries() as usize));
    let shards = format::counted(cut.shards(), "shard");
    let text = format!("requested: {count} of {entries} entries of {shards}\n{}\nwritten:   {path}\n{next}\n", line());
    format::print_report(&args.report, line, |out| write!(out, "{text}"), |out| write!(out, "{text}"))
}
