//! Files of PyTorch, read as the safetensors files that they would be. Nothing in them is executed.
//!
//! A file is a pickle, which describes tensors as views of storages, and the storages themselves, which are bytes of the file.
//! [`pickle`] parses the description, [`rebuild`] finds the tensors in it and [`select`] those that are read, with their names.
//! [`archive`] and [`legacy`] find the storages, and [`views`] reads tensors from them.

mod archive;
pub(crate) mod error;
mod gather;
mod legacy;
mod pickle;
mod rebuild;
mod select;
mod views;

use std::fs::File;
use std::io;
use std::ops::Range;

use ::safetensors::tensor::TensorInfo;

use crate::file::error::StateDictError;
use crate::file::header::{Header, Metadata};
use crate::file::names;
use crate::file::positional::read_at;
use crate::file::pytorch::archive::Archive;
use crate::file::pytorch::error::PyTorchError;
use crate::file::pytorch::pickle::Graph;
use crate::file::pytorch::rebuild::Rebuilder;
use crate::file::pytorch::select::Selected;
use crate::file::pytorch::views::Views;

/// The longest pickle that is read: as long as the longest header of a safetensors file.
const LIMIT: u64 = 100_000_000;

/// A file of PyTorch with the header that it would have as a safetensors file.
#[derive(Debug)]
pub(crate) struct PyTorchFile {
    /// The prefix and the header.
    pub header: Vec<u8>,
    views: Views,
    /// The key under which the tensors were found.
    pub key: String,
    /// Other keys under which tensors are, which are not read.
    pub left_out: Vec<String>,
}

/// The reason why a file was not opened.
#[derive(Debug)]
pub(crate) enum Failure {
    Read(io::Error),
    Invalid(PyTorchError),
    /// The header would be one that the format does not allow.
    Header(StateDictError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

impl From<PyTorchError> for Failure {
    fn from(error: PyTorchError) -> Self {
        Self::Invalid(error)
    }
}

impl PyTorchFile {
    /// Opens a file of `len` bytes and reads the descriptions of the tensors under `key`. Returns `None` if it is a zip archive
    /// that is not one of PyTorch.
    pub fn open(file: &File, len: u64, key: Option<&str>) -> Result<Option<(Self, Header)>, Failure> {
        let mut beginning = [0; 2];
        read_at(file, &mut beginning[..len.min(2) as usize], 0)?;
        let (selected, storages) = if beginning == *b"PK" {
            match Archive::open(file, len)? {
                Some(archive) => Self::read_archive(&archive, key)?,
                None => return Ok(None),
            }
        } else {
            legacy::open(file, len, key)?
        };
        Self::new(selected, &storages, len).map(Some)
    }

    /// Returns the tensors of an archive, and the bytes of the file that hold each storage.
    fn read_archive(archive: &Archive<'_>, key: Option<&str>) -> Result<(Selected, Vec<Range<u64>>), Failure> {
        let bytes = archive.pickle()?;
        let graph = Graph::parse(&bytes, 0)?;
        let mut rebuilder = Rebuilder::new(&graph);
        let selected = Selected::new(&mut rebuilder, key)?;
        let ranges = rebuilder.storages.into_iter().map(|storage| {
            let fault = |reason| Failure::from(PyTorchError::Storage { storage: storage.key.clone(), reason });
            let range = archive.storage(&storage.key)?.ok_or_else(|| fault("is missing"))?;
            if range.end - range.start < storage.bytes {
                return Err(fault("is shorter than the pickle says"));
            }
            Ok(range)
        });
        let ranges = ranges.collect::<Result<_, _>>()?;
        Ok((selected, ranges))
    }

    fn new(selected: Selected, storages: &[Range<u64>], len: u64) -> Result<(Self, Header), Failure> {
        let mut views = Views::default();
        let mut tensors = Vec::with_capacity(selected.tensors.len());
        for (name, view) in selected.tensors {
            let fault = |reason: &str| PyTorchError::Tensor { tensor: name.clone(), reason: reason.to_owned() };
            if name == names::RESERVED {
                return Err(fault("has a name that safetensors reserves").into());
            }
            // The tensors were checked against the lengths of their storages, and so were those.
            let bytes = view.bytes().ok_or_else(|| fault("has too many entries"))?;
            let within = if bytes == 0 { 0 } else { view.offset as u64 * view.size() };
            let offset = storages[view.storage].start + within;
            let start = views.bytes();
            check_total(start.saturating_add(bytes), len)?;
            views.push(offset, view.size(), bytes, &view.shape, &view.strides);
            let data_offsets = (start as usize, views.bytes() as usize);
            tensors.push((name, TensorInfo { dtype: view.dtype, shape: view.shape, data_offsets }));
        }
        // Without it, `transformers` would not load the file.
        let metadata = Metadata::from([("format".to_owned(), "pt".to_owned())]);
        let header = tensors.iter().map(|(name, info)| (name.as_str(), info.dtype, info.shape.as_slice()));
        let header = Header::encode_with(Some(&metadata), header).map_err(Failure::Header)?;
        let file = Self { header, views, key: selected.key, left_out: selected.left_out };
        Ok((file, Header { tensors, metadata: Some(metadata) }))
    }

    /// Fills `bytes` with those of the safetensors file that begin at `offset`.
    pub fn read(&self, file: &File, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
        let header_len = self.header.len() as u64;
        if offset < header_len {
            let header = &self.header[offset as usize..];
            let (part, rest) = bytes.split_at_mut(header.len().min(bytes.len()));
            part.copy_from_slice(&header[..part.len()]);
            (bytes, offset) = (rest, header_len);
        }
        self.views.read(file, bytes, offset - header_len)
    }
}

/// Returns an error for tensors that take far more bytes than the file. A few tied weights, and masks that are repeated, are common.
fn check_total(found: u64, len: u64) -> Result<(), PyTorchError> {
    let limit = (1 << 24) + len.saturating_mul(64);
    // Offsets are `usize`.
    let is_too_large = found > limit || usize::try_from(found).is_err();
    if is_too_large { Err(PyTorchError::Expanded { limit, found }) } else { Ok(()) }
}
