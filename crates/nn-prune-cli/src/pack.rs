//! `nn-prune pack` and `nn-prune unpack`.

mod table;

use std::path::{Path, PathBuf};

use clap::Args;
use prune::checkpoint::{DenseReason, Format, Output, PackReport, PackedTensorReport, Packer};
use serde::Serialize;

use crate::amount::share;
use crate::args::{Input, OutputOptions, ReportOptions, output_path};
use crate::companions::{CompanionNames, output_lines};
use crate::error::CliError;
use crate::format;
use crate::progress::ProgressReporter;
use crate::table::width;
use crate::text::visible_path;

const EXAMPLES: &str = "\
Examples:
  # Prune 80 % of each weight matrix, and store only what is left
  nn-prune prune model.safetensors -o pruned.safetensors --method l1 --amount 0.8
  nn-prune pack pruned.safetensors -o packed.safetensors
  # Have it back as a file that everything loads
  nn-prune unpack packed.safetensors -o pruned.safetensors";

/// Write a smaller copy of a pruned checkpoint: one bit per entry, and the entries that are not zero
///
/// In F32 a packed tensor takes about 53, 23 and 13 % of the dense one at 50, 80 and 90 % sparsity; in 16 bits 56, 26 and 16 %.
/// Tensors that would not shrink stay dense. Tensors with masks (W_orig and W_mask) are packed by their masks.
///
/// The layout is `sparse-bitmask` of compressed-tensors 0.14. Loaders of dense models do not read it: use `nn-prune unpack`, or
/// `prune::safetensors::load_packed` of the library.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PackArgs {
    #[command(flatten)]
    input: Input,
    /// The output: a file OUT.safetensors, or a directory OUT/, which is created if missing; a directory for shards
    #[arg(short, long, value_name = "OUT", required_unless_present = "dry_run", value_parser = output_path())]
    output: Option<PathBuf>,
    /// Pack only tensors of which at least this fraction is zero, such as 0.4 or 40%
    #[arg(long, value_name = "FRACTION", value_parser = fraction)]
    min_sparsity: Option<f64>,
    /// Store the signs of zeros too, one more bit per entry, so that `unpack` gives the input bit for bit
    #[arg(long)]
    signs: bool,
    /// Report the sizes, without writing anything
    #[arg(long, conflicts_with_all = ["force", "resume", "weights_only"])]
    dry_run: bool,
    #[command(flatten)]
    output_options: OutputOptions,
    #[command(flatten)]
    report: ReportOptions,
}

/// Parses a fraction or a percentage.
fn fraction(text: &str) -> Result<f64, String> {
    let valid = share(text).filter(|fraction| (0.0..=1.0).contains(fraction));
    valid.ok_or_else(|| "must be a fraction from 0 to 1, such as 0.4, or a percentage such as 40%".to_owned())
}

pub fn pack(args: &PackArgs) -> Result<(), CliError> {
    let checkpoint = args.input.open(args.report.quiet)?;
    let packer = Packer::new().signs(args.signs).min_sparsity(args.min_sparsity.unwrap_or(0.0));
    let output = args.output.as_deref().map(|path| args.output_options.output(path, &checkpoint, Format::Weights));
    // A dry run refuses what the run would refuse of the path.
    let output = output.transpose()?.filter(|_| !args.dry_run);
    let reporter = ProgressReporter::new("packing", args.report.quiet);
    let report = match &output {
        Some(output) => packer.run(&checkpoint, output, &reporter)?,
        None => packer.dry_run(&checkpoint, &reporter)?,
    };
    drop(reporter);

    let written = output.as_ref().map(Output::path);
    if args.report.json {
        return format::print_json(&Json::of(&report, written));
    }
    format::print_table(
        &args.report,
        || bytes_line(&report),
        |out| table::write(out, width(), &report, args.report.full),
        || summary(&report, written),
    )
}

/// The line of the summary that says how much smaller the tensors are.
fn bytes_line(report: &PackReport) -> String {
    let (before, after) = (report.bytes_before(), report.bytes_after());
    let percent = format::percent(after as usize, before as usize);
    format!("bytes:   {} -> {} ({percent})", format::bytes(before), format::bytes(after))
}

fn summary(report: &PackReport, written: Option<&Path>) -> String {
    let packed = format::counted(report.packed(), "tensor");
    let mut lines = vec![format!("packed:  {packed} of {}", format::count(report.tensors.len())), bytes_line(report)];
    if report.bytes_dense() != report.bytes_before() {
        lines.push(format!("dense:   {} without masks", format::bytes(report.bytes_dense())));
    }
    let written = written.map(visible_path);
    lines.extend(output_lines(9, &report.resumed, written.as_deref(), &report.companions));
    lines.join("\n") + "\n"
}

/// The output of `--json`.
#[derive(Serialize)]
struct Json<'a> {
    packed: usize,
    bytes_before: u64,
    bytes_dense: u64,
    bytes: u64,
    #[serde(serialize_with = "format::optional_path")]
    written: Option<&'a Path>,
    #[serde(serialize_with = "format::paths")]
    resumed: &'a [PathBuf],
    #[serde(flatten)]
    companions: CompanionNames<'a>,
    tensors: Vec<JsonTensor<'a>>,
}

#[derive(Serialize)]
struct JsonTensor<'a> {
    name: &'a str,
    dtype: String,
    shape: &'a [usize],
    #[serde(rename = "weights")]
    entries: usize,
    /// The number of entries that are stored; `null` if they were not counted.
    kept: Option<usize>,
    bytes_before: u64,
    bytes_dense: u64,
    bytes: u64,
    /// The reason why the tensor stays dense; `null` if it is packed.
    dense: Option<&'static str>,
}

impl<'a> Json<'a> {
    fn of(report: &'a PackReport, written: Option<&'a Path>) -> Self {
        let tensor = |tensor: &'a PackedTensorReport| JsonTensor {
            name: &tensor.name,
            dtype: tensor.dtype.to_string(),
            shape: &tensor.shape,
            entries: tensor.entries,
            kept: tensor.kept,
            bytes_before: tensor.bytes_before,
            bytes_dense: tensor.bytes_dense,
            bytes: tensor.bytes_after,
            dense: tensor.dense.map(code),
        };
        Self {
            packed: report.packed(),
            bytes_before: report.bytes_before(),
            bytes_dense: report.bytes_dense(),
            bytes: report.bytes_after(),
            written,
            resumed: &report.resumed,
            companions: CompanionNames::of(&report.companions),
            tensors: report.tensors.iter().map(tensor).collect(),
        }
    }
}

/// The reason why a tensor stays dense, for programs.
fn code(reason: DenseReason) -> &'static str {
    match reason {
        DenseReason::Dtype => "dtype",
        DenseReason::NotSmaller => "not smaller",
        DenseReason::BelowSparsity => "below minimum sparsity",
        DenseReason::Packed => "packed",
        DenseReason::NameClash => "name clash",
        other => unreachable!("a reason that this version does not know: {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_and_percentages() {
        for (text, expected) in [("0.4", 0.4), ("40%", 0.4), ("40 %", 0.4), ("0", 0.0), ("100%", 1.0)] {
            assert_eq!(fraction(text), Ok(expected), "{text}");
        }
        for text in ["", "x", "1.5", "-0.1", "NaN", "101%", "%"] {
            assert!(fraction(text).is_err(), "{text}");
        }
    }
}
