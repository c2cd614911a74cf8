//! Conversion of masks without a method: made permanent, dropped, or extracted to a mask file.

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::progress::Observer;
use crate::checkpoint::prune::plan::{MaskPlan, ParameterPlan};
use crate::checkpoint::prune::run::{PlannedRun, RunResult};
use crate::checkpoint::prune::selection::{Purpose, Selection};
use crate::checkpoint::read::Checkpoint;
use crate::checkpoint::read::blocks::Pool;
use crate::checkpoint::report::{Companions, SkipReason};
use crate::checkpoint::write::layout::Layout;
use crate::checkpoint::write::output::{Format, Output};

/// The result of [`remove`] or [`restore`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversion {
    /// The names of the tensors that had masks, ordered by shard and by position in the shard.
    pub tensors: Vec<String>,
    /// The files beside the weights, as in [`PruneReport::companions`](crate::checkpoint::PruneReport::companions).
    pub companions: Companions,
}

/// Makes masks permanent, as [`remove`](crate::remove) does: writes `w`, with the values of `w_orig * w_mask`, in place of
/// both. Every other tensor is copied. [`restore`] undoes a pruning instead.
///
/// # Errors
///
/// [`CheckpointError::NothingPruned`] if the checkpoint has no masks, and the errors of
/// [`Pruner::run`](crate::checkpoint::Pruner::run) that concern the output and the data.
pub fn remove(
    checkpoint: &Checkpoint,
    output: &Output,
    observer: &dyn Observer,
) -> Result<Conversion, CheckpointError> {
    let plans = only_with_masks(checkpoint);
    let layout = Layout::new(checkpoint, &selected(&plans)?, Format::Weights)?;
    convert(checkpoint, plans, &layout, "remove", output, observer)
}

/// Undoes a pruning: writes `w`, with the values of `w_orig`, in place of `w_orig` and `w_mask`. The masks are dropped. Every
/// other tensor is copied.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let [dense, pruned, restored] = ["dense", "pruned", "restored"].map(|name| directory.path().join(name));
/// # let layer = prune::ParameterStore::from_iter([("fc.weight", ndarray::Array2::<f32>::ones((4, 4)))]);
/// # prune::safetensors::save_file(&layer, &dense)?;
/// use prune::L1Unstructured;
/// use prune::checkpoint::{Checkpoint, Format, Output, Pruner, diff, restore};
///
/// let pruner = Pruner::new(L1Unstructured::new(0.5)?).format(Format::PyTorch);
/// pruner.run(&Checkpoint::open([&dense])?, &Output::new(&pruned), &())?;
/// let conversion = restore(&Checkpoint::open([&pruned])?, &Output::new(&restored), &())?;
/// assert_eq!(conversion.tensors, ["fc.weight"]);
/// assert_eq!(std::fs::read(&restored)?, std::fs::read(&dense)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`CheckpointError::NothingPruned`] if the checkpoint has no masks, and the errors of
/// [`Pruner::run`](crate::checkpoint::Pruner::run) that concern the output and the data, except for values of masks, which are
/// not read.
pub fn restore(
    checkpoint: &Checkpoint,
    output: &Output,
    observer: &dyn Observer,
) -> Result<Conversion, CheckpointError> {
    let plans = only_with_masks(checkpoint);
    let layout = Layout::restored(checkpoint, &selected(&plans)?)?;
    convert(checkpoint, plans, &layout, "restore", output, observer)
}

/// Plans that keep the masks of pruned parameters, and skip the others.
fn only_with_masks(checkpoint: &Checkpoint) -> Vec<ParameterPlan<'_>> {
    let plan = |parameter| ParameterPlan::new(parameter, parameter.mask.is_none().then_some(SkipReason::NoMask));
    checkpoint.parameters.iter().map(plan).collect()
}

/// Returns which parameters are not skipped, or an error if all are.
fn selected(plans: &[ParameterPlan<'_>]) -> Result<Vec<bool>, CheckpointError> {
    let selected: Vec<bool> = plans.iter().map(|plan| plan.skip.is_none()).collect();
    if selected.contains(&true) { Ok(selected) } else { Err(CheckpointError::NothingPruned) }
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
    let plans: Vec<_> = plans.collect();
    let layout = Layout::new(checkpoint, &selected(&plans)?, Format::Masks)?;
    Ok(convert(checkpoint, plans, &layout, "extract_masks", output, observer)?.tensors)
}

/// Executes the plans, and returns the names of the parameters that are not skipped.
fn convert(
    checkpoint: &Checkpoint,
    plans: Vec<ParameterPlan<'_>>,
    layout: &Layout,
    name: &str,
    output: &Output,
    observer: &dyn Observer,
) -> Result<Conversion, CheckpointError> {
    let pool = Pool::default();
    let run = PlannedRun { checkpoint, layout, plans, mask_file: None, pool: &pool, observer, counts_zeros: false };
    let RunResult { plans, companions, resumed: _ } = run.execute(Some((output, vec![("method", name.into())])))?;
    let converted = plans.iter().filter(|plan| plan.skip.is_none());
    Ok(Conversion { tensors: converted.map(|plan| plan.parameter.name.clone()).collect(), companions })
}
