//! `nn-prune prune`.

mod table;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use prune::checkpoint::{
    CalibrationReport, Checkpoint, Cut, Outcome, Output, PruneReport, Pruner, Shard, TensorReport, Unit, check_apart,
};
use serde::Serialize;

use crate::args::PruneArgs;
use crate::calibrated;
use crate::companions::{CompanionNames, output_lines};
use crate::error::{CliError, FORCE_REPLACES, warn};
use crate::format;
use crate::outputs;
use crate::parse::FormatName;
use crate::progress::ProgressReporter;
use crate::recipe::Recipe;
use crate::skipped::JsonReason;
use crate::table::width;
use crate::text::visible_path;

pub fn run(args: &PruneArgs) -> Result<(), CliError> {
    let recipe = args.recipe()?;
    if args.has_useless_statistics(&recipe) {
        return Err(CliError::usage(
            "--statistics has no effect here: --refine and --update prune by it, and --check measures by it",
        ));
    }
    let by = match &args.cut {
        Some(path) => By::Cut(Cut::read(path)?),
        None => By::Recipe(recipe.pruner()?),
    };
    let check = args.check.as_deref().map(calibrated::open).transpose()?;
    let checkpoint = args.input.open(args.report.quiet)?;
    let output = args.output.as_deref().map(|path| args.output_options.output(path, &checkpoint, args.format.into()));
    // A dry run refuses what the run would refuse of the path.
    let output = output.transpose()?;
    check_files(args, &recipe, &checkpoint, output.as_ref())?;
    let output = output.filter(|_| !args.dry_run);

    let reporter = ProgressReporter::new("pruning", args.report.quiet);
    let prune = match by {
        By::Cut(cut) => cut.pruner(&checkpoint)?,
        By::Recipe(pruner) => recipe.allocated(&checkpoint, &reporter)?.unwrap_or(pruner),
    };
    let prune = prune.format(args.format.into());
    let prune = check.into_iter().fold(prune, Pruner::check);
    if let Some((name, bytes)) = prune.working_memory(&checkpoint)?
        && bytes > MUCH_MEMORY
        && !args.report.quiet
    {
        warn(&format!("about {} of memory are needed, the most for `{name}`", format::bytes(bytes)));
    }
    let report = match &output {
        Some(output) => prune.run(&checkpoint, output, &reporter)?,
        None => prune.dry_run(&checkpoint, &reporter)?,
    };
    drop(reporter);

    if let Some(path) = &args.save_recipe {
        let text = recipe.to_text(path)?;
        outputs::replace(path, &text).map_err(|error| cannot_write(path, error))?;
    }
    if !args.report.quiet {
        warnings(&recipe, &report).iter().for_each(|warning| warn(warning));
    }
    let written = output.as_ref().map(|output| WrittenOutput::of(&checkpoint, args.format, output)).transpose()?;
    if args.report.json {
        return format::print_json(&Json::of(&checkpoint, &report, written));
    }
    format::print_table(
        &args.report,
        || pruned_line(&report),
        |out| table::write(out, width(), &report, args.report.full),
        || summary(args, &checkpoint, &report, written),
    )
}

fn cannot_write(path: &Path, error: io::Error) -> CliError {
    CliError::caused_by(format!("cannot write `{}`", visible_path(path)), error)
}

/// Returns an error if a file that the run would write is one that it reads, or two have one path.
fn check_files(
    args: &PruneArgs,
    recipe: &Recipe,
    checkpoint: &Checkpoint,
    output: Option<&Output>,
) -> Result<(), CliError> {
    let named = || args.files().chain(recipe.files());
    let written = output.map(|output| outputs::check_output(checkpoint, output, args.format.into(), named()));
    let written = written.transpose()?.unwrap_or_default();
    if let Some(path) = args.save_recipe.as_deref() {
        let read = outputs::files_of(checkpoint).chain(named());
        // --force does not go with a dry run, so it is no hint there.
        let hint = (!args.dry_run).then_some(FORCE_REPLACES);
        outputs::check_beside("recipe", path, args.output_options.force, hint, read)?;
        let directory = outputs::directory_of(path);
        if !directory.is_dir() && !output.is_some_and(|output| output.path().starts_with(directory)) {
            return Err(cannot_write(path, outputs::no_directory(directory)));
        }
        if check_apart([path], written.iter().map(PathBuf::as_path)).is_err() {
            return Err(CliError::new(format!("recipe and output have the same path, `{}`", visible_path(path))));
        }
    }
    Ok(())
}

