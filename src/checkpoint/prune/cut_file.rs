//! Counts and cuts as JSON files.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::prune::counts::{ShardCounts, Within};
use crate::checkpoint::prune::selection::Selection;
use crate::checkpoint::write::output::Output;
use crate::checkpoint::write::writer::write_whole;
use crate::file::escape::escaped;
use crate::file::open;

/// A kind of file. The keys of a file with another version are not looked at.
pub(super) trait Versioned: Serialize + DeserializeOwned {
    /// The value of the key `format`.
    const FORMAT: &'static str;
    /// The value of the key `version`.
    const VERSION: u32 = 1;
    /// The name of the kind in messages.
    const NAME: &'static str;
}

/// A file of counts.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PartFile {
    format: String,
    version: u32,
    pub selection: Selection,
    pub within: Option<Within>,
    pub shards: Vec<ShardCounts>,
}

impl Versioned for PartFile {
    const FORMAT: &'static str = "nn-prune-counts";
    const NAME: &'static str = "a file of counts";
}

impl PartFile {
    pub fn new(selection: Selection, within: Option<Within>, shards: Vec<ShardCounts>) -> Self {
        Self { format: Self::FORMAT.into(), version: Self::VERSION, selection, within, shards }
    }
}

/// A file with a cut.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CutFile {
    format: String,
    version: u32,
    pub selection: Selection,
    /// The number of entries to prune.
    pub count: u64,
    pub low: Magnitude,
    pub high: Magnitude,
    pub exact: bool,
    pub shards: Vec<CutShard>,
}

impl Versioned for CutFile {
    const FORMAT: &'static str = "nn-prune-cut";
    const NAME: &'static str = "a cut";
}

impl CutFile {
    pub fn new(selection: Selection, count: u64, (low, high, exact): (f64, f64, bool), shards: Vec<CutShard>) -> Self {
        let (format, version) = (Self::FORMAT.into(), Self::VERSION);
        Self { format, version, selection, count, low: Magnitude(low), high: Magnitude(high), exact, shards }
    }
}

/// A shard in a cut.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CutShard {
    pub name: String,
    /// The size of the file.
    pub bytes: u64,
    /// The hash of its tensors, and of those that are selected, in hexadecimal.
    pub tensors: String,
    pub selected: String,
    /// The entries of the selected parameters whose weights are in the shard, and those of them that masks keep.
    pub entries: u64,
    pub remaining: u64,
    /// The remaining entries below the magnitude of the cut and at it, and how many of the latter are pruned; 0 if it is not exact.
    pub below: u64,
    pub ties: u64,
    pub pruned_ties: u64,
}

/// A magnitude, in files as text: JSON has no NaN, and not every parser keeps all digits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Magnitude(pub f64);

impl PartialEq for Magnitude {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 || self.0.is_nan() && other.0.is_nan()
    }
}

impl Serialize for Magnitude {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:?}", self.0))
    }
}

impl<'de> Deserialize<'de> for Magnitude {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number: Option<f64> = text.parse().ok().filter(|number: &f64| number.is_nan() || *number >= 0.0);
        number
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("a magnitude must be text with a number that is not negative"))
    }
}

/// Reads a file.
pub(super) fn read<F: Versioned>(path: &Path) -> Result<F, CheckpointError> {
    #[derive(Deserialize)]
    struct Beginning {
        format: String,
        version: u32,
    }
    let bytes = open::read(path).map_err(|source| CheckpointError::Read { path: path.to_owned(), source })?;
    let invalid = |reason: String| CheckpointError::Config { path: path.to_owned(), reason };
    let faulty = |error: serde_json::Error| match error.is_data() {
        true => invalid(format!("is not {}: {}", F::NAME, escaped(error))),
        false => CheckpointError::InvalidJson { path: path.to_owned(), source: escaped(error) },
    };
    let Beginning { format, version } = serde_json::from_slice(&bytes).map_err(faulty)?;
    if format != F::FORMAT {
        return Err(invalid(format!("is not {}: its format is not `{}`", F::NAME, F::FORMAT)));
    }
    if version != F::VERSION {
        return Err(invalid(format!("is {} of version {version}; this program knows version {}", F::NAME, F::VERSION)));
    }
    serde_json::from_slice(&bytes).map_err(faulty)
}

/// Writes a file.
pub(super) fn save(output: &Output, file: &impl Versioned) -> Result<(), CheckpointError> {
    let path = output.path();
    if !output.force && path.symlink_metadata().is_ok() {
        return Err(CheckpointError::OutputExists { path: path.to_owned() });
    }
    let failed = |error: serde_json::Error| CheckpointError::Write { path: path.to_owned(), source: error.into() };
    let mut text = serde_json::to_vec(file).map_err(failed)?;
    text.push(b'\n');
    write_whole(path, &text)
}
