use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::checkpoint::CheckpointError;
use crate::file::error::StateDictError;
use crate::file::header::{Header, Metadata, PREFIX};
use crate::file::open;
use crate::file::positional::read_at;
use crate::file::recognise::BEGINNING;

/// A file of a checkpoint.
#[derive(Debug)]
pub struct Shard {
    path: PathBuf,
    name: PathBuf,
    bytes: u64,
    file: File,
    modified: Option<SystemTime>,
    /// The offset of the data, which follows the header.
    pub(crate) data: u64,
    pub(crate) metadata: Option<Metadata>,
}

impl Shard {
    /// Returns the path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the name, which is that in the output too: a path below the directory of the index if there is one, and the
    /// file name otherwise.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// Returns the length in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Opens a file and reads its header.
    pub(crate) fn open(path: PathBuf, name: PathBuf) -> Result<(Self, Header), CheckpointError> {
        let read = |source| CheckpointError::Read { path: path.clone(), source };
        let (file, found) = open::open(&path).map_err(read)?;
        let bytes = found.len();

        let invalid = |source: StateDictError| CheckpointError::Header { path: path.clone(), source };
        let mut beginning = [0; BEGINNING];
        let beginning = &mut beginning[..BEGINNING.min(usize::try_from(bytes).unwrap_or(BEGINNING))];
        read_at(&file, beginning, 0).map_err(read)?;
        let length = Header::length(beginning, bytes).map_err(invalid)?;
        // Not longer than the file, nor than what the format allows.
        let mut json = vec![0; length as usize];
        read_at(&file, &mut json, PREFIX as u64).map_err(read)?;
        let mut header = Header::parse(&json, bytes).map_err(invalid)?;

        let metadata = header.metadata.take();
        let data = PREFIX as u64 + length;
        Ok((Self { path, name, bytes, file, modified: found.modified().ok(), data, metadata }, header))
    }

    /// Fills `bytes` with the bytes of the file that begin at `offset`.
    pub(crate) fn read(&self, bytes: &mut [u8], offset: u64) -> Result<(), CheckpointError> {
        read_at(&self.file, bytes, offset).map_err(|source| match source.kind() {
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
        let same = |found: io::Result<fs::Metadata>| {
            found.is_ok_and(|found| found.len() == self.bytes && found.modified().ok() == self.modified)
        };
        // If the file was replaced, the open one is the unchanged old file, so both are checked.
        if same(self.file.metadata()) && same(fs::metadata(&self.path)) {
            return Ok(());
        }
        Err(CheckpointError::Changed { path: self.path.clone() })
    }

    /// Returns the modification time in nanoseconds since 1970, if known.
    pub(crate) fn modified(&self) -> Option<u128> {
        Some(self.modified?.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_nanos())
    }
}
