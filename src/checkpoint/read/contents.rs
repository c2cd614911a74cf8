//! The formats that a shard can have. The first bytes of a file tell its format.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::checkpoint::CheckpointError;
use crate::checkpoint::read::OpenOptions;
use crate::file::error::StateDictError;
use crate::file::header::{Header, PREFIX};
use crate::file::positional::read_at;
#[cfg(feature = "pytorch")]
use crate::file::pytorch::error::PyTorchError;
#[cfg(feature = "pytorch")]
use crate::file::pytorch::{Failure, PyTorchFile};
use crate::file::recognise::{BEGINNING, FileFormat};

/// The contents of a shard, by format. All other code sees a shard as the safetensors file that it is, or would be.
#[derive(Debug)]
pub(crate) enum Contents {
    /// A header, and the data of the tensors.
    Safetensors,
    /// A pickle, and the storages of which tensors are views.
    #[cfg(feature = "pytorch")]
    PyTorch(PyTorchFile),
    /// Tensors at places that something else knows: an ONNX model, or its external data.
    #[cfg(feature = "onnx")]
    Plain,
}

impl Contents {
    /// Reads the header of a file of `bytes` bytes. Returns it with the offset of the data.
    pub fn open(
        file: &File,
        path: &Path,
        bytes: u64,
        options: &OpenOptions,
    ) -> Result<(Self, Header, u64), CheckpointError> {
        let read = |source| CheckpointError::Read { path: path.to_owned(), source };
        let invalid = |source| CheckpointError::Header { path: path.to_owned(), source };
        let mut beginning = [0; BEGINNING];
        let beginning = &mut beginning[..BEGINNING.min(usize::try_from(bytes).unwrap_or(BEGINNING))];
        read_at(file, beginning, 0).map_err(read)?;
        match Header::length(beginning, bytes) {
            Ok(length) => {
                options.check_keyless(path)?;
                // Not longer than the file, nor than what the format allows.
                let mut json = vec![0; length as usize];
                read_at(file, &mut json, PREFIX as u64).map_err(read)?;
                let header = Header::parse(&json, bytes).map_err(invalid)?;
                Ok((Self::Safetensors, header, PREFIX as u64 + length))
            }
            Err(StateDictError::OtherFormat { found }) => Self::open_other(file, path, bytes, options, found),
            Err(source) => Err(invalid(source)),
        }
    }

    /// Opens a file of another format than safetensors.
    #[cfg_attr(not(feature = "pytorch"), expect(unused_variables, reason = "there is no other format"))]
    fn open_other(
        file: &File,
        path: &Path,
        bytes: u64,
        options: &OpenOptions,
        found: FileFormat,
    ) -> Result<(Self, Header, u64), CheckpointError> {
        match found {
            // An archive with a long name has it where the beginning does not reach.
            #[cfg(feature = "pytorch")]
            FileFormat::PyTorch | FileFormat::Zip => match PyTorchFile::open(file, bytes, options.key.as_deref()) {
                Ok(Some((contents, header))) => {
                    let data = contents.header.len() as u64;
                    return Ok((Self::PyTorch(contents), header, data));
                }
                Ok(None) => {}
                // A damaged archive that does not look like one of PyTorch.
                Err(Failure::Invalid(PyTorchError::Archive { .. })) if found == FileFormat::Zip => {}
                Err(Failure::Read(source)) => return Err(CheckpointError::Read { path: path.to_owned(), source }),
                Err(Failure::Invalid(source)) => {
                    return Err(CheckpointError::PyTorch { path: path.to_owned(), source });
                }
                Err(Failure::Header(source)) => return Err(CheckpointError::Header { path: path.to_owned(), source }),
            },
            #[cfg(not(feature = "pytorch"))]
            FileFormat::PyTorch | FileFormat::Zip => {}
            FileFormat::Empty
            | FileFormat::GitLfsPointer
            | FileFormat::Gguf
            | FileFormat::Onnx
            | FileFormat::Hdf5
            | FileFormat::Html => {}
        }
        Err(CheckpointError::Header { path: path.to_owned(), source: StateDictError::OtherFormat { found } })
    }