/// The choice of the entries that are pruned.
enum By {
    /// The threshold for all shards.
    Cut(Cut),
    /// A method and its options.
    Recipe(Pruner),
}

/// The bytes of memory that a run may need without a message.
const MUCH_MEMORY: u64 = 1 << 30;

/// More tensors than these are many: a count for each of them may be meant as a share.
const FEW_TENSORS: usize = 3;

/// Says what has no effect, or may not be meant.
fn warnings(recipe: &Recipe, report: &PruneReport) -> Vec<String> {
    let mut warnings: Vec<String> =
        report.unmatched.iter().map(|pattern| format!("--exclude `{pattern}` matches no tensor")).collect();
    let tensors = report.tensors.iter().filter(|tensor| matches!(tensor.outcome, Outcome::Pruned { .. })).count();
    if let Some(count @ 1..=100) = recipe.count_of_each()
        && tensors > FEW_TENSORS
        && report.unit == Unit::Entries
    {
        let share = count as f64 / 100.0;
        warnings.push(format!(
            "--amount {count} prunes {} of each of {tensors} tensors; for a share write {share:?} or {count}%",
            counted_entries(count),
        ));
    }
    warnings
}

fn counted_entries(count: usize) -> String {
    if count == 1 { "1 entry".into() } else { format!("{} entries", format::count(count)) }
}

/// The path and the size of the output.
#[derive(Debug, Clone, Copy, Serialize)]
struct WrittenOutput<'a> {
    #[serde(serialize_with = "format::path")]
    path: &'a Path,
    bytes: u64,
}

impl<'a> WrittenOutput<'a> {
    fn of(checkpoint: &Checkpoint, format: FormatName, output: &'a Output) -> Result<Self, CliError> {
        let path = output.path();
        let files = outputs::files_of_output(checkpoint, output, format.into())?;
        let bytes = files.iter().map(|file| Ok(fs::metadata(file)?.len())).sum::<io::Result<u64>>();
        let bytes = bytes
            .map_err(|error| CliError::caused_by(format!("cannot get the size of `{}`", path.display()), error))?;
        Ok(Self { path, bytes })
    }
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Entries => "entries",
        Unit::Channels => "channels",
        Unit::Groups => "groups",
        other => unreachable!("a unit that this version does not know: {other:?}"),
    }
}

/// Says that a run has changed nothing and, if it had an amount, how to go on.
fn nothing_new(has_amount: bool, is_onnx: bool) -> String {
    let more = match (has_amount, is_onnx) {
        (false, _) => "",
        (true, true) => " Write a larger amount.",
        (true, false) => {
            " Write a larger amount, or keep masks with\n           --format pytorch, after which an amount is one of the remaining entries."
        }
    };
    format!("           Nothing new was pruned: these entries were zero already.{more}")
}

/// One line for each axis along which channels were pruned, with the reason.
fn axes(report: &PruneReport) -> Vec<String> {
    let mut axes: Vec<(String, usize)> = Vec::new();
    for axis in report.tensors.iter().filter_map(|tensor| tensor.axis) {
        let text = axis.to_string();
        match axes.iter_mut().find(|(found, _)| *found == text) {
            Some((_, count)) => *count += 1,
            None => axes.push((text, 1)),
        }
    }
    axes.into_iter()
        .map(|(axis, count)| format!("channels:  {} along {axis}", format::counted(count, "tensor")))
        .collect()
}

/// The line of the summary that says how much is pruned.
fn pruned_line(report: &PruneReport) -> String {
    let (before, after, all) = (report.pruned_before(), report.pruned_after(), report.selected_entries());
    format!(
        "pruned:    {} of {} entries in {} ({}){}",
        format::count(after),
        format::count(all),
        format::counted(pruned_tensors(report), "tensor"),
        format::percent(after, all),
        if before == 0 { String::new() } else { format!(", {} of them zero before this run", format::count(before)) },
    )
}

fn pruned_tensors(report: &PruneReport) -> usize {
    report.tensors.iter().filter(|tensor| matches!(tensor.outcome, Outcome::Pruned { .. })).count()
}

