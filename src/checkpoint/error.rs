use std::io;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::PathBuf;

use crate::error::PruneError;
use crate::file::error::StateDictError;
use crate::file::escape::Quoted;

/// Why a checkpoint was not read, or its output not written.
///
/// Names come from the files, which may be a stranger's: messages escape the control characters in them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// No path was given.
    #[error("paths: expected at least one file, found none")]
    NoPaths,
    /// An index together with other paths: it names its shards itself.
    #[error("paths: expected an index to be the only path, found {} among others", Path(path))]
    IndexAmongOthers {
        /// The index.
        path: PathBuf,
    },
    /// Two shards that would have one name in the output.
    #[error("paths: expected shards of different names, found {} and {}", Path(first), Path(second))]
    SameShardName {
        /// The shard that came first.
        first: PathBuf,
        /// The other one.
        second: PathBuf,
    },
    /// The operating system could not read a file, or there is something else than a regular file in its place.
    #[error("file: cannot read {}", Path(path))]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The operating system could not write a file, or there is something else than a regular file in its place.
    #[error("file: cannot write {}", Path(path))]
    Write {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A file is not a valid safetensors file.
    #[error("file: expected {} to be a safetensors file, found a fault", Path(path))]
    Header {
        /// The file.
        path: PathBuf,
        /// Which fault.
        source: StateDictError,
    },
    /// A file is not of the size or the time that it was of when the checkpoint was opened, or is no longer at its path.
    #[error("file: expected {} to stay as it is while it is read, found it changed", Path(path))]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// An index is not the JSON that it should be.
    #[error(
        "index: expected {} to be JSON with a `weight_map` from tensors to files, found something else",
        Path(path)
    )]
    InvalidIndex {
        /// The index.
        path: PathBuf,
        /// Where, and what.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An index is longer than any that this crate reads.
    #[error("index: expected {} to have at most {limit} bytes, found {found}", Path(path))]
    IndexTooLarge {
        /// The index.
        path: PathBuf,
        /// The longest that is read.
        limit: u64,
        /// Its length.
        found: u64,
    },
    /// An index names a shard by a path that may lead out of its folder.
    #[error("index: expected shards in the folder of {}, found {}", Path(path), Quoted(shard))]
    ShardOutsideFolder {
        /// The index.
        path: PathBuf,
        /// The shard as the index names it.
        shard: String,
    },
    /// A shard that the index names is not there.
    #[error("index: expected the shard {}, which {} names, found no such file", Path(shard), Path(path))]
    MissingShard {
        /// The index.
        path: PathBuf,
        /// Where the shard should be.
        shard: PathBuf,
    },
    /// A tensor is not in the shard in which the index says that it is.
    #[error("index: expected {} in {}, found no tensor of that name there", Quoted(tensor), Path(shard))]
    MissingTensor {
        /// The tensor.
        tensor: String,
        /// The shard.
        shard: PathBuf,
    },
    /// A shard has a tensor that the index does not name, or names elsewhere.
    #[error("index: expected an entry for {} of {}, found none", Quoted(tensor), Path(shard))]
    UnindexedTensor {
        /// The tensor.
        tensor: String,
        /// The shard.
        shard: PathBuf,
    },
    /// Two shards have a tensor of one name.
    #[error("shards: expected {} once, found it in {} and in {}", Quoted(tensor), Path(first), Path(second))]
    DuplicateTensor {
        /// The tensor.
        tensor: String,
        /// The shard that came first.
        first: PathBuf,
        /// The other one.
        second: PathBuf,
    },
    /// The checkpoint has a tensor once, pruned, and once not.
    #[error("checkpoint: expected {} or its two halves `_orig` and `_mask`, found all three", Quoted(tensor))]
    PrunedAndPlain {
        /// The name of the tensor.
        tensor: String,
    },
    /// A mask has another shape than the tensor that it is for.
    #[error("{}: expected shape {expected:?}, found {found:?}", Quoted(tensor))]
    ShapeMismatch {
        /// The mask.
        tensor: String,
        /// The shape of what it is for.
        expected: Vec<usize>,
        /// Its shape.
        found: Vec<usize>,
    },
    /// A tensor without entries whose other sizes have no product, or are too large for a mask file.
    #[error("{}: expected a shape that an array can have, found {found:?}", Quoted(tensor))]
    ImpossibleShape {
        /// The tensor.
        tensor: String,
        /// Its shape.
        found: Vec<usize>,
    },
    /// A mask holds something else than 0 and 1.
    #[error("{}: expected only 0 and 1, found {found} at {index:?}", Quoted(tensor))]
    MaskValue {
        /// The mask.
        tensor: String,
        /// Where it stands.
        index: Vec<usize>,
        /// The value.
        found: f64,
    },
    /// A mask file holds something else than masks.
    #[error("masks: expected {} to hold masks in the layout of `save_masks`, found a fault", Path(path))]
    MaskFile {
        /// The file.
        path: PathBuf,
        /// Which fault.
        source: StateDictError,
    },
    /// A packed mask has a bit set that stands for no entry.
    #[error("{}: expected the bits after the last entry of its mask to be 0, found one that is 1", Quoted(tensor))]
    MaskPadding {
        /// The tensor that the mask is for.
        tensor: String,
    },
    /// A mask file has a mask for a tensor that the checkpoint does not have, or not in a dtype that can be pruned.
    #[error("masks: expected a floating-point tensor for each mask, found none for {}", Quoted(tensor))]
    MaskWithoutTensor {
        /// The name of the mask.
        tensor: String,
    },
    /// A pattern is not a glob.
    #[error("selection: expected a glob, found {}", Quoted(pattern))]
    InvalidPattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A pattern to include that matches no tensor which can be pruned, or one to exclude that matches no tensor at all.
    #[error("selection: expected {} to match a tensor, found none that it does", Quoted(pattern))]
    UnmatchedPattern {
        /// The pattern.
        pattern: String,
    },
    /// Nothing is left to be pruned.
    #[error("selection: expected at least one tensor to prune, found none among {tensors}")]
    NothingSelected {
        /// The number of tensors in the checkpoint.
        tensors: usize,
    },
    /// `remove` or `extract_masks` of a checkpoint in which no tensor is pruned.
    #[error("checkpoint: expected a tensor with its halves `_orig` and `_mask`, found none")]
    NothingPruned,
    /// The arguments of the method are not valid, or request for more than there is in all tensors together.
    #[error("method: expected one that applies to the tensors, found that it does not")]
    Method {
        /// Why.
        source: PruneError,
    },
    /// The method does not apply to a tensor.
    #[error("{}: expected a tensor that the method applies to, found that it does not", Quoted(tensor))]
    Tensor {
        /// The tensor.
        tensor: String,
        /// Why.
        source: PruneError,
    },
    /// Global scope with a method that does not choose single entries.
    #[error("scope: expected an unstructured method for global pruning, found {method}")]
    NotUnstructured {
        /// The method.
        method: String,
    },
    /// A tensor of the output would have the name of another one.
    #[error("output: expected each name once, found {} twice", Quoted(tensor))]
    NameClash {
        /// The name.
        tensor: String,
    },
    /// The output would have more tensors, or longer names, than the file format allows.
    #[error("output: expected a header that the file format allows, found a fault")]
    OutputHeader {
        /// Which fault.
        source: StateDictError,
    },
    /// The output would be one of the input files.
    #[error("output: expected a path that is not part of the input, found {}", Path(path))]
    OutputIsInput {
        /// The path.
        path: PathBuf,
    },
    /// There is a file where the output is to be, and it is not to be replaced.
    #[error("output: expected nothing to be there, found {}", Path(path))]
    OutputExists {
        /// The file.
        path: PathBuf,
    },
    /// The output folder holds the shards of an unfinished run, and they are neither to be kept nor to be replaced.
    #[error("output: expected no unfinished run, found one in {}", Path(path))]
    UnfinishedRun {
        /// The folder.
        path: PathBuf,
    },
    /// The output folder holds the shards of an unfinished run with other options or of another input.
    #[error("output: expected the unfinished run of {} to have the same {difference}, found another", Path(path))]
    OtherRun {
        /// The folder.
        path: PathBuf,
        /// What differs: `options` or `input`.
        difference: &'static str,
    },
    /// A file of the input has a name that this crate keeps for files of its own in an output folder.
    #[error("output: expected names that do not begin with `.nn-prune-`, found {}", Path(path))]
    ReservedName {
        /// The file.
        path: PathBuf,
    },
    /// The output of a checkpoint in shards is a file, or the other way round.
    #[error("output: expected {expected}, found something else at {}", Path(path))]
    OutputKind {
        /// The path.
        path: PathBuf,
        /// `a folder for shards` or `a file`.
        expected: &'static str,
    },
    /// The [observer](crate::checkpoint::Observer) has stopped the run.
    #[error("run: stopped before it was finished")]
    Stopped,
}

// Nothing in an error changes after it was made, whatever its source is; a `dyn Error` just does not say so.
impl UnwindSafe for CheckpointError {}
impl RefUnwindSafe for CheckpointError {}

/// A path in backticks, without the control characters that a stranger's index may have put into it.
struct Path<'a>(&'a std::path::Path);

impl std::fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Quoted(&self.0.to_string_lossy()).fmt(f)
    }
}
