use super::{Checkpoint, CheckpointError, Observer, Output, Selection};

/// Bakes `w_orig * w_mask` into a plain `w` for every pruned tensor, as [`remove`](crate::remove) does; everything else
/// passes through as it is. Returns the names of those tensors.
///
/// # Errors
///
/// [`CheckpointError::NothingPruned`], and those of [`Prune::run`](super::Prune::run) that concern the output and the data.
pub fn remove(
    checkpoint: &Checkpoint,
    output: &Output,
    observer: &dyn Observer,
) -> Result<Vec<String>, CheckpointError> {
    todo!()
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
/// [`Prune::run`](super::Prune::run) that concern the output and the data.
pub fn extract_masks(
    checkpoint: &Checkpoint,
    source: &MaskSource,
    output: &Output,
    observer: &dyn Observer,
) -> Result<Vec<String>, CheckpointError> {
    todo!()
}
