//! Checkpoints in files, against the same tensors in memory.
#![cfg(feature = "safetensors")]

mod diff;
mod errors;
mod formats;
mod inspect;
mod masks;
mod output;
mod passing;
mod support;
