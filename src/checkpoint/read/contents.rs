//! The formats that a shard can have. The first bytes of a file tell its format.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::checkpoint::CheckpointError;
use crate::file::error::StateDictError;
use crate::file::header::{Header, PREFIX};
use crate::file::positional::read_at;
use crate::file::recognise::BEGINNING;

/// The contents of a shard, by format. All other code sees a shard as the safetensors file that it is, or would be.
#[derive(Debug)]
pub(crate) enum Contents {
    /// A header, and the data of the tensors.
    Safetensors,
    /// Tensors at places that something else knows: an ONNX model, or its external data.
    #[cfg(feature = "onnx")]
    Plain,
}

impl Contents {
    /// Reads the header of a file of `bytes` bytes. Returns it with the offset of the data.
    pub fn open(file: &File, path: &Path, bytes: u64) -> Result<(Self, Header, u64), CheckpointError> {
        let read = |source| CheckpointError::Read { path: path.to_owned(), source };
        let invalid = |source| CheckpointError::Header { path: path.to_owned(), source };
        let mut beginning = [0; BEGINNING];
        let beginning = &mut beginning[..BEGINNING.min(usize::try_from(bytes).unwrap_or(BEGINNING))];
        read_at(file, beginning, 0).map_err(read)?;
        match Header::length(beginning, bytes) {
            Ok(length) => {
                // Not longer than the file, nor than what the format allows.
                let mut json = vec![0; length as usize];
                read_at(file, &mut json, PREFIX as u64).map_err(read)?;
                let header = Header::parse(&json, bytes).map_err(invalid)?;
                Ok((Self::Safetensors, header, PREFIX as u64 + length))
            }
            // A format that this crate reads has an arm here, by `found`.
            Err(StateDictError::OtherFormat { found }) => Err(invalid(StateDictError::OtherFormat { found })),
            Err(source) => Err(invalid(source)),
        }
    }

    /// Fills `bytes` with those that begin at `offset` of the safetensors file.
    pub fn read(&self, file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::Safetensors => read_at(file, bytes, offset),
            #[cfg(feature = "onnx")]
            Self::Plain => read_at(file, bytes, offset),
        }
    }

    /// Returns the name of the output for a shard of this name.
    pub fn output_name(&self, source_name: &Path) -> PathBuf {
        match self {
            Self::Safetensors => source_name.to_owned(),
            #[cfg(feature = "onnx")]
            Self::Plain => source_name.to_owned(),
        }
    }

    /// Returns `true` if the tensors keep their places in the output.
    pub fn is_in_place(&self) -> bool {
        match self {
            Self::Safetensors => false,
            #[cfg(feature = "onnx")]
            Self::Plain => true,
        }
    }
}
