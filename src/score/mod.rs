//! The scores of channels and of groups: their norms.

pub(crate) mod group;
pub(crate) mod norm;
mod reduce;

pub use norm::{Norm, channel_norms};
