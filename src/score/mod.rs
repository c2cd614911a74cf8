//! What ranks channels.

pub(crate) mod norm;
mod reduce;

pub use norm::{Norm, channel_norms};
