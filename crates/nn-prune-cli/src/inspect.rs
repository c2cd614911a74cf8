//! `nn-prune inspect`.

mod table;
mod totals;

use std::path::Path;

use prune::checkpoint::{self, Checkpoint, SkipReason, TensorInspection};
use serde::{Serialize, Serializer};

use crate::args::InspectArgs;
use crate::error::{CliError, FORCE_REPLACES};
use crate::progress::ProgressReporter;
use crate::skipped::JsonReason;
use crate::table::width;
use crate::{format, outputs, plot};
use totals::Totals;

pub fn run(args: &InspectArgs) -> Result<(), CliError> {
    let checkpoint = args.input.open(args.report.quiet)?;
    if let Some(path) = &args.plot {
        outputs::check_beside("plot", path, args.force, Some(FORCE_REPLACES), outputs::files_of(&checkpoint))?;
    }
    let skipped = args.names.selection().skipped(&checkpoint)?;
    let reporter = ProgressReporter::new("reading", args.report.quiet);
    let inspection = checkpoint::inspect(&checkpoint, args.plot.is_some(), &reporter)?;
    drop(reporter);

    let tensors: Vec<Inspected> = inspection.tensors.iter().zip(&skipped).map(Inspected::of).collect();
    if let Some(path) = &args.plot {
        let plotted = tensors.iter().filter(|tensor| args.names.is_default() || tensor.is_selected());
        plot::write(path, plotted.map(|inspected| inspected.tensor))?;
    }
    if args.report.json {
        return format::print_json(&Json::of(&checkpoint, &tensors));
    }
    let selected = if args.names.is_default() { "prunable" } else { "selected" };
    format::print_report(
        &args.report,
        || one_line(selected, &tensors),
        |out| totals::write(out, width(), selected, &tensors),
        |out| {
            if !tensors.is_empty() {
                table::write(out, width(), &tensors, args)?;
                writeln!(out)?;
            }
            totals::write(out, width(), selected, &tensors)?;
            write!(out, "\n{}", totals::legend(width()))
        },
    )
}

/// A tensor, and the reason why `prune` would skip it.
#[derive(Clone, Copy)]
struct Inspected<'a> {
    tensor: &'a TensorInspection,
    skipped: Option<&'a SkipReason>,
}

impl<'a> Inspected<'a> {
    fn of((tensor, skipped): (&'a TensorInspection, &'a Option<SkipReason>)) -> Self {
        Self { tensor, skipped: skipped.as_ref() }
    }

    fn is_selected(&self) -> bool {
        self.skipped.is_none()
    }
}

/// The totals in one line, for `--quiet --summary`.
fn one_line(selected: &str, tensors: &[Inspected]) -> String {
    let describe = |totals: Totals| {
        format!(
            "{}, {} of {} entries zero ({})",
            format::counted(totals.tensors, "tensor"),
            format::count(totals.zeros),
            format::count(totals.entries),
            format::percent(totals.zeros, totals.entries),
        )
    };
    format!("{}; {selected}: {}", describe(Totals::of_all(tensors)), describe(Totals::of_selected("", tensors)))
}

/// The output of `--json`.
#[derive(Serialize)]
struct Json<'a> {
    shards: Vec<JsonShard<'a>>,
    tensors: JsonTensors<'a>,
    by_dtype: Vec<Totals>,
    total: Totals,
    /// The sums over the tensors that `prune` would select.
    selected: Totals,
}

#[derive(Serialize)]
struct JsonShard<'a> {
    #[serde(serialize_with = "format::path")]
    path: &'a Path,
    bytes: u64,
}

/// The tensors, of which one at a time takes memory.
struct JsonTensors<'a> {
    checkpoint: &'a Checkpoint,
    tensors: &'a [Inspected<'a>],
}

impl Serialize for JsonTensors<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.tensors.iter().map(|inspected| JsonTensor::of(self.checkpoint, inspected)))
    }
}

#[derive(Serialize)]
struct JsonTensor<'a> {
    name: &'a str,
    dtype: String,
    shape: &'a [usize],
    #[serde(serialize_with = "format::path")]
    shard: &'a Path,
    #[serde(rename = "weights")]
    entries: usize,
    zeros: Option<usize>,
    /// The number of entries that the mask prunes, `null` without a mask.
    #[serde(rename = "masked")]
    pruned: Option<usize>,
    bytes: u64,
    /// The file stores the tensor packed.
    packed: bool,
    dense: Option<u64>,
    bitmask: Option<u64>,
    csr: Option<u64>,
    /// The reason why `prune` would skip the tensor, `null` if it would not.
    skipped: Option<String>,
    /// The same for programs.
    reason: Option<JsonReason<'a>>,
}

impl<'a> JsonTensor<'a> {
    fn of(checkpoint: &'a Checkpoint, &Inspected { tensor, skipped }: &Inspected<'a>) -> Self {
        Self {
            name: &tensor.name,
            dtype: tensor.dtype.to_string(),
            shape: &tensor.shape,
            shard: checkpoint.shards()[tensor.shard].name(),
            entries: tensor.entries,
            zeros: tensor.zeros,
            pruned: tensor.masked,
            bytes: tensor.bytes,
            packed: tensor.is_packed,
            dense: tensor.packed.map(|packed| packed.dense),
            bitmask: tensor.packed.map(|packed| packed.bitmask),
            csr: tensor.packed.map(|packed| packed.csr),
            skipped: skipped.map(ToString::to_string),
            reason: skipped.map(JsonReason::of),
        }
    }
}

impl<'a> Json<'a> {
    fn of(checkpoint: &'a Checkpoint, tensors: &'a [Inspected<'a>]) -> Self {
        let shards = checkpoint.shards();
        Self {
            shards: shards.iter().map(|shard| JsonShard { path: shard.path(), bytes: shard.bytes() }).collect(),
            tensors: JsonTensors { checkpoint, tensors },
            by_dtype: Totals::of_dtypes(tensors),
            total: Totals::of_all(tensors),
            selected: Totals::of_selected("selected", tensors),
        }
    }
}
