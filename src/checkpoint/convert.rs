use crate::checkpoint::prune::Selection;
use crate::checkpoint::prune::plan::{Rule, Task};
use crate::checkpoint::prune::run::Job;
use crate::checkpoint::prune::selection::choose;
use crate::checkpoint::read::Checkpoint;
use crate::checkpoint::read::blocks::Pool;
use crate::checkpoint::write::layout::Plan;
use crate::checkpoint::write::{Format, Output};
use crate::checkpoint::{CheckpointError, Observer};

/// Bakes `w_orig * w_mask` into a plain `w` for every pruned tensor, as [`remove`](crate::remove) does; everything else
/// passes through as it is. Returns the names of those tensors.
///
/// # Errors
///
/// [`CheckpointError::NothingPruned`], and those of [`Prune::run`](crate::checkpoint::Prune::run) that concern the output and the data.
pub fn remove(
    checkpoint: &Checkpoint,
    output: &Output,
    observer: &dyn Observer,
) -> Result<Vec<String>, CheckpointError> {
    let selected: Vec<bool> = checkpoint.parameters.iter().map(|parameter| parameter.mask.is_some()).collect();
    convert(checkpoint, &selected, Format::Weights, "remove", output, observer)
}

/// Where [`extract_masks`] takes masks from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum MaskSource {
    /// Pruned tensors only: their `w_mask`.
    #[default]
    Masks,
    /// These too, and of the other tensors the zeros of those that are selected.
    Zeros(Selection),
}

/// Writes the masks of a checkpoint to one file, in the layout of [`save_masks`](crate::safetensors::save_masks). Returns
/// the names of the tensors.
///
/// # Errors
///
/// [`CheckpointError::NothingPruned`]; with [`MaskSource::Zeros`] those of a selection; those of
/// [`Prune::run`](crate::checkpoint::Prune::run) that concern the output and the data.
pub fn extract_masks(
    checkpoint: &Checkpoint,
    source: &MaskSource,
    output: &Output,
    observer: &dyn Observer,
) -> Result<Vec<String>, CheckpointError> {
    let pruned = checkpoint.parameters.iter().map(|parameter| parameter.mask.is_some());
    let selected: Vec<bool> = match source {
        MaskSource::Masks => pruned.collect(),
        MaskSource::Zeros(selection) => {
            let reasons = choose(selection, None, &checkpoint.parameters)?;
            pruned.zip(reasons).map(|(pruned, reason)| pruned || reason.is_none()).collect()
        }
    };
    convert(checkpoint, &selected, Format::Masks, "extract_masks", output, observer)
}

/// Writes what is made of parameters that keep their masks, and of the zeros of those that have none.
fn convert(
    checkpoint: &Checkpoint,
    selected: &[bool],
    format: Format,
    options: &str,
    output: &Output,
    observer: &dyn Observer,
) -> Result<Vec<String>, CheckpointError> {
    if !selected.contains(&true) {
        return Err(CheckpointError::NothingPruned);
    }
    let plan = Plan::new(checkpoint, selected, format)?;
    let tasks: Vec<Option<Task>> = checkpoint
        .parameters
        .iter()
        .zip(selected)
        .map(|(parameter, &selected)| {
            let rule = if parameter.mask.is_some() { Rule::Keep } else { Rule::Zeros };
            selected.then_some(Task { rule, asked: None, before: 0, after: None })
        })
        .collect();
    let job = Job { checkpoint, plan: &plan, tasks: &tasks, pool: &Pool::default(), observer };
    job.run(Some(output), options, None)?;
    let names = checkpoint.parameters.iter().zip(selected).filter(|&(_, &selected)| selected);
    Ok(names.map(|(parameter, _)| parameter.name.clone()).collect())
}
