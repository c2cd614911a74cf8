use std::io;
use std::path::PathBuf;

use crate::error::PruneError;
use crate::file::error::StateDictError;
use crate::file::escape::{Quoted, QuotedPath};

/// The reason why statistics were not read, written or merged.
///
/// Names may come from an untrusted file, so messages escape control characters in them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatisticsError {
    /// The operating system could not read the file, or it is not a regular file.
    #[error("cannot read {}", QuotedPath(path))]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The operating system could not write the file.
    #[error("cannot write {}", QuotedPath(path))]
    Write {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The file is not a valid safetensors file, or would not be one.
    #[error("{} is not a valid safetensors file", QuotedPath(path))]
    Header {
        /// The file.
        path: PathBuf,
        /// The rule of the file format that it violates.
        source: StateDictError,
    },
    /// The file is a safetensors file, but not one of statistics.
    #[error("{} is not a valid statistics file: {reason}", QuotedPath(path))]
    Format {
        /// The file.
        path: PathBuf,
        /// The rule that it violates.
        reason: String,
    },
    /// The file was changed after it was opened.
    #[error("{} changed while it was being read", QuotedPath(path))]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Two files have sums of different shapes for one name.
    #[error("the sums of {} cannot be merged", Quoted(name))]
    Merge {
        /// The name of the input or weight.
        name: String,
        /// The reason.
        source: PruneError,
    },
    /// Two files give one weight different inputs.
    #[error(
        "the input of {} is {} in one of the statistics and {} in the other",
        Quoted(weight),
        Quoted(first),
        Quoted(second)
    )]
    OtherInput {
        /// The weight.
        weight: String,
        /// The name of the input that was there first.
        first: String,
        /// The other one.
        second: String,
    },
}
