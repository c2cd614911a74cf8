use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checkpoint::CheckpointError;
use crate::checkpoint::read::directory::Directory;
use crate::checkpoint::read::index::Index;
use crate::checkpoint::read::parameter::{ParameterEntry, parameters};
use crate::checkpoint::read::usage::Usage;
use crate::checkpoint::read::{OpenOptions, Shard};
use crate::file::atomic::directory_of;
use crate::file::dtype::Dtype;
#[cfg(feature = "onnx")]
use crate::file::error::StateDictError;
#[cfg(feature = "onnx")]
use crate::file::recognise::FileFormat;

/// The tensors of a model in files: one file, or several shards with or without an index.
///
/// Opening it reads the headers only. The files that were read last remain open, at most 64 of them.
#[derive(Debug)]
pub struct Checkpoint {
    pub(crate) shards: Vec<Shard>,
    pub(crate) tensors: Vec<Tensor>,
    /// The same tensors in the same order, with an original and its mask as one.
    pub(crate) parameters: Vec<ParameterEntry>,
    pub(crate) index: Option<Index>,
    /// The path of an index that was not read. The output has one of the same name.
    pub(crate) ignored_index: Option<PathBuf>,
}

/// A tensor of a file. A pruned one is two: an original and a mask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Its dtype.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The shard that has it, as an index into [`Checkpoint::shards`].
    pub shard: usize,
    /// Its length in the file, in bytes.
    pub bytes: u64,
    /// The offset of its first byte in the file.
    pub(crate) start: u64,
    /// Its use, as the file states it.
    pub(crate) usage: Usage,
}

impl Checkpoint {
    /// Opens a safetensors file, several of them as shards, or a `*.safetensors.index.json` and the shards that it names.
    /// A path that ends in `.json` is read as an index. A directory stands for its index or, without one, for its safetensors files in
    /// the order of their names, except adapters (`adapter_model*`, `adapters.safetensors`) beside a model.
    ///
    /// With the feature `pytorch`, the files may be those of `torch.save` too, in the zip format or the one before PyTorch 1.6, and
    /// the index a `pytorch_model.bin.index.json`. Nothing in them is executed. A whole module gives its parameters and buffers. Of a
    /// training checkpoint, the tensors of the only dictionary are read that directly contains a floating-point tensor with
    /// dimensions, under their names in it; the state dict of an optimizer does not count. [`OpenOptions`] can name
    /// another dictionary. Outputs are safetensors files with the names that Hugging Face gives them: `pytorch_model.bin`
    /// becomes `model.safetensors`. In a directory without safetensors files, they are the checkpoint, except the files that a trainer
    /// writes beside the weights (`optimizer*`, `training_args*`).
    ///
    /// With the feature `onnx`, an ONNX model is a checkpoint too. Its files of external data are shards of it, and it must be
    /// the only path.
    ///
    /// # Errors
    ///
    /// - If the paths are no checkpoint: [`CheckpointError::NoPaths`], [`CheckpointError::IndexAmongOthers`],
    ///   [`CheckpointError::SameShardName`].
    /// - If a directory has no file that can be read, or it is not clear which one is meant:
    ///   [`CheckpointError::EmptyDirectory`], [`CheckpointError::AmbiguousDirectory`].
    /// - If a file cannot be read or is invalid: [`CheckpointError::Read`], [`CheckpointError::Header`].
    /// - If a file of PyTorch is invalid, has weights under several keys, or has a tensor that safetensors cannot hold:
    ///   `CheckpointError::PyTorch`.
    /// - If an index is invalid or contradicts its shards: [`CheckpointError::InvalidIndex`],
    ///   [`CheckpointError::IndexTooLarge`], [`CheckpointError::ShardOutsideFolder`], [`CheckpointError::MissingShard`],
    ///   [`CheckpointError::MissingTensor`], [`CheckpointError::UnindexedTensor`].
    /// - If an ONNX model is invalid: `CheckpointError::Onnx`.
    /// - If two tensors contradict each other: [`CheckpointError::DuplicateTensor`], [`CheckpointError::PrunedAndPlain`];
    ///   [`CheckpointError::ShapeMismatch`] if a mask differs in shape from its original.
    pub fn open<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Self, CheckpointError> {
        OpenOptions::new().open(paths)
    }

