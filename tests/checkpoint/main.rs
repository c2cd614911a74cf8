//! Checkpoints in files, against the same tensors in memory.

mod changing;
mod companions;
mod custom;
mod defaults;
mod diff;
mod directory;
mod errors;
mod formats;
mod hostile;
mod hostile_index;
mod inspect;
mod many;
mod masks;
#[cfg(feature = "onnx")]
mod onnx;
#[cfg(feature = "onnx")]
mod onnx_file;
#[cfg(feature = "onnx")]
mod onnx_hostile;
#[cfg(feature = "onnx")]
mod onnx_selection;
mod order;
mod output;
mod passing;
mod patterns;
mod progress;
mod support;
