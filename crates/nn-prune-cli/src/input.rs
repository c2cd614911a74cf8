//! Opens the checkpoint that the command line names.

use std::path::{Path, PathBuf};

use prune::checkpoint::{Checkpoint, CheckpointError, OpenOptions};

use crate::error::{CliError, note};
use crate::text::visible_path;

/// Opens one of two checkpoints, of which only one may have keys.
pub fn open_either(path: &PathBuf, options: &OpenOptions) -> Result<(Checkpoint, bool), CheckpointError> {
    match options.open([path]) {
        Ok(checkpoint) => Ok((checkpoint, true)),
        Err(CheckpointError::NoKeys { .. }) => Checkpoint::open([path]).map(|checkpoint| (checkpoint, false)),
        Err(error) => Err(error),
    }
}

/// Opens the shards in the directory of an index, which is given by its path or by that of the directory.
pub fn open_ignoring_index(paths: &[PathBuf], options: OpenOptions) -> Result<Checkpoint, CliError> {
    let directory = match paths {
        [directory] if directory.is_dir() => directory.as_path(),
        [index] if index.extension().is_some_and(|extension| extension == "json") => {
            let directory = index.parent().filter(|parent| !parent.as_os_str().is_empty());
            directory.unwrap_or(Path::new("."))
        }
        _ => return Err(CliError::usage("--ignore-index needs an index, or a directory with one, as the only input")),
    };
    options.ignored_index(&paths[0]).open([directory]).map_err(|error| match error {
        CheckpointError::NoIndex { .. } => CliError::usage(format!("--ignore-index does not apply: {error}")),
        error => error.into(),
    })
}

/// Says which tensors of files of PyTorch are read, where there are others in them.
pub fn note_keys(checkpoint: &Checkpoint) {
    for shard in checkpoint.shards() {
        let path = visible_path(shard.path());
        let others: Vec<_> = shard.left_out().iter().map(|key| format!("`{key}`")).collect();
        match (shard.key(), others.is_empty()) {
            (Some(key), false) => {
                note(&format!("{path}: the tensors under `{key}` are read, not those under {}", others.join(", ")));
            }
            (Some(key), true) => note(&format!("{path}: the tensors under `{key}` are read")),
            (None, _) => {}
        }
    }
}
