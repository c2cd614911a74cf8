//! Writing checkpoints: the layout of an output, its files, resumed runs, and the bytes.

pub(crate) mod companions;
pub(crate) mod layout;
pub(crate) mod output;
pub(crate) mod pack;
pub(crate) mod resume;
pub(crate) mod writer;

pub use output::{Format, Output, check_apart};
