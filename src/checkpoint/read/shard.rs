use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::checkpoint::CheckpointError;
use crate::file::error::StateDictError;
use crate::file::header::{Header, Notes, PREFIX};
use crate::file::open;
use crate::file::positional::read_at;

/// A file of a checkpoint.
#[derive(Debug)]
pub struct Shard {
    path: PathBuf,
    name: PathBuf,
    bytes: u64,
    file: File,
    modified: Option<SystemTime>,
    /// Where the data begins.
    pub(crate) data: u64,
    pub(crate) metadata: Option<Notes>,
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

    /// Opens a file and reads its header.
    pub(crate) fn open(path: PathBuf, name: PathBuf) -> Result<(Self, Header), CheckpointError> {
        let read = |source| CheckpointError::Read { path: path.clone(), source };
        let (file, found) = open::open(&path).map_err(read)?;
        let bytes = found.len();

        let invalid = |source: StateDictError| CheckpointError::Header { path: path.clone(), source };
        let mut prefix = [0; PREFIX];
        let beginning = &mut prefix[..PREFIX.min(bytes as usize)];
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

    /// Fills `bytes` from a place of the file on.
    pub(crate) fn read(&self, bytes: &mut [u8], place: u64) -> Result<(), CheckpointError> {
        read_at(&self.file, bytes, place).map_err(|source| match source.kind() {
            // The header fitted the file when it was opened.
            io::ErrorKind::UnexpectedEof => CheckpointError::Changed { path: self.path.clone() },
            _ => CheckpointError::Read { path: self.path.clone(), source },
        })
    }

    /// The header with its prefix, as it stands in the file.
    pub(crate) fn header(&self) -> Result<Vec<u8>, CheckpointError> {
        let mut header = vec![0; self.data as usize];
        self.read(&mut header, 0)?;
        Ok(header)
    }

    /// `Ok` when the file has still the size and the time that it had when it was opened, and is still in its place.
    pub(crate) fn check_unchanged(&self) -> Result<(), CheckpointError> {
        let same = |found: io::Result<Metadata>| {
            found.is_ok_and(|found| found.len() == self.bytes && found.modified().ok() == self.modified)
        };
        // Of a file that was replaced, the old one stays open as it was.
        if same(self.file.metadata()) && same(fs::metadata(&self.path)) {
            return Ok(());
        }
        Err(CheckpointError::Changed { path: self.path.clone() })
    }

    /// When it was written, in nanoseconds since 1970, where that is known.
    pub(crate) fn modified(&self) -> Option<u128> {
        Some(self.modified?.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_nanos())
    }
}
