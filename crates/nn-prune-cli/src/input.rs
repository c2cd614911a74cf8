//! From what was typed to a checkpoint.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use prune::checkpoint::Checkpoint;

use crate::failure::Failure;

/// Opens files, an index, or what is in a folder: its index if it has one, its safetensors files otherwise.
pub fn open(paths: &[PathBuf]) -> Result<Checkpoint, Failure> {
    match paths {
        [folder] if folder.is_dir() => Ok(Checkpoint::open(in_folder(folder)?)?),
        paths => Ok(Checkpoint::open(paths)?),
    }
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let names = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
    let mut names: Vec<OsString> =
        names.map_err(|error: io::Error| Failure::new(format!("folder: cannot list `{}`", folder.display()), error))?;
    names.sort(); // the order of shards is that of the tensors
    let ending = |ending: &str| -> Vec<PathBuf> {
        let with = names.iter().filter(|name| name.to_string_lossy().ends_with(ending));
        with.map(|name| folder.join(name)).collect()
    };
    let (indices, files) = (ending(".safetensors.index.json"), ending(".safetensors"));
    let message = match (indices.len(), files.len()) {
        (1, _) => return Ok(indices),
        (0, 1..) => return Ok(files),
        (0, 0) => format!("folder: expected a .safetensors file in `{}`, found none", folder.display()),
        (found, _) => format!("folder: expected one .safetensors.index.json in `{}`, found {found}", folder.display()),
    };
    Err(Failure::Other { message, source: None })
}
