//! Pruning during training: how much each parameter loses, and when.

pub(crate) mod allocation;
pub(crate) mod merge;

pub use allocation::{Allocation, Bounds};
