//! The report of a pruning: for each tensor, how much of it was pruned or the reason why it was skipped.

use std::fmt;
use std::path::PathBuf;

use crate::file::dtype::Dtype;

/// The result of a pruning, with one entry per tensor.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "the report lists the skipped tensors"]
pub struct PruneReport {
    /// The tensors, ordered by shard and by position in the shard. A tensor that is stored as `w_orig` and `w_mask` has one
    /// entry, `w`.
    pub tensors: Vec<TensorReport>,
    /// The unit of the requested amounts.
    pub unit: Unit,
    /// The requested number of units of all tensors together; `None` for masks from a file.
    pub asked: Option<usize>,
    /// The highest pruned magnitude of a pruning by magnitude with global scope; `None` otherwise, and if the requested
    /// number is 0.
    pub threshold: Option<f64>,
    /// The shards that an earlier run finished, and this one kept.
    pub resumed: Vec<PathBuf>,
    /// The files beside the weights: those that were copied into the output directory, and those that were left out. Both lists
    /// are empty if the output is a file or holds weights only, and for a dry run.
    pub companions: Companions,
}

/// The files that lie in the directory of a checkpoint, without the checkpoint itself.
///
/// Into an output directory, a run copies what loaders need: the configurations of model and generation, and the files of
/// tokenizers and processors. They are recognised by a word in their names, such as `config`, `tokenizer` or `vocab`, together
/// with the extension of a text. Beside a `config.json`, Python modules, licences and the README are copied too. Nothing
/// longer than 100 MB is copied, and no weights in other files.
///
/// Files whose names begin with a dot are ignored, and so are subdirectories, except those of the stages of sentence
/// transformers, such as `1_Pooling`.
///
/// ```
/// # let (input, output) = (tempfile::tempdir()?, tempfile::tempdir()?);
/// # let layer = prune::ParameterStore::from_iter([("fc.weight", ndarray::Array2::<f32>::ones((4, 4)))]);
/// # prune::safetensors::save_file(&layer, input.path().join("model.safetensors"))?;
/// # for name in ["config.json", "tokenizer.json", "pytorch_model.bin"] { std::fs::write(input.path().join(name), "{}")? }
/// use prune::L1Unstructured;
/// use prune::checkpoint::{Checkpoint, Output, Pruner};
///
/// let checkpoint = Checkpoint::open([input.path().join("model.safetensors")])?;
/// let report = Pruner::new(L1Unstructured::new(0.5)?).run(&checkpoint, &Output::new(output.path()), &())?;
/// assert!(output.path().join("tokenizer.json").exists());
/// assert!(report.companions.copied.iter().map(|name| name.as_os_str()).eq(["config.json", "tokenizer.json"]));
/// assert!(report.companions.left_out.iter().map(|name| name.as_os_str()).eq(["pytorch_model.bin"]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Companions {
    /// The files that are copied, as paths below the directory.
    pub copied: Vec<PathBuf>,
    /// The files that are not copied, as such paths: other weights and, if there is a `config.json`, files that no loader is
    /// known to need.
    pub left_out: Vec<PathBuf>,
}

/// The unit of amounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// Entries, unless the method is structured.
    Entries,
    /// Channels, for a structured method.
    Channels,
}

/// The result of a pruning for one tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorReport {
    /// The plain name of the tensor.
    pub name: String,
    /// The dtype of the tensor.
    pub dtype: Dtype,
    /// The shape of the tensor.
    pub shape: Vec<usize>,
    /// The shard of the tensor, an index into [`Checkpoint::shards`](crate::checkpoint::Checkpoint::shards).
    pub shard: usize,
    /// The number of entries of the tensor.
    pub entries: usize,
    /// The counts of a pruned tensor, or the reason why it was skipped.
    pub outcome: Outcome,
}

/// The outcome of a pruning for one tensor: pruned or skipped.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// The tensor was pruned.
    Pruned {
        /// The requested number of units of this tensor; `None` with global scope and for masks from a file.
        asked: Option<usize>,
        /// The number of entries that the mask pruned before the run; 0 for a tensor without a mask, even if it has zeros.
        before: usize,
        /// The number of entries that the mask prunes after the run.
        after: usize,
    },
    /// The tensor was skipped, and copied as it is.
    Skipped(SkipReason),
}

/// The reason why a tensor was skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// The dtype is none of F32, F64, F16 and BF16.
    Dtype,
    /// The tensor has fewer than two dimensions, and no pattern includes it.
    Rank,
    /// The name contains a word of [`NOT_PRUNED_BY_DEFAULT`](crate::checkpoint::NOT_PRUNED_BY_DEFAULT), and no pattern
    /// includes it.
    Name {
        /// The word, such as `embed`.
        mark: &'static str,
    },
    /// None of the patterns to include matches the name.
    NotIncluded,
    /// A pattern to exclude matches the name.
    Excluded {
        /// The pattern.
        pattern: String,
    },
    /// The mask file has no mask for the tensor.
    NoMask,
}

impl PruneReport {
    /// Returns the number of entries that the masks of all pruned tensors prune after the run.
    pub fn pruned_after(&self) -> usize {
        self.pruned().map(|(_, after)| after).sum()
    }

    /// Returns the number of entries that the masks of all pruned tensors pruned before the run.
    pub fn pruned_before(&self) -> usize {
        self.pruned().map(|(before, _)| before).sum()
    }

    /// Returns the number of entries of all pruned tensors, remaining ones included.
    pub fn selected_entries(&self) -> usize {
        let entries = |tensor: &TensorReport| match tensor.outcome {
            Outcome::Pruned { .. } => Some(tensor.entries),
            Outcome::Skipped(_) => None,
        };
        self.tensors.iter().filter_map(entries).sum()
    }

    /// The numbers of entries of each pruned tensor that were pruned before, and are pruned after.
    fn pruned(&self) -> impl Iterator<Item = (usize, usize)> {
        self.tensors.iter().filter_map(|tensor| match tensor.outcome {
            Outcome::Pruned { before, after, .. } => Some((before, after)),
            Outcome::Skipped(_) => None,
        })
    }
}

/// The reason in a few words, as in the last column of a table.
impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dtype => f.write_str("not F32, F64, F16 or BF16"),
            Self::Rank => f.write_str("fewer than 2 dimensions"),
            Self::Name { mark } => write!(f, "`{mark}` in its name"),
            Self::NotIncluded => f.write_str("not included"),
            Self::Excluded { pattern } => write!(f, "excluded by `{pattern}`"),
            Self::NoMask => f.write_str("no mask for it"),
        }
    }
}
