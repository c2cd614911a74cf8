//! `nn-prune inspect`.

use std::path::Path;

use prune::checkpoint::{self, Checkpoint, Inspection, TensorInspection};
use serde::Serialize;

use crate::args::InspectArgs;
use crate::error::CliError;
use crate::progress::ProgressReporter;
use crate::text::escape_invisible;
use crate::{format, plot};

pub fn run(args: &InspectArgs) -> Result<(), CliError> {
    let checkpoint = args.input.open()?;
    if let Some(path) = &args.plot {
        plot::check_output(path, args.force, &checkpoint)?;
    }
    let reporter = ProgressReporter::new("reading", args.report.quiet);
    let inspection = checkpoint::inspect(&checkpoint, args.plot.is_some(), &reporter)?;
    drop(reporter);

    if let Some(path) = &args.plot {
        plot::write(path, &inspection)?;
    }
    if args.report.json {
        format::print_json(&Json::of(&checkpoint, &inspection))
    } else if args.report.quiet {
        Ok(())
    } else {
        format::print(format!("{}\n{}\n{}", tensors(&inspection), totals(&inspection), LEGEND))
    }
}

/// Explains the columns of the totals.
const LEGEND: &str = "\
dense: all entries, without masks. bit mask: one bit per entry, and the nonzero entries. CSR: the nonzero entries, a
column index of 4 bytes for each, and an offset per row. smallest: for each tensor the smallest of the three.
nn-prune writes only the dense format, so zeros do not shrink a file.
";

fn tensors(inspection: &Inspection) -> String {
    let columns = [
        ("tensor", '<'),
        ("dtype", '<'),
        ("shape", '<'),
        ("entries", '>'),
        ("zeros", '>'),
        ("sparsity", '>'),
        ("pruned", '>'),
    ];
    let row = |tensor: &TensorInspection| {
        let zeros = tensor
            .zeros
            .map_or(["?".into(), "?".into()], |zeros| [format::count(zeros), format::percent(zeros, tensor.entries)]);
        let [zeros, sparsity] = zeros;
        let pruned = tensor.masked.map_or("no mask".into(), format::count);
        let name = escape_invisible(&tensor.name).into_owned();
        let entries = format::count(tensor.entries);
        [name, tensor.dtype.to_string(), format::shape(&tensor.shape), entries, zeros, sparsity, pruned]
    };
    format::table(columns, inspection.tensors.iter().map(row)).trim_fmt() + "\n"
}

fn totals(inspection: &Inspection) -> String {
    let columns = [
        ("dtype", '<'),
        ("tensors", '>'),
        ("entries", '>'),
        ("zeros", '>'),
        ("sparsity", '>'),
        ("stored", '>'),
        ("dense", '>'),
        ("bit mask", '>'),
        ("CSR", '>'),
        ("smallest", '>'),
    ];
    let mut rows = Vec::new();
    for total in Totals::of_dtypes(inspection) {
        rows.push(total.row());
    }
    format::table(columns, rows).trim_fmt() + "\n"
}

/// The sums over some tensors.
#[derive(Debug, Default, Serialize)]
struct Totals {
    dtype: String,
    tensors: usize,
    #[serde(rename = "weights")]
    entries: usize,
    zeros: usize,
    bytes: u64,
    dense: u64,
    bitmask: u64,
    csr: u64,
    smallest: u64,
}

impl Totals {
    /// Returns one for each dtype, in the order of appearance, then one for all dtypes unless there is only one.
    fn of_dtypes(inspection: &Inspection) -> Vec<Self> {
        let mut totals: Vec<Self> = Vec::new();
        for tensor in &inspection.tensors {
            let dtype = tensor.dtype.to_string();
            let index = totals.iter().position(|total| total.dtype == dtype).unwrap_or_else(|| {
                totals.push(Self { dtype, ..Self::default() });
                totals.len() - 1
            });
            totals[index].add(tensor);
        }
        if totals.len() != 1 {
            totals.push(Self::of_all(inspection));
        }
        totals
    }

    fn of_all(inspection: &Inspection) -> Self {
        let mut total = Self { dtype: "all".into(), ..Self::default() };
        inspection.tensors.iter().for_each(|tensor| total.add(tensor));
        total
    }

    /// Adds a tensor. If its zeros are unknown, the stored size stands for each packed size.
    fn add(&mut self, tensor: &TensorInspection) {
        let (dense, bitmask, csr) =
            tensor.packed.map_or([tensor.bytes; 3].into(), |packed| (packed.dense, packed.bitmask, packed.csr));
        self.tensors += 1;
        self.entries += tensor.entries;
        self.zeros += tensor.zeros.unwrap_or(0);
        self.bytes += tensor.bytes;
        self.dense += dense;
        self.bitmask += bitmask;
        // A tensor without entries may have up to 2^64 rows, so this sum can overflow. The others count bytes of files.
        self.csr = self.csr.saturating_add(csr);
        self.smallest += dense.min(bitmask).min(csr);
    }

    fn row(&self) -> [String; 10] {
        [
            self.dtype.clone(),
            format::count(self.tensors),
            format::count(self.entries),
            format::count(self.zeros),
            format::percent(self.zeros, self.entries),
            format::bytes(self.bytes),
            format::bytes(self.dense),
            format::bytes(self.bitmask),
            format::bytes(self.csr),
            format::bytes(self.smallest),
        ]
    }
}

/// The output of `--json`.
#[derive(Serialize)]
struct Json<'a> {
    shards: Vec<JsonShard<'a>>,
    tensors: Vec<JsonTensor<'a>>,
    by_dtype: Vec<Totals>,
    total: Totals,
}

#[derive(Serialize)]
struct JsonShard<'a> {
    path: &'a Path,
    bytes: u64,
}

#[derive(Serialize)]
struct JsonTensor<'a> {
    name: &'a str,
    dtype: String,
    shape: &'a [usize],
    shard: &'a Path,
    #[serde(rename = "weights")]
    entries: usize,
    zeros: Option<usize>,
    /// The number of entries that the mask prunes, `null` without a mask.
    #[serde(rename = "masked")]
    pruned: Option<usize>,
    bytes: u64,
    dense: Option<u64>,
    bitmask: Option<u64>,
    csr: Option<u64>,
}

impl<'a> Json<'a> {
    fn of(checkpoint: &'a Checkpoint, inspection: &'a Inspection) -> Self {
        let shards = checkpoint.shards();
        let tensor = |tensor: &'a TensorInspection| JsonTensor {
            name: &tensor.name,
            dtype: tensor.dtype.to_string(),
            shape: &tensor.shape,
            shard: shards[tensor.shard].name(),
            entries: tensor.entries,
            zeros: tensor.zeros,
            pruned: tensor.masked,
            bytes: tensor.bytes,
            dense: tensor.packed.map(|packed| packed.dense),
            bitmask: tensor.packed.map(|packed| packed.bitmask),
            csr: tensor.packed.map(|packed| packed.csr),
        };
        let mut by_dtype = Totals::of_dtypes(inspection);
        by_dtype.retain(|total| total.dtype != "all");
        Self {
            shards: shards.iter().map(|shard| JsonShard { path: shard.path(), bytes: shard.bytes() }).collect(),
            tensors: inspection.tensors.iter().map(tensor).collect(),
            by_dtype,
            total: Totals::of_all(inspection),
        }
    }
}
