use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::checkpoint::CheckpointError;
use crate::checkpoint::read::Shard;
use crate::checkpoint::read::index::Index;
use crate::checkpoint::read::parameter::{Parameter, parameters};

/// Files that hold the tensors of a model: one, or several shards with an index or without.
///
/// Opening reads the headers, nothing else. The files stay open.
#[derive(Debug)]
pub struct Checkpoint {
    pub(crate) shards: Vec<Shard>,
    pub(crate) tensors: Vec<Tensor>,
    /// The same tensors, halves of pruned ones put together, in the same order.
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) index: Option<Index>,
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
    /// Where it begins in the file.
    pub(crate) start: u64,
}

/// The type of the elements of a tensor in a file. It displays as in the file format: `F32`, `BF16`, `I64`, ...
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dtype(pub(crate) ::safetensors::Dtype);

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
    /// Opens a safetensors file, several of them as shards, or a `*.safetensors.index.json` with the shards that it names.
    /// A path that ends in `.json` is taken for an index.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::NoPaths`], [`CheckpointError::IndexAmongOthers`], [`CheckpointError::SameShardName`],
    /// [`CheckpointError::Read`], [`CheckpointError::Header`]; of an index [`CheckpointError::InvalidIndex`],
    /// [`CheckpointError::IndexTooLarge`], [`CheckpointError::ShardOutsideFolder`], [`CheckpointError::MissingShard`],
    /// [`CheckpointError::MissingTensor`], [`CheckpointError::UnindexedTensor`]; of the tensors
    /// [`CheckpointError::DuplicateTensor`], [`CheckpointError::PrunedAndPlain`], [`CheckpointError::ShapeMismatch`] between
    /// the halves of a pruned one.
    pub fn open<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Self, CheckpointError> {
        let paths: Vec<PathBuf> = paths.into_iter().map(|path| path.as_ref().to_owned()).collect();
        let is_index = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "json");
        match (paths.as_slice(), paths.iter().find(is_index)) {
            ([], _) => Err(CheckpointError::NoPaths),
            ([path], Some(_)) => Self::of_index(Index::read(path)?),
            (_, Some(index)) => Err(CheckpointError::IndexAmongOthers { path: index.clone() }),
            (paths, None) => {
                let name = |path: &PathBuf| PathBuf::from(path.file_name().unwrap_or(path.as_os_str()));
                Self::of_shards(paths.iter().map(|path| (path.clone(), name(path))).collect(), None)
            }
        }
    }

    fn of_index(index: Index) -> Result<Self, CheckpointError> {
        let folder = index.path.parent().unwrap_or(Path::new("")).to_owned();
        let shards = index.shards().into_iter().map(|shard| (folder.join(shard), PathBuf::from(shard)));
        let shards: Vec<_> = shards.collect();
        if let Some((missing, _)) = shards.iter().find(|(path, _)| matches!(path.try_exists(), Ok(false))) {
            return Err(CheckpointError::MissingShard { path: index.path, shard: missing.clone() });
        }
        let checkpoint = Self::of_shards(shards, Some(index))?;
        checkpoint.check_index()?;
        Ok(checkpoint)
    }

    fn of_shards(files: Vec<(PathBuf, PathBuf)>, index: Option<Index>) -> Result<Self, CheckpointError> {
        let mut names = BTreeMap::new();
        for (path, name) in &files {
            if let Some(first) = names.insert(name, path) {
                return Err(CheckpointError::SameShardName { first: first.clone(), second: path.clone() });
            }
        }
        let (mut shards, mut tensors) = (Vec::with_capacity(files.len()), Vec::new());
        for (number, (path, name)) in files.into_iter().enumerate() {
            let (shard, header) = Shard::open(path, name)?;
            tensors.extend(header.tensors.into_iter().map(|(name, info)| {
                let (start, end) = info.data_offsets;
                Tensor {
                    name,
                    dtype: Dtype(info.dtype),
                    shape: info.shape,
                    shard: number,
                    bytes: (end - start) as u64,
                    start: shard.data + start as u64,
                }
            }));
            shards.push(shard);
        }
        let parameters = parameters(&shards, &tensors)?;
        Ok(Self { shards, tensors, parameters, index })
    }

    /// `Ok` when index and shards tell the same of every tensor.
    fn check_index(&self) -> Result<(), CheckpointError> {
        let Some(index) = &self.index else { return Ok(()) };
        let place = |tensor: &Tensor| self.shards[tensor.shard].name();
        let found: HashMap<&str, &Path> =
            self.tensors.iter().map(|tensor| (tensor.name.as_str(), place(tensor))).collect();
        for (tensor, shard) in &index.weight_map {
            if found.get(tensor.as_str()) != Some(&Path::new(shard)) {
                let shard = self.shards.iter().find(|found| found.name() == Path::new(shard));
                let shard = shard.map(|shard| shard.path().to_owned()).unwrap_or_default();
                return Err(CheckpointError::MissingTensor { tensor: tensor.clone(), shard });
            }
        }
        match self.tensors.iter().find(|tensor| !index.weight_map.contains_key(&tensor.name)) {
            Some(tensor) => {
                let shard = self.shards[tensor.shard].path().to_owned();
                Err(CheckpointError::UnindexedTensor { tensor: tensor.name.clone(), shard })
            }
            None => Ok(()),
        }
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
        self.index.as_ref().map(|index| index.path.as_path())
    }

    /// Whether the output is a folder: with an index, or with more than one file.
    pub fn is_sharded(&self) -> bool {
        self.index.is_some() || self.shards.len() > 1
    }

    /// `Ok` when no file has changed since it was opened.
    pub(crate) fn check_unchanged(&self) -> Result<(), CheckpointError> {
        self.shards.iter().try_for_each(Shard::check_unchanged)
    }
}
