//! Safetensors files on disk: what state dicts and checkpoints share.

pub(crate) mod atomic;
pub(crate) mod bits;
pub(crate) mod elements;
pub(crate) mod error;
pub(crate) mod header;
pub(crate) mod names;
pub(crate) mod open;
pub(crate) mod positional;
pub(crate) mod tensors;
