use std::error::Error;
use std::io;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::PathBuf;

use crate::error::PruneError;
use crate::file::escape::{Quoted, QuotedPath};
use crate::file::names;
use crate::file::recognise::FileFormat;

/// The reason why a file was not written, or not loaded.
///
/// If a function of [`prune::safetensors`](crate::safetensors) returns an error, its module is bitwise unchanged, and so is
/// the file that it was to replace. Names may come from an untrusted file, so messages escape control characters in them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateDictError {
    /// The operating system could not read the file, or it is not a regular file.
    #[error("cannot read {}", QuotedPath(path))]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The operating system could not write the file, or the path is taken by something other than a regular file.
    #[error("cannot write {}", QuotedPath(path))]
    Write {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The file is of another format, which was recognised by its first bytes.
    #[error("file is {found}")]
    OtherFormat {
        /// The format.
        found: FileFormat,
    },
    /// The file ends within its header, or within the data that the header describes.
    #[error("file has {found} bytes, but its header needs {expected}")]
    Truncated {
        /// The length that the readable part of the header needs.
        expected: u64,
        /// The length of the file.
        found: u64,
    },
    /// The file continues after the data that its header describes.
    #[error("file has {found} bytes, but its header describes only {expected}")]
    TrailingBytes {
        /// The length that the header describes.
        expected: u64,
        /// The length of the file.
        found: u64,
    },
    /// The header is longer than the format allows.
    #[error("header has {found} bytes, limit {limit}")]
    HeaderTooLarge {
        /// The longest header that the format allows.
        limit: u64,
        /// The length of the header.
        found: u64,
    },
    /// The header is not JSON, or lacks the dtype, shape or offsets of a tensor.
    #[error("header is not valid safetensors JSON")]
    InvalidHeader {
        /// The message of the parser, with the line and column.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The header has a name twice.
    #[error("{} occurs twice", Quoted(name))]
    DuplicateName {
        /// The repeated name.
        name: String,
    },
    /// The offsets of tensors overlap, leave gaps or do not fit dtype and shape.
    #[error("tensor data overlaps, leaves gaps or does not fit its shape")]
    InvalidLayout {
        /// The tensor, or the violated rule.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A shape has a negative size, or more entries than an array can have.
    #[error("tensor {} has an unsupported shape, {found}: a size is negative or too large", Quoted(tensor))]
    ImpossibleShape {
        /// The tensor in the file.
        tensor: String,
        /// The shape.
        found: String,
    },
    /// A tensor differs in shape from its parameter, or a mask from its original.
    #[error("{} has shape {found:?}, but its parameter has shape {expected:?}", Quoted(tensor))]
    ShapeMismatch {
        /// The tensor in the file, or the name of a mask.
        tensor: String,
        /// The shape of the parameter.
        expected: Vec<usize>,
        /// The shape of the tensor or mask.
        found: Vec<usize>,
    },
    /// A mask has an entry other than 0 and 1.
    #[error("mask {} holds {found} at {index:?}; only 0 and 1 are allowed", Quoted(tensor))]
    MaskValue {
        /// The mask in the file.
        tensor: String,
        /// The index of the entry.
        index: Vec<usize>,
        /// The entry.
        found: f64,
    },
    /// The file has a parameter twice: once unpruned, and once as an original and a mask.
    #[error(
        "parameter {} is stored both plain and as {} and {}",
        Quoted(parameter), Quoted(&names::orig(parameter)), Quoted(&names::mask(parameter))
    )]
    PrunedAndPlain {
        /// The name of the parameter.
        parameter: String,
    },
    /// Two tensors of a state dict have one name, such as the original of a pruned `w` and a parameter `w_orig`.
    #[error("the state dict would contain two tensors named {}", Quoted(name))]
    NameClash {
        /// The name.
        name: String,
    },
    /// Two unpruned parameters would be read as one pruned parameter, because of their names.
    #[error(
        "parameters {} and {} would be read as a pruned parameter {}",
        Quoted(&names::orig(parameter)), Quoted(&names::mask(parameter)), Quoted(parameter)
    )]
    MistakenForPruned {
        /// The name that the pruned parameter would have.
        parameter: String,
    },
    /// A parameter has a name that the format reserves.
    #[error("the file format reserves the name {}", Quoted(name))]
    ReservedName {
        /// The name.
        name: String,
    },
    /// A mask file has a tensor that is not one of a pair of shape and bits.
    #[error(
        "tensor {} is not part of a mask, which is a pair named `*{}` and `*{}`",
        Quoted(found),
        names::BITS,
        names::SHAPE
    )]
    NotMasks {
        /// The tensor in the file.
        found: String,
    },
    /// The shape or the bits of a mask in a mask file have another dtype or number of dimensions than its layout says.
    #[error("tensor {} is {found}, not {expected}", Quoted(tensor))]
    MaskLayout {
        /// The tensor in the file.
        tensor: String,
        /// The dtype and number of dimensions of the layout.
        expected: &'static str,
        /// The dtype and shape of the tensor.
        found: String,
    },
    /// The bits of a mask in a mask file take more or fewer bytes than its shape needs.
    #[error("tensor {} has {found} bytes, but the shape of its mask needs {expected}", Quoted(tensor))]
    MaskLength {
        /// The tensor in the file.
        tensor: String,
        /// The length that the shape needs.
        expected: usize,
        /// The length of the tensor.
        found: usize,
    },
    /// A part of a packed tensor has another dtype or shape than its layout says.
    #[error("tensor {} is {found}, not {expected}", Quoted(tensor))]
    PackedLayout {
        /// The tensor in the file.
        tensor: String,
        /// The dtype and shape of the layout.
        expected: String,
        /// The dtype and shape of the tensor.
        found: String,
    },
    /// A packed tensor has more or fewer values than bits that are 1.
    #[error("tensor {} has {values} values, but its bit mask keeps {bits}", Quoted(tensor))]
    PackedValues {
        /// The tensor of the values.
        tensor: String,
        /// The number of bits that are 1.
        bits: usize,
        /// The number of values.
        values: usize,
    },
    /// The values of a row of a packed tensor do not begin where the bits say.
    #[error("tensor {} places row {row} at {found}, but its bit mask places it at {expected}", Quoted(tensor))]
    PackedOffset {
        /// The tensor of the offsets.
        tensor: String,
        /// The first such row.
        row: usize,
        /// The number of values before the row.
        expected: usize,
        /// The offset.
        found: i64,
    },
    /// The file has no state of a session, or one that cannot be read.
    #[error("file has no state of a session: {reason}")]
    NoSession {
        /// The key or value that is missing or invalid.
        reason: String,
    },
    /// The file has the state of a session that was built in another way.
    #[error("file is of another session")]
    Session {
        /// The difference.
        source: PruneError,
    },
    /// A parameter of a session is not in the file as a parameter of this type, or is pruned in the module and not in the file.
    #[error("parameter {} of the session cannot be loaded from the file", Quoted(parameter))]
    NotLoaded {
        /// The parameter.
        parameter: String,
    },
    /// The bits of a mask in a mask file, or of a row of a packed tensor, are followed by padding that is not 0.
    #[error("tensor {} is corrupt: a padding bit after the last entry is 1", Quoted(tensor))]
    MaskPadding {
        /// The tensor in the file.
        tensor: String,
    },
}

// An error does not change after it was created, whatever its source is, but the type `dyn Error` does not say so.
impl UnwindSafe for StateDictError {}
impl RefUnwindSafe for StateDictError {}
