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

/// Opens the shards in the directory of an index, which is given by its path or by that of the directory.
pub fn open_ignoring_index(paths: &[PathBuf]) -> Result<Checkpoint, CliError> {
    let (directory, index) = match paths {
        [directory] if directory.is_dir() => (directory.as_path(), None),
        [index] if index.extension().is_some_and(|extension| extension == "json") => {
            let directory = index.parent().filter(|parent| !parent.as_os_str().is_empty());
            (directory.unwrap_or(Path::new(".")), Some(index.clone()))
        }
        _ => return Err(CliError::usage("--ignore-index needs an index, or a directory with one, as the only input")),
    };
    let Directory { indices, shards } = Directory::list(directory)?;
    let path = directory.display();
    let index = match (index, indices.as_slice()) {
        (Some(index), _) => index,
        (None, [index]) => index.clone(),
        (None, []) => return Err(CliError::usage(format!("--ignore-index has no index to ignore in `{path}`"))),
        (None, several) => return Err(several_indices(directory, several.len())),
    };
    match shards.is_empty() {
        true => Err(CliError::new(format!("no .safetensors file in `{path}`"))),
        false => Ok(Checkpoint::open_ignoring_index(index, shards)?),
    }
}

fn files_in(directory: &Path) -> Result<Vec<PathBuf>, CliError> {
    let Directory { indices, shards } = Directory::list(directory)?;
    match (indices.len(), shards.len()) {
        (1, _) => Ok(indices),
        (0, 1..) => Ok(shards),
        (0, 0) => Err(CliError::new(format!("no .safetensors file in `{}`", directory.display()))),
        (found, _) => Err(several_indices(directory, found)),
    }
}

fn several_indices(directory: &Path, found: usize) -> CliError {
    CliError::new(format!("more than one .safetensors.index.json in `{}` ({found})", directory.display()))
}

/// The files of a directory that a checkpoint may consist of.
struct Directory {
    indices: Vec<PathBuf>,
    /// The shards, without adapters unless there is nothing else.
    shards: Vec<PathBuf>,
}

impl Directory {
    fn list(directory: &Path) -> Result<Self, CliError> {
        let mut names: Vec<OsString> = fs::read_dir(directory)
            .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>())
            .map_err(|error| CliError::caused_by(format!("cannot list directory `{}`", directory.display()), error))?;
        names.sort(); // the order of shards decides the order of tensors
        let ending_in = |ending: &str| -> Vec<PathBuf> {
            let matching = names.iter().filter(|name| name.to_string_lossy().ends_with(ending));
            matching.map(|name| directory.join(name)).collect()
        };
        let (indices, mut shards) = (ending_in(".safetensors.index.json"), ending_in(".safetensors"));
        if !shards.iter().all(|path| is_adapter(path)) {
            shards.retain(|path| !is_adapter(path));
        }
        Ok(Self { indices, shards })
    }
}

/// Returns `true` for the names that PEFT and MLX give to the weights of an adapter, which are no part of the model beside it.
fn is_adapter(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("adapter_model") || name == "adapters.safetensors"
}
