//! `nn-prune prune`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use prune::checkpoint::{Checkpoint, Outcome, Output, Prune, PruneReport, TensorReport, Unit};
use serde::Serialize;

use crate::args::PruneArgs;
use crate::failure::Failure;
use crate::progress::Watch;
use crate::values::FormatName;
use crate::{input, show};

pub fn run(args: &PruneArgs) -> Result<(), Failure> {
    let prune =
        Prune::new(args.method()?)?.scope(args.scope()).format(args.format.into()).selection(args.names.selection());
    let checkpoint = input::open(&args.input.paths)?;

    let watch = Watch::new("pruning", args.report.quiet);
    let output = args.output.as_deref().filter(|_| !args.dry_run);
    let report = match output {
        Some(path) => {
            let output = Output::new(path).force(args.destination.force).resume(args.destination.resume);
            prune.run(&checkpoint, &output, &watch)?
        }
        None => prune.dry_run(&checkpoint, &watch)?,
    };
    drop(watch);

    let written = output.map(|path| Written::of(&checkpoint, args.format, path)).transpose()?;
    if args.report.json {
        show::print_json(&Json::of(&checkpoint, &report, written))
    } else if args.report.quiet {
        Ok(())
    } else {
        show::print(format!("{}\n\n{}", table(&report), summary(args, &report, written)))
    }
}

/// What was written, and its length.
#[derive(Debug, Clone, Copy, Serialize)]
struct Written<'a> {
    path: &'a Path,
    bytes: u64,
}

impl<'a> Written<'a> {
    fn of(checkpoint: &Checkpoint, format: FormatName, path: &'a Path) -> Result<Self, Failure> {
        let in_folder = checkpoint.is_sharded() && format != FormatName::Masks;
        let files: Vec<PathBuf> = match in_folder {
            true => checkpoint.shards().iter().map(|shard| path.join(shard.name())).collect(),
            false => vec![path.to_owned()],
        };
        let bytes = files.iter().map(|file| Ok(fs::metadata(file)?.len())).sum::<io::Result<u64>>();
        let bytes =
            bytes.map_err(|error| Failure::new(format!("output: cannot look at `{}`", path.display()), error))?;
        Ok(Self { path, bytes })
    }
}

fn table(report: &PruneReport) -> String {
    let columns = [
        ("tensor", '<'),
        ("dtype", '<'),
        ("shape", '<'),
        ("asked", '>'),
        ("pruned", '>'),
        ("of all", '>'),
        ("skipped", '<'),
    ];
    show::table(columns, report.tensors.iter().map(row)).trim_fmt()
}

fn row(tensor: &TensorReport) -> [String; 7] {
    let [asked, pruned, share, skipped] = match &tensor.outcome {
        Outcome::Pruned { asked, after, .. } => [
            asked.map(show::count).unwrap_or_default(),
            show::count(*after),
            show::percent(*after, tensor.entries),
            String::new(),
        ],
        Outcome::Skipped(reason) => {
            [String::new(), String::new(), String::new(), show::plain(&reason.to_string()).into_owned()]
        }
    };
    let name = show::plain(&tensor.name).into_owned();
    [name, tensor.dtype.to_string(), show::shape(&tensor.shape), asked, pruned, share, skipped]
}

fn summary(args: &PruneArgs, report: &PruneReport, written: Option<Written>) -> String {
    let pruned = report.tensors.iter().filter(|tensor| matches!(tensor.outcome, Outcome::Pruned { .. })).count();
    let (before, after, all) = (report.pruned_before(), report.pruned_after(), report.selected_entries());
    let mut lines = Vec::new();
    if let Some(asked) = report.asked {
        let unit = match report.unit {
            Unit::Entries => "entries",
            Unit::Channels => "channels",
        };
        lines.push(format!("asked:     {} {unit}", show::count(asked)));
    }
    lines.push(format!(
        "pruned:    {} of the {} entries of {} ({}){}",
        show::count(after),
        show::count(all),
        show::counted(pruned, "tensor"),
        show::percent(after, all),
        if before == 0 { String::new() } else { format!(", {} of them before", show::count(before)) },
    ));
    lines.push(format!("skipped:   {}", show::counted(report.tensors.len() - pruned, "tensor")));
    if let Some(threshold) = report.threshold {
        lines.push(format!("threshold: magnitudes up to {threshold:.6e}"));
    }
    if !report.resumed.is_empty() {
        lines.push(format!("resumed:   {} finished before", show::counted(report.resumed.len(), "shard")));
    }
    match written {
        None => lines.push("written:   nothing, as this is a dry run".into()),
        Some(Written { path, bytes }) => {
            let path = path.to_string_lossy();
            let path = show::plain(&path);
            lines.push(format!("written:   {path}, {}", show::bytes(bytes)));
            if args.format == FormatName::Weights {
                lines.push("Zeros do not shrink the file; `nn-prune inspect` says what it would take packed.".into());
            }
        }
    }
    lines.join("\n") + "\n"
}

/// What `--json` prints.
#[derive(Serialize)]
struct Json<'a> {
    unit: &'static str,
    asked: Option<usize>,
    threshold: Option<f64>,
    entries: usize,
    pruned_before: usize,
    pruned: usize,
    written: Option<Written<'a>>,
    resumed: &'a [PathBuf],
    tensors: Vec<JsonTensor<'a>>,
}

#[derive(Serialize)]
struct JsonTensor<'a> {
    name: &'a str,
    dtype: String,
    shape: &'a [usize],
    shard: &'a Path,
    entries: usize,
    asked: Option<usize>,
    pruned_before: Option<usize>,
    pruned: Option<usize>,
    skipped: Option<String>,
}

impl<'a> Json<'a> {
    fn of(checkpoint: &'a Checkpoint, report: &'a PruneReport, written: Option<Written<'a>>) -> Self {
        let tensor = |tensor: &'a TensorReport| {
            let (asked, pruned_before, pruned, skipped) = match &tensor.outcome {
                Outcome::Pruned { asked, before, after } => (*asked, Some(*before), Some(*after), None),
                Outcome::Skipped(reason) => (None, None, None, Some(reason.to_string())),
            };
            JsonTensor {
                name: &tensor.name,
                dtype: tensor.dtype.to_string(),
                shape: &tensor.shape,
                shard: checkpoint.shards()[tensor.shard].name(),
                entries: tensor.entries,
                asked,
                pruned_before,
                pruned,
                skipped,
            }
        };
        Self {
            unit: match report.unit {
                Unit::Entries => "entries",
                Unit::Channels => "channels",
            },
            asked: report.asked,
            threshold: report.threshold,
            entries: report.selected_entries(),
            pruned_before: report.pruned_before(),
            pruned: report.pruned_after(),
            written,
            resumed: &report.resumed,
            tensors: report.tensors.iter().map(tensor).collect(),
        }
    }
}