fn summary(args: &PruneArgs, checkpoint: &Checkpoint, report: &PruneReport, written: Option<WrittenOutput>) -> String {
    let is_onnx = checkpoint.shards().iter().any(Shard::is_onnx);
    let mut lines = Vec::new();
    if let Some(requested) = report.asked {
        lines.push(format!("requested: {} {}", format::count(requested), unit(report.unit)));
    }
    lines.push(pruned_line(report));
    if report.pruned_before() == report.pruned_after() && report.pruned_after() > 0 {
        let has_amount = !matches!(report.asked, None | Some(0));
        lines.push(nothing_new(has_amount, is_onnx));
    }
    lines.extend(axes(report));
    lines.push(format!("skipped:   {}", format::counted(report.tensors.len() - pruned_tensors(report), "tensor")));
    if let Some(threshold) = report.threshold {
        lines.push(format!("threshold: magnitudes up to {threshold:.6e}"));
    }
    let written =
        written.map(|WrittenOutput { path, bytes }| format!("{}, {}", visible_path(path), format::bytes(bytes)));
    lines.extend(output_lines(11, &report.resumed, written.as_deref(), &report.companions));
    if written.is_some() && args.format == FormatName::Weights {
        lines.push(match is_onnx {
            true => "Zeros do not shrink the model; runtimes that know sparse weights use them.".into(),
            false => "Zeros do not shrink the file; `nn-prune pack` leaves them out.".into(),
        });
    }
    lines.join("\n") + "\n"
}

/// The output of `--json`.
#[derive(Serialize)]
struct Json<'a> {
    unit: &'static str,
    #[serde(rename = "asked")]
    requested: Option<usize>,
    threshold: Option<f64>,
    entries: usize,
    pruned_before: usize,
    pruned: usize,
    written: Option<WrittenOutput<'a>>,
    #[serde(serialize_with = "format::paths")]
    resumed: &'a [PathBuf],
    /// The patterns of --exclude that matched no tensor.
    unmatched: &'a [String],
    #[serde(flatten)]
    companions: CompanionNames<'a>,
    tensors: Vec<JsonTensor<'a>>,
}

#[derive(Serialize)]
struct JsonTensor<'a> {
    name: &'a str,
    dtype: String,
    shape: &'a [usize],
    #[serde(serialize_with = "format::path")]
    shard: &'a Path,
    entries: usize,
    #[serde(rename = "asked")]
    requested: Option<usize>,
    pruned_before: Option<usize>,
    pruned: Option<usize>,
    /// The axis of the channels, and why it is this one.
    axis: Option<usize>,
    axis_reason: Option<String>,
    /// The relative error of the layer's output on the statistics, and on those of --check.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_check: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dampening: Option<f64>,
    skipped: Option<String>,
    /// The reason why it was skipped, for programs.
    reason: Option<JsonReason<'a>>,
}

impl<'a> Json<'a> {
    fn of(checkpoint: &'a Checkpoint, report: &'a PruneReport, written: Option<WrittenOutput<'a>>) -> Self {
        let tensor = |tensor: &'a TensorReport| {
            let (requested, pruned_before, pruned, reason) = match &tensor.outcome {
                Outcome::Pruned { asked, before, after } => (*asked, Some(*before), Some(*after), None),
                Outcome::Skipped(reason) => (None, None, None, Some(reason)),
                other => unreachable!("an outcome that this version does not know: {other:?}"),
            };
            let CalibrationReport { error, error_check, dead, dampening, .. } = tensor.calibration.unwrap_or_default();
            JsonTensor {
                error,
                error_check,
                dead,
                dampening,
                name: &tensor.name,
                dtype: tensor.dtype.to_string(),
                shape: &tensor.shape,
                shard: checkpoint.shards()[tensor.shard].name(),
                entries: tensor.entries,
                requested,
                pruned_before,
                pruned,
                axis: tensor.axis.map(|axis| axis.axis),
                axis_reason: tensor.axis.map(|axis| axis.to_string()),
                skipped: reason.map(ToString::to_string),
                reason: reason.map(JsonReason::of),
            }
        };
        Self {
            unit: unit(report.unit),
            requested: report.asked,
            threshold: report.threshold,
            entries: report.selected_entries(),
            pruned_before: report.pruned_before(),
            pruned: report.pruned_after(),
            written,
            resumed: &report.resumed,
            unmatched: &report.unmatched,
            companions: CompanionNames::of(&report.companions),
            tensors: report.tensors.iter().map(tensor).collect(),
        }
    }
}
