//! `nn-prune remove` and `nn-prune masks`.

use std::path::Path;

use prune::checkpoint::{self, Output};
use serde::Serialize;

use crate::args::{MasksArgs, RemoveArgs, ReportOptions};
use crate::error::CliError;
use crate::progress::ProgressReporter;
use crate::text::escape_invisible;
use crate::{format, input};

pub fn remove(args: &RemoveArgs) -> Result<(), CliError> {
    let checkpoint = input::open(&args.input.paths)?;
    let output = Output::new(&args.output).force(args.output_options.force).resume(args.output_options.resume);
    let reporter = ProgressReporter::new("writing", args.report.quiet);
    let names = checkpoint::remove(&checkpoint, &output, &reporter)?;
    drop(reporter);
    report(&args.report, &names, "pruning made permanent", "tensor", &args.output)
}

pub fn masks(args: &MasksArgs) -> Result<(), CliError> {
    let source = args.source()?;
    let checkpoint = input::open(&args.input.paths)?;
    let output = Output::new(&args.output).force(args.force);
    let reporter = ProgressReporter::new("reading", args.report.quiet);
    let names = checkpoint::extract_masks(&checkpoint, &source, &output, &reporter)?;
    drop(reporter);
    report(&args.report, &names, "mask written", "mask", &args.output)
}

/// The output of `--json`.
#[derive(Serialize)]
struct Json<'a> {
    written: &'a Path,
    tensors: &'a [String],
}

/// Prints one line per tensor, which ends in `result`, and the number of `unit`s with the path of the output.
fn report(options: &ReportOptions, names: &[String], result: &str, unit: &str, output: &Path) -> Result<(), CliError> {
    if options.json {
        return format::print_json(&Json { written: output, tensors: names });
    }
    if options.quiet {
        return Ok(());
    }
    let mut text = String::new();
    for name in names {
        text += &format!("{}: {result}\n", escape_invisible(name));
    }
    let path = output.to_string_lossy();
    text += &format!("wrote {} to {}\n", format::counted(names.len(), unit), escape_invisible(&path));
    format::print(text)
}