    /// Fills `bytes` with those that begin at `offset` of the safetensors file.
    pub fn read(&self, file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::Safetensors => read_at(file, bytes, offset),
            #[cfg(feature = "pytorch")]
            Self::PyTorch(contents) => contents.read(file, bytes, offset),
            #[cfg(feature = "onnx")]
            Self::Plain => read_at(file, bytes, offset),
        }
    }

    /// Returns the name of the output for a shard of this name.
    pub fn output_name(&self, source_name: &Path) -> PathBuf {
        match self {
            Self::Safetensors => source_name.to_owned(),
            #[cfg(feature = "pytorch")]
            Self::PyTorch(_) => safetensors_name(source_name),
            #[cfg(feature = "onnx")]
            Self::Plain => source_name.to_owned(),
        }
    }

    /// Returns `true` if the tensors keep their places in the output.
    pub fn is_in_place(&self) -> bool {
        match self {
            Self::Safetensors => false,
            #[cfg(feature = "pytorch")]
            Self::PyTorch(_) => false,
            #[cfg(feature = "onnx")]
            Self::Plain => true,
        }
    }
}

/// The extensions of files of PyTorch. Some have two: `model.pth.tar`.
const PYTORCH_EXTENSIONS: &[&str] = &["bin", "ckpt", "pkl", "pt", "pth", "tar", "th"];

/// Returns the name of a safetensors file for a file of PyTorch, or for an index of such files: the one that Hugging Face gives
/// it, and the same name with another extension for all others.
pub(crate) fn safetensors_name(name: &Path) -> PathBuf {
    const INDEX: &str = ".index.json";
    let Some(text) = name.file_name().and_then(|name| name.to_str()) else {
        return name.with_extension("safetensors");
    };
    let (mut stem, end) = match text.strip_suffix(INDEX) {
        Some(stem) => (stem, INDEX),
        None => (text, ""),
    };
    while let Some((rest, extension)) = stem.rsplit_once('.')
        && !rest.is_empty()
        && PYTORCH_EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str())
    {
        stem = rest;
    }
    let stem = stem.strip_suffix(".safetensors").unwrap_or(stem);
    // `pytorch_model`, `pytorch_model-00001-of-00002`, `diffusion_pytorch_model`
    let stem = match stem.strip_prefix("pytorch_model") {
        Some(rest) if rest.is_empty() || rest.starts_with(['-', '.']) => format!("model{rest}"),
        _ => stem.to_owned(),
    };
    name.with_file_name(format!("{stem}.safetensors{end}"))
}

/// Returns `true` for a name that only files of PyTorch have.
pub(crate) fn is_pytorch_name(name: &Path) -> bool {
    let extension = name.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| PYTORCH_EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_have_the_names_of_hugging_face() {
        for (name, expected) in [
            ("model.pth", "model.safetensors"),
            ("pytorch_model.bin", "model.safetensors"),
            ("pytorch_model-00001-of-00002.bin", "model-00001-of-00002.safetensors"),
            ("pytorch_model.bin.index.json", "model.safetensors.index.json"),
            ("unet/diffusion_pytorch_model.fp16.bin", "unet/diffusion_pytorch_model.fp16.safetensors"),
            ("a.safetensors.index.json", "a.safetensors.index.json"),
            ("best.PTH.tar", "best.safetensors"),
            ("consolidated.00.pth", "consolidated.00.safetensors"),
            ("weights", "weights.safetensors"),
            ("v1.2", "v1.2.safetensors"),
            (".pt", ".pt.safetensors"),
        ] {
            assert_eq!(safetensors_name(Path::new(name)), Path::new(expected), "{name}");
        }
        assert!(["a.pt", "a.PTH", "a.bin"].iter().all(|name| is_pytorch_name(Path::new(name))));
        assert!(["a.safetensors", "a", "pt", ".pt"].iter().all(|name| !is_pytorch_name(Path::new(name))));
    }
}
