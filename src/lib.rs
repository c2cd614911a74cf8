//! Neural network pruning on [ndarray]: everything [`torch.nn.utils.prune`] does, bit for bit.
//!
//! To prune a tensor is to multiply it by a mask of zeros and ones. A [`Parameter`] is a tensor that may have such a
//! mask: what a forward pass uses is [`value`](Parameter::value) `=` [`orig`](Parameter::orig) `*`
//! [`mask`](Parameter::mask), and nothing can observe a stale one. Methods that choose what is pruned compose: each one
//! sees what the earlier ones have left. Tensors are of `f32`, `f64`, [`half::f16`] or [`half::bf16`].
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
//! prune::l1_unstructured(&mut layer, "weight", 0.5)?; // the half of lowest magnitude
//! assert_eq!(layer.weight.value(), &array![[0.9, 0.0, 0.4], [0.0, 0.0, -0.8]].into_dyn());
//!
//! // One more entry, wherever it is lowest.
//! prune::global_unstructured([&mut layer.weight, &mut layer.bias], L1Unstructured::new(1)?)?;
//! assert_eq!(layer.bias.value(), &array![0.3, 0.0].into_dyn());
//!
//! prune::remove(&mut layer, "weight")?; // the zeros stay
//! assert!(!layer.weight.is_pruned());
//! # Ok::<(), prune::PruneError>(())
//! ```
//!
//! # Where to start
//!
//! - Coming from PyTorch: [`doc::for_pytorch_users`] has every call, and everything that differs.
//! - A model of your own: [`Module`] and [`named_parameters!`]; without structs, [`ParameterStore`].
//! - The functions: [`l1_unstructured`], [`random_unstructured`], [`ln_structured`], [`random_structured`],
//!   [`global_unstructured`], [`custom_from_mask`], [`identity`], [`remove`], [`is_pruned`], and [`apply`] for any
//!   method.
//! - A method of your own: [`PruningMethod`].
//! - PyTorch's masks from PyTorch's seeds: [`torch`].
//!
//! # From a call to a mask
//!
//! 1. A function such as [`l1_unstructured`] makes a method, whose arguments are checked there and then, and finds the
//!    [`Parameter`] by its path in the [`Module`].
//! 2. The method is shown the scores of what is left: of the whole tensor the first time, of single entries or channels
//!    later, by its [`PruningType`]. Scores are values unless others are [given](apply_with_scores).
//! 3. An [`Amount`] becomes a count of those, and the method decides which of them go. Nothing has changed so far, and
//!    from here on nothing can fail.
//! 4. The decision is committed: the mask loses entries, never gains any, and the value is recomputed.
//!
//! So on an `Err` every parameter is bitwise as it was, in [`global_unstructured`] all of them.
//!
//! # What is promised
//!
//! - **Exact counts.** A share is rounded once, half to even; exactly that many of what is left are pruned. (PyTorch's
//!   own exception is kept where its generator is used: [`RandomStructured`].)
//! - **Order.** NaN ranks above infinity. Among equal scores the lowest row-major index is pruned first, on every
//!   platform.
//! - **Reproducible.** A seed gives the same mask on every platform and for any number of threads, within a major
//!   version.
//! - **Parity.** Where [`doc::for_pytorch_users`] lists no difference, results are PyTorch's, bit for bit.
//!
//! # What pruning does not do
//!
//! Zeros in a dense array take as much memory and time as other numbers. While a parameter is pruned it takes more: its
//! value, its original and one byte per entry for the mask, which for `f32` is 9 bytes per entry instead of 4. This
//! crate decides what can go; to profit from it takes sparse storage or kernels, or smaller layers, which are not part
//! of it.
//!
//! # Features
//!
//! `nuclear` for [`Norm::Nuclear`], `rayon` for all cores, `safetensors` for state dicts and
//! checkpoints, all on by default; `cli` for the command line: [`doc::features`].
//!
//! [`torch.nn.utils.prune`]: https://docs.pytorch.org/docs/stable/nn.html#utilities

mod amount;
#[cfg(feature = "safetensors")]
pub mod checkpoint;
pub mod doc;
mod element;
mod error;
#[cfg(feature = "safetensors")]
mod file;
mod functional;
mod key;
mod mask;
mod method;
mod method_option;
mod module;
mod parameter;
mod pruning_type;
#[cfg(feature = "safetensors")]
pub mod safetensors;
mod score;
mod select;
mod store;
mod summary;
mod tensor;
pub mod torch;

pub use amount::Amount;
pub use element::Element;
pub use error::PruneError;
pub use functional::{
    BorrowedTensor, Target, apply, apply_with_scores, custom_from_mask, global_masks, global_unstructured, identity,
    is_pruned, l1_unstructured, ln_structured, parameters_mut, prune_each, random_structured, random_unstructured,
    remove, remove_all,
};
pub use mask::{IntoMask, Mask};
pub use method::*;
pub use method_option::MethodOption;
pub use module::{Module, NamedParameters, NamedParametersMut, prefixed};
pub use parameter::{Parameter, PruningContainer, Record};
pub use pruning_type::PruningType;
pub use score::{Norm, channel_norms};
pub use select::TieBreak;
pub use store::ParameterStore;
pub use summary::{ParameterSummary, Summary};

/// The examples of the README are tests. One of them is about files.
#[cfg(all(doctest, feature = "safetensors"))]
#[doc = include_str!("../README.md")]
mod readme {}
