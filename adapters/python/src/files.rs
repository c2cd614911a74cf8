//! Pruning, compacting and packing of checkpoints.

use std::path::{Path, PathBuf};

use prune::checkpoint::{
    Checkpoint, CheckpointError, Compactor, Format, Observer, Output, Packer, Pruner, Scope, Selection, unpack,
};
use prune::training::{Allocation, Bounds};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::error::of_pruning;
use crate::method::{Method, amount};
use crate::report::{Compacted, Packed, Pruned, Unpacked};
use crate::run::run;

/// The files of a run, and what it may do to those that exist.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Files {
    input: Vec<PathBuf>,
    /// `None` for a dry run.
    output: Option<PathBuf>,
    force: bool,
    resume: bool,
    weights_only: bool,
    progress: Option<Py<PyAny>>,
}

/// A run, with an output or without one.
type Run<'a, T> = dyn Fn(&Checkpoint, Option<&Output>, &dyn Observer) -> Result<T, CheckpointError> + Sync + 'a;

impl Files {
    /// Opens the input and runs.
    fn run<T: Send>(self, py: Python<'_>, job: &Run<'_, T>) -> PyResult<(T, Vec<PathBuf>)> {
        let Self { input, output, force, resume, weights_only, progress } = self;
        let output = output.map(|path| Output::new(path).force(force).resume(resume).weights_only(weights_only));
        run(py, progress, |observer| {
            let checkpoint = Checkpoint::open(input)?;
            let report = job(&checkpoint, output.as_ref(), observer)?;
            Ok((report, checkpoint.shards().iter().map(|shard| shard.name().to_owned()).collect()))
        })
    }
}

/// The options of a pruning.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct PruneOptions<'py> {
    method: Option<PyRef<'py, Method>>,
    /// The methods of patterns of names.
    layers: Vec<(String, PyRef<'py, Method>)>,
    masks: Option<PathBuf>,
    scope: String,
    format: String,
    allocation: Option<String>,
    output_axis: bool,
    only: Vec<String>,
    include: Vec<String>,
    exclude: Vec<String>,
}

impl PruneOptions<'_> {
    fn pruner(&self) -> PyResult<Pruner> {
        let mut pruner = match (&self.masks, &self.method) {
            (Some(path), _) => Pruner::masks(path),
            (None, Some(method)) => Pruner::new(method.0.clone()),
            (None, None) => Pruner::by_layer(self.layers.iter().map(|(pattern, method)| (pattern, method.0.clone()))),
        };
        if let Some(allocation) = &self.allocation {
            let allocation: Allocation = allocation.parse().map_err(of_pruning)?;
            pruner = pruner.allocation(allocation, Bounds::default());
        }
        let mut selection = Selection::new();
        selection = self.only.iter().fold(selection, Selection::only);
        selection = self.include.iter().fold(selection, Selection::include);
        selection = self.exclude.iter().fold(selection, Selection::exclude);
        Ok(pruner
            .scope(choice("scope", &self.scope, &[("tensor", Scope::Tensor), ("global", Scope::Global)])?)
            .format(choice("format", &self.format, &FORMATS)?)
            .output_axis(self.output_axis)
            .selection(selection))
    }
}

const FORMATS: [(&str, Format); 3] =
    [("weights", Format::Weights), ("pytorch", Format::PyTorch), ("masks", Format::Masks)];

/// The value of a name.
fn choice<T: Copy>(option: &str, name: &str, choices: &[(&str, T)]) -> PyResult<T> {
    choices.iter().find(|(choice, _)| *choice == name).map(|&(_, value)| value).ok_or_else(|| {
        let names: Vec<String> = choices.iter().map(|(choice, _)| format!("`{choice}`")).collect();
        PyValueError::new_err(format!("{option} `{name}` is not one of {}", names.join(", ")))
    })
}

#[pyfunction]
pub fn prune_checkpoint(py: Python<'_>, files: Files, options: PruneOptions<'_>) -> PyResult<Pruned> {
    let pruner = options.pruner()?;
    let (report, shards) = files.run(py, &|checkpoint, output, observer| match output {
        Some(output) => pruner.run(checkpoint, output, observer),
        None => pruner.dry_run(checkpoint, observer),
    })?;
    Ok(Pruned::of(report, &shards))
}

/// The options of `compact`: the units and layers to remove.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct CompactOptions<'py> {
    ffn: Option<Bound<'py, PyAny>>,
    kv_groups: Option<Bound<'py, PyAny>>,
    heads: Option<Bound<'py, PyAny>>,
    drop_layers: Vec<usize>,
    dead: bool,
    coupling: Option<PathBuf>,
    keep: Option<PathBuf>,
    scores: Option<PathBuf>,
    multiple: usize,
    minimum: usize,
    fold: bool,
    save_plan: Option<PathBuf>,
}

impl CompactOptions<'_> {
    fn compactor(self) -> PyResult<Compactor> {
        /// Sets an option that is given.
        fn with<T>(compactor: Compactor, option: Option<T>, set: fn(Compactor, T) -> Compactor) -> Compactor {
            match option {
                Some(option) => set(compactor, option),
                None => compactor,
            }
        }
        let amount = |option: Option<Bound<'_, PyAny>>| option.as_ref().map(amount).transpose();
        let compactor = Compactor::new()
            .drop_layers(self.drop_layers)
            .dead(self.dead)
            .multiple(self.multiple)
            .minimum(self.minimum)
            .fold(self.fold);
        let compactor = with(compactor, amount(self.ffn)?, Compactor::ffn);
        let compactor = with(compactor, amount(self.kv_groups)?, Compactor::kv_groups);
        let compactor = with(compactor, amount(self.heads)?, Compactor::heads);
        let compactor = with(compactor, self.coupling, Compactor::coupling);
        let compactor = with(compactor, self.keep, Compactor::keep);
        let compactor = with(compactor, self.scores, Compactor::scores);
        Ok(with(compactor, self.save_plan, Compactor::save_plan))
    }
}

#[pyfunction]
pub fn compact_checkpoint(py: Python<'_>, files: Files, options: CompactOptions<'_>) -> PyResult<Compacted> {
    let compactor = options.compactor()?;
    let (report, _) = files.run(py, &|checkpoint, output, observer| match output {
        Some(output) => compactor.run(checkpoint, output, observer),
        None => compactor.dry_run(checkpoint, observer),
    })?;
    Ok(Compacted::of(report))
}

#[pyfunction]
pub fn pack_checkpoint(py: Python<'_>, files: Files, signs: bool, min_sparsity: f64) -> PyResult<Packed> {
    let packer = Packer::new().signs(signs).min_sparsity(min_sparsity);
    let (report, _) = files.run(py, &|checkpoint, output, observer| match output {
        Some(output) => packer.run(checkpoint, output, observer),
        None => packer.dry_run(checkpoint, observer),
    })?;
    Ok(Packed::of(report))
}

#[pyfunction]
pub fn unpack_checkpoint(py: Python<'_>, files: Files) -> PyResult<Unpacked> {
    let nowhere = Output::new(Path::new(""));
    let (report, _) = files.run(py, &|checkpoint, output, observer| {
        // The package always names an output.
        unpack(checkpoint, output.unwrap_or(&nowhere), observer)
    })?;
    Ok(Unpacked::of(report))
}