    /// Opens files, an index or a directory with options.
    pub(crate) fn with_options(paths: Vec<PathBuf>, options: &OpenOptions) -> Result<Self, CheckpointError> {
        let options = &options.with_index_of_directory()?;
        let paths = match (paths.as_slice(), &options.ignored_index) {
            ([path], None) if path.is_dir() => Directory::list(path)?.files()?,
            ([path], Some(_)) if path.is_dir() => Directory::list(path)?.shards()?,
            _ => paths,
        };
        let is_index = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "json");
        match (paths.as_slice(), paths.iter().find(is_index)) {
            ([], _) => Err(CheckpointError::NoPaths),
            ([path], Some(_)) if options.ignored_index.is_none() => Self::of_index(Index::read(path)?, options),
            (_, Some(index)) => Err(CheckpointError::IndexAmongOthers { path: index.clone() }),
            (paths, None) => {
                let name = |path: &PathBuf| PathBuf::from(path.file_name().unwrap_or(path.as_os_str()));
                match Self::of_shards(paths.iter().map(|path| (path.clone(), name(path))).collect(), None, options) {
                    #[cfg(feature = "onnx")]
                    Err(CheckpointError::Header {
                        path,
                        source: StateDictError::OtherFormat { found: FileFormat::Onnx },
                    }) if paths.len() == 1 && options.ignored_index.is_none() => {
                        options.check_keyless(&path)?;
                        Self::of_onnx(&path)
                    }
                    opened => opened,
                }
            }
        }
    }

    /// Opens the shards of a checkpoint whose index is wrong, as they are. The index is not read, nor need it exist; an output
    /// has a right one of the same name.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let [index, shard] = ["model.safetensors.index.json", "a.safetensors"].map(|name| directory.path().join(name));
    /// # let layer = prune::ParameterStore::from_iter([("fc.weight", ndarray::Array2::<f32>::ones((4, 4)))]);
    /// # prune::safetensors::save_file(&layer, &shard)?;
    /// use prune::checkpoint::{Checkpoint, CheckpointError};
    ///
    /// std::fs::write(&index, r#"{"weight_map": {"old.weight": "a.safetensors"}}"#)?;
    /// assert!(matches!(Checkpoint::open([&index]), Err(CheckpointError::MissingTensor { .. })));
    /// assert_eq!(Checkpoint::open_ignoring_index(&index, [&shard])?.tensors()[0].name, "fc.weight");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open), except for the errors of an index.
    pub fn open_ignoring_index<P: AsRef<Path>>(
        index: impl Into<PathBuf>,
        shards: impl IntoIterator<Item = P>,
    ) -> Result<Self, CheckpointError> {
        OpenOptions::new().ignored_index(index).open(shards)
    }

    fn of_index(index: Index, options: &OpenOptions) -> Result<Self, CheckpointError> {
        let directory = index.path.parent().unwrap_or(Path::new("")).to_owned();
        let shards = index.shards().into_iter().map(|shard| (directory.join(shard), PathBuf::from(shard)));
        let shards: Vec<_> = shards.collect();
        if let Some((missing, _)) = shards.iter().find(|(path, _)| matches!(path.try_exists(), Ok(false))) {
            return Err(CheckpointError::MissingShard { path: index.path, shard: missing.clone() });
        }
        let checkpoint = Self::of_shards(shards, Some(index), options)?;
        checkpoint.check_index()?;
        Ok(checkpoint)
    }

    fn of_shards(
        files: Vec<(PathBuf, PathBuf)>,
        index: Option<Index>,
        options: &OpenOptions,
    ) -> Result<Self, CheckpointError> {
        check_names(files.iter().map(|(path, name)| (name.as_path(), path.as_path())))?;
        let (mut shards, mut tensors) = (Vec::with_capacity(files.len()), Vec::new());
        let open_files = Arc::default();
        for (number, (path, name)) in files.into_iter().enumerate() {
            let (shard, header) = Shard::open(path, name, number, &open_files, options)?;
            tensors.extend(header.tensors.into_iter().map(|(name, info)| {
                let (start, end) = info.data_offsets;
                Tensor {
                    name,
                    dtype: Dtype(info.dtype),
                    shape: info.shape,
                    shard: number,
                    bytes: (end - start) as u64,
                    start: shard.data + start as u64,
                    usage: Usage::Unknown,
                }
            }));
            shards.push(shard);
        }
        check_names(shards.iter().map(|shard| (shard.output_name(), shard.path())))?;
        let parameters = parameters(&shards, &tensors)?;
        Ok(Self { shards, tensors, parameters, index, ignored_index: options.ignored_index.clone() })
    }

    /// Returns an error unless the index names exactly the tensors of each shard.
    fn check_index(&self) -> Result<(), CheckpointError> {
        let Some(index) = &self.index else { return Ok(()) };
        let shard_of = |tensor: &Tensor| self.shards[tensor.shard].name();
        let found: HashMap<&str, &Path> =
            self.tensors.iter().map(|tensor| (tensor.name.as_str(), shard_of(tensor))).collect();
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

    /// Returns the tensors of all shards, in the order of their data.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// Returns the files, in the order in which they were given; those of an index in the order of their names.
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// Returns the path of the index, if the checkpoint was opened by one.
    pub fn index(&self) -> Option<&Path> {
        self.index.as_ref().map(|index| index.path.as_path())
    }

    /// Returns the directory of the index or, without one, of the first file.
    pub(crate) fn directory(&self) -> &Path {
        let first = self.shards.first().map(Shard::path);
        self.index_path().or(first).map_or(Path::new("."), directory_of)
    }

    /// Returns the parameters by their names.
    pub(crate) fn parameters_by_name(&self) -> HashMap<&str, &ParameterEntry> {
        self.parameters.iter().map(|parameter| (parameter.name.as_str(), parameter)).collect()
    }

    /// Returns the path of the index, whether it was read or ignored.
    pub(crate) fn index_path(&self) -> Option<&Path> {
        self.index().or(self.ignored_index.as_deref())
    }

    /// Returns `true` if there is an index or more than one file. An output is then a directory.
    pub fn is_sharded(&self) -> bool {
        self.index_path().is_some() || self.shards.len() > 1
    }

    /// Returns what the file says about the use of a parameter.
    pub(crate) fn usage(&self, parameter: &ParameterEntry) -> &Usage {
        &self.tensors[parameter.weights].usage
    }

    /// Returns the file of an ONNX model, of which only the values of tensors can change.
    pub(crate) fn in_place(&self) -> Option<&Shard> {
        self.shards.first().filter(|shard| shard.is_in_place())
    }

    /// Returns an error if only the values of tensors can change.
    pub(crate) fn check_rewritable(&self, what: &'static str) -> Result<(), CheckpointError> {
        match self.in_place() {
            Some(model) => Err(CheckpointError::InPlace { path: model.path().to_owned(), what }),
            None => Ok(()),
        }
    }

    /// Returns the tensors of a shard, as a range of the tensors of all.
    pub(crate) fn tensors_of(&self, shard: usize) -> Range<usize> {
        let before = |shard| self.tensors.partition_point(|tensor| tensor.shard < shard);
        before(shard)..before(shard + 1)
    }

    /// Returns an error if a file has changed since it was opened.
    pub(crate) fn check_unchanged(&self) -> Result<(), CheckpointError> {
        self.shards.iter().try_for_each(Shard::check_unchanged)
    }
}

/// Returns an error if two shards, given by their names and paths, have one name.
fn check_names<'p>(shards: impl Iterator<Item = (&'p Path, &'p Path)>) -> Result<(), CheckpointError> {
    let mut names = BTreeMap::new();
    for (name, path) in shards {
        if let Some(first) = names.insert(name, path) {
            return Err(CheckpointError::SameShardName { first: first.to_owned(), second: path.to_owned() });
        }
    }
    Ok(())
}
