//! Tensors that are loaded as a whole.

use std::sync::Mutex;

use ndarray::{ArrayViewD, IxDyn};

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::progress::ProgressCounter;
use crate::checkpoint::read::Checkpoint;
use crate::checkpoint::read::blocks::{Buffer, Pool, block_entries};
use crate::checkpoint::read::parameter::ParameterEntry;
use crate::element::Element;
use crate::error::PruneError;
use crate::method::candidates::{MemoryCandidates, TensorCandidates};
use crate::method::decide::check_mask;
use crate::method::{Reconstruct, Reconstruction};
use crate::tensor::parallel;

/// A tensor in memory, with the mask in the input.
pub(crate) struct LoadedTensor<'b, A> {
    parameter: &'b ParameterEntry,
    pub weights: &'b [A],
    pub remaining: Option<Vec<bool>>,
}

impl<'b, A: Element> LoadedTensor<'b, A> {
    /// Reads a tensor and its mask into memory.
    pub fn load(
        checkpoint: &Checkpoint,
        parameter: &'b ParameterEntry,
        pool: &Pool,
        progress: &ProgressCounter<'_>,
        buffer: &'b mut Buffer,
    ) -> Result<Self, CheckpointError> {
        let tensor = &checkpoint.tensors[parameter.weights];
        let block = block_entries(size_of::<A>());
        let weights = buffer.take::<A>(parameter.entries);
        let mut remaining = parameter.mask.map(|_| vec![false; parameter.entries]);
        {
            let mut parts = remaining.as_deref_mut().map(|remaining| remaining.chunks_mut(block));
            let jobs = weights.chunks_mut(block).map(|weights| (weights, parts.as_mut().and_then(Iterator::next)));
            let jobs: Vec<_> = jobs.map(|job| Mutex::new(Some(job))).collect();
            parallel::try_each(jobs.len(), parameter.entries, |number| {
                let Some((weights, remaining)) = parallel::lock(&jobs[number]).take() else { return Ok(()) };
                progress.add(size_of_val(weights) as u64)?;
                checkpoint.fill(tensor, number * block, weights)?;
                match (parameter.mask, remaining) {
                    (Some(mask), Some(remaining)) => pool.with(|scratch| {
                        checkpoint.read_mask(&checkpoint.tensors[mask], number * block, &mut scratch.mask, remaining)
                    }),
                    (None, _) | (_, None) => Ok(()),
                }
            })?;
        }
        Ok(Self { parameter, weights, remaining })
    }

    /// Runs a method that changes weights on the tensor under the mask.
    pub fn reconstructed(&self, method: &dyn Reconstruct<A>) -> Result<Reconstruction<A>, CheckpointError> {
        let Self { parameter, weights, remaining } = self;
        let all = vec![true; if remaining.is_some() { 0 } else { parameter.entries }];
        let mask = view(parameter, &parameter.shape, remaining.as_deref().unwrap_or(&all))?;
        let refused = |source: PruneError| {
            let tensor = parameter.name.clone();
            CheckpointError::Tensor { source: source.of_tensor(&tensor), tensor }
        };
        let done = method.reconstruct(view(parameter, &parameter.shape, weights)?, mask.view()).map_err(refused)?;
        check_mask(method.name(), mask, done.mask.view()).map_err(refused)?;
        PruneError::check_shape("weights", &parameter.shape, done.weights.shape()).map_err(refused)?;
        Ok(done)
    }

    /// Calls `f` with the remaining entries. With `as_values`, pruned entries of the tensor are zeros, as they are in a
    /// [`Parameter`](crate::parameter::Parameter); without, they are no candidates and have any value.
    pub fn with_candidates<R>(
        &self,
        as_values: bool,
        f: impl FnOnce(&MemoryCandidates<'_, A>) -> Result<R, PruneError>,
    ) -> Result<R, CheckpointError> {
        let Self { parameter, weights, remaining } = self;
        let refused = |source| CheckpointError::Tensor { tensor: parameter.name.clone(), source };
        let Some(remaining) = remaining else {
            return f(&MemoryCandidates::untouched(view(parameter, &parameter.shape, weights)?)).map_err(refused);
        };
        let values: Option<Vec<A>> =
            as_values.then(|| weights.iter().zip(remaining).map(|(x, &remaining)| x.masked(remaining)).collect());
        let scores = view(parameter, &parameter.shape, values.as_deref().unwrap_or(weights))?;
        let remaining = Some(view(parameter, &parameter.shape, remaining)?);
        f(&MemoryCandidates::new(vec![TensorCandidates { scores, remaining }])).map_err(refused)
    }
}

/// Entries of a parameter as an array.
pub(crate) fn view<'v, A>(
    parameter: &ParameterEntry,
    shape: &[usize],
    entries: &'v [A],
) -> Result<ArrayViewD<'v, A>, CheckpointError> {
    ArrayViewD::from_shape(IxDyn(shape), entries)
        .map_err(|_| CheckpointError::ImpossibleShape { tensor: parameter.name.clone(), found: shape.to_vec() })
}
