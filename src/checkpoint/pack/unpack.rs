//! Unpacking: packed tensors become dense.

use crate::checkpoint::convert::Conversion;
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::progress::{Observer, Phase, ProgressCounter};
use crate::checkpoint::prune::run::{PlannedRun, RunResult};
use crate::checkpoint::read::Checkpoint;
use crate::checkpoint::read::blocks::Pool;
use crate::checkpoint::write::layout::Layout;
use crate::checkpoint::write::output::Output;
use crate::checkpoint::write::pack::UnpackPlan;

/// Undoes a packing: writes `w`, with 0.0 for the entries that are not stored (-0.0 where the file says so), in place of its packed
/// parts. Every other tensor is copied. [`Packer`](crate::checkpoint::Packer) has an example.
///
/// Reads any file in the `sparse-bitmask` layout, those of compressed-tensors too. Bits, offsets and values are checked against each
/// other before anything is written.
///
/// # Errors
///
/// [`CheckpointError::NotPacked`] if no tensor is packed, [`CheckpointError::Packed`] if the parts of one contradict each other, and
/// the errors of [`Pruner::run`](crate::checkpoint::Pruner::run) that concern the output and the data.
pub fn unpack(
    checkpoint: &Checkpoint,
    output: &Output,
    observer: &dyn Observer,
) -> Result<Conversion, CheckpointError> {
    let entries = checkpoint.packed()?;
    if entries.is_empty() {
        return Err(CheckpointError::NotPacked);
    }
    let pool = Pool::default();
    let work = entries.iter().map(|entry| entry.work(checkpoint)).sum();
    let progress = ProgressCounter::new(observer, Phase::Counting, work);
    let mut plans = Vec::with_capacity(entries.len());
    for entry in entries {
        let starts = entry.starts(checkpoint, &pool, &progress)?;
        plans.push(UnpackPlan { entry, starts });
    }
    progress.finish()?;
    let tensors = plans.iter().map(|plan| plan.entry.name.clone()).collect();
    let layout = Layout::unpacked(checkpoint, plans)?;
    let run = PlannedRun {
        checkpoint,
        layout: &layout,
        plans: Vec::new(),
        mask_file: None,
        pool: &pool,
        observer,
        counts_zeros: false,
    };
    let RunResult { companions, .. } = run.execute(Some((output, vec![("method", "unpack".into())])))?;
    Ok(Conversion { tensors, companions })
}
