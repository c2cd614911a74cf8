//! `nn-prune permute`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use prune::NM;
use prune::checkpoint::{Format, Output, PermuteReport, Permuter};
use prune::compact::{KeptMagnitude, PermutedDimension, Search};
use serde::Serialize;

use crate::args::{Input, OutputOptions, ReportOptions, output_path};
use crate::companions::{CompanionNames, output_lines};
use crate::error::CliError;
use crate::format;
use crate::names::{Group, MAX_ROWS, group};
use crate::outputs;
use crate::parse::PatternName;
use crate::progress::ProgressReporter;
use crate::table::{self, Column, width};
use crate::text::{escape_invisible, visible_path};

const EXAMPLES: &str = "\
Examples:
  # Reorder the units of a model, then prune it: 2:4 keeps more
  nn-prune permute model/ -o permuted/ --pattern 2:4
  nn-prune prune permuted/ -o pruned/ --method nm --pattern 2:4
  # GPT-2 stores its matrices as [in, out]
  nn-prune permute gpt2/ -o permuted/ --pattern 2:4 --dim 0
  # Any model: a coupling as JSON, which says what must be reordered together
  nn-prune permute net.safetensors -o permuted.safetensors --pattern 2:4 --coupling net.json";

/// Write a copy of a model whose units are reordered so that an n:m pattern keeps more: it computes the same
///
/// All tensors that make and read a unit are reordered together, so outputs change by rounding only. The model type in
/// config.json determines which tensors belong together, as for `compact`: the inner neurons of each feed-forward network are
/// reordered, and the values within each head. Random pairs of units are swapped if the pattern keeps a larger sum of
/// magnitudes afterwards.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PermuteArgs {
    #[command(flatten)]
    input: Input,
    /// A file, or a directory OUT/, which is created if missing
    #[arg(short, long, value_name = "OUT", required_unless_present = "dry_run", value_parser = output_path())]
    output: Option<PathBuf>,
    /// Keep more where at most n of every m entries along an axis are kept, such as 2:4
    #[arg(long, value_name = "N:M")]
    pattern: PatternName,
    /// The axis of the groups of --pattern, negative to count from the last
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    dim: isize,
    /// The number of rounds; in each, every unit is tried in one swap
    #[arg(long, value_name = "N", default_value_t = 100)]
    budget: usize,
    /// The seed of the random pairs
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Take the dimensions of the model from a JSON file instead of its type
    #[arg(long, value_name = "FILE")]
    coupling: Option<PathBuf>,
    /// Report how much more would be kept, without writing a model
    #[arg(long, conflicts_with_all = ["force", "resume", "weights_only"])]
    dry_run: bool,
    #[command(flatten)]
    output_options: OutputOptions,
    #[command(flatten)]
    report: ReportOptions,
}

pub fn run(args: &PermuteArgs) -> Result<(), CliError> {
    let PatternName { n, m } = args.pattern;
    let pattern = NM::new(n, m, args.dim).map_err(CliError::usage)?;
    let search = Search { pattern, budget: args.budget, seed: args.seed };
    let permuter = args.coupling.iter().fold(Permuter::new(search), Permuter::coupling);
    let checkpoint = args.input.open(args.report.quiet)?;
    let output = args.output.as_deref().map(|path| args.output_options.output(path, &checkpoint, Format::Weights));
    // A dry run refuses what the run would refuse of the path.
    let output = output.transpose()?;
    if let Some(output) = &output {
        outputs::check_output(&checkpoint, output, Format::Weights, args.coupling.as_deref())?;
    }
    let output = output.filter(|_| !args.dry_run);

    let reporter = ProgressReporter::new("permuting", args.report.quiet);
    let report = match &output {
        Some(output) => permuter.run(&checkpoint, output, &reporter)?,
        None => permuter.dry_run(&checkpoint, &reporter)?,
    };
    drop(reporter);

    let written = output.as_ref().map(Output::path);
    if args.report.json {
        return format::print_json(&Json::of(args, &report, written));
    }
    format::print_table(
        &args.report,
        || kept_line(&report),
        |out| write_table(out, width(), &report, args.report.full),
        || summary(&report, written),
    )
}

