//! `nn-prune statistics inspect` and `nn-prune statistics merge`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use prune::calibration::{Moments, Statistics};
use prune::checkpoint::check_apart;
use serde::Serialize;

use crate::args::{ReportOptions, output_path};
use crate::error::{CliError, FORCE_REPLACES};
use crate::format;
use crate::table::{self, Column, width};
use crate::text::escape_invisible;

/// Look at statistics of layer inputs, or add them up
///
/// `nn-prune prune --statistics` prunes by them. docs/STATISTICS.md has a script in Python that makes them.
#[derive(Debug, Args)]
pub struct StatisticsArgs {
    #[command(subcommand)]
    pub command: StatisticsCommand,
}

#[derive(Debug, Subcommand)]
pub enum StatisticsCommand {
    Inspect(InspectArgs),
    Merge(MergeArgs),
}

/// List the inputs of a statistics file: their tokens, channels and weights
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The statistics file
    pub file: PathBuf,
    /// Also compute the rank of each Gram matrix, which takes time for many channels
    #[arg(long)]
    pub rank: bool,
    /// Also compute the condition of each Hessian after damping: its largest eigenvalue divided by its smallest
    #[arg(long)]
    pub condition: bool,
    /// The share of the mean of the diagonal that is added to the diagonal of each Hessian
    #[arg(long, value_name = "SHARE", default_value = "0.01", requires = "condition", allow_negative_numbers = true)]
    pub dampening: f64,
    #[command(flatten)]
    pub report: ReportOptions,
}

/// Add up the sums of several statistics files of one model
///
/// The result is the same to the last bit for the same files in the same order. Gram matrices are added one at a time.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// The statistics files
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// The output file
    #[arg(short, long, value_name = "OUT", value_parser = output_path())]
    pub output: PathBuf,
    /// Replace the output if it exists
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub report: ReportOptions,
}

pub fn run(args: &StatisticsArgs) -> Result<(), CliError> {
    match &args.command {
        StatisticsCommand::Inspect(args) => inspect(args),
        StatisticsCommand::Merge(args) => merge(args),
    }
}

/// One input of a file.
#[derive(Serialize)]
struct Input<'a> {
    input: &'a str,
    weights: Vec<&'a str>,
    channels: usize,
    tokens: u64,
    gram: bool,
    dead: usize,
    /// The channels whose root mean square is more than ten times the median of those that are not dead.
    outliers: usize,
    rank: Option<usize>,
    /// Infinite if the Hessian cannot be factored; JSON has `null` then.
    condition: Option<f64>,
}

/// The multiple of the median above which a channel is an outlier.
const OUTLIER: f64 = 10.0;

fn outliers(moments: &Moments) -> usize {
    let mut live: Vec<f64> = moments.root_mean_squares().into_iter().filter(|&rms| rms > 0.0).collect();
    live.sort_by(f64::total_cmp);
    let Some(&median) = live.get(live.len() / 2) else { return 0 };
    live.iter().filter(|&&rms| rms > OUTLIER * median).count()
}

fn inspect(args: &InspectArgs) -> Result<(), CliError> {
    let statistics = crate::calibrated::open(&args.file)?;
    let mut weights: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for weight in statistics.weights() {
        weights.entry(statistics.input_of(weight).unwrap_or_default()).or_default().push(weight);
    }
    let mut inputs = Vec::new();
    for (name, moments) in statistics.inputs() {
        let weights = weights.remove(name).unwrap_or_default();
        let first = weights.first().copied().unwrap_or_default();
        let whole = match args.rank || args.condition {
            true => statistics.moments(first).map_err(|error| unreadable(&args.file, error))?,
            false => None,
        };
        let rank = whole.as_ref().filter(|_| args.rank).and_then(Moments::rank);
        let failed = |error| CliError::caused_by("cannot compute a condition".to_owned(), error);
        let damped = |moments: &Moments| moments.condition(args.dampening).map_err(failed);
        let condition = whole.as_ref().filter(|_| args.condition).map(damped).transpose()?.flatten();
        let (channels, tokens, dead) = (moments.channels(), moments.count(), moments.dead().len());
        let (gram, outliers) = (statistics.has_gram(first), outliers(moments));
        inputs.push(Input { input: name, weights, channels, tokens, gram, dead, outliers, rank, condition });
    }
    if args.report.json {
        return format::print_json(&inputs);
    }
    let line = || {
        let weights = inputs.iter().map(|input| input.weights.len()).sum();
        format!("{} of {}", format::counted(inputs.len(), "input"), format::counted(weights, "weight"))
    };
    format::print_report(
        &args.report,
        line,
        |out| writeln!(out, "{}", line()),
        |out| {
            write_inputs(out, &inputs)?;
            writeln!(out, "\n{}", line())
        },
    )
}

fn write_inputs(out: &mut dyn std::io::Write, inputs: &[Input<'_>]) -> std::io::Result<()> {
    let columns = [
        Column::name("input"),
        Column::number("weights"),
        Column::number("channels"),
        Column::number("tokens"),
        Column::text("Gram matrix"),
        Column::number("rank"),
        Column::number("condition"),
        Column::number("dead"),
        Column::number("outliers"),
    ];
    table::write(out, width(), &columns, inputs, |input| {
        [
            escape_invisible(input.input).into_owned(),
            format::count(input.weights.len()),
            format::count(input.channels),
            format::count(usize::try_from(input.tokens).unwrap_or(usize::MAX)),
            if input.gram { "yes" } else { "no" }.to_owned(),
            input.rank.map(format::count).unwrap_or_default(),
            input.condition.map(|condition| format!("{condition:.1e}")).unwrap_or_default(),
            format::count(input.dead),
            format::count(input.outliers),
        ]
    })
}

fn merge(args: &MergeArgs) -> Result<(), CliError> {
    let shown = args.output.to_string_lossy();
    let shown = escape_invisible(&shown);
    if args.output.exists() && !args.force {
        let message = format!("output `{shown}` exists");
        return Err(CliError::Other { message, source: None, hint: Some(FORCE_REPLACES) });
    }
    check_apart([args.output.as_path()], args.files.iter().map(PathBuf::as_path))?;
    let mut merged = Statistics::new();
    for file in &args.files {
        let next = Statistics::open(file).map_err(|error| unreadable(file, error))?;
        let failed = |error| CliError::caused_by(format!("cannot add the statistics `{}`", file.display()), error);
        merged.merge(next).map_err(failed)?;
    }
    let failed = |error| CliError::caused_by(format!("cannot write the statistics `{shown}`"), error);
    merged.save(&args.output).map_err(failed)?;
    let line = || format!("wrote {} to {shown}", format::counted(merged.inputs().len(), "input"));
    if args.report.json {
        #[derive(Serialize)]
        struct Json<'a> {
            #[serde(serialize_with = "format::path")]
            written: &'a Path,
            inputs: usize,
        }
        return format::print_json(&Json { written: &args.output, inputs: merged.inputs().len() });
    }
    format::print_report(&args.report, line, |out| writeln!(out, "{}", line()), |out| writeln!(out, "{}", line()))
}

fn unreadable(file: &Path, error: prune::calibration::StatisticsError) -> CliError {
    CliError::caused_by(format!("cannot use the statistics `{}`", file.display()), error)
}
