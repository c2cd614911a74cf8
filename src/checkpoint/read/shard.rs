use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::checkpoint::CheckpointError;
use crate::checkpoint::read::OpenOptions;
use crate::checkpoint::read::contents::Contents;
use crate::checkpoint::read::open_files::OpenFiles;
use crate::file::header::{Header, Metadata};
use crate::file::open;

/// A file of a checkpoint.
#[derive(Debug)]
pub struct Shard {
    path: PathBuf,
    name: PathBuf,
    output_name: PathBuf,
    bytes: u64,
    modified: Option<SystemTime>,
    /// The number by which the file is found among the open ones.
    number: usize,
    files: Arc<OpenFiles>,
    contents: Contents,
    /// The offset of the data, which follows the header.
    pub(crate) data: u64,
    pub(crate) metadata: Option<Metadata>,
}

impl Shard {
    /// Returns the path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the name: a path below the directory of the index if there is one, and the file name otherwise.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// Returns the name in an output directory: the same for a safetensors file, and that of one for a file of PyTorch.
    pub fn output_name(&self) -> &Path {
        &self.output_name
    }

    /// Returns `true` if the output for the shard has another format.
    pub(crate) fn is_converted(&self) -> bool {
        match &self.contents {
            Contents::Safetensors => false,
            #[cfg(feature = "pytorch")]
            Contents::PyTorch(_) => true,
            #[cfg(feature = "onnx")]
            Contents::Plain => false,
        }
    }

    /// Returns the key of the dictionary that was read, if the file is one of PyTorch and the dictionary is nested in others.
    #[cfg(feature = "pytorch")]
    pub fn key(&self) -> Option<&str> {
        match &self.contents {
            Contents::PyTorch(contents) => Some(contents.key.as_str()).filter(|key| !key.is_empty()),
            Contents::Safetensors => None,
            #[cfg(feature = "onnx")]
            Contents::Plain => None,
        }
    }

    /// Returns the keys of a file of PyTorch under which there are other tensors, which are not part of the checkpoint.
    #[cfg(feature = "pytorch")]
    pub fn left_out(&self) -> &[String] {
        match &self.contents {
            Contents::PyTorch(contents) => &contents.left_out,
            Contents::Safetensors => &[],
            #[cfg(feature = "onnx")]
            Contents::Plain => &[],
        }
    }

    /// Returns the length in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Opens a file and reads its header. `files` has other numbers for other shards.
    pub(crate) fn open(
        path: PathBuf,
        name: PathBuf,
        number: usize,
        files: &Arc<OpenFiles>,
        options: &OpenOptions,
    ) -> Result<(Self, Header), CheckpointError> {
        let read = |source| CheckpointError::Read { path: path.clone(), source };
        let (file, found) = open::open(&path).map_err(read)?;
        let bytes = found.len();

        let (contents, mut header, data) = Contents::open(&file, &path, bytes, options)?;
        let output_name = contents.output_name(&name);
        let metadata = header.metadata.take();
        files.get(number, || Ok::<_, CheckpointError>(file))?;
        let (modified, files) = (found.modified().ok(), Arc::clone(files));
        Ok((Self { path, name, output_name, bytes, modified, number, files, contents, data, metadata }, header))
    }

    /// Opens a file of tensors at places that something else knows.
    #[cfg(feature = "onnx")]
    pub(crate) fn plain(
        path: PathBuf,
        name: PathBuf,
        number: usize,
        files: &Arc<OpenFiles>,
    ) -> Result<Self, CheckpointError> {
        let (file, found) = open::open(&path).map_err(|source| CheckpointError::Read { path: path.clone(), source })?;
        files.get(number, || Ok::<_, CheckpointError>(file))?;
        let (bytes, modified, files) = (found.len(), found.modified().ok(), Arc::clone(files));
        let (output_name, contents) = (name.clone(), Contents::Plain);
        Ok(Self { path, name, output_name, bytes, modified, number, files, contents, data: 0, metadata: None })
    }

    /// Returns `true` for an ONNX model, and for a file of its external data.
    #[cfg(feature = "onnx")]
    pub fn is_onnx(&self) -> bool {
        self.is_in_place()
    }

    /// Returns `true` if the tensors keep their places in the output, and everything else its bytes.
    pub(crate) fn is_in_place(&self) -> bool {
        self.contents.is_in_place()
    }

    /// Returns the file. If it was closed because too many others were read, it is opened again, and must be the same.
    pub(super) fn file(&self) -> Result<Arc<File>, CheckpointError> {
        self.files.get(self.number, || match open::open(&self.path) {
            Ok((file, found)) if self.is_same(&found) => Ok(file),
            Ok(_) => Err(CheckpointError::Changed { path: self.path.clone() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(CheckpointError::Changed { path: self.path.clone() })
            }
            Err(source) => Err(CheckpointError::Read { path: self.path.clone(), source }),
        })
    }

    /// Returns `true` if the size and the modification time are those of the file when it was first opened.
    fn is_same(&self, found: &fs::Metadata) -> bool {
        found.len() == self.bytes && found.modified().ok() == self.modified
    }

    /// Fills `bytes` with bytes that begin at `offset`. Offsets are those of the safetensors file that the shard is, or would be.
    pub(crate) fn read(&self, bytes: &mut [u8], offset: u64) -> Result<(), CheckpointError> {
        self.contents.read(&*self.file()?, bytes, offset).map_err(|source| match source.kind() {
            // The file was long enough when it was opened.
            io::ErrorKind::UnexpectedEof => CheckpointError::Changed { path: self.path.clone() },
            _ => CheckpointError::Read { path: self.path.clone(), source },
        })
    }

    /// Reads the bytes of the prefix and the header.
    pub(crate) fn header(&self) -> Result<Vec<u8>, CheckpointError> {
        let mut header = vec![0; self.data as usize];
        self.read(&mut header, 0)?;
        Ok(header)
    }

    /// Returns an error unless the file at this path is the one that was opened, by its size and modification time.
    pub(crate) fn check_unchanged(&self) -> Result<(), CheckpointError> {
        let is_same = |found: io::Result<fs::Metadata>| found.is_ok_and(|found| self.is_same(&found));
        // If the file was replaced, an open one is the unchanged old file, so both are checked.
        if self.files.find(self.number).is_none_or(|file| is_same(file.metadata())) && is_same(fs::metadata(&self.path))
        {
            return Ok(());
        }
        Err(CheckpointError::Changed { path: self.path.clone() })
    }

    /// Returns the modification time in nanoseconds since 1970, if known.
    pub(crate) fn modified(&self) -> Option<u128> {
        Some(self.modified?.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_nanos())
    }
}
