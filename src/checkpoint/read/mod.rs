//! Reads checkpoints: headers when they are opened, tensors block by block.

pub(crate) mod blocks;
mod checkpoint;
pub(crate) mod contents;
pub(crate) mod cuts;
mod directory;
pub(crate) mod index;
pub(crate) mod mask_file;
#[cfg(feature = "onnx")]
mod onnx;
pub(crate) mod open_files;
mod options;
pub(crate) mod packed;
pub(crate) mod parameter;
mod shard;
pub(crate) mod usage;

pub use crate::file::dtype::Dtype;
pub use checkpoint::{Checkpoint, Tensor};
pub use options::OpenOptions;
pub use shard::Shard;
