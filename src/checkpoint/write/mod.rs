//! Writing checkpoints: the layout of the output, its place, and resumed runs.

pub(crate) mod layout;
pub(crate) mod output;
pub(crate) mod writer;

pub use output::{Format, Output};
