//! The zip archive of a PyTorch file, which holds the pickle and one entry for each storage.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;

use rawzip::{CompressionMethod, ReaderAt, ZipArchive, ZipArchiveEntryWayfinder, ZipLocator};

use crate::file::escape::Quoted;
use crate::file::positional::read_at;
use crate::file::pytorch::error::PyTorchError;
use crate::file::pytorch::{Failure, LIMIT};

/// The name of the pickle, in a directory that has the name of the file or another one.
const PICKLE: &str = "data.pkl";
/// The longest name of an entry that is of interest.
const LONGEST_NAME: usize = 1024;

/// An archive with the places of its entries.
pub(crate) struct Archive<'f> {
    archive: ZipArchive<Positional<'f>>,
    entries: HashMap<String, Entry>,
    /// The directory of the pickle, with a slash at its end unless it is empty.
    root: String,
}

struct Entry {
    place: ZipArchiveEntryWayfinder,
    is_stored: bool,
}

/// A file of a known length that is read at offsets.
struct Positional<'f> {
    file: &'f File,
    len: u64,
}

impl ReaderAt for Positional<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let len = self.len.saturating_sub(offset).min(buffer.len() as u64) as usize;
        read_at(self.file, &mut buffer[..len], offset)?;
        Ok(len)
    }
}

impl<'f> Archive<'f> {
    /// Reads the directory of an archive of `len` bytes. Returns `None` if it has no pickle of PyTorch.
    pub fn open(file: &'f File, len: u64) -> Result<Option<Self>, Failure> {
        let mut buffer = vec![0; rawzip::RECOMMENDED_BUFFER_SIZE];
        let located = ZipLocator::new().locate_in_reader(Positional { file, len }, &mut buffer, len);
        let archive = located.map_err(|(_, error)| invalid(error))?;
        let mut entries = HashMap::new();
        let mut roots = Vec::new();
        let mut listed = archive.entries(&mut buffer);
        while let Some(entry) = listed.next_entry().map_err(invalid)? {
            let name = entry.file_path();
            let Some(name) = std::str::from_utf8(name.as_ref()).ok().filter(|name| name.len() <= LONGEST_NAME) else {
                continue;
            };
            if let Some(root) = name.strip_suffix(PICKLE).filter(|root| root.is_empty() || root.ends_with('/')) {
                roots.push(root.to_owned());
            }
            let is_stored = entry.compression_method() == CompressionMethod::STORE && !entry.flags().is_encrypted();
            // Of two entries of one name, readers take the first or the last. PyTorch writes no such file.
            if entries.insert(name.to_owned(), Entry { place: entry.wayfinder(), is_stored }).is_some() {
                let source = format!("entry {} occurs twice", Quoted(name)).into();
                return Err(PyTorchError::Archive { source }.into());
            }
        }
        roots.sort_by_key(String::len);
        Ok(roots.into_iter().next().map(|root| Self { archive, entries, root }))
    }

    /// Reads the pickle.
    pub fn pickle(&self) -> Result<Vec<u8>, Failure> {
        // The programs of TorchScript have a pickle of constants, and a directory of code.
        let is_program = |name: &String| {
            let name = name.strip_prefix(&self.root);
            name.is_some_and(|name| name == "constants.pkl" || name.starts_with("code/"))
        };
        if self.entries.keys().any(is_program) {
            return Err(PyTorchError::Program.into());
        }
        if self.small_entry("byteorder")?.is_some_and(|order| order.trim_ascii() == b"big") {
            return Err(PyTorchError::BigEndian.into());
        }
        match self.range(PICKLE)? {
            Some(range) => self.read(range),
            None => Ok(Vec::new()), // there is one, or it would be no archive
        }
    }

    /// Returns the bytes of the file that hold a storage, or `None` if it is missing.
    pub fn storage(&self, key: &str) -> Result<Option<Range<u64>>, Failure> {
        self.range(&format!("data/{key}"))
    }

    fn small_entry(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        match self.range(name)?.filter(|range| range.end - range.start <= 64) {
            Some(range) => self.read(range).map(Some),
            None => Ok(None),
        }
    }

    fn read(&self, range: Range<u64>) -> Result<Vec<u8>, Failure> {
        let found = range.end - range.start;
        if found > LIMIT {
            return Err(PyTorchError::PickleTooLarge { limit: LIMIT, found }.into());
        }
        // Not longer than the file.
        let mut bytes = vec![0; found as usize];
        read_at(self.archive.get_ref().file, &mut bytes, range.start)?;
        Ok(bytes)
    }

    /// Returns the bytes of the file that hold an entry.
    fn range(&self, name: &str) -> Result<Option<Range<u64>>, Failure> {
        let name = format!("{}{name}", self.root);
        let Some(Entry { place, is_stored }) = self.entries.get(&name) else { return Ok(None) };
        if !is_stored {
            return Err(PyTorchError::Compressed { entry: name }.into());
        }
        let (start, end) = self.archive.get_entry(*place).map_err(invalid)?.compressed_data_range();
        if end > self.archive.get_ref().len {
            let source = format!("entry {} reaches beyond the end of the file", crate::file::escape::Quoted(&name));
            return Err(PyTorchError::Archive { source: source.into() }.into());
        }
        Ok(Some(start..end))
    }
}

/// The error for an archive that cannot be read. Errors of the operating system remain what they are.
fn invalid(error: rawzip::Error) -> Failure {
    match error.into_kind() {
        rawzip::ErrorKind::IO(error) if error.kind() != io::ErrorKind::UnexpectedEof => Failure::Read(error),
        kind => PyTorchError::Archive { source: crate::file::escape::escaped(rawzip::Error::from(kind)) }.into(),
    }
}
