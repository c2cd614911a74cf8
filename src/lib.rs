//! Neural network pruning on [ndarray]: everything [`torch.nn.utils.prune`] does, bit for bit.
//!
//! [`torch.nn.utils.prune`]: https://pytorch.org/docs/stable/nn.html#module-torch.nn.utils.prune

mod amount;
mod candidates;
mod channels;
mod container;
mod decision;
mod element;
mod error;
mod functional;
mod global;
mod method;
mod module;
mod norm;
mod parameter;
mod random;
mod select;
mod store;
mod tie_break;
pub mod torch;

/// Which entries of a tensor are kept: true = kept, false = pruned.
pub type Mask = ndarray::ArrayD<bool>;

pub use amount::Amount;
pub use container::PruningContainer;
pub use element::Element;
pub use error::PruneError;
pub use functional::{
    apply, apply_with_scores, custom_from_mask, identity, is_pruned, l1_unstructured, ln_structured, parameters_mut,
    random_structured, random_unstructured, remove,
};
pub use global::{Target, global_unstructured};
pub use method::{
    CustomFromMask, Describe, Identity, IntoMask, L1Unstructured, LnStructured, PruningMethod, PruningType,
    RandomStructured, RandomUnstructured,
};
pub use module::{Module, NamedParameters, NamedParametersMut, prefixed};
pub use norm::{Norm, channel_norms};
pub use parameter::Parameter;
pub use random::RandomSource;
pub use store::ParameterStore;
pub use tie_break::TieBreak;
