//! The fuzz targets of `fuzz/`, and their seeds and findings, which are replayed without a fuzzer.
//!
//! A target is a function `check` that panics if the crate breaks a promise. Every seed, and every input that once made it
//! panic, is a file in `inputs/TARGET`. The tests `laws` replay those of the target `pruning`.

mod checkpoint;
mod compact;
mod file;
#[cfg(feature = "pytorch")]
mod legacy;
mod mask_file;
#[cfg(feature = "onnx")]
mod onnx;
mod packed;
#[cfg(feature = "pytorch")]
mod pytorch;
mod replay;
mod state_dict;

#[test]
fn state_dicts() {
    replay::all("state_dict", state_dict::check);
}

#[test]
fn mask_files() {
    replay::all("mask_file", mask_file::check);
}

#[cfg(feature = "onnx")]
#[test]
fn onnx_models() {
    replay::all("onnx", onnx::check);
}

#[test]
fn packed_files() {
    replay::all("packed", packed::check);
}

#[cfg(feature = "pytorch")]
#[test]
fn pytorch_files() {
    replay::all("pytorch", pytorch::check);
}

#[test]
fn checkpoints() {
    replay::all("checkpoint", checkpoint::check);
}

#[test]
fn compactions() {
    replay::all("compact", compact::check);
}
