//! [`CheckpointError`], the error of every function that reads or writes a checkpoint.

mod lists;

use std::io;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::PathBuf;

use crate::checkpoint::cut_error::CutError;
use crate::checkpoint::error::lists::{Names, Reasons, total, weights};
use crate::checkpoint::report::SkipReason;
use crate::compact::CompactError;
use crate::error::PruneError;
use crate::file::dtype::Dtype;
use crate::file::error::StateDictError;
use crate::file::escape::{Quoted, QuotedPath};
#[cfg(feature = "onnx")]
use crate::file::onnx::OnnxError;
#[cfg(feature = "pytorch")]
use crate::file::pytorch::error::PyTorchError;
use crate::training::Allocation;

/// The reason why a checkpoint was not read, or its output not written.
///
/// Names come from the files, which may be untrusted: messages escape the control characters in them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    // Paths of the input.
    /// No path was given.
    #[error("no input file given")]
    NoPaths,
    /// An index was given together with other paths. It names its shards itself.
    #[error("index {} must be the only input path", QuotedPath(path))]
    IndexAmongOthers {
        /// The index.
        path: PathBuf,
    },
    /// Two shards have one file name, and so would have one path in the output.
    #[error("shards {} and {} have the same file name", QuotedPath(first), QuotedPath(second))]
    SameShardName {
        /// The shard that was given first.
        first: PathBuf,
        /// The other shard.
        second: PathBuf,
    },
    /// A directory has no file that a checkpoint may consist of.
    #[error("no {} file in {}", weights(), QuotedPath(path))]
    EmptyDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// A directory has several indices, or several files of PyTorch that are not shards of one checkpoint.
    #[error("more than one {what} in {} ({found}): name one of them", QuotedPath(path))]
    AmbiguousDirectory {
        /// The directory.
        path: PathBuf,
        /// The kind of file, such as `.safetensors.index.json`.
        what: &'static str,
        /// The number of them.
        found: usize,
    },
    /// The index of a directory was to be ignored, and there is none.
    #[error("no index to ignore in {}", QuotedPath(path))]
    NoIndex {
        /// The directory.
        path: PathBuf,
    },

    // Files and their formats.
    /// The operating system could not read a file, or the path leads to something that is not a regular file.
    #[error("cannot read {}", QuotedPath(path))]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The operating system could not write a file, or the path leads to something that is not a regular file.
    #[error("cannot write {}", QuotedPath(path))]
    Write {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A file is not a valid safetensors file.
    #[error("{} is not a valid safetensors file", QuotedPath(path))]
    Header {
        /// The file.
        path: PathBuf,
        /// The rule of the file format that it violates.
        source: StateDictError,
    },
    /// A file is not a valid ONNX model, or its external data does not fit it.
    #[cfg(feature = "onnx")]
    #[error("{} is not a valid ONNX model", QuotedPath(path))]
    Onnx {
        /// The model.
        path: PathBuf,
        /// The rule that it violates.
        source: OnnxError,
    },
    /// An operation would change more of an ONNX model than the values of its tensors.
    #[error("cannot {what} ONNX model {}: only the values of its tensors can be changed", QuotedPath(path))]
    InPlace {
        /// The model.
        path: PathBuf,
        /// The operation, such as `pack`.
        what: &'static str,
    },
    /// A file of PyTorch cannot be read.
    #[cfg(feature = "pytorch")]
    #[error("cannot read {} as a file of PyTorch", QuotedPath(path))]
    PyTorch {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: PyTorchError,
    },
    /// The tensors under a key were asked for, but the file is not one of PyTorch, and has no keys.
    #[cfg(feature = "pytorch")]
    #[error("{} is not a file of PyTorch, and has no keys", QuotedPath(path))]
    NoKeys {
        /// The file.
        path: PathBuf,
    },
    /// The size or the modification time of a file changed after the checkpoint was opened, or the file was replaced or
    /// removed.
    #[error("{} changed while it was being read", QuotedPath(path))]
    Changed {
        /// The file.
        path: PathBuf,
    },

    // Indices and shards.
    /// An index is not JSON, or not JSON of the expected structure.
    #[error("{} is not a valid index: it must be JSON with a `weight_map` from tensors to files", QuotedPath(path))]
    InvalidIndex {
        /// The index.
        path: PathBuf,
        /// The error of the parser, with the position.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An index is longer than the limit.
    #[error("index {} is too large: {found} bytes, limit {limit}", QuotedPath(path))]
    IndexTooLarge {
        /// The index.
        path: PathBuf,
        /// The length of the longest index that is read.
        limit: u64,
        /// The length of this index.
        found: u64,
    },
    /// An index names a shard by a path that may lead out of the directory of the index.
    #[error("index {} names shard {}, which is not a plain path inside its directory", QuotedPath(path), Quoted(shard))]
    ShardOutsideFolder {
        /// The index.
        path: PathBuf,
        /// The path of the shard in the index.
        shard: String,
    },
    /// A shard that the index names does not exist.
    #[error("shard {} does not exist (named in {})", QuotedPath(shard), QuotedPath(path))]
    MissingShard {
        /// The index.
        path: PathBuf,
        /// The path at which the shard was expected.
        shard: PathBuf,
    },
    /// A tensor is not in the shard that the index gives for it.
    #[error("tensor {} is not in {}, where the index places it", Quoted(tensor), QuotedPath(shard))]
    MissingTensor {
        /// The tensor.
        tensor: String,
        /// The shard.
        shard: PathBuf,
    },
    /// A shard has a tensor for which the index gives no shard, or another one.
    #[error("tensor {} is in {}, where the index does not place it", Quoted(tensor), QuotedPath(shard))]
    UnindexedTensor {
        /// The tensor.
        tensor: String,
        /// The shard.
        shard: PathBuf,
    },
    /// Two shards have a tensor of the same name.
    #[error("tensor {} is in two shards, {} and {}", Quoted(tensor), QuotedPath(first), QuotedPath(second))]
    DuplicateTensor {
        /// The tensor.
        tensor: String,
        /// The shard that was given first.
        first: PathBuf,
        /// The other shard.
        second: PathBuf,
    },

    // Tensors, masks and packed tensors.
    /// The checkpoint has a tensor `w`, and also `w_orig` and `w_mask`.
    #[error("tensor {} is stored both plain and as `_orig` and `_mask`", Quoted(tensor))]
    PrunedAndPlain {
        /// The plain name of the tensor.
        tensor: String,
    },
    /// The shape of a mask differs from that of its tensor.
    #[error("mask {} has shape {found:?}, but its tensor has shape {expected:?}", Quoted(tensor))]
    ShapeMismatch {
        /// The name of the mask.
        tensor: String,
        /// The shape of the tensor.
        expected: Vec<usize>,
        /// The shape of the mask.
        found: Vec<usize>,
    },
    /// The nonzero sizes of a tensor without entries have a product that overflows, or do not fit into a mask file.
    #[error("tensor {} has an unsupported shape, {found:?}: its nonzero sizes are too large", Quoted(tensor))]
    ImpossibleShape {
        /// The tensor.
        tensor: String,
        /// Its shape.
        found: Vec<usize>,
    },
    /// A mask holds a number other than 0 and 1.
    #[error("mask {} holds {found} at {index:?}; only 0 and 1 are allowed", Quoted(tensor))]
    MaskValue {
        /// The mask.
        tensor: String,
        /// The index of the entry.
        index: Vec<usize>,
        /// The value of the entry.
        found: f64,
    },
    /// A mask file holds tensors that are not masks.
    #[error("{} is not a valid mask file", QuotedPath(path))]
    MaskFile {
        /// The file.
        path: PathBuf,
        /// The rule of the layout that it violates.
        source: StateDictError,
    },
    /// The parts of a packed tensor do not fit together.
    #[error("packed tensor {} is invalid", Quoted(tensor))]
    Packed {
        /// The name of the dense tensor.
        tensor: String,
        /// The rule of the layout that it violates.
        source: StateDictError,
    },
    /// No tensor of a checkpoint would be smaller if it were packed.
    #[error("no tensor would be smaller if it were packed")]
    NothingToPack,
    /// A checkpoint to be unpacked has no packed tensors.
    #[error("the checkpoint has no packed tensors")]
    NotPacked,
    /// [`remove`](crate::checkpoint::remove), [`restore`](crate::checkpoint::restore) or
    /// [`extract_masks`](crate::checkpoint::extract_masks) was called for a checkpoint without masks.
    #[error("the checkpoint has no masks: no tensor is stored as `_orig` and `_mask`")]
    NothingPruned,
    /// A mask in a mask file has a bit set after its last entry.
    #[error("mask of {} is corrupt: a padding bit after the last entry is 1", Quoted(tensor))]
    MaskPadding {
        /// The tensor that the mask belongs to.
        tensor: String,
    },
    /// A mask file has a mask for a tensor that the checkpoint does not have, or has in a dtype that cannot be pruned.
    #[error("mask for {} has no floating-point tensor in the checkpoint", Quoted(tensor))]
    MaskWithoutTensor {
        /// The name of the mask.
        tensor: String,
        /// The floating-point tensors with the most similar names; none if no name is similar.
        nearest: Vec<String>,
    },

    // The selection of tensors.
    /// A pattern is not a valid glob.
    #[error("{} is not a valid glob pattern", Quoted(pattern))]
    InvalidPattern {
        /// The pattern.
        pattern: String,
        /// The error of the parser.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A pattern for tensors to prune matches no tensor.
    #[error("pattern {} matches no tensor", Quoted(pattern))]
    UnmatchedPattern {
        /// The pattern.
        pattern: String,
        /// The names that it was probably meant to match: those that it matches after the fewest edits. There are at most three,
        /// and none if no name is near.
        nearest: Vec<String>,
    },
    /// A pattern for tensors to prune matches only tensors of dtypes that cannot be pruned, such as F8.
    #[error("{dtype} cannot be pruned: pattern {} matches only tensors such as {}", Quoted(pattern), Quoted(tensor))]
    UnsupportedDtype {
        /// The pattern.
        pattern: String,
        /// The first tensor that matches.
        tensor: String,
        /// Its dtype.
        dtype: Dtype,
    },
    /// No tensor is selected.
    #[error("nothing to prune: 0 of {} tensors selected{}", total(reasons), Reasons(reasons))]
    NothingSelected {
        /// The reasons why the tensors of the checkpoint were skipped, with the number of tensors for each.
        reasons: Vec<(SkipReason, usize)>,
    },

    // The method, its scope and its statistics.
    /// Channels of the direction of a weight norm would be pruned: v / ||v|| of a channel of zeros is NaN.
    #[error(
        "cannot prune channels of {}, the direction of a weight norm: a channel of zeros becomes NaN",
        Quoted(tensor)
    )]
    WeightNorm {
        /// The tensor, such as `conv.weight_v`.
        tensor: String,
    },
    /// Selected tensors have no statistics, or statistics of no tokens.
    #[error("no statistics of {}; there are some of {}", Names(tensors), Names(known))]
    MissingStatistics {
        /// The selected tensors without statistics.
        tensors: Vec<String>,
        /// The weights that have statistics.
        known: Vec<String>,
    },
    /// Statistics of the inputs of a layer cannot be used for its weight, in which they lie along another axis.
    #[error("cannot use statistics for {}: as the weight of {operator}, it has input channels first", Quoted(tensor))]
    InputsFirst {
        /// The weight in an ONNX model.
        tensor: String,
        /// The operator that takes it.
        operator: &'static str,
    },
    /// A method changes weights, but the output has only masks.
    #[error("{method} changes weights, which a file of masks cannot hold")]
    UpdateWithMasks {
        /// The name of the method.
        method: String,
    },
    /// The methods for different tensors prune different units: entries, channels or groups.
    #[error("cannot prune entries of some tensors and channels or groups of others in one run")]
    MixedUnits,
    /// Methods for some tensors only were given together with global scope.
    #[error("amounts for single tensors do not apply to global scope")]
    LayersWithGlobalScope,
    /// Methods for some tensors only were given together with an allocation.
    #[error("amounts for single tensors do not apply to an allocation")]
    LayersWithAllocation,
    /// An allocation was given together with global scope.
    #[error("an allocation does not apply to global scope, which is one itself")]
    AllocationWithGlobalScope,
    /// The method does not prune the entries that an allocation counts.
    #[error("allocation {allocation} does not apply to {method}")]
    NotAllocated {
        /// The name of the method.
        method: String,
        /// The allocation.
        allocation: Allocation,
    },
    /// A method with global scope requests more entries than remain in all selected tensors together, or cannot prune them
    /// for another reason.
    #[error("cannot prune with these arguments")]
    Method {
        /// The error of the method.
        source: PruneError,
    },
    /// A method cannot prune a tensor.
    #[error("cannot prune tensor {}", Quoted(tensor))]
    Tensor {
        /// The tensor.
        tensor: String,
        /// The error of the method.
        source: PruneError,
    },
    /// A method that is not unstructured was given global scope.
    #[error("method {method} does not support global scope")]
    NotUnstructured {
        /// The name of the method.
        method: String,
    },
    /// A method needs memory for every entry, or depends on the order of the tensors, and so cannot prune files.
    #[error("method {method} cannot prune files: {what} works in memory only")]
    OnlyInMemory {
        /// The name of the method.
        method: String,
        /// The option or the type that files do not support, such as `TieBreak::PyTorch`.
        what: &'static str,
    },

    // The output.
    /// Two tensors of the output would have the same name.
    #[error("the output would contain two tensors named {}", Quoted(tensor))]
    NameClash {
        /// The name.
        tensor: String,
    },
    /// The header of an output would be longer than the file format allows.
    #[error("the output needs a header that safetensors does not allow")]
    OutputHeader {
        /// The rule of the file format that it violates.
        source: StateDictError,
    },
    /// The output is one of the input files.
    #[error("output {} would overwrite the input", QuotedPath(path))]
    OutputIsInput {
        /// The path.
        path: PathBuf,
    },
    /// A file exists at the path of the output, and [`Output::force`](crate::checkpoint::Output::force) is not set.
    #[error("output {} already exists", QuotedPath(path))]
    OutputExists {
        /// The file.
        path: PathBuf,
    },
    /// The output directory contains an unfinished run, and neither [`Output::resume`](crate::checkpoint::Output::resume)
    /// nor [`Output::force`](crate::checkpoint::Output::force) is set.
    #[error("output directory {} contains an unfinished run", QuotedPath(path))]
    UnfinishedRun {
        /// The directory.
        path: PathBuf,
    },
    /// The output directory contains an unfinished run with other options or of another input.
    #[error("cannot resume the run in {}: it was started with a different {difference}", QuotedPath(path))]
    OtherRun {
        /// The directory.
        path: PathBuf,
        /// The first of these that differs: `version` (of the run file), `method`, `scope`, `format`, `selection` or `input`.
        difference: &'static str,
    },
    /// [`Output::resume`](crate::checkpoint::Output::resume) is set for an output that is a file.
    #[error("cannot resume the run into {}: only a run into a directory can be resumed", QuotedPath(path))]
    ResumedFile {
        /// The path of the output.
        path: PathBuf,
    },
    /// An input file has a name that is reserved for the files of a run in an output directory.
    #[error("input file {} has a reserved name (`.nn-prune-*`)", QuotedPath(path))]
    ReservedName {
        /// The file.
        path: PathBuf,
    },
    /// The path of an output for a sharded checkpoint is one of a file, or that of an output for masks is one of a directory, or
    /// a file is at a path that ends in a separator, or that of a safetensors file is for an ONNX model.
    #[error("output {} is not {expected}", QuotedPath(path))]
    OutputKind {
        /// The path.
        path: PathBuf,
        /// `a directory`, `a file` or `an ONNX model`.
        expected: &'static str,
    },
    /// The output is a safetensors file, but has the name of a file of PyTorch, and so does the input.
    #[error("output {} is a safetensors file, but has the name of a file of PyTorch", QuotedPath(path))]
    OutputName {
        /// The path.
        path: PathBuf,
    },

    // Compaction and permutation, and files of JSON.
    /// A coupling, a choice or a plan does not fit the checkpoint.
    #[error("the arguments do not fit the model")]
    Compact {
        /// The error of the coupling, the choice or the plan.
        source: CompactError,
    },
    /// A configuration, a coupling file, a plan or a file of scores is not JSON, where it must be.
    #[error("{} is not valid JSON", QuotedPath(path))]
    InvalidJson {
        /// The file.
        path: PathBuf,
        /// The error of the parser, with the position.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A configuration, a coupling file, a plan or a file of scores does not say what is needed.
    #[error("{} {reason}", QuotedPath(path))]
    Config {
        /// The file.
        path: PathBuf,
        /// The fault, as the rest of a sentence.
        reason: String,
    },
    /// The type of a model has no preset.
    #[error("no preset for model type {}; the types are {}", Quoted(model_type), crate::checkpoint::MODEL_TYPES.join(", "))]
    NoPreset {
        /// The type in the configuration.
        model_type: String,
    },
    /// A tensor that a model of this type does not have.
    #[error("tensor {} is not part of a model of type {}", Quoted(tensor), Quoted(model_type))]
    UnknownToPreset {
        /// The tensor.
        tensor: String,
        /// The type in the configuration.
        model_type: String,
    },
    /// A tensor has another shape than the configuration says.
    #[error("tensor {} has shape {found:?}, but the configuration says {expected:?}", Quoted(tensor))]
    PresetShape {
        /// The tensor.
        tensor: String,
        /// The shape by the configuration.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// A layer lacks a tensor that its type or the other layers have.
    #[error("layer {layer} has no tensor {}, which other layers or its type have", Quoted(tensor))]
    LayerLacks {
        /// The number of the layer.
        layer: usize,
        /// The name of the tensor within a layer.
        tensor: String,
    },
    /// Units that a type of model does not have, or that its configuration cannot lose.
    #[error("a model of type {} cannot lose {part}; remove {instead} instead", Quoted(model_type))]
    PartOfPreset {
        /// The type in the configuration.
        model_type: String,
        /// The units that were to be removed.
        part: &'static str,
        /// Units that can be removed.
        instead: &'static str,
    },
    /// A layer that the model does not have.
    #[error("layer {layer} is out of range: the model has {layers} layers")]
    UnknownLayer {
        /// The layer that was to be dropped.
        layer: usize,
        /// The number of layers.
        layers: usize,
    },
    /// Every layer was to be dropped.
    #[error("all {layers} layers would be dropped")]
    AllLayersDropped {
        /// The number of layers.
        layers: usize,
    },
    /// Layers would keep different numbers of units, and a configuration has one number for all.
    #[error("dimension {} would keep {found} units, but those of other layers {expected}", Quoted(dimension))]
    UnevenLayers {
        /// The first dimension that differs.
        dimension: String,
        /// The number of units that the first layer keeps.
        expected: usize,
        /// The number of units that this one keeps.
        found: usize,
    },
    /// A tensor that would be cut does not hold floats.
    #[error("tensor {} holds {dtype}, and only floats can be cut", Quoted(tensor))]
    NotFloat {
        /// The tensor.
        tensor: String,
        /// Its dtype.
        dtype: Dtype,
    },
    /// Constants of pruned units cannot be folded.
    #[error("cannot fold the constants of dimension {}: {reason}", Quoted(dimension))]
    Fold {
        /// The dimension.
        dimension: String,
        /// The reason.
        reason: String,
    },
    /// Folding was requested for a coupling file, which does not say where constants go.
    #[error("folding needs a model type with a preset, not a coupling file")]
    FoldWithoutPreset,

    // Pruning in several processes.
    /// Counts could not be added up over all processes.
    #[error("cannot exchange counts with the other processes")]
    Peers {
        /// The error of the transport.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Other processes of a run have failed, so this one has stopped too. They return the reason.
    #[error("stopped because {failed} of the other processes failed")]
    PeersFailed {
        /// The number of processes that failed.
        failed: u64,
    },
    /// The magnitudes that several processes counted are not those that they counted before.
    #[error("weights changed while they were counted")]
    CountsChanged,
    /// Counts make no cut, or a cut does not fit the files.
    #[error(transparent)]
    Cut {
        /// The reason.
        source: CutError,
    },
    /// Several processes cannot prune together in this way.
    #[error("{what} cannot be shared among processes")]
    NotShared {
        /// The method or the option.
        what: String,
    },

    // Any run.
    /// The [observer](crate::checkpoint::Observer) stopped the run.
    #[error("stopped before it was finished")]
    Stopped,
}

// An error is never changed after it was made, whatever its source is; the type `dyn Error` just does not say so.
impl UnwindSafe for CheckpointError {}
impl RefUnwindSafe for CheckpointError {}
