//! Reading checkpoints: headers at once, tensors block by block.

pub(crate) mod blocks;
mod checkpoint;
pub(crate) mod index;
pub(crate) mod mask_file;
pub(crate) mod parameter;
mod shard;

pub use checkpoint::{Checkpoint, Dtype, Tensor};
pub use shard::Shard;
