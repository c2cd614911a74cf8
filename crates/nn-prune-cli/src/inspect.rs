//! `nn-prune inspect`.

use std::path::Path;

use prune::checkpoint::{self, Checkpoint, Inspection, TensorInspection};
use serde::Serialize;

use crate::args::InspectArgs;
use crate::failure::Failure;
use crate::progress::Watch;
use crate::{input, plot, show};

pub fn run(args: &InspectArgs) -> Result<(), Failure> {
    let checkpoint = input::open(&args.input.paths)?;
    if let Some(path) = &args.plot {
        plot::check_destination(path, args.force, &checkpoint)?;
    }
    let watch = Watch::new("reading", args.report.quiet);
    let inspection = checkpoint::inspect(&checkpoint, args.plot.is_some(), &watch)?;
    drop(watch);

    if let Some(path) = &args.plot {
        plot::write(path, &inspection)?;
    }
    if args.report.json {
        show::print_json(&Json::of(&checkpoint, &inspection))
    } else if args.report.quiet {
        Ok(())
    } else {
        show::print(format!("{}\n{}\n{}", tensors(&inspection), totals(&inspection), PACKED))
    }
}

/// Under the table of totals.
const PACKED: &str = "\
dense: as it is, without masks. bit mask: one bit a weight, and the weights that are not zero. CSR: for each of these
its column, 4 bytes, and an offset a row. smallest: of the three, the smallest for each tensor. Only `dense` is what
this program writes: zeros do not shrink a file.
";

fn tensors(inspection: &Inspection) -> String {
    let columns = [
        ("tensor", '<'),
        ("dtype", '<'),
        ("shape", '<'),
        ("weights", '>'),
        ("zeros", '>'),
        ("of all", '>'),
        ("pruned", '<'),
    ];
    let row = |tensor: &TensorInspection| {
        let zeros = tensor
            .zeros
            .map_or(["?".into(), "?".into()], |zeros| [show::count(zeros), show::percent(zeros, tensor.entries)]);
        let [zeros, share] = zeros;
        let pruned = tensor.masked.map_or("no mask".into(), |masked| format!("{} by its mask", show::count(masked)));
        let name = show::plain(&tensor.name).into_owned();
        let weights = show::count(tensor.entries);
        [name, tensor.dtype.to_string(), show::shape(&tensor.shape), weights, zeros, share, pruned]
    };
    show::table(columns, inspection.tensors.iter().map(row)).trim_fmt() + "\n"
}

fn totals(inspection: &Inspection) -> String {
    let columns = [
        ("dtype", '<'),
        ("tensors", '>'),
        ("weights", '>'),
        ("zeros", '>'),
        ("of all", '>'),
        ("in the file", '>'),
        ("dense", '>'),
        ("bit mask", '>'),
        ("CSR", '>'),
        ("smallest", '>'),
    ];
    let mut rows = Vec::new();
    for total in Totals::of_dtypes(inspection) {
        rows.push(total.row());
    }
    show::table(columns, rows).trim_fmt() + "\n"
}

/// What some tensors add up to.
#[derive(Debug, Default, Serialize)]
struct Totals {
    dtype: String,
    tensors: usize,
    weights: usize,
    zeros: usize,
    bytes: u64,
    dense: u64,
    bitmask: u64,
    csr: u64,
    smallest: u64,
}

impl Totals {
    /// One for each dtype in the order of appearance, then one for all of them, if there is more than one.
    fn of_dtypes(inspection: &Inspection) -> Vec<Self> {
        let mut totals: Vec<Self> = Vec::new();
        for tensor in &inspection.tensors {
            let dtype = tensor.dtype.to_string();
            let place = totals.iter().position(|total| total.dtype == dtype).unwrap_or_else(|| {
                totals.push(Self { dtype, ..Self::default() });
                totals.len() - 1
            });
            totals[place].add(tensor);
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

    /// Tensors whose zeros are not known are taken as they are: packed they would take no less.
    fn add(&mut self, tensor: &TensorInspection) {
        let (dense, bitmask, csr) =
            tensor.packed.map_or([tensor.bytes; 3].into(), |packed| (packed.dense, packed.bitmask, packed.csr));
        self.tensors += 1;
        self.weights += tensor.entries;
        self.zeros += tensor.zeros.unwrap_or(0);
        self.bytes += tensor.bytes;
        self.dense += dense;
        self.bitmask += bitmask;
        // A tensor without entries may have any number of rows.
        self.csr = self.csr.saturating_add(csr);
        self.smallest += dense.min(bitmask).min(csr);
    }

    fn row(&self) -> [String; 10] {
        [
            self.dtype.clone(),
            show::count(self.tensors),
            show::count(self.weights),
            show::count(self.zeros),
            show::percent(self.zeros, self.weights),
            show::bytes(self.bytes),
            show::bytes(self.dense),
            show::bytes(self.bitmask),
            show::bytes(self.csr),
            show::bytes(self.smallest),
        ]
    }
}

/// What `--json` prints.
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
    weights: usize,
    zeros: Option<usize>,
    /// How many entries the mask prunes, `null` without one.
    masked: Option<usize>,
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
            weights: tensor.entries,
            zeros: tensor.zeros,
            masked: tensor.masked,
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
