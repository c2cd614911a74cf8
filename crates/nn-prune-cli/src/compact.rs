//! `nn-prune compact`.

mod table;

use std::path::{Path, PathBuf};

use prune::checkpoint::{CompactReport, CompactedTensorReport, Equality, Format, Output, check_apart};
use serde::Serialize;

use crate::compact_args::CompactArgs;
use crate::companions::{CompanionNames, output_lines};
use crate::error::CliError;
use crate::format;
use crate::outputs;
use crate::progress::ProgressReporter;
use crate::table::width;
use crate::text::{escape_invisible, visible_path};

/// The most half dead units that are listed.
const LISTED: usize = 10;

pub fn run(args: &CompactArgs) -> Result<(), CliError> {
    let compactor = args.compactor();
    let checkpoint = args.input.open(args.report.quiet)?;
    let output = args.output.as_deref().map(|path| match compactor.changes_config() {
        true => Ok(args.output_options.directory(path)),
        false => args.output_options.output(path, &checkpoint, Format::Weights),
    });
    // A dry run refuses what the run would refuse of the path.
    let output = output.transpose()?;
    if let Some(output) = &output {
        let written = outputs::check_output(&checkpoint, output, Format::Weights, args.files())?;
        if let Some(path) = args.save_plan()
            && check_apart([path], written.iter().map(PathBuf::as_path)).is_err()
        {
            return Err(CliError::new(format!("plan and output have the same path, `{}`", visible_path(path))));
        }
    }
    let output = output.filter(|_| !args.dry_run);

    let reporter = ProgressReporter::new("compacting", args.report.quiet);
    let report = match &output {
        Some(output) => compactor.run(&checkpoint, output, &reporter)?,
        None => compactor.dry_run(&checkpoint, &reporter)?,
    };
    drop(reporter);

    let written = output.as_ref().map(Output::path);
    if args.report.json {
        return format::print_json(&Json::of(&report, written));
    }
    format::print_table(
        &args.report,
        || weights_line(&report),
        |out| table::write(out, width(), &report, args.report.full),
        || summary(&report, written),
    )
}

/// The line of the summary that says how much is removed.
fn weights_line(report: &CompactReport) -> String {
    format!("weights:   {} -> {}", format::count(report.entries_before()), format::count(report.entries_after()))
}

fn summary(report: &CompactReport, written: Option<&Path>) -> String {
    let unchanged = report.tensors.iter().filter(|tensor| !table::is_changed(tensor)).count();
    let mut lines = vec![
        format!("unchanged: {}", format::counted(unchanged, "tensor")),
        weights_line(report),
        format!("bytes:     {} -> {}", format::bytes(report.bytes_before()), format::bytes(report.bytes_after())),
    ];
    lines.extend(report.config.iter().map(|change| {
        let line = format!("config:    {}: {} -> {}", change.key, change.before, change.after);
        escape_invisible(&line).into_owned()
    }));
    let listed = report.half_dead.iter().take(LISTED).map(|unit| format!("alive:     {unit}"));
    lines.extend(listed.map(|line| escape_invisible(&line).into_owned()));
    if report.half_dead.len() > LISTED {
        lines.push(format!("alive:     {} more", format::counted(report.half_dead.len() - LISTED, "unit")));
    }
    let written = written.map(visible_path);
    lines.extend(output_lines(11, &report.resumed, written.as_deref(), &report.companions));
    lines.push(sentence(report.equality).into());
    lines.join("\n") + "\n"
}

fn sentence(equality: Equality) -> &'static str {
    match equality {
        Equality::Input => "The output computes what the input computes: nothing that has an effect was removed.",
        Equality::Masked => {
            "The output computes what the input computes with the removed units masked. Train it further: quality is lost."
        }
        Equality::MaskedProducers => {
            "The output computes what the input computes with the producers of the removed units masked. Train it further: \
             quality is lost."
        }
        Equality::None => {
            "The output equals no masked model: the layers of this type end in a norm, which is dropped with them. Train it \
             further: quality is lost."
        }
        other => unreachable!("an equality that this version does not know: {other:?}"),
    }
}

/// The output of `--json`.
#[derive(Serialize)]
struct Json<'a> {
    entries_before: usize,
    entries: usize,
    bytes_before: u64,
    bytes: u64,
    equals: String,
    #[serde(serialize_with = "format::optional_path")]
    written: Option<&'a Path>,
    #[serde(serialize_with = "format::paths")]
    resumed: &'a [PathBuf],
    #[serde(flatten)]
    companions: CompanionNames<'a>,
    config: Vec<JsonChange<'a>>,
    dropped_layers: &'a [usize],
    dimensions: Vec<JsonDimension<'a>>,
    half_dead: Vec<String>,
    tensors: Vec<JsonTensor<'a>>,
}

#[derive(Serialize)]
struct JsonChange<'a> {
    key: &'a str,
    before: serde_json::Value,
    after: serde_json::Value,
}

#[derive(Serialize)]
struct JsonDimension<'a> {
    name: &'a str,
    units: usize,
    kept: usize,
}

#[derive(Serialize)]
struct JsonTensor<'a> {
    name: &'a str,
    new_name: Option<&'a str>,
    dtype: String,
    before: &'a [usize],
    after: Option<&'a [usize]>,
}

impl<'a> Json<'a> {
    fn of(report: &'a CompactReport, written: Option<&'a Path>) -> Self {
        // The texts are JSON that the library wrote.
        let json = |text: &str| serde_json::from_str(text).unwrap_or_default();
        let tensor = |tensor: &'a CompactedTensorReport| JsonTensor {
            name: &tensor.name,
            new_name: tensor.renamed.as_deref(),
            dtype: tensor.dtype.to_string(),
            before: &tensor.before,
            after: tensor.renamed.as_ref().map(|_| tensor.after.as_slice()),
        };
        Self {
            entries_before: report.entries_before(),
            entries: report.entries_after(),
            bytes_before: report.bytes_before(),
            bytes: report.bytes_after(),
            equals: report.equality.to_string(),
            written,
            resumed: &report.resumed,
            companions: CompanionNames::of(&report.companions),
            config: report
                .config
                .iter()
                .map(|change| JsonChange { key: &change.key, before: json(&change.before), after: json(&change.after) })
                .collect(),
            dropped_layers: &report.dropped,
            dimensions: report
                .dimensions
                .iter()
                .map(|dimension| JsonDimension { name: &dimension.name, units: dimension.units, kept: dimension.kept })
                .collect(),
            half_dead: report.half_dead.iter().map(ToString::to_string).collect(),
            tensors: report.tensors.iter().map(tensor).collect(),
        }
    }
}