/// The share of all magnitude, before and after.
fn shares(magnitude: &KeptMagnitude) -> [String; 2] {
    [magnitude.share_before(), magnitude.share_after()].map(|share| format!("{:.2}%", 100.0 * share))
}

/// The line of the summary that says how much is kept.
fn kept_line(report: &PermuteReport) -> String {
    let [before, after] = shares(&report.found.total);
    format!("kept:      {before} -> {after} of the magnitude")
}

/// Writes a row for each dimension, or for equal layers if there are many.
fn write_table(out: &mut dyn Write, width: usize, report: &PermuteReport, full: bool) -> io::Result<()> {
    let dimensions: Vec<&PermutedDimension> = report.found.dimensions.iter().collect();
    let [units, before, after, swaps] = ["units", "kept before", "kept after", "swaps"].map(Column::number);
    if full || dimensions.len() <= MAX_ROWS {
        let columns = [Column::name("dimension"), units, before, after, swaps];
        return table::write(out, width, &columns, &dimensions, |dimension| {
            let name = escape_invisible(&dimension.name).into_owned();
            let [before, after] = shares(&dimension.magnitude);
            [name, format::count(dimension.units), before, after, format::count(dimension.taken)]
        });
    }
    let columns = [Column::name("dimensions"), Column::number("count"), units, before, after, swaps];
    let groups = group(&dimensions, |dimension| &dimension.name, |dimension| dimension.units);
    table::write(out, width, &columns, &groups, |Group { name, members }| {
        let mut magnitude = KeptMagnitude::default();
        members.iter().for_each(|dimension| magnitude += dimension.magnitude);
        let [before, after] = shares(&magnitude);
        let taken = members.iter().map(|dimension| dimension.taken).sum();
        let name = escape_invisible(name).into_owned();
        let units = format::count(members[0].units); // no group is empty
        [name, format::count(members.len()), units, before, after, format::count(taken)]
    })
}

fn summary(report: &PermuteReport, written: Option<&Path>) -> String {
    let mut lines = vec![kept_line(report)];
    let written = written.map(visible_path);
    lines.extend(output_lines(11, &report.resumed, written.as_deref(), &report.companions));
    lines.push("The output computes what the input computes, but for rounding.".into());
    lines.join("\n") + "\n"
}

/// The output of `--json`.
#[derive(Serialize)]
struct Json<'a> {
    dim: isize,
    budget: usize,
    seed: u64,
    #[serde(flatten)]
    total: JsonMagnitude,
    #[serde(serialize_with = "format::optional_path")]
    written: Option<&'a Path>,
    #[serde(serialize_with = "format::paths")]
    resumed: &'a [PathBuf],
    #[serde(flatten)]
    companions: CompanionNames<'a>,
    dimensions: Vec<JsonDimension<'a>>,
}

#[derive(Serialize)]
struct JsonMagnitude {
    magnitude: f64,
    kept_before: f64,
    kept: f64,
}

#[derive(Serialize)]
struct JsonDimension<'a> {
    name: &'a str,
    units: usize,
    #[serde(flatten)]
    magnitude: JsonMagnitude,
    tried: usize,
    taken: usize,
}

impl From<KeptMagnitude> for JsonMagnitude {
    fn from(KeptMagnitude { all, before, after }: KeptMagnitude) -> Self {
        Self { magnitude: all, kept_before: before, kept: after }
    }
}

impl<'a> Json<'a> {
    fn of(args: &PermuteArgs, report: &'a PermuteReport, written: Option<&'a Path>) -> Self {
        let dimension = |dimension: &'a PermutedDimension| JsonDimension {
            name: &dimension.name,
            units: dimension.units,
            magnitude: dimension.magnitude.into(),
            tried: dimension.tried,
            taken: dimension.taken,
        };
        Self {
            dim: args.dim,
            budget: args.budget,
            seed: args.seed,
            total: report.found.total.into(),
            written,
            resumed: &report.resumed,
            companions: CompanionNames::of(&report.companions),
            dimensions: report.found.dimensions.iter().map(dimension).collect(),
        }
    }
}
