//! Safetensors files on disk: the code that state dicts and checkpoints share.

pub(crate) mod atomic;
pub(crate) mod bits;
pub(crate) mod dtype;
pub(crate) mod elements;
pub(crate) mod error;
pub(crate) mod escape;
pub(crate) mod header;
pub(crate) mod json;
pub(crate) mod mask_file;
pub(crate) mod names;
#[cfg(feature = "onnx")]
pub(crate) mod onnx;
pub(crate) mod open;
pub(crate) mod packed_file;
pub(crate) mod positional;
#[cfg(feature = "pytorch")]
pub(crate) mod pytorch;
pub(crate) mod recognise;
pub(crate) mod tensors;
