//! Neural network pruning for [ndarray], with the functions and results of [`torch.nn.utils.prune`].
//!
//! Pruning multiplies a tensor by a mask of zeros and ones. A [`Parameter`] holds a tensor and, once pruned, its mask; its
//! [`value`](Parameter::value) always equals [`orig`](Parameter::orig) times [`mask`](Parameter::mask). Prunings compose: each
//! one selects among the entries that remain. Element types are `f32`, `f64`, [`half::f16`] and [`half::bf16`].
//!
//! ```
//! use ndarray::array;
//! use prune::{L1Unstructured, Module, Parameter};
//!
//! struct Linear {
//!     weight: Parameter<f32>,
//!     bias: Parameter<f32>,
//! }
//!
//! impl Module for Linear {
//!     type Elem = f32;
//!     prune::named_parameters!(weight, bias);
//! }
//!
//! let weight = array![[0.9, -0.1, 0.4], [-0.2, 0.05, -0.8]];
//! let mut layer = Linear { weight: weight.into(), bias: array![0.3, 0.01].into() };
//!
//! prune::l1_unstructured(&mut layer, "weight", 0.5)?; // prune half: the lowest magnitudes
//! assert_eq!(layer.weight.value(), &array![[0.9, 0.0, 0.4], [0.0, 0.0, -0.8]].into_dyn());
//!
//! // Prune one more entry, the lowest of both parameters.
//! prune::global_unstructured([&mut layer.weight, &mut layer.bias], L1Unstructured::new(1)?)?;
//! assert_eq!(layer.bias.value(), &array![0.3, 0.0].into_dyn());
//!
//! prune::remove(&mut layer, "weight")?; // make it permanent: keep the zeros, drop the mask
//! assert!(!layer.weight.is_pruned());
//! # Ok::<(), prune::PruneError>(())
//! ```
//!
//! # Where to start
//!
//! | you have | read |
//! |---|---|
//! | a model on ndarray | [`Module`], [`l1_unstructured`], [`Parameter`] |
#![cfg_attr(
    feature = "safetensors",
    doc = "| checkpoint files, of any size | [`checkpoint`], or the program [`nn-prune`](https://crates.io/crates/nn-prune-cli), which needs no code |"
)]
#![cfg_attr(
    not(feature = "safetensors"),
    doc = "| checkpoint files, of any size | `prune::checkpoint`, with the feature `safetensors`, or the program [`nn-prune`](https://crates.io/crates/nn-prune-cli), which needs no code |"
)]
//! | code that calls `torch.nn.utils.prune` | [`doc::for_pytorch_users`], which translates every call |
//! | a training loop | [`training`], and [`doc::pruning_during_training`] |
//! | arrays of another framework | [`BorrowedTensor`], [`global_masks`] |
//! | a question: which method, how much | [`doc::which_pruning`] |
//!
//! # Overview
//!
//! - [`Parameter::prune`] prunes one tensor; [`l1_unstructured`] and its siblings find it by name in a [`Module`].
//! - [`named_parameters!`] names the parameters of a struct that is a [`Module`]; a [`ParameterStore`] needs no struct.
//! - [`L1Unstructured`], [`LnStructured`], [`RandomUnstructured`], [`RandomStructured`], [`CustomFromMask`] and [`Identity`]
//!   are PyTorch's methods. [`NM`] prunes to patterns such as 2:4, [`Block`] whole blocks, [`Fpgm`] channels that others can
//!   replace, and [`Lowest`] by scores with signs. Implement [`PruningMethod`] to add one.
//! - [`score`] has scores for any of them. [`training::Allocation`] divides a sparsity among parameters.
//! - [`global_unstructured`] ranks the entries of several parameters together.
//! - [`Histogram`] finds one exact threshold for a model of which each of many processes has a part.
//! - [`compact`] removes pruned units for real, so that the model is smaller and faster.
//! - [`sparse`] packs weights without their zeros, and multiplies with them faster than dense products do.
//! - [`training`] prunes while a model is trained: schedules, sessions, lottery tickets, dynamic sparse training.
//! - [`calibration`] prunes with data, the inputs of each layer: Wanda, SparseGPT, ADMM and least squares.
//! - `prune::checkpoint` prunes files, `prune::safetensors` stores state dicts, [`torch`] reproduces PyTorch's random masks.
//! - [`doc::for_pytorch_users`] translates every call. [`doc::features`] lists the cargo features.
//!
//! # Guarantees
//!
//! - **Errors change nothing.** If a call that prunes returns `Err`, every parameter it was given is bitwise unchanged.
//! - **Counts are exact.** A fraction of the remaining units is rounded half to even, and exactly that many are pruned.
//!   ([`RandomStructured`] with a PyTorch generator may prune more, as PyTorch does.)
//! - **Order is total.** NaN ranks above infinity. Equal scores are pruned by lowest row-major index, on every platform.
//! - **Seeds are portable.** One seed gives one mask, on every platform and for any number of threads, within a major version
//!   (before 1.0, a minor one).
//! - **Parity.** Results equal PyTorch's bit for bit, except where [`doc::for_pytorch_users`] lists a difference.
//!
//! # Limits
//!
//! Pruned entries are stored as zeros, so pruning alone saves neither memory nor time; [`compact`] and [`sparse`] do. A pruned parameter stores value,
//! original and one byte per entry of mask: 9 bytes per `f32` entry instead of 4.
//!
//! [`torch.nn.utils.prune`]: https://docs.pytorch.org/docs/stable/nn.html#utilities

#![cfg_attr(docsrs, feature(doc_cfg))]

mod amount;
pub mod calibration;
#[cfg(feature = "safetensors")]
pub mod checkpoint;
pub mod compact;
pub mod doc;
mod element;
mod error;
#[cfg(feature = "safetensors")]
mod file;
mod functional;
mod hash;
mod key;
mod mask;
mod method;
mod method_option;
mod module;
mod parameter;
mod pruning_type;
#[cfg(feature = "safetensors")]
pub mod safetensors;
pub mod score;
mod select;
pub mod sparse;
mod store;
mod summary;
mod tensor;
pub mod torch;
pub mod training;

pub use amount::Amount;
pub use element::Element;
pub use error::PruneError;
pub use functional::{
    BorrowedTensor, Target, apply, apply_with_scores, custom_from_mask, global_masks, global_unstructured, identity,
    is_pruned, l1_unstructured, ln_structured, parameters_mut, prune_each, random_structured, random_unstructured,
    reconstruct, remove, remove_all,
};
pub use mask::{IntoMask, Mask, MaskElement};
pub use method::*;
pub use method_option::MethodOption;
pub use module::{Module, NamedParameters, NamedParametersMut, prefixed};
pub use parameter::{Parameter, PruningContainer, Record};
pub use pruning_type::PruningType;
pub use score::{Norm, channel_norms};
pub use select::{Bracket, Histogram, TieBreak};
pub use store::ParameterStore;
pub use summary::{ParameterSummary, Summary};

/// The examples of the README, run as tests. Some are about files.
#[cfg(all(doctest, feature = "safetensors"))]
#[doc = include_str!("../README.md")]
mod readme {}
