//! What is left of a parameter before it is pruned: amounts are shares of that.

use crate::checkpoint::CheckpointError;
use crate::checkpoint::progress::ProgressCounter;
use crate::checkpoint::read::Checkpoint;
use crate::checkpoint::read::blocks::{Pool, Scratch, block_entries, blocks};
use crate::checkpoint::read::parameter::ParameterEntry as Parameter;
use crate::tensor::channels::Channels;
use crate::tensor::chunk::{CHUNK, count_true};
use crate::tensor::parallel;

/// What is left of a parameter.
#[derive(Debug)]
pub(crate) struct Standing {
    /// How many entries are not pruned.
    pub living: usize,
    /// The same for each chunk; `None` if nothing is pruned.
    chunks: Option<Vec<usize>>,
}

impl Standing {
    /// Counts what is left by the mask in the file, which is read and checked as a whole.
    pub fn of(
        checkpoint: &Checkpoint,
        parameter: &Parameter,
        pool: &Pool,
        meter: &ProgressCounter<'_>,
    ) -> Result<Self, CheckpointError> {
        let Some(mask) = parameter.mask.map(|mask| &checkpoint.tensors[mask]) else {
            return Ok(Self { living: parameter.entries, chunks: None });
        };
        let block = block_entries(mask.dtype.bits() / 8);
        let ranges: Vec<_> = blocks(parameter.entries, block).collect();
        let counts = parallel::try_map(ranges.len(), parameter.entries, |number| {
            let range = ranges[number].clone();
            meter.add((range.len() * mask.dtype.bits() / 8) as u64)?;
            pool.with(|Scratch { mask, remaining, .. }| {
                let remaining = checkpoint.remaining(parameter, range, mask, remaining)?;
                Ok(remaining
                    .into_iter()
                    .flat_map(|remaining| remaining.chunks(CHUNK))
                    .map(count_true)
                    .collect::<Vec<_>>())
            })
        })?;
        let chunks = counts.concat();
        Ok(Self { living: chunks.iter().sum(), chunks: Some(chunks) })
    }

    /// The number of entries left in each chunk.
    pub fn chunks(&self, parameter: &Parameter) -> Vec<usize> {
        let full = || blocks(parameter.entries, CHUNK).map(|range| range.len()).collect();
        self.chunks.clone().unwrap_or_else(full)
    }
}

/// The channels with an entry that is not pruned.
pub(crate) fn living_channels(
    checkpoint: &Checkpoint,
    parameter: &Parameter,
    channels: &Channels,
    pool: &Pool,
    meter: &ProgressCounter<'_>,
) -> Result<Vec<usize>, CheckpointError> {
    let Some(mask) = parameter.mask.map(|mask| &checkpoint.tensors[mask]) else {
        return Ok((0..channels.len).collect());
    };
    let ranges: Vec<_> = blocks(parameter.entries, block_entries(mask.dtype.bits() / 8)).collect();
    let add = |mut any: Vec<bool>, number: usize| {
        let range = ranges[number].clone();
        meter.add((range.len() * mask.dtype.bits() / 8) as u64)?;
        pool.with(|Scratch { mask, remaining, .. }| {
            let start = range.start;
            if let Some(remaining) = checkpoint.remaining(parameter, range, mask, remaining)? {
                for (at, _) in remaining.iter().enumerate().filter(|&(_, &remaining)| remaining) {
                    any[(start + at) / channels.inner % channels.len] = true;
                }
            }
            Ok(any)
        })
    };
    let merge = |a: Vec<bool>, b: Vec<bool>| a.iter().zip(b).map(|(&a, b)| a | b).collect();
    let any = parallel::try_fold(ranges.len(), parameter.entries, || vec![false; channels.len], add, merge)?;
    Ok((0..channels.len).filter(|&channel| any[channel]).collect())
}
