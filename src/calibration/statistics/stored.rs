//! The tensors of an open statistics file.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use ::safetensors::Dtype;
use ::safetensors::tensor::TensorInfo;

use crate::calibration::packed::{Packed, packed_len};
use crate::calibration::statistics::StatisticsError;
use crate::file::elements::decode;
use crate::file::error::StateDictError;
use crate::file::escape::Quoted;
use crate::file::header::{Header, PREFIX};
use crate::file::open;
use crate::file::positional::read_at;
use crate::file::recognise::BEGINNING;

/// A file that stays open.
#[derive(Debug)]
pub(super) struct StoredFile {
    path: PathBuf,
    file: File,
    len: u64,
    modified: Option<SystemTime>,
    /// The offset of the data of the tensors.
    data: u64,
}

impl StoredFile {
    /// Opens a file and reads its header.
    pub fn open(path: &Path) -> Result<(Self, Header), StatisticsError> {
        let read = |source| StatisticsError::Read { path: path.to_owned(), source };
        let invalid = |source: StateDictError| StatisticsError::Header { path: path.to_owned(), source };
        let (file, metadata) = open::open(path).map_err(read)?;
        let len = metadata.len();
        let mut beginning = vec![0; usize::try_from(len).unwrap_or(usize::MAX).min(BEGINNING)];
        read_at(&file, &mut beginning, 0).map_err(read)?;
        let length = Header::length(&beginning, len).map_err(invalid)?;
        // The header is at most 100 MB.
        let mut json = vec![0; length as usize];
        read_at(&file, &mut json, PREFIX as u64).map_err(read)?;
        let header = Header::parse(&json, len).map_err(invalid)?;
        let modified = metadata.modified().ok();
        Ok((Self { path: path.to_owned(), file, len, modified, data: PREFIX as u64 + length }, header))
    }

    /// The error of a file that is no statistics file.
    pub fn format(&self, reason: impl Into<String>) -> StatisticsError {
        StatisticsError::Format { path: self.path.clone(), reason: reason.into() }
    }

    /// Reads the numbers of a tensor, as `f64`. All must be finite.
    pub fn numbers(&self, name: &str, info: &TensorInfo) -> Result<Vec<f64>, StatisticsError> {
        let (start, end) = info.data_offsets;
        let mut bytes = vec![0; end - start];
        self.read(&mut bytes, self.data + start as u64)?;
        let numbers: Vec<f64> = match info.dtype {
            Dtype::F64 => decode::<f64>(&bytes).collect(),
            Dtype::F32 => decode::<f32>(&bytes).map(f64::from).collect(),
            found => return Err(self.format(format!("{} is {found}, not F32 or F64", Quoted(name)))),
        };
        match numbers.iter().all(|number| number.is_finite()) {
            true => Ok(numbers),
            false => Err(self.format(format!("{} has an entry that is NaN or infinite", Quoted(name)))),
        }
    }

    /// Reads the only number of a tensor, a count.
    pub fn count(&self, name: &str, info: &TensorInfo) -> Result<u64, StatisticsError> {
        if info.dtype != Dtype::I64 || info.shape.iter().product::<usize>() != 1 {
            return Err(self.format(format!("{} is not one number of dtype I64", Quoted(name))));
        }
        let mut bytes = [0; size_of::<i64>()];
        self.read(&mut bytes, self.data + info.data_offsets.0 as u64)?;
        u64::try_from(i64::from_le_bytes(bytes)).map_err(|_| self.format(format!("{} is negative", Quoted(name))))
    }

    fn read(&self, bytes: &mut [u8], offset: u64) -> Result<(), StatisticsError> {
        let read = |source: io::Error| StatisticsError::Read { path: self.path.clone(), source };
        let metadata = self.file.metadata().map_err(read)?;
        if metadata.len() != self.len || metadata.modified().ok() != self.modified {
            return Err(StatisticsError::Changed { path: self.path.clone() });
        }
        read_at(&self.file, bytes, offset).map_err(read)
    }
}

/// A Gram matrix in a file.
#[derive(Debug, Clone)]
pub(super) struct StoredGram {
    pub file: Arc<StoredFile>,
    pub name: String,
    pub info: TensorInfo,
    pub channels: usize,
}

impl StoredGram {
    /// The Gram matrix of a tensor, whose shape must fit.
    pub fn new(
        file: &Arc<StoredFile>,
        name: &str,
        info: &TensorInfo,
        channels: usize,
    ) -> Result<Self, StatisticsError> {
        let expected = packed_len(channels);
        if info.shape != [expected] {
            let (name, found) = (Quoted(name), &info.shape);
            return Err(file.format(format!("{name} has shape {found:?}, not [{expected}] for {channels} channels")));
        }
        Ok(Self { file: Arc::clone(file), name: name.to_owned(), info: info.clone(), channels })
    }

    pub fn read(&self) -> Result<Packed, StatisticsError> {
        Ok(Packed::from_lower(self.channels, self.file.numbers(&self.name, &self.info)?))
    }
}
