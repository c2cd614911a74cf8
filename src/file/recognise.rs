//! Files of other formats, recognised by their first bytes.

use std::fmt;

/// The number of bytes at the beginning of a file by which its format is recognised.
pub(crate) const BEGINNING: usize = 512;

/// A format that is often taken for safetensors, or that a download left in the place of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileFormat {
    /// A file without contents.
    Empty,
    /// The text by which Git stands in for a large file that was not downloaded.
    GitLfsPointer,
    /// A file of `torch.save`: `.pt`, `.pth`, `.ckpt` or `.bin`, in the zip format or as an older pickle.
    PyTorch,
    /// A zip archive other than one of PyTorch.
    Zip,
    /// A model of llama.cpp.
    Gguf,
    /// A model in the ONNX format.
    Onnx,
    /// An HDF5 file, as Keras writes it.
    Hdf5,
    /// A web page, usually the error page of a failed download.
    Html,
}

impl FileFormat {
    /// Recognises a file by its first [`BEGINNING`] bytes, or all if there are fewer. The result for a safetensors file is
    /// arbitrary.
    pub(crate) fn of(beginning: &[u8]) -> Option<Self> {
        let has = |text: &[u8]| beginning.windows(text.len()).any(|window| window == text);
        let text = beginning.trim_ascii_start().to_ascii_lowercase();
        Some(match beginning {
            [] => Self::Empty,
            [b'G', b'G', b'U', b'F', ..] => Self::Gguf,
            [0x89, b'H', b'D', b'F', b'\r', b'\n', ..] => Self::Hdf5,
            [b'P', b'K', 3, 4, ..] if has(b"data.pkl") => Self::PyTorch,
            [b'P', b'K', 3 | 5, 4 | 6, ..] => Self::Zip,
            // The first opcode of a pickle is its protocol.
            [0x80, 2..=5, ..] => Self::PyTorch,
            // A protobuf message: the version, then the producer, the domain, a text, the graph or the operators.
            [0x08, 1..=64, 0x12 | 0x1a | 0x22 | 0x28 | 0x32 | 0x3a | 0x42, ..] => Self::Onnx,
            _ if beginning.starts_with(b"version https://git-lfs") => Self::GitLfsPointer,
            _ if [&b"<!doctype"[..], b"<html", b"<?xml"].iter().any(|start| text.starts_with(start)) => Self::Html,
            _ => return None,
        })
    }

    /// Returns what to do about it, in a few words.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Empty => "download or write the file again",
            Self::GitLfsPointer => "`git lfs pull` downloads the file that it stands for",
            Self::PyTorch => {
                "convert it in Python: safetensors.torch.save_file(torch.load(file, weights_only=True), \"model.safetensors\")"
            }
            Self::Zip => "unpack it; the checkpoint may be inside",
            Self::Gguf => "prune the safetensors checkpoint from which it was made, and convert the result to GGUF",
            Self::Onnx if cfg!(feature = "onnx") => "an ONNX model is pruned in place, as the only input",
            Self::Onnx => "prune the safetensors checkpoint from which it was exported, and export the result",
            Self::Hdf5 => "load it in Python and write its arrays with safetensors.numpy.save_file",
            Self::Html => "the download failed, perhaps for want of a login; open the file as text to see why",
        }
    }
}

/// The format with its article, as in "the file is an ONNX model".
impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "empty",
            Self::GitLfsPointer => "a Git LFS pointer",
            Self::PyTorch => "a PyTorch file (a pickle)",
            Self::Zip => "a zip archive",
            Self::Gguf => "a GGUF file",
            Self::Onnx => "an ONNX model",
            Self::Hdf5 => "an HDF5 file",
            Self::Html => "a web page (HTML or XML)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_recognised_by_their_first_bytes() {
        for (beginning, expected) in [
            (&b""[..], Some(FileFormat::Empty)),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:", Some(FileFormat::GitLfsPointer)),
            (b"PK\x03\x04\0\0\x08\x08\0\0\0\0\0\0archive/data.pklFB", Some(FileFormat::PyTorch)),
            (b"PK\x03\x04\x14\0\0\0\0\0 weights.npy", Some(FileFormat::Zip)),
            (b"PK\x05\x06\0\0\0\0", Some(FileFormat::Zip)),
            (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", Some(FileFormat::PyTorch)),
            (b"\x80\x04\x95\x1a\0\0\0\0\0\0\0}", Some(FileFormat::PyTorch)),
            (b"GGUF\x03\0\0\0", Some(FileFormat::Gguf)),
            (b"\x08\x08\x12\x07pytorch\x1a\x05", Some(FileFormat::Onnx)),
            (b"\x08\x07:\xd0\x02\n", Some(FileFormat::Onnx)),
            (b"\x89HDF\r\n\x1a\n\0\0\0", Some(FileFormat::Hdf5)),
            (b"\n <!DOCTYPE html><html>", Some(FileFormat::Html)),
            (b"<HTML lang=en>", Some(FileFormat::Html)),
            (b"<?xml version=\"1.0\"?><Error>", Some(FileFormat::Html)),
            (b"this is a line of text", None),
            (b"{\"a\": 1}", None),
            (b"PK", None),
            (b"\x80\x01", None),
        ] {
            assert_eq!(FileFormat::of(beginning), expected, "{:?}", String::from_utf8_lossy(beginning));
        }
    }
}
