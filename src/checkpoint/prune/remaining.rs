//! The remaining entries, channels and groups of a parameter: those that its mask keeps before the run. Amounts are relative to them.

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::progress::ProgressCounter;
use crate::checkpoint::read::Checkpoint;
use crate::checkpoint::read::blocks::{Pool, Scratch, block_entries, blocks};
use crate::checkpoint::read::parameter::ParameterEntry;
use crate::tensor::channels::Channels;
use crate::tensor::chunk::{CHUNK, count_true};
use crate::tensor::numbered::NumberedGroups;
use crate::tensor::parallel;

/// The numbers of remaining entries of a parameter.
#[derive(Debug)]
pub(crate) struct RemainingEntries<'c> {
    pub parameter: &'c ParameterEntry,
    /// The number of remaining entries.
    pub count: usize,
    /// The number in each chunk; `None` if the parameter has no mask.
    chunks: Option<Vec<usize>>,
}

impl<'c> RemainingEntries<'c> {
    /// Counts the remaining entries. The mask in the file is read and checked as a whole.
    pub fn of(
        checkpoint: &Checkpoint,
        parameter: &'c ParameterEntry,
        pool: &Pool,
        progress: &ProgressCounter<'_>,
    ) -> Result<Self, CheckpointError> {
        let Some(mask) = parameter.mask.map(|mask| &checkpoint.tensors[mask]) else {
            return Ok(Self { parameter, count: parameter.entries, chunks: None });
        };
        let block = block_entries(mask.dtype.bits() / 8);
        let ranges: Vec<_> = blocks(parameter.entries, block).collect();
        let counts = parallel::try_map(ranges.len(), parameter.entries, |number| {
            let range = ranges[number].clone();
            progress.add((range.len() * mask.dtype.bits() / 8) as u64)?;
            pool.with(|Scratch { mask, remaining, .. }| {
                let remaining = checkpoint.remaining(parameter, range, mask, remaining)?;
                let chunks = remaining.into_iter().flat_map(|remaining| remaining.chunks(CHUNK));
                Ok(chunks.map(count_true).collect::<Vec<_>>())
            })
        })?;
        let chunks = counts.concat();
        Ok(Self { parameter, count: chunks.iter().sum(), chunks: Some(chunks) })
    }

    /// The number of entries that are pruned.
    pub fn pruned(&self) -> usize {
        self.parameter.entries - self.count
    }

    /// The number of remaining entries in each chunk.
    pub fn in_chunks(&self) -> Vec<usize> {
        let full = || blocks(self.parameter.entries, CHUNK).map(|range| range.len()).collect();
        self.chunks.clone().unwrap_or_else(full)
    }
}

/// The channels with a remaining entry.
pub(crate) fn remaining_channels(
    checkpoint: &Checkpoint,
    parameter: &ParameterEntry,
    channels: &Channels,
    pool: &Pool,
    progress: &ProgressCounter<'_>,
) -> Result<Vec<usize>, CheckpointError> {
    let Some(mask) = parameter.mask.map(|mask| &checkpoint.tensors[mask]) else {
        return Ok((0..channels.len).collect());
    };
    let ranges: Vec<_> = blocks(parameter.entries, block_entries(mask.dtype.bits() / 8)).collect();
    let add = |mut any: Vec<bool>, number: usize| {
        let range = ranges[number].clone();
        progress.add((range.len() * mask.dtype.bits() / 8) as u64)?;
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

/// The number of groups with more than `keep` remaining entries.
pub(crate) fn open_groups(
    checkpoint: &Checkpoint,
    parameter: &ParameterEntry,
    groups: &NumberedGroups,
    keep: usize,
    pool: &Pool,
    progress: &ProgressCounter<'_>,
) -> Result<usize, CheckpointError> {
    let bytes = parameter.mask.map_or(0, |mask| checkpoint.tensors[mask].dtype.bits() / 8);
    let parts: Vec<_> = groups.parts(block_entries(bytes)).collect();
    let counts = parallel::try_map(parts.len(), parameter.entries, |number| {
        let part = parts[number].clone();
        progress.add((part.len() * bytes) as u64)?;
        pool.with(|Scratch { mask, remaining, .. }| {
            Ok(groups.count_open(part.clone(), checkpoint.remaining(parameter, part, mask, remaining)?, keep))
        })
    })?;
    Ok(counts.into_iter().sum())
}
