//! What the fuzz targets of `fuzz/` demand of any bytes, and their seeds and findings replayed without a fuzzer.
//!
//! A target is a function `check` that panics where the crate does not keep its word. An input that once did so, and
//! every seed, is a file in `inputs/TARGET`. Those of the target `pruning` are replayed by the tests `laws`, whose inputs
//! they are.

mod checkpoint;
mod file;
mod mask_file;
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

#[test]
fn checkpoints() {
    replay::all("checkpoint", checkpoint::check);
}
