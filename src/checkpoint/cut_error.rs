//! [`CutError`]: the reasons why counts make no cut, or a cut does not fit files.

use crate::checkpoint::report::SkipReason;
use crate::file::escape::Quoted;

/// The reason why [`Counts`](crate::checkpoint::Counts) make no [`Cut`](crate::checkpoint::Cut), or a cut does not fit files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CutError {
    /// No counts were given.
    #[error("no counts given")]
    NoCounts,
    /// The amount of a first cut was not given.
    #[error("the amount is missing: these are the first counts, so no cut knows it yet")]
    NoAmount,
    /// The amount is another one than that of the cut within which the shards were counted.
    #[error("the amount is {found} entries, but the shards were counted within a cut of {expected}")]
    OtherAmount {
        /// The number of entries of the cut.
        expected: u64,
        /// The number of entries of the amount.
        found: u64,
    },
    /// Shards were counted for different selections of tensors.
    #[error("shards {} and {} were counted with different selections of tensors", Quoted(first), Quoted(second))]
    OtherSelection {
        /// A shard.
        first: String,
        /// A shard with another selection.
        second: String,
    },
    /// Shards were counted within different cuts, or some within a cut and others not.
    #[error("shards {} and {} were not counted within the same cut", Quoted(first), Quoted(second))]
    OtherCut {
        /// A shard.
        first: String,
        /// A shard with another cut.
        second: String,
    },
    /// A shard was counted twice.
    #[error("shard {} was counted twice", Quoted(shard))]
    ShardTwice {
        /// Its name.
        shard: String,
    },
    /// A shard is missing, as the numbers in the names of the others say.
    #[error("the counts of shard {} are missing", Quoted(shard))]
    ShardMissing {
        /// Its name.
        shard: String,
    },
    /// Shards of the cut within which others were counted are missing.
    #[error("there are counts of {found} shards, but the cut within which they were counted has {expected}")]
    ShardsMissing {
        /// The number of shards of the cut.
        expected: usize,
        /// The number of shards that were counted.
        found: usize,
    },
    /// A shard is not one of those that a cut is for.
    #[error("shard {} is not part of the cut", Quoted(shard))]
    UnknownShard {
        /// Its name.
        shard: String,
    },
    /// A shard has another size or other tensors than when it was counted.
    #[error("shard {} is not the file that was counted: its size or its tensors differ", Quoted(shard))]
    OtherFile {
        /// Its name.
        shard: String,
    },
    /// Other tensors of a shard are selected than when it was counted, because other shards were beside it.
    #[error(
        "other tensors of shard {} are selected than when it was counted, together with other shards",
        Quoted(shard)
    )]
    OtherTensors {
        /// Its name.
        shard: String,
    },
    /// The weights and the mask of a tensor are in shards that were counted apart.
    #[error(
        "the weights of {} are in shard {} and its mask is in {}, which must be counted together",
        Quoted(tensor),
        Quoted(weights),
        Quoted(mask)
    )]
    Split {
        /// The tensor.
        tensor: String,
        /// The shard with its weights.
        weights: String,
        /// The shard with its mask.
        mask: String,
    },
    /// A tensor was counted that is skipped if all shards are known.
    #[error("tensor {} was counted, but beside all other shards it is skipped: {reason}", Quoted(tensor))]
    Counted {
        /// The tensor.
        tensor: String,
        /// The reason to skip it.
        reason: SkipReason,
    },
    /// A tensor was skipped that is selected if all shards are known.
    #[error("tensor {} was skipped, but beside all other shards it is selected", Quoted(tensor))]
    Skipped {
        /// The tensor.
        tensor: String,
    },
    /// A tensor has the shape and dtype of an embedding in a shard that was counted apart, and would be skipped if it equals it.
    #[error(
        "tensor {} may equal the embedding {}, which only counting both shards together shows",
        Quoted(tensor),
        Quoted(embedding)
    )]
    MaybeTied {
        /// The tensor.
        tensor: String,
        /// The embedding.
        embedding: String,
    },
    /// A cut is not exact yet.
    #[error("the cut is not exact yet: the magnitude is between {low:?} and {high:?}")]
    NotExact {
        /// The lowest magnitude that is possible.
        low: f64,
        /// The highest one.
        high: f64,
    },
    /// Shards to be pruned are not in the order of their names, in which ties are pruned.
    #[error("shards must be in the order of their names: {} comes before {}", Quoted(second), Quoted(first))]
    Order {
        /// The shard that was given first.
        first: String,
        /// The shard that comes before it.
        second: String,
    },
    /// Another number of entries was pruned than the cut says, because the weights have changed since they were counted.
    #[error(
        "weights of shard {} have changed since they were counted: {found} entries would be pruned, not {expected}",
        Quoted(shard)
    )]
    Changed {
        /// The shard.
        shard: String,
        /// The number by the cut.
        expected: u64,
        /// The number by the weights.
        found: u64,
    },
}
