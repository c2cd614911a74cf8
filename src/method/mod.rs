//! The [`PruningMethod`] trait, and its implementations, one to a file.
//!
//! To add a method: write its file, and name it in the three lists below.

mod block;
pub(crate) mod built_in;
pub(crate) mod candidates;
mod custom_from_mask;
pub(crate) mod decide;
pub(crate) mod decision;
mod fpgm;
mod identity;
mod l1_unstructured;
mod ln_structured;
mod lowest;
mod n_m;
mod pruning_method;
mod random_source;
mod random_structured;
mod random_unstructured;
mod reconstruct;
mod registry;
pub(crate) mod request;
pub(crate) mod resolved;
mod units;
mod up_to;
pub(crate) mod violations;

pub use block::Block;
pub use custom_from_mask::CustomFromMask;
pub use fpgm::Fpgm;
pub use identity::Identity;
pub use l1_unstructured::L1Unstructured;
pub use ln_structured::LnStructured;
pub use lowest::Lowest;
pub use n_m::NM;
pub use pruning_method::{Describe, PruningMethod};
pub use random_source::{RandomSource, tensor_seed};
pub use random_structured::RandomStructured;
pub use random_unstructured::RandomUnstructured;
pub use reconstruct::{Reconstruct, Reconstruction};
pub use registry::{AnyMethod, MethodInfo, MethodOptions};
pub use units::Units;
pub use up_to::UpTo;
pub use violations::{Violation, Violations};

/// The methods that can be chosen by name.
const BUILT_IN: &[MethodInfo] = &[
    MethodInfo::of::<Identity>(),
    MethodInfo::of::<L1Unstructured>(),
    MethodInfo::of::<RandomUnstructured>(),
    MethodInfo::of::<LnStructured>(),
    MethodInfo::of::<RandomStructured>(),
    MethodInfo::of::<CustomFromMask>(),
    MethodInfo::of::<NM>(),
    MethodInfo::of::<Block>(),
    MethodInfo::of::<Fpgm>(),
];
