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
    /// The requested number of units of all tensors together; `None` for masks from a file, and for some of the shards of a
    /// [`Cut`](crate::checkpoint::Cut).
    pub asked: Option<usize>,
    /// The highest pruned magnitude of a pruning by magnitude with global scope; `None` otherwise, and if the requested
    /// number is 0.
    pub threshold: Option<f64>,
    /// The shards that an earlier run finished, and this one kept.
    pub resumed: Vec<PathBuf>,
    /// The patterns to exclude that matched no tensor.
    pub unmatched: Vec<String>,
    /// The files beside the weights: those that were copied into the output directory, and those that were left out. Both lists
    /// are empty if the output is a file or holds weights only, and for a dry run.
    pub companions: Companions,
}

impl fmt::Display for ChannelAxis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self.reason {
            AxisReason::Given => "as given",
            AxisReason::OutputFirst => "output channels come first",
            AxisReason::Bias => "the bias has one entry per channel of it",
            AxisReason::Name => "by its name, the layer stores input channels first",
            AxisReason::Operator { name } => return write!(f, "axis {}: output channels of {name}", self.axis),
        };
        write!(f, "axis {}: {reason}", self.axis)
    }
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
    /// Blocks, or groups of an N:M pattern.
    Groups,
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
    /// The axis of the channels, if the method is structured and the tensor was pruned.
    pub axis: Option<ChannelAxis>,
    /// The error of the layer's output, if the method has data or the run [measures](crate::checkpoint::Pruner::check) it.
    pub calibration: Option<CalibrationReport>,
    /// The counts of a pruned tensor, or the reason why it was skipped.
    pub outcome: Outcome,
}

/// The change of a layer's output, by statistics of its inputs.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct CalibrationReport {
    /// The relative error on the statistics by which the tensor was pruned: `‖X Wᵀ - X Vᵀ‖ / ‖X Wᵀ‖`. `None` if they have no Gram
    /// matrix, or no method and no check needed one.
    pub error: Option<f64>,
    /// The relative error on the other statistics of [`Pruner::check`](crate::checkpoint::Pruner::check).
    pub error_check: Option<f64>,
    /// The number of inputs that are always zero in the statistics by which the tensor was pruned.
    pub dead: Option<usize>,
    /// The number that was added to the diagonal of the Hessian, if the method has one.
    pub dampening: Option<f64>,
}

/// The axis of the channels of a tensor in a structured pruning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelAxis {
    /// The axis, from 0.
    pub axis: usize,
    /// The reason why it is this one.
    pub reason: AxisReason,
}

/// The reason why an axis is that of the channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AxisReason {
    /// The method says so.
    Given,
    /// The first axis is that of the output channels in most layers.
    OutputFirst,
    /// The layer's bias has as many entries as this axis, and not as many as the first.
    Bias,
    /// The layer is one that stores its input channels first, by its name.
    Name,
    /// The operator of an ONNX model that takes the weight has its output channels along this axis.
    Operator {
        /// The operator, such as `MatMul`.
        name: &'static str,
    },
}

/// The outcome of a pruning for one tensor: pruned or skipped.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// The tensor was pruned.
    Pruned {
        /// The requested number of units of this tensor; `None` with global scope and for masks from a file.
        asked: Option<usize>,
        /// The number of these entries that were zero before the run: pruned by a mask, or stored as a zero. In a shard that
        /// an earlier run finished, only those pruned by a mask.
        before: usize,
        /// The number of entries that are pruned after the run.
        after: usize,
    },
    /// The tensor was skipped, and copied as it is.
    Skipped(SkipReason),
}

