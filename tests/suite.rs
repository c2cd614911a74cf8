//! Most tests of the library, in one binary, because each binary links all dependencies once more.
//!
//! A module is a file or a directory beside this file: `cargo test --test suite laws` runs the tests of one of them. Tests that
//! change the process for others are binaries of their own; Cargo.toml lists them.

#[path = "article.rs"]
mod article;
#[path = "calibration/main.rs"]
mod calibration;
#[cfg(feature = "safetensors")]
#[path = "checkpoint/main.rs"]
mod checkpoint;
#[path = "compact/main.rs"]
mod compact;
#[path = "errors/main.rs"]
mod errors;
#[path = "golden/main.rs"]
mod golden;
#[path = "golden/training/main.rs"]
mod golden_training;
#[path = "interface.rs"]
mod interface;
#[path = "laws/main.rs"]
mod laws;
#[path = "lifecycle.rs"]
mod lifecycle;
#[path = "literals.rs"]
mod literals;
#[cfg(feature = "pytorch")]
#[path = "pytorch/main.rs"]
mod pytorch;
#[path = "sparse/main.rs"]
mod sparse;
#[cfg(feature = "safetensors")]
#[path = "state_dict/main.rs"]
mod state_dict;
#[path = "third_party/main.rs"]
mod third_party;
#[path = "threads.rs"]
mod threads;
#[path = "training/main.rs"]
mod training;
