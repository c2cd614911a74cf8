//! Scores that rank what is pruned: norms of channels, and functions that return an array of scores for a tensor.
//!
//! A criterion that needs more than the weights, such as gradients, is an array of scores, which every method
//! ranks: [`Parameter::prune_with_scores`](crate::Parameter::prune_with_scores) takes it for one parameter, and
//! [`global_unstructured`](crate::global_unstructured) for several. Methods rank magnitudes of scores, as PyTorch does; only
//! [`Lowest`](crate::Lowest) ranks signs too.

pub(crate) mod group;
pub(crate) mod norm;
mod reduce;
pub(crate) mod saliency;

pub use norm::{Norm, channel_norms};
pub use saliency::{Movement, channel, fpgm, lamp, taylor};