/// The reason why a tensor was skipped.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SkipReason {
    /// The dtype is none of F32, F64, F16 and BF16.
    Dtype,
    /// At most one dimension is larger than 1.
    Vector,
    /// The name is not that of a layer's weight: a buffer, a token, a position, a table, a constant filter. In an ONNX model, it
    /// is the operator that takes the tensor for something else.
    NotALayer {
        /// The part of the name that says so, such as `pos_embed`, or the operator.
        name: String,
    },
    /// The layer is a norm.
    Norm {
        /// The word in the layer's name, such as `norm`.
        word: &'static str,
    },
    /// The layer is an embedding.
    Embedding {
        /// The word in the layer's name, such as `embed`, or the operator of an ONNX model.
        word: &'static str,
    },
    /// The tensor equals an embedding, byte for byte: the two are tied, and stored twice.
    Tied {
        /// The embedding.
        embedding: String,
    },
    /// The layer scores a vocabulary, like `lm_head`.
    Head,
    /// The layer chooses experts.
    Router,
    /// The method is structured, and the layer computes the output of the model.
    LastLayer,
    /// A scale, a zero point or the like of a quantised weight.
    Quantization {
        /// The quantised weight.
        weight: String,
    },
    /// The gain of a weight normalisation.
    Gain,
    /// A part of a packed tensor: unpack the checkpoint to prune it.
    Packed,
    /// A tensor of an ONNX model that is stored so that its entries cannot be replaced where they are.
    Encoded {
        /// The field of the model that stores it, or that forbids a change.
        field: &'static str,
    },
    /// A tensor of a graph within the graph of an ONNX model, such as a branch of `If`.
    Subgraph,
    /// State of an optimizer.
    OptimizerState,
    /// None of the patterns to include matches the name.
    NotIncluded,
    /// A pattern to exclude matches the name.
    Excluded {
        /// The pattern.
        pattern: String,
    },
    /// No pattern that has an amount, or a method, matches the name.
    NoAmount,
    /// The mask file has no mask for the tensor.
    NoMask,
}

impl SkipReason {
    /// Returns a short name of the reason for programs, such as `embedding`. It stays the same.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Dtype => "dtype",
            Self::Vector => "vector",
            Self::NotALayer { .. } => "not_a_layer",
            Self::Norm { .. } => "norm",
            Self::Embedding { .. } => "embedding",
            Self::Tied { .. } => "tied",
            Self::Head => "head",
            Self::Router => "router",
            Self::LastLayer => "last_layer",
            Self::Quantization { .. } => "quantization",
            Self::Gain => "gain",
            Self::Packed => "packed",
            Self::Encoded { .. } => "encoded",
            Self::Subgraph => "subgraph",
            Self::OptimizerState => "optimizer_state",
            Self::NotIncluded => "not_included",
            Self::Excluded { .. } => "excluded",
            Self::NoAmount => "no_amount",
            Self::NoMask => "no_mask",
        }
    }

    /// Returns the name, word or pattern that belongs to the reason, if there is one.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::NotALayer { name } => Some(name),
            Self::Norm { word } | Self::Embedding { word } => Some(word),
            Self::Encoded { field } => Some(field),
            Self::Tied { embedding } => Some(embedding),
            Self::Quantization { weight } => Some(weight),
            Self::Excluded { pattern } => Some(pattern),
            Self::Dtype
            | Self::Vector
            | Self::Head
            | Self::Router
            | Self::LastLayer
            | Self::Gain
            | Self::Packed
            | Self::Subgraph
            | Self::OptimizerState
            | Self::NotIncluded
            | Self::NoAmount
            | Self::NoMask => None,
        }
    }
}

impl PruneReport {
    /// Returns the number of entries of all pruned tensors that are pruned after the run.
    pub fn pruned_after(&self) -> usize {
        self.pruned().map(|(_, after)| after).sum()
    }

    /// Returns the number of these entries that were zero before the run.
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

/// The reason in a few words, as in the last column of a table. Tensors with equal texts were skipped for one reason;
/// [`SkipReason::detail`] has the rest.
impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dtype => f.write_str("not F32, F64, F16 or BF16"),
            Self::Vector => f.write_str("a vector"),
            Self::NotALayer { .. } => f.write_str("not a layer's weight"),
            Self::Norm { .. } => f.write_str("a norm"),
            Self::Embedding { .. } => f.write_str("an embedding"),
            Self::Tied { .. } => f.write_str("equal to an embedding (tied)"),
            Self::Head => f.write_str("an output layer over a vocabulary"),
            Self::Router => f.write_str("a router of experts"),
            Self::LastLayer => f.write_str("the last layer"),
            Self::Quantization { .. } => f.write_str("part of a quantised weight"),
            Self::Gain => f.write_str("the gain of a weight norm"),
            Self::Packed => f.write_str("packed"),
            Self::Encoded { field } => write!(f, "stored in `{field}`, not as plain bytes"),
            Self::Subgraph => f.write_str("in a subgraph"),
            Self::OptimizerState => f.write_str("optimizer state"),
            Self::NotIncluded => f.write_str("not included"),
            Self::Excluded { pattern } => write!(f, "excluded by `{pattern}`"),
            Self::NoAmount => f.write_str("no amount for it"),
            Self::NoMask => f.write_str("no mask for it"),
        }
    }
}
