//! Conversion of masks without a method: made permanent, or extracted to a mask file.

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::progress::Observer;
use crate::checkpoint::prune::plan::{MaskPlan, ParameterPlan};
use crate::checkpoint::prune::run::PlannedRun;
use crate::checkpoint::prune::selection::{Purpose, Selection};
use crate::checkpoint::read::Checkpoint;
use crate::checkpoint::read::blocks::Pool;
use crate::checkpoint::report::SkipReason;
use crate::checkpoint::write::layout::Layout;
use crate::checkpoint::write::output::{Format, Output};

/// Makes masks permanent, as [`remove`](crate::remove) does: writes `w`, with the values of `w_orig * w_mask`, in place of
/// both. Every other tensor is copied. Returns the names of the tensors that had masks.
///
/// # Errors
///
/// [`CheckpointError::NothingPruned`] if the checkpoint has no masks, and the errors of
/// [`Pruner::run`](crate::checkpoint::Pruner::run) that concern the output and the data.
pub fn remove(
    checkpoint: &Checkpoint,
    output: &Output,
    observer: &dyn Observer,
) -> Result<Vec<String>, CheckpointError> {
    let plans = checkpoint.parameters.iter().map(|parameter| {
        let skip = parameter.mask.is_none().then_some(SkipReason::NoMask);
        ParameterPlan::new(parameter, skip)
    });
    convert(checkpoint, plans.collect(), Format::Weights, "remove", output, observer)
}

/// The origin of the masks that [`extract_masks`] writes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum MaskSource {
    /// The masks of pruned tensors, stored as `w_mask`.
    #[default]
    Masks,
    /// The masks of pruned tensors, and for the other tensors of the selection masks of their zeros.
    Zeros(Selection),
}

/// Writes the masks of a checkpoint to one file, in the layout of [`save_masks`](crate::safetensors::save_masks). Returns
/// the names of the tensors.
///
/// # Errors
///
/// [`CheckpointError::NothingPruned`] if the checkpoint has no masks; with [`MaskSource::Zeros`] the errors of a selection;
/// the errors of [`Pruner::run`](crate::checkpoint::Pruner::run) that concern the output and the data.
pub fn extract_masks(
    checkpoint: &Checkpoint,
    source: &MaskSource,
    output: &Output,
    observer: &dyn Observer,
) -> Result<Vec<String>, CheckpointError> {
    let reasons = match source {
        MaskSource::Masks => vec![Some(SkipReason::NoMask); checkpoint.parameters.len()],
        MaskSource::Zeros(selection) => selection.resolve(checkpoint, Purpose::Entries)?.reasons,
    };
    let plans = checkpoint.parameters.iter().zip(reasons).map(|(parameter, reason)| match parameter.mask {
        Some(_) => ParameterPlan::new(parameter, None),
        None => ParameterPlan { mask: MaskPlan::Zeros, ..ParameterPlan::new(parameter, reason) },
    });
    convert(checkpoint, plans.collect(), Format::Masks, "extract_masks", output, observer)
}

/// Executes the plans, and returns the names of the parameters that are not skipped.
fn convert(
    checkpoint: &Checkpoint,
    plans: Vec<ParameterPlan<'_>>,
    format: Format,
    name: &str,
    output: &Output,
    observer: &dyn Observer,
) -> Result<Vec<String>, CheckpointError> {
    let selected: Vec<bool> = plans.iter().map(|plan| plan.skip.is_none()).collect();
    if !selected.contains(&true) {
        return Err(CheckpointError::NothingPruned);
    }
    let layout = Layout::new(checkpoint, &selected, format)?;
    let pool = Pool::default();
    let run =
        PlannedRun { checkpoint, layout: &layout, plans, mask_file: None, pool: &pool, observer, counts_zeros: false };
    let plans = run.execute(Some((output, vec![("method", name.into())])))?.plans;
    let converted = plans.iter().filter(|plan| plan.skip.is_none());
    Ok(converted.map(|plan| plan.parameter.name.clone()).collect())
}
