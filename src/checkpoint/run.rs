use super::{Checkpoint, CheckpointError, Observer, Output, Prune, PruneReport};

pub(super) fn run(
    prune: &Prune,
    checkpoint: &Checkpoint,
    output: Option<&Output>,
    observer: &dyn Observer,
) -> Result<PruneReport, CheckpointError> {
    todo!()
}
