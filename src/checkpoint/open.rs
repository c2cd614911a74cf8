use std::fmt;
use std::path::{Path, PathBuf};

use super::CheckpointError;

/// Files that hold the tensors of a model: one, or several shards with an index or without.
///
/// Opening reads the headers, nothing else. The files stay open.
#[derive(Debug)]
pub struct Checkpoint {
    pub(super) shards: Vec<Shard>,
    pub(super) tensors: Vec<Tensor>,
    pub(super) index: Option<PathBuf>,
}

/// A file of a checkpoint.
#[derive(Debug)]
pub struct Shard {
    path: PathBuf,
    name: PathBuf,
    bytes: u64,
}

impl Shard {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its name, which it will have in the output too; below the folder of the index if there is one.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// Its length.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// A tensor of a file, by its name there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Its dtype.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The shard that it is in, an index into [`Checkpoint::shards`].
    pub shard: usize,
    /// What it takes in the file.
    pub bytes: u64,
}

/// The type of the elements of a tensor in a file. It displays as in the file format: `F32`, `BF16`, `I64`, ...
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dtype(pub(super) ::safetensors::Dtype);

impl Dtype {
    /// Whether tensors of it can be pruned: F32, F64, F16 and BF16.
    pub fn can_be_pruned(self) -> bool {
        use ::safetensors::Dtype::{BF16, F16, F32, F64};
        matches!(self.0, F32 | F64 | F16 | BF16)
    }

    /// The bits of one element.
    pub fn bits(self) -> usize {
        self.0.bitsize()
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Checkpoint {
    /// Opens a `.safetensors` file, several of them as shards, or a `.safetensors.index.json` with the shards that it names.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::NoPaths`], [`CheckpointError::UnknownKind`], [`CheckpointError::IndexAmongOthers`],
    /// [`CheckpointError::SameShardName`], [`CheckpointError::Read`], [`CheckpointError::Header`]; of an index
    /// [`CheckpointError::InvalidIndex`], [`CheckpointError::IndexTooLarge`], [`CheckpointError::ShardOutsideFolder`],
    /// [`CheckpointError::MissingShard`], [`CheckpointError::MissingTensor`], [`CheckpointError::UnindexedTensor`]; of the
    /// tensors [`CheckpointError::DuplicateTensor`], [`CheckpointError::PrunedAndPlain`],
    /// [`CheckpointError::ShapeMismatch`] between the halves of a pruned one.
    pub fn open<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Self, CheckpointError> {
        todo!()
    }

    /// The tensors of all shards, in the order of their data.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The files, in the order in which they were given; with an index, in the order of their names.
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// The index, if it was opened by one.
    pub fn index(&self) -> Option<&Path> {
        self.index.as_deref()
    }

    /// Whether the output is a folder: with an index, or with more than one file.
    pub fn is_sharded(&self) -> bool {
        self.index.is_some() || self.shards.len() > 1
    }
}
