//! Neural network pruning for [burn](https://docs.rs/burn): the functions of [`torch.nn.utils.prune`] on any module, with the methods
//! and the masks of [`nn-prune`](prune).
//!
//! A mask is a reparameterization of burn, so the value of a pruned parameter is `base * mask` wherever the module computes
//! with it. Gradients of pruned entries are zero, the mask moves between devices and is saved with the module, and layers,
//! optimizers and training loops need no change. Prunings compose: each one selects among the entries that remain.
//!
//! ```
//! use burn::nn::{Linear, LinearConfig};
//! use burn::prelude::*;
//! use prune::L1Unstructured;
//!
//! #[derive(Module, Debug)]
//! struct Net {
//!     hidden: Linear,
//!     output: Linear,
//! }
//!
//! let device = Device::default();
//! let net = Net { hidden: LinearConfig::new(64, 32).init(&device), output: LinearConfig::new(32, 10).init(&device) };
//!
//! let net = prune_burn::l1_unstructured(net, "hidden.weight", 0.5)?; // half of one weight, then
//! let net = prune_burn::global_unstructured(net, "*.weight", L1Unstructured::new(0.8)?)?; // 80 % of all that is left
//! println!("{}", prune_burn::sparsity(&net)?);
//!
//! let net = prune_burn::remove(net, "*")?; // make it permanent: keep the zeros, drop the masks
//! assert!(!prune_burn::is_pruned(&net));
//! # Ok::<(), prune_burn::Error>(())
//! ```
//!
//! # Overview
//!
//! | PyTorch | here |
//! |---|---|
//! | `l1_unstructured`, `random_unstructured`, `ln_structured`, `random_structured`, `identity`, `custom_from_mask` | functions of the same names |
//! | `global_unstructured` | [`global_unstructured`] |
//! | `remove`, `is_pruned` | [`remove`], [`is_pruned`] |
//! | `Method.apply(module, name, ...)` | [`apply`] with any [`Method`]: [`prune::NM`], [`prune::Block`], custom ones, ... |
//! | `importance_scores=` | [`apply_with_scores`], [`global_unstructured_with_scores`] |
//! | `weight_orig`, `weight_mask`, `weight` | `weight.base()`, [`masks`], `weight.val()` |
//! | an amount for each layer | [`apply_each`] |
//! | `load_state_dict` of a pruned model | [`load_file`] |
//!
//! Functions take a module and return it, as burn's do. [`Paths`] are paths of parameters or globs; a submodule, such as
//! `net.hidden`, and a single `Param` are modules too. For pruning while a model is trained, ask a
//! [`prune::training::Schedule`] at each step, as the example `digits` does.
//!
//! # Guarantees
//!
//! - **Parity.** Masks are those of `nn-prune` for the same array, bit for bit; for methods of PyTorch they are PyTorch's.
//! - **Errors change nothing.** All masks of a call are decided before the first one is set.
//! - **Types.** f32, f64, f16 and bf16, as the backend supports them; each tensor is ranked in its own type.
//! - **Devices.** Tensors are copied to the host to be ranked, and only masks are copied back. The rest is burn's.
//!
//! # Limits
//!
//! - The weight of a `Linear` of burn is `[inputs, outputs]`, the transpose of PyTorch's: its neurons are `dim` 1.
//! - A parameter of burn has one reparameterization, so a pruned one cannot have LoRA, nor the other way around. After pruning, burn
//!   ignores `apply_lora` for such a parameter without an error.
//! - `val()` converts the mask and multiplies every time it is called: once in each forward pass of a layer.
//! - Pruned entries are zeros, so pruning alone saves neither memory nor time.
//!
//! [`torch.nn.utils.prune`]: https://docs.pytorch.org/docs/stable/nn.html#utilities

mod apply;
mod decide;
mod error;
mod functions;
mod inspect;
mod mask;
mod paths;
mod record;
mod remove;
mod survey;

pub use apply::{apply, apply_each, apply_with_scores, global_unstructured, global_unstructured_with_scores};
pub use decide::{Method, Scores};
pub use error::Error;
pub use functions::{
    custom_from_mask, identity, l1_unstructured, ln_structured, random_structured, random_unstructured,
};
pub use inspect::{ParameterSparsity, Sparsity, is_pruned, masks, sparsity};
pub use mask::PruneMask;
pub use paths::Paths;
pub use record::load_file;
pub use remove::remove;
