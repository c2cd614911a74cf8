//! Packed checkpoints: tensors without their zeros, in the `sparse-bitmask` layout, and back.

mod packer;
mod report;
mod unpack;

pub use packer::Packer;
pub use report::{DenseReason, PackReport, PackedTensorReport};
pub use unpack::unpack;
