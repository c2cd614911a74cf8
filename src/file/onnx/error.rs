use std::io;

use crate::file::escape::Quoted;

/// The reason why an ONNX model was not read.
///
/// Names may come from an untrusted file, so messages escape control characters in them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// A field ends after the message that it is a part of, or after the file.
    #[error("the field at byte {offset} ends beyond its message")]
    Truncated {
        /// The offset of the field in the file.
        offset: u64,
    },
    /// A number has more than 64 bits.
    #[error("the number at byte {offset} has more than 64 bits")]
    Varint {
        /// The offset of the number in the file.
        offset: u64,
    },
    /// A field has a wire type that ONNX does not use, or the number 0.
    #[error("the field at byte {offset} has the invalid key {key}")]
    Key {
        /// The offset of the field in the file.
        offset: u64,
        /// The number and the wire type, as one number.
        key: u64,
    },
    /// A name is not UTF-8.
    #[error("the text at byte {offset} is not UTF-8")]
    Text {
        /// The offset of the text in the file.
        offset: u64,
    },
    /// A name is longer than any that a tool writes.
    #[error("the text at byte {offset} has {found} bytes, limit {limit}")]
    TextLength {
        /// The offset of the text in the file.
        offset: u64,
        /// The length of the longest text that is read.
        limit: u64,
        /// The length of the text.
        found: u64,
    },
    /// The model has no graph, or more than one.
    #[error("the model has {found} graphs, and must have one")]
    Graphs {
        /// The number of graphs.
        found: usize,
    },
    /// Graphs are nested too deeply.
    #[error("graphs are nested more than {limit} deep")]
    Nested {
        /// The deepest level that is read.
        limit: usize,
    },
    /// Two tensors have one name.
    #[error("{} occurs twice", Quoted(name))]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A shape has a negative size, too many sizes, or more entries than memory can have.
    #[error("tensor {} has an unsupported shape, {found}: a size is negative or too large", Quoted(tensor))]
    Shape {
        /// The tensor.
        tensor: String,
        /// The sizes, or how many there are.
        found: String,
    },
    /// The data of a tensor is longer or shorter than its shape needs.
    #[error("tensor {} has {found} bytes of data, but its shape needs {expected}", Quoted(tensor))]
    DataLength {
        /// The tensor.
        tensor: String,
        /// The length that the shape needs.
        expected: u64,
        /// The length of the data.
        found: u64,
    },
    /// The data of a tensor is there twice.
    #[error("tensor {} has its data twice", Quoted(tensor))]
    DataTwice {
        /// The tensor.
        tensor: String,
    },
    /// External data lies at a path that may lead out of the directory of the model.
    #[error(
        "the data of tensor {} is in {}, which is not a plain path inside the directory of the model",
        Quoted(tensor),
        Quoted(location)
    )]
    Location {
        /// The tensor.
        tensor: String,
        /// The path in the model.
        location: String,
    },
    /// The path of external data, or a directory on it, is a link.
    #[error("the data of tensor {} is in {}, which is a link or reached by one", Quoted(tensor), Quoted(location))]
    Link {
        /// The tensor.
        tensor: String,
        /// The path in the model.
        location: String,
    },
    /// The file of external data does not exist.
    #[error("the data of tensor {} is in {}, which does not exist", Quoted(tensor), Quoted(location))]
    MissingData {
        /// The tensor.
        tensor: String,
        /// The path in the model.
        location: String,
    },
    /// The offset or the length of external data is not a number.
    #[error("the {key} of the data of tensor {} is {}, which is not a number", Quoted(tensor), Quoted(value))]
    External {
        /// The tensor.
        tensor: String,
        /// `offset` or `length`.
        key: &'static str,
        /// The text in the model.
        value: String,
    },
    /// External data ends after its file.
    #[error("the data of tensor {} ends at byte {end} of {}, which has {found}", Quoted(tensor), Quoted(location))]
    BeyondFile {
        /// The tensor.
        tensor: String,
        /// The path in the model.
        location: String,
        /// The end of the data.
        end: u64,
        /// The length of the file.
        found: u64,
    },
    /// Two tensors share bytes, so that one cannot be pruned without the other.
    #[error("tensors {} and {} share bytes of {}", Quoted(first), Quoted(second), Quoted(location))]
    Overlap {
        /// The tensor that begins first.
        first: String,
        /// The other tensor.
        second: String,
        /// The path in the model.
        location: String,
    },
}

/// The reason why reading ended: the file could not be read, or it is no valid model.
#[derive(Debug)]
pub(crate) enum Failure {
    Read(io::Error),
    Invalid(OnnxError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

impl From<OnnxError> for Failure {
    fn from(error: OnnxError) -> Self {
        Self::Invalid(error)
    }
}
