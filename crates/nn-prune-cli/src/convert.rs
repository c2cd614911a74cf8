//! `nn-prune remove`, `nn-prune restore`, `nn-prune unpack` and `nn-prune masks`.

use std::path::Path;

use prune::checkpoint::{self, Checkpoint, CheckpointError, Companions, Conversion, Format, Observer, Output};
use serde::Serialize;

use crate::args::{ConvertArgs, MasksArgs, ReportOptions};
use crate::companions::CompanionNames;
use crate::error::CliError;
use crate::format;
use crate::names;
use crate::progress::ProgressReporter;
use crate::text::escape_invisible;

pub fn remove(args: &ConvertArgs) -> Result<(), CliError> {
    convert(args, checkpoint::remove, "pruning made permanent")
}

pub fn restore(args: &ConvertArgs) -> Result<(), CliError> {
    convert(args, checkpoint::restore, "original values restored")
}

pub fn unpack(args: &ConvertArgs) -> Result<(), CliError> {
    convert(args, checkpoint::unpack, "unpacked")
}

/// A conversion of the library.
type Convert = fn(&Checkpoint, &Output, &dyn Observer) -> Result<Conversion, CheckpointError>;

fn convert(args: &ConvertArgs, convert: Convert, result: &str) -> Result<(), CliError> {
    let checkpoint = args.input.open(args.report.quiet)?;
    let output = args.output_options.output(&args.output, &checkpoint, Format::Weights)?;
    let reporter = ProgressReporter::new("writing", args.report.quiet);
    let conversion = convert(&checkpoint, &output, &reporter)?;
    drop(reporter);
    let Conversion { tensors, companions } = &conversion;
    report(&args.report, tensors, result, "tensor", &args.output, Some(companions))
}

pub fn masks(args: &MasksArgs) -> Result<(), CliError> {
    let source = args.source()?;
    let checkpoint = args.input.open(args.report.quiet)?;
    let output = Output::new(&args.output).force(args.force);
    let reporter = ProgressReporter::new("reading", args.report.quiet);
    let names = checkpoint::extract_masks(&checkpoint, &source, &output, &reporter)?;
    drop(reporter);
    report(&args.report, &names, "mask written", "mask", &args.output, None)
}

/// The output of `--json`.
#[derive(Serialize)]
struct Json<'a> {
    #[serde(serialize_with = "format::path")]
    written: &'a Path,
    tensors: &'a [String],
    #[serde(flatten)]
    companions: Option<CompanionNames<'a>>,
}

/// Prints one line per tensor, which ends in `result`, and the number of `unit`s with the path of the output. Many equal
/// layers are one line.
fn report(
    options: &ReportOptions,
    names: &[String],
    result: &str,
    unit: &str,
    output: &Path,
    companions: Option<&Companions>,
) -> Result<(), CliError> {
    let companions = companions.map(CompanionNames::of);
    if options.json {
        return format::print_json(&Json { written: output, tensors: names, companions });
    }
    let path = output.to_string_lossy();
    let wrote = format!("wrote {} to {}\n", format::counted(names.len(), unit), escape_invisible(&path));
    if options.quiet || options.summary {
        return if options.summary { format::print(wrote) } else { Ok(()) };
    }
    let names = names::lines(names, options.full).into_iter().map(|name| format!("{name}: {result}\n"));
    let companions = companions.iter().flat_map(CompanionNames::lines).map(|line| line + "\n");
    format::print(names.chain([wrote]).chain(companions).collect::<String>())
}
