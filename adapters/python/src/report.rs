//! Reports as dictionaries, with the keys that `--json` of the command line has.

use std::path::{Path, PathBuf};

use prune::checkpoint::{
    CompactReport, Companions, Conversion, DenseReason, Outcome, PackReport, PruneReport, TensorReport, Unit,
};
use pyo3::IntoPyObject;

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn texts(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| text(path)).collect()
}

/// The names of the files beside the weights.
struct Beside {
    copied: Vec<String>,
    left_out: Vec<String>,
}

impl Beside {
    fn of(companions: &Companions) -> Self {
        Self { copied: texts(&companions.copied), left_out: texts(&companions.left_out) }
    }
}

#[derive(IntoPyObject)]
pub struct Pruned {
    unit: &'static str,
    asked: Option<usize>,
    threshold: Option<f64>,
    entries: usize,
    pruned_before: usize,
    pruned: usize,
    resumed: Vec<String>,
    unmatched: Vec<String>,
    copied: Vec<String>,
    left_out: Vec<String>,
    tensors: Vec<PrunedTensor>,
}

#[derive(IntoPyObject)]
struct PrunedTensor {
    name: String,
    dtype: String,
    shape: Vec<usize>,
    shard: String,
    entries: usize,
    asked: Option<usize>,
    pruned_before: Option<usize>,
    pruned: Option<usize>,
    axis: Option<usize>,
    skipped: Option<String>,
    reason: Option<&'static str>,
}

impl Pruned {
    pub fn of(report: PruneReport, shards: &[PathBuf]) -> Self {
        let Beside { copied, left_out } = Beside::of(&report.companions);
        Self {
            unit: match report.unit {
                Unit::Entries => "entries",
                Unit::Channels => "channels",
                Unit::Groups => "groups",
                other => unreachable!("a unit that this version does not know: {other:?}"),
            },
            asked: report.asked,
            threshold: report.threshold,
            entries: report.selected_entries(),
            pruned_before: report.pruned_before(),
            pruned: report.pruned_after(),
            resumed: texts(&report.resumed),
            copied,
            left_out,
            tensors: report.tensors.iter().map(|tensor| PrunedTensor::of(tensor, shards)).collect(),
            unmatched: report.unmatched,
        }
    }
}

impl PrunedTensor {
    fn of(tensor: &TensorReport, shards: &[PathBuf]) -> Self {
        let (asked, before, after, skipped) = match &tensor.outcome {
            &Outcome::Pruned { asked, before, after } => (asked, Some(before), Some(after), None),
            Outcome::Skipped(reason) => (None, None, None, Some(reason)),
            other => unreachable!("an outcome that this version does not know: {other:?}"),
        };
        Self {
            name: tensor.name.clone(),
            dtype: tensor.dtype.to_string(),
            shape: tensor.shape.clone(),
            shard: text(&shards[tensor.shard]),
            entries: tensor.entries,
            asked,
            pruned_before: before,
            pruned: after,
            axis: tensor.axis.map(|axis| axis.axis),
            skipped: skipped.map(ToString::to_string),
            reason: skipped.map(|reason| reason.code()),
        }
    }
}

#[derive(IntoPyObject)]
pub struct Compacted {
    entries_before: usize,
    entries: usize,
    bytes_before: u64,
    bytes: u64,
    equals: String,
    config: Vec<Change>,
    dropped_layers: Vec<usize>,
    dimensions: Vec<Dimension>,
    half_dead: Vec<String>,
    resumed: Vec<String>,
    copied: Vec<String>,
    left_out: Vec<String>,
    tensors: Vec<CompactedTensor>,
}

#[derive(IntoPyObject)]
struct Change {
    key: String,
    before: String,
    after: String,
}

#[derive(IntoPyObject)]
struct Dimension {
    name: String,
    units: usize,
    kept: usize,
}

#[derive(IntoPyObject)]
struct CompactedTensor {
    name: String,
    new_name: Option<String>,
    dtype: String,
    before: Vec<usize>,
    after: Option<Vec<usize>>,
}

impl Compacted {
    pub fn of(report: CompactReport) -> Self {
        let Beside { copied, left_out } = Beside::of(&report.companions);
        Self {
            entries_before: report.entries_before(),
            entries: report.entries_after(),
            bytes_before: report.bytes_before(),
            bytes: report.bytes_after(),
            equals: report.equality.to_string(),
            config: report
                .config
                .into_iter()
                .map(|change| Change { key: change.key, before: change.before, after: change.after })
                .collect(),
            dropped_layers: report.dropped,
            dimensions: report
                .dimensions
                .into_iter()
                .map(|dimension| Dimension { name: dimension.name, units: dimension.units, kept: dimension.kept })
                .collect(),
            half_dead: report.half_dead.iter().map(ToString::to_string).collect(),
            resumed: texts(&report.resumed),
            copied,
            left_out,
            tensors: report
                .tensors
                .into_iter()
                .map(|tensor| CompactedTensor {
                    after: tensor.renamed.as_ref().map(|_| tensor.after),
                    name: tensor.name,
                    new_name: tensor.renamed,
                    dtype: tensor.dtype.to_string(),
                    before: tensor.before,
                })
                .collect(),
        }
    }
}

#[derive(IntoPyObject)]
pub struct Packed {
    packed: usize,
    bytes_before: u64,
    bytes_dense: u64,
    bytes: u64,
    resumed: Vec<String>,
    copied: Vec<String>,
    left_out: Vec<String>,
    tensors: Vec<PackedTensor>,
}

#[derive(IntoPyObject)]
struct PackedTensor {
    name: String,
    dtype: String,
    shape: Vec<usize>,
    weights: usize,
    kept: Option<usize>,
    bytes_before: u64,
    bytes_dense: u64,
    bytes: u64,
    dense: Option<String>,
}

impl Packed {
    pub fn of(report: PackReport) -> Self {
        let Beside { copied, left_out } = Beside::of(&report.companions);
        Self {
            packed: report.packed(),
            bytes_before: report.bytes_before(),
            bytes_dense: report.bytes_dense(),
            bytes: report.bytes_after(),
            resumed: texts(&report.resumed),
            copied,
            left_out,
            tensors: report
                .tensors
                .into_iter()
                .map(|tensor| PackedTensor {
                    dtype: tensor.dtype.to_string(),
                    name: tensor.name,
                    shape: tensor.shape,
                    weights: tensor.entries,
                    kept: tensor.kept,
                    bytes_before: tensor.bytes_before,
                    bytes_dense: tensor.bytes_dense,
                    bytes: tensor.bytes_after,
                    dense: tensor.dense.as_ref().map(DenseReason::to_string),
                })
                .collect(),
        }
    }
}

#[derive(IntoPyObject)]
pub struct Unpacked {
    tensors: Vec<String>,
    copied: Vec<String>,
    left_out: Vec<String>,
}

impl Unpacked {
    pub fn of(report: Conversion) -> Self {
        let Beside { copied, left_out } = Beside::of(&report.companions);
        Self { tensors: report.tensors, copied, left_out }
    }
}
