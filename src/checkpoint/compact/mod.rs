//! Compaction of checkpoints: pruned units and layers are removed from the files of a model. Units can be reordered too.

mod compactor;
mod config;
mod family;
mod fold;
mod json;
mod permuter;
mod preset;
mod ranking;
mod report;
mod run;
mod structure;

pub use compactor::Compactor;
pub use config::ConfigChange;
pub use permuter::{PermuteReport, Permuter};
pub use report::{CompactReport, CompactedTensorReport, Equality};
