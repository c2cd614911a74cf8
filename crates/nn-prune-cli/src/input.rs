//! Opens the checkpoint that the command line names.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use prune::checkpoint::Checkpoint;

use crate::error::CliError;

/// Opens files, an index or a directory. A directory stands for its index or, without one, for its safetensors files.
pub fn open(paths: &[PathBuf]) -> Result<Checkpoint, CliError> {
    match paths {
        [directory] if directory.is_dir() => Ok(Checkpoint::open(files_in(directory)?)?),
        paths => Ok(Checkpoint::open(paths)?),
    }
}

fn files_in(directory: &Path) -> Result<Vec<PathBuf>, CliError> {
    let path = directory.display();
    let mut names: Vec<OsString> = fs::read_dir(directory)
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>())
        .map_err(|error| CliError::caused_by(format!("cannot list directory `{path}`"), error))?;
    names.sort(); // the order of shards decides the order of tensors
    let ending_in = |ending: &str| -> Vec<PathBuf> {
        let matching = names.iter().filter(|name| name.to_string_lossy().ends_with(ending));
        matching.map(|name| directory.join(name)).collect()
    };
    let (indices, files) = (ending_in(".safetensors.index.json"), ending_in(".safetensors"));
    match (indices.len(), files.len()) {
        (1, _) => Ok(indices),
        (0, 1..) => Ok(files),
        (0, 0) => Err(CliError::new(format!("no .safetensors file in `{path}`"))),
        (found, _) => Err(CliError::new(format!("more than one .safetensors.index.json in `{path}` ({found})"))),
    }
}
