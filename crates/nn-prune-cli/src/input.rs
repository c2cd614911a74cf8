//! Opens the checkpoint that the command line names.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use prune::checkpoint::{Checkpoint, CheckpointError, OpenOptions};

use crate::error::{CliError, note};
use crate::text::visible_path;

/// Opens files, an index or a directory. A directory stands for its index or, without one, for its files.
pub fn open(paths: &[PathBuf], options: &OpenOptions) -> Result<Checkpoint, CliError> {
    match paths {
        [directory] if directory.is_dir() => Ok(options.open(files_in(directory)?)?),
        paths => Ok(options.open(paths)?),
    }
}

/// Opens one of two checkpoints, of which only one may have keys.
pub fn open_either(path: &PathBuf, options: &OpenOptions) -> Result<(Checkpoint, bool), CliError> {
    match open(std::slice::from_ref(path), options) {
        Ok(checkpoint) => Ok((checkpoint, true)),
        Err(CliError::Checkpoint(CheckpointError::NoKeys { .. })) => {
            open(std::slice::from_ref(path), &OpenOptions::new()).map(|checkpoint| (checkpoint, false))
        }
        Err(error) => Err(error),
    }
}

/// Opens the shards in the directory of an index, which is given by its path or by that of the directory.
pub fn open_ignoring_index(paths: &[PathBuf], options: OpenOptions) -> Result<Checkpoint, CliError> {
    let (directory, index) = match paths {
        [directory] if directory.is_dir() => (directory.as_path(), None),
        [index] if index.extension().is_some_and(|extension| extension == "json") => {
            let directory = index.parent().filter(|parent| !parent.as_os_str().is_empty());
            (directory.unwrap_or(Path::new(".")), Some(index.clone()))
        }
        _ => return Err(CliError::usage("--ignore-index needs an index, or a directory with one, as the only input")),
    };
    let found = Directory::list(directory)?;
    let index = match (index, found.indices.as_slice()) {
        (Some(index), _) => index,
        (None, [index]) => index.clone(),
        (None, []) => {
            let path = directory.display();
            return Err(CliError::usage(format!("--ignore-index has no index to ignore in `{path}`")));
        }
        (None, _) => return Err(found.several_indices(directory)),
    };
    match found.shards.is_empty() {
        true => Err(no_files(directory)),
        false => Ok(options.ignored_index(index).open(found.shards)?),
    }
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

fn files_in(directory: &Path) -> Result<Vec<PathBuf>, CliError> {
    let found = Directory::list(directory)?;
    match (found.indices.len(), found.shards.len()) {
        (1, _) => Ok(found.indices),
        (0, 0) => Err(no_files(directory)),
        (0, 1) => Ok(found.shards),
        (0, _) if found.extension == SAFETENSORS || found.shards.iter().all(|path| is_numbered(path)) => {
            Ok(found.shards)
        }
        (0, count) => {
            let path = directory.display();
            Err(CliError::new(format!("more than one file of PyTorch in `{path}` ({count}): name one of them")))
        }
        (2.., _) => Err(found.several_indices(directory)),
    }
}

fn no_files(directory: &Path) -> CliError {
    CliError::new(format!("no .safetensors, .bin, .pt or .pth file in `{}`", directory.display()))
}

const SAFETENSORS: &str = ".safetensors";
/// The ends of the names of files of PyTorch.
const PYTORCH: [&str; 4] = [".bin", ".ckpt", ".pt", ".pth"];
/// The beginnings of the names of files of PyTorch that a trainer writes beside the weights.
const TRAINING: [&str; 7] =
    ["adapter_model", "optimizer", "rng_state", "scaler", "scheduler", "tokenizer", "training_args"];

/// The files of a directory that a checkpoint may consist of.
struct Directory {
    indices: Vec<PathBuf>,
    /// The shards, without adapters unless there is nothing else.
    shards: Vec<PathBuf>,
    /// The end of the names of the shards that the indices are for.
    extension: &'static str,
}

impl Directory {
    /// Lists safetensors files or, if there are none, files of PyTorch.
    fn list(directory: &Path) -> Result<Self, CliError> {
        let mut names: Vec<OsString> = fs::read_dir(directory)
            .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>())
            .map_err(|error| CliError::caused_by(format!("cannot list directory `{}`", directory.display()), error))?;
        names.sort(); // the order of shards decides the order of tensors
        let ending_in = |endings: &[&str]| -> Vec<PathBuf> {
            let has_ending = |name: &&OsString| endings.iter().any(|end| name.to_string_lossy().ends_with(end));
            names.iter().filter(has_ending).map(|name| directory.join(name)).collect()
        };
        let (indices, mut shards) = (ending_in(&[".safetensors.index.json"]), ending_in(&[SAFETENSORS]));
        if indices.is_empty() && shards.is_empty() {
            let (indices, mut shards) = (ending_in(&[".bin.index.json"]), ending_in(&PYTORCH));
            shards.retain(|path| !TRAINING.iter().any(|word| name_of(path).starts_with(word)));
            return Ok(Self { indices, shards, extension: PYTORCH[0] });
        }
        if !shards.iter().all(|path| is_adapter(path)) {
            shards.retain(|path| !is_adapter(path));
        }
        Ok(Self { indices, shards, extension: SAFETENSORS })
    }

    fn several_indices(&self, directory: &Path) -> CliError {
        let Self { indices, extension, .. } = self;
        let (directory, found) = (directory.display(), indices.len());
        CliError::new(format!("more than one {extension}.index.json in `{directory}` ({found})"))
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Returns `true` for the name of one of several shards, such as `pytorch_model-00001-of-00002.bin`.
fn is_numbered(path: &Path) -> bool {
    name_of(path).contains("-of-")
}

/// Returns `true` for the names that PEFT and MLX give to the weights of an adapter, which are no part of the model beside it.
fn is_adapter(path: &Path) -> bool {
    let name = name_of(path);
    name.starts_with("adapter_model") || name == "adapters.safetensors"
}
