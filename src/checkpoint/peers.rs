//! Processes that prune one checkpoint together, each some of its shards.

use std::error::Error;
use std::ops::Range;

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::read::Checkpoint;
use crate::select::random::Parts;

/// The processes that prune one checkpoint together: MPI ranks, workers of a cluster, or threads.
///
/// A run needs one operation, a sum over all processes, for counts: no weight is ever exchanged.
/// [`Pruner::run_among`](crate::checkpoint::Pruner::run_among) has an example.
pub trait Peers {
    /// The number of this process, from 0.
    fn rank(&self) -> usize;

    /// The number of processes, at least 1.
    fn size(&self) -> usize;

    /// Replaces each number by its sum over all processes. All processes call it with the same length and in the same order, and
    /// none returns before all have called.
    ///
    /// # Errors
    ///
    /// Any error of the transport. The run then ends; the other processes must get an error too, or be ended.
    fn sum(&self, numbers: &mut [u64]) -> Result<(), Box<dyn Error + Send + Sync>>;
}

/// The processes of a run as one of them sees them, and the shards that are its own.
pub(crate) struct Group<'p> {
    /// `None` if there is one process.
    peers: Option<&'p dyn Peers>,
    /// Neighbours, so that the order of the processes is that of the entries.
    shards: Range<usize>,
}

impl<'p> Group<'p> {
    /// One process.
    pub fn alone() -> Self {
        Self { peers: None, shards: 0..usize::MAX }
    }

    pub fn new(checkpoint: &Checkpoint, peers: &'p dyn Peers) -> Self {
        match peers.size() {
            ..=1 => Self::alone(),
            size => Self { peers: Some(peers), shards: shards_of(checkpoint, peers.rank(), size) },
        }
    }

    pub fn is_alone(&self) -> bool {
        self.peers.is_none()
    }

    /// Returns `true` for the process that prepares and closes the output.
    pub fn is_first(&self) -> bool {
        self.peers.is_none_or(|peers| peers.rank() == 0)
    }

    /// Returns `true` for a shard that this process writes.
    pub fn has(&self, shard: usize) -> bool {
        self.shards.contains(&shard)
    }

    /// Replaces each number by its sum over all processes.
    pub fn add_up(&self, numbers: &mut [u64]) -> Result<(), CheckpointError> {
        let Some(peers) = self.peers else { return Ok(()) };
        peers.sum(numbers).map_err(|source| CheckpointError::Peers { source })
    }

    /// Waits for all processes. Returns the result if all succeeded; no process goes on if one has failed.
    pub fn agree<T>(&self, result: Result<T, CheckpointError>) -> Result<T, CheckpointError> {
        let mut failed = [u64::from(result.is_err())];
        match (self.add_up(&mut failed), result) {
            (_, Err(error)) | (Err(error), Ok(_)) => Err(error),
            (Ok(()), Ok(_)) if failed[0] > 0 => Err(CheckpointError::PeersFailed { failed: failed[0] }),
            (Ok(()), Ok(value)) => Ok(value),
        }
    }
}

impl Parts for Group<'_> {
    type Error = CheckpointError;

    fn sum<const N: usize>(&self, numbers: [usize; N]) -> Result<[usize; N], CheckpointError> {
        let mut sums = numbers.map(|number| number as u64);
        self.add_up(&mut sums)?;
        Ok(sums.map(|sum| sum as usize))
    }
    fn before(&self, number: usize) -> Result<usize, CheckpointError> {
        let Some(peers) = self.peers else { return Ok(0) };
        let mut numbers = vec![0; peers.size()];
        numbers[peers.rank()] = number as u64;
        self.add_up(&mut numbers)?;
        Ok(numbers[..peers.rank()].iter().sum::<u64>() as usize)
    }
}

/// The shards of one of several processes: neighbours, about as many bytes for each process. A parameter whose weights and mask
/// are in different shards is not divided.
fn shards_of(checkpoint: &Checkpoint, rank: usize, size: usize) -> Range<usize> {
    let shard = |tensor: usize| checkpoint.tensors[tensor].shard;
    let mut is_joined = vec![false; checkpoint.shards.len()];
    for parameter in &checkpoint.parameters {
        if let Some(mask) = parameter.mask.map(shard) {
            let weights = shard(parameter.weights);
            is_joined[weights.min(mask) + 1..=weights.max(mask)].fill(true);
        }
    }
    let total: u128 = checkpoint.shards.iter().map(|shard| u128::from(shard.bytes())).sum();
    let mut before = 0;
    let mut owner = 0;
    let owners = checkpoint.shards.iter().zip(is_joined).map(|(shard, is_joined)| {
        let bytes = u128::from(shard.bytes());
        if !is_joined {
            // The process in whose part of all bytes the middle of the shard is.
            owner = ((before + bytes / 2) * size as u128 / total.max(1)) as usize;
        }
        before += bytes;
        owner
    });
    let owners: Vec<usize> = owners.collect();
    owners.partition_point(|&owner| owner < rank)..owners.partition_point(|&owner| owner <= rank)
}
