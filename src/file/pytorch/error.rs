use std::error::Error;
use std::panic::{RefUnwindSafe, UnwindSafe};

use crate::file::escape::Quoted;

/// The reason why a file of PyTorch cannot be read.
///
/// Names may come from an untrusted file, so messages escape control characters in them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PyTorchError {
    /// The zip archive is damaged.
    #[error("the zip archive is invalid")]
    Archive {
        /// The reason.
        source: Box<dyn Error + Send + Sync>,
    },
    /// An entry of the zip archive is compressed or encrypted, which `torch.save` never does.
    #[error("entry {} of the zip archive is not stored as it is", Quoted(entry))]
    Compressed {
        /// The entry.
        entry: String,
    },
    /// The file is a program of `torch.jit.save`.
    #[error("the file is a program (TorchScript), not a state dict")]
    Program,
    /// The file is a pickle of another library.
    #[error("the file is a pickle, but not one of `torch.save`")]
    OtherPickle,
    /// The numbers in the file begin with their highest byte.
    #[error("the file is big-endian")]
    BigEndian,
    /// The file ends within a pickle.
    #[error("the pickle is cut off")]
    CutOff,
    /// A pickle is longer than this crate reads.
    #[error("the pickle has {found} bytes, limit {limit}")]
    PickleTooLarge {
        /// The longest pickle that is read.
        limit: u64,
        /// Its length, or that of the rest of the file.
        found: u64,
    },
    /// A pickle has an instruction that is unknown, or that makes no sense where it is.
    #[error("the pickle is invalid at byte {offset}: {reason}")]
    Pickle {
        /// The offset of the instruction in the pickle.
        offset: u64,
        /// The reason.
        reason: &'static str,
    },
    /// The values of a pickle refer to each other in a way that would take far more time or memory than the file has bytes.
    #[error("the values of the pickle contain each other too often or too deeply")]
    TooComplex,
    /// A storage, which holds the data of tensors, is missing or has another length.
    #[error("storage {} {reason}", Quoted(storage))]
    Storage {
        /// The key of the storage.
        storage: String,
        /// The fault.
        reason: &'static str,
    },
    /// A tensor is of a kind that a safetensors file cannot hold, or does not fit into its storage.
    #[error("tensor {} {reason}", Quoted(tensor))]
    Tensor {
        /// The tensor.
        tensor: String,
        /// The fault.
        reason: String,
    },
    /// Tensors that share their data would take far more space than the file does.
    #[error("the tensors share their data: as separate tensors they take {found} bytes, limit {limit}")]
    Expanded {
        /// The highest number of bytes, which depends on the length of the file.
        limit: u64,
        /// The number of bytes of all tensors.
        found: u64,
    },
    /// Two tensors have one name, because keys of nested dictionaries contain dots.
    #[error("{} occurs twice", Quoted(name))]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// No dictionary in the file has a tensor.
    #[error("the file has no dictionary of tensors")]
    NoTensors,
    /// Several dictionaries in the file have tensors, and no key was given.
    #[error("tensors are under several keys: {}", list(keys))]
    SeveralKeys {
        /// The keys; an empty one stands for the outermost dictionary.
        keys: Vec<String>,
    },
    /// The file has no dictionary or module with tensors under a given key.
    #[error("no tensors are under the key {}; there are some under {}", Quoted(key), list(keys))]
    MissingKey {
        /// The key.
        key: String,
        /// The keys under which tensors are.
        keys: Vec<String>,
    },
}

fn list(keys: &[String]) -> String {
    let shown = keys.iter().take(20).map(|key| Quoted(key).to_string());
    let rest = keys.len().saturating_sub(20);
    let rest = (rest > 0).then(|| format!("{rest} more"));
    let list = shown.chain(rest).collect::<Vec<_>>().join(", ");
    if list.is_empty() { "no key".to_owned() } else { list }
}

// An error does not change after it was created, whatever its source is, but the type `dyn Error` does not say so.
impl UnwindSafe for PyTorchError {}
impl RefUnwindSafe for PyTorchError {}
