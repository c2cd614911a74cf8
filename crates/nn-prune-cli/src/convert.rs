//! `nn-prune remove` and `nn-prune masks`.

use std::path::Path;

use prune::checkpoint::{self, Output};
use serde::Serialize;

use crate::args::{MasksArgs, RemoveArgs, Report};
use crate::failure::Failure;
use crate::progress::Watch;
use crate::{input, show};

pub fn remove(args: &RemoveArgs) -> Result<(), Failure> {
    let checkpoint = input::open(&args.input.paths)?;
    let output = Output::new(&args.output).force(args.destination.force).resume(args.destination.resume);
    let watch = Watch::new("writing", args.report.quiet);
    let names = checkpoint::remove(&checkpoint, &output, &watch)?;
    drop(watch);
    report(&args.report, &names, "made permanent", &args.output)
}

pub fn masks(args: &MasksArgs) -> Result<(), Failure> {
    let source = args.source()?;
    let checkpoint = input::open(&args.input.paths)?;
    let output = Output::new(&args.output).force(args.force);
    let watch = Watch::new("reading", args.report.quiet);
    let names = checkpoint::extract_masks(&checkpoint, &source, &output, &watch)?;
    drop(watch);
    report(&args.report, &names, "mask written", &args.output)
}

/// What `--json` prints.
#[derive(Serialize)]
struct Json<'a> {
    written: &'a Path,
    tensors: &'a [String],
}

fn report(report: &Report, names: &[String], done: &str, output: &Path) -> Result<(), Failure> {
    if report.json {
        return show::print_json(&Json { written: output, tensors: names });
    }
    if report.quiet {
        return Ok(());
    }
    let mut text = String::new();
    for name in names {
        text += &format!("{}: {done}\n", show::plain(name));
    }
    text += &format!("{} to {}\n", show::counted(names.len(), "tensor"), show::plain(&output.to_string_lossy()));
    show::print(text)
}
