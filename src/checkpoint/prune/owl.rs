//! OWL on files: a sparsity for each selected tensor.

use std::sync::Arc;

use crate::calibration::{self, Moments, Outliers, Statistics};
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::progress::{Observer, Phase, ProgressCounter};
use crate::checkpoint::prune::calibrated::check_all;
use crate::checkpoint::prune::loaded::{LoadedTensor, view};
use crate::checkpoint::prune::selection::{Purpose, Selection};
use crate::checkpoint::read::Checkpoint;
use crate::checkpoint::read::blocks::{Buffer, Pool};
use crate::checkpoint::read::parameter::ParameterEntry;
use crate::element::Element;
use crate::file::dtype::with_dtype;

/// The options of [`owl`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Owl {
    /// The sparsity of all selected tensors together.
    pub sparsity: f64,
    /// The multiple of the mean of its tensor that an outlier is above. The paper takes 3 to 10.
    pub multiple: f64,
    /// The largest difference of a sparsity from the mean. The paper takes 0.08.
    pub spread: f64,
}

/// Returns a sparsity for each selected tensor of a checkpoint, by the outliers among its weights times inputs:
/// [`calibration::owl`]. Holds one tensor in memory.
///
/// ```
/// # use ndarray::{Array2, arr2};
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("in.safetensors");
/// # let layers = [("a.weight", arr2(&[[1.0_f32, 1.0], [1.0, 9.0]])), ("b.weight", arr2(&[[1.0, 1.0], [1.0, 1.0]]))];
/// # prune::safetensors::save_file(&prune::ParameterStore::from_iter(layers), &path)?;
/// use prune::calibration::{Moments, Statistics};
/// use prune::checkpoint::{self, Checkpoint, Owl, Selection};
///
/// let mut moments = Moments::new(2);
/// moments.push(arr2(&[[1.0_f32, 1.0]]).view())?;
/// let mut statistics = Statistics::new();
/// statistics.input("in", &["a.weight", "b.weight"], moments);
///
/// let owl = Owl { sparsity: 0.5, multiple: 2.0, spread: 0.1 };
/// let checkpoint = Checkpoint::open([&path])?;
/// let sparsities = checkpoint::owl(&checkpoint, &Selection::new(), &statistics, owl, &())?;
/// assert_eq!(sparsities, [("a.weight".to_owned(), 0.4), ("b.weight".to_owned(), 0.6)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Those of the selection, as in [`Pruner::run`](crate::checkpoint::Pruner::run); [`CheckpointError::MissingStatistics`] if a selected
/// tensor has no statistics; [`CheckpointError::Tensor`] if they have another number of inputs; [`CheckpointError::Method`] if the
/// sparsity or the spread is out of range; [`CheckpointError::Read`], [`CheckpointError::Changed`] or [`CheckpointError::Stopped`].
pub fn owl(
    checkpoint: &Checkpoint,
    selection: &Selection,
    statistics: &Statistics,
    owl: Owl,
    observer: &dyn Observer,
) -> Result<Vec<(String, f64)>, CheckpointError> {
    let reasons = selection.resolve(checkpoint, Purpose::Entries)?.reasons;
    let selected = checkpoint.parameters.iter().zip(reasons).filter(|(_, reason)| reason.is_none());
    let selected: Vec<&ParameterEntry> = selected.map(|(parameter, _)| parameter).collect();
    let names = selected.iter().map(|parameter| parameter.name.as_str());
    check_all(statistics, names, |statistics, name| statistics.without_gram(name).is_some())?;
    let bytes = selected.iter().map(|parameter| checkpoint.tensors[parameter.weights].bytes).sum();
    let (pool, progress) = (Pool::default(), ProgressCounter::new(observer, Phase::Ranking, bytes));
    let mut layers = Vec::with_capacity(selected.len());
    for parameter in &selected {
        layers.push(with_dtype!(
            parameter.dtype,
            A: Element => outliers::<A>(checkpoint, parameter, statistics, owl.multiple, &pool, &progress)?,
            else => parameter.dtype.cannot_be_pruned(),
        ));
    }
    progress.finish()?;
    let sparsities = calibration::owl(&layers, owl.sparsity, owl.spread);
    let sparsities = sparsities.map_err(|source| CheckpointError::Method { source })?;
    Ok(selected.into_iter().map(|parameter| parameter.name.clone()).zip(sparsities).collect())
}

fn outliers<A: Element>(
    checkpoint: &Checkpoint,
    parameter: &ParameterEntry,
    statistics: &Statistics,
    multiple: f64,
    pool: &Pool,
    progress: &ProgressCounter<'_>,
) -> Result<Outliers, CheckpointError> {
    let mut buffer = Buffer::default();
    let loaded = LoadedTensor::<A>::load(checkpoint, parameter, pool, progress, &mut buffer)?;
    let weights = view(parameter, &parameter.shape, loaded.weights)?;
    // Tensors without statistics were refused.
    let moments = statistics.without_gram(&parameter.name).unwrap_or_else(|| Arc::new(Moments::new(0)));
    let refused = |source| CheckpointError::Tensor { tensor: parameter.name.clone(), source };
    Outliers::of(weights, &moments, multiple).map_err(refused)
}
