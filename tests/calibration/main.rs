//! Pruning with data: golden layers, laws, statistics and mistakes.
//!
//! `tests/golden/calibration/README.md` says where the layers come from.

mod cases;
#[cfg(feature = "safetensors")]
mod checkpoint;
mod golden;
mod laws;
mod layer;
mod mistakes;
mod moments;
#[cfg(feature = "safetensors")]
mod statistics;
