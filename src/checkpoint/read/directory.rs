//! The files of a directory that a checkpoint may consist of.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::checkpoint::CheckpointError;

const SAFETENSORS: &str = ".safetensors";
/// The ends of the names of files of PyTorch.
const PYTORCH: [&str; 4] = [".bin", ".ckpt", ".pt", ".pth"];
/// The beginnings of the names of files of PyTorch that a trainer writes beside the weights.
const TRAINING: [&str; 7] =
    ["adapter_model", "optimizer", "rng_state", "scaler", "scheduler", "tokenizer", "training_args"];

/// Safetensors files or, if there are none, files of PyTorch; and their indices.
pub(crate) struct Directory<'p> {
    path: &'p Path,
    indices: Vec<PathBuf>,
    /// The shards, without adapters unless there is nothing else.
    shards: Vec<PathBuf>,
    is_pytorch: bool,
}

impl<'p> Directory<'p> {
    pub fn list(path: &'p Path) -> Result<Self, CheckpointError> {
        let mut names: Vec<OsString> = fs::read_dir(path)
            .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>())
            .map_err(|source| CheckpointError::Read { path: path.to_owned(), source })?;
        names.sort(); // the order of shards decides the order of tensors
        let ending_in = |endings: &[&str]| -> Vec<PathBuf> {
            let has_ending = |name: &&OsString| endings.iter().any(|end| name.to_string_lossy().ends_with(end));
            names.iter().filter(has_ending).map(|name| path.join(name)).collect()
        };
        let (indices, mut shards) = (ending_in(&[".safetensors.index.json"]), ending_in(&[SAFETENSORS]));
        if cfg!(feature = "pytorch") && indices.is_empty() && shards.is_empty() {
            let (indices, mut shards) = (ending_in(&[".bin.index.json"]), ending_in(&PYTORCH));
            shards.retain(|path| !TRAINING.iter().any(|word| name_of(path).starts_with(word)));
            return Ok(Self { path, indices, shards, is_pytorch: true });
        }
        if !shards.iter().all(|path| is_adapter(path)) {
            shards.retain(|path| !is_adapter(path));
        }
        Ok(Self { path, indices, shards, is_pytorch: false })
    }

    /// Returns the only index, if there is one.
    pub fn index(&self) -> Result<Option<&PathBuf>, CheckpointError> {
        match self.indices.as_slice() {
            [] => Ok(None),
            [index] => Ok(Some(index)),
            indices => {
                let what = if self.is_pytorch { ".bin.index.json" } else { ".safetensors.index.json" };
                Err(CheckpointError::AmbiguousDirectory { path: self.path.to_owned(), what, found: indices.len() })
            }
        }
    }

    /// Returns the shards, whatever an index says.
    pub fn shards(self) -> Result<Vec<PathBuf>, CheckpointError> {
        match self.shards.is_empty() {
            true => Err(CheckpointError::EmptyDirectory { path: self.path.to_owned() }),
            false => Ok(self.shards),
        }
    }

    /// Returns the index or, without one, the shards.
    pub fn files(self) -> Result<Vec<PathBuf>, CheckpointError> {
        if let Some(index) = self.index()? {
            return Ok(vec![index.clone()]);
        }
        // Files of PyTorch without numbers are checkpoints of their own.
        if self.is_pytorch && self.shards.len() > 1 && !self.shards.iter().all(|path| name_of(path).contains("-of-")) {
            let (what, found) = ("file of PyTorch", self.shards.len());
            return Err(CheckpointError::AmbiguousDirectory { path: self.path.to_owned(), what, found });
        }
        self.shards()
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Returns `true` for the names that PEFT and MLX give to the weights of an adapter, which are no part of the model beside it.
fn is_adapter(path: &Path) -> bool {
    let name = name_of(path);
    name.starts_with("adapter_model") || name == "adapters.safetensors"
}
