//! The [`PruningMethod`] trait, and its implementations, one to a file.
//!
//! To add a method: write its file, and name it in the three lists below.

pub(crate) mod built_in;
pub(crate) mod candidates;
mod custom_from_mask;
pub(crate) mod decide;
pub(crate) mod decision;
mod identity;
mod l1_unstructured;
mod ln_structured;
mod pruning_method;
mod random_source;
mod random_structured;
mod random_unstructured;
mod registry;
pub(crate) mod request;
pub(crate) mod resolved;

pub use custom_from_mask::CustomFromMask;
pub use identity::Identity;
pub use l1_unstructured::L1Unstructured;
pub use ln_structured::LnStructured;
pub use pruning_method::{Describe, PruningMethod};
pub use random_source::RandomSource;
pub use random_structured::RandomStructured;
pub use random_unstructured::RandomUnstructured;
pub use registry::{AnyMethod, MethodInfo, MethodOptions};

/// The methods that can be chosen by name.
const BUILT_IN: &[MethodInfo] = &[
    MethodInfo::of::<Identity>(),
    MethodInfo::of::<L1Unstructured>(),
    MethodInfo::of::<RandomUnstructured>(),
    MethodInfo::of::<LnStructured>(),
    MethodInfo::of::<RandomStructured>(),
    MethodInfo::of::<CustomFromMask>(),
];
