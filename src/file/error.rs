use std::error::Error;
use std::io;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::PathBuf;

use crate::file::escape::Quoted;
use crate::file::names;

/// Why a file was not written, or not loaded.
///
/// Whenever a function of [`prune::safetensors`](crate::safetensors) returns an error, the module that it was given is
/// bitwise as it was before the call, and so is the file that it was to write. Names come from the file, which may be a
/// stranger's: messages escape the control characters in them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateDictError {
    /// The operating system could not read the file, or there is something else than a regular file in its place.
    #[error("file: cannot read {}", Quoted(&path.to_string_lossy()))]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The operating system could not write the file, or there is something else than a regular file in its place.
    #[error("file: cannot write {}", Quoted(&path.to_string_lossy()))]
    Write {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The file ends before its header does, or before the data that its header tells of.
    #[error("file: expected at least {expected} bytes, found {found}")]
    Truncated {
        /// What the part of it that could be read asks for.
        expected: u64,
        /// The length of the file.
        found: u64,
    },
    /// The file goes on after the data that its header tells of.
    #[error("file: expected {expected} bytes, found {found}")]
    TrailingBytes {
        /// What the header asks for.
        expected: u64,
        /// The length of the file.
        found: u64,
    },
    /// The header is longer than the format allows.
    #[error("header: expected at most {limit} bytes, found {found}")]
    HeaderTooLarge {
        /// The longest header that the format allows.
        limit: u64,
        /// The length of the header.
        found: u64,
    },
    /// The header is not the JSON that the format asks for.
    #[error("header: expected JSON with the dtype, the shape and the offsets of each tensor, found something else")]
    InvalidHeader {
        /// Where, and what.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The header has two tensors of one name.
    #[error("header: expected each name once, found {} twice", Quoted(name))]
    DuplicateName {
        /// The name that was repeated.
        name: String,
    },
    /// The offsets of the tensors overlap, leave gaps or do not fit dtype and shape.
    #[error("header: expected tensors that lie one after the other, each as long as its shape asks, found others")]
    InvalidLayout {
        /// Which tensor, or which rule.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A shape whose number of entries no array can have, or with a negative size.
    #[error("{}: expected a shape that an array can have, found {found}", Quoted(tensor))]
    ImpossibleShape {
        /// The tensor in the file.
        tensor: String,
        /// Its shape.
        found: String,
    },
    /// A tensor of another shape than the parameter, or a mask of another shape than what it is for.
    #[error("{}: expected shape {expected:?}, found {found:?}", Quoted(tensor))]
    ShapeMismatch {
        /// The tensor in the file.
        tensor: String,
        /// The shape of the parameter, or of what the mask is for.
        expected: Vec<usize>,
        /// The shape of the tensor.
        found: Vec<usize>,
    },
    /// A mask that holds something else than 0 and 1.
    #[error("{}: expected only 0 and 1, found {found} at {index:?}", Quoted(tensor))]
    MaskValue {
        /// The mask in the file.
        tensor: String,
        /// Where it stands.
        index: Vec<usize>,
        /// The value.
        found: f64,
    },
    /// The file has a parameter twice, once pruned and once not.
    #[error(
        "state dict: expected {} or {} and {}, found all three",
        Quoted(parameter), Quoted(&names::orig(parameter)), Quoted(&names::mask(parameter))
    )]
    PrunedAndPlain {
        /// The name of the parameter.
        parameter: String,
    },
    /// Two tensors of a state dict would go by one name, such as the original of a pruned `w` and a parameter `w_orig`.
    #[error("state dict: expected each name once, found {} twice", Quoted(name))]
    NameClash {
        /// The name.
        name: String,
    },
    /// Two parameters that are not a pruned one, but would be read as one because of their names.
    #[error(
        "state dict: expected {} and {} to belong to a pruned {}, found two parameters of these names",
        Quoted(&names::orig(parameter)), Quoted(&names::mask(parameter)), Quoted(parameter)
    )]
    MistakenForPruned {
        /// The name of the pruned parameter that there is not.
        parameter: String,
    },
    /// A parameter has a name that the format keeps for itself.
    #[error("state dict: expected a name that the file format leaves free, found {}", Quoted(name))]
    ReservedName {
        /// The name.
        name: String,
    },
    /// The file holds something else than masks, or half a mask.
    #[error(
        "masks: expected a name that ends in `{}` or `{}` and has its counterpart, found {}",
        names::BITS,
        names::SHAPE,
        Quoted(found)
    )]
    NotMasks {
        /// The tensor in the file.
        found: String,
    },
    /// A part of a packed mask has another dtype or another number of dimensions than the layout says.
    #[error("{}: expected {expected}, found {found}", Quoted(tensor))]
    MaskLayout {
        /// The tensor in the file.
        tensor: String,
        /// The dtype and number of dimensions that the layout has.
        expected: &'static str,
        /// The dtype and shape of the tensor.
        found: String,
    },
    /// A packed mask has more or fewer bytes than its shape asks for.
    #[error("{}: expected {expected} bytes, found {found}", Quoted(tensor))]
    MaskLength {
        /// The tensor in the file.
        tensor: String,
        /// What the shape asks for.
        expected: usize,
        /// The length of the tensor.
        found: usize,
    },
    /// A packed mask has a bit set that stands for no entry.
    #[error("{}: expected the bits after the last entry to be 0, found one that is 1", Quoted(tensor))]
    MaskPadding {
        /// The tensor in the file.
        tensor: String,
    },
}

// Nothing in an error changes after it was made, whatever its source is; a `dyn Error` just does not say so.
impl UnwindSafe for StateDictError {}
impl RefUnwindSafe for StateDictError {}
