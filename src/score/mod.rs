//! The scores of channels: their norms.

pub(crate) mod norm;
mod reduce;

pub use norm::{Norm, channel_norms};
