use std::path::{Path, PathBuf};

use crate::checkpoint::CheckpointError;
use crate::checkpoint::read::Checkpoint;
use crate::checkpoint::read::directory::Directory;

/// The way in which a checkpoint is opened. The methods that set an option return the options with it.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let [index, shard] = ["model.safetensors.index.json", "a.safetensors"].map(|name| directory.path().join(name));
/// # let layer = prune::ParameterStore::from_iter([("fc.weight", ndarray::Array2::<f32>::ones((4, 4)))]);
/// # prune::safetensors::save_file(&layer, &shard)?;
/// use prune::checkpoint::OpenOptions;
///
/// let checkpoint = OpenOptions::new().ignored_index(&index).open([&shard])?;
/// assert_eq!(checkpoint.tensors()[0].name, "fc.weight");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenOptions {
    pub(crate) ignored_index: Option<PathBuf>,
    #[cfg(feature = "pytorch")]
    pub(crate) key: Option<String>,
}

impl OpenOptions {
    /// Returns the options of [`Checkpoint::open`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the path of an index that is not read, nor need exist, or of a directory whose only index is not read. An output has a
    /// right one of the same name. A directory that is [opened](Self::open) then stands for its shards.
    pub fn ignored_index(mut self, index: impl Into<PathBuf>) -> Self {
        self.ignored_index = Some(index.into());
        self
    }

    /// Sets the key of the dictionary in files of PyTorch whose tensors are read, with those of the dictionaries in it. Dots join
    /// the keys of nested dictionaries, and the numbers of values in lists: `checkpoint.model`, `models.0`. An empty key stands
    /// for the outermost dictionary.
    ///
    /// Without a key, the dictionary is found as [`Checkpoint::open`] describes.
    #[cfg(feature = "pytorch")]
    pub fn key(self, key: impl Into<String>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    /// Opens files, an index or a directory.
    ///
    /// # Errors
    ///
    /// Those of [`Checkpoint::open`]. Also [`CheckpointError::NoIndex`] if a directory has no index to ignore,
    /// [`CheckpointError::IndexAmongOthers`] if a path is an index and another one is ignored, and `CheckpointError::NoKeys` if there
    /// is a key and one of the files is a safetensors file.
    pub fn open<P: AsRef<Path>>(&self, paths: impl IntoIterator<Item = P>) -> Result<Checkpoint, CheckpointError> {
        let paths = paths.into_iter().map(|path| path.as_ref().to_owned()).collect();
        Checkpoint::with_options(paths, self)
    }

    /// Returns the options with the path of an index, where that of its directory is to be ignored.
    pub(crate) fn with_index_of_directory(&self) -> Result<Self, CheckpointError> {
        match &self.ignored_index {
            Some(path) if path.is_dir() => match Directory::list(path)?.index()? {
                Some(index) => Ok(self.clone().ignored_index(index)),
                None => Err(CheckpointError::NoIndex { path: path.clone() }),
            },
            Some(_) | None => Ok(self.clone()),
        }
    }

    /// Returns an error if there is a key, for a file that has no keys.
    pub(crate) fn check_keyless(&self, path: &Path) -> Result<(), CheckpointError> {
        #[cfg(feature = "pytorch")]
        if self.key.is_some() {
            return Err(CheckpointError::NoKeys { path: path.to_owned() });
        }
        #[cfg(not(feature = "pytorch"))]
        let _ = path;
        Ok(())
    }
}
