//! Pruning of [candle](candle_core) models with [`nn-prune`](prune): masks for the variables of a
//! [`VarMap`](candle_nn::VarMap), by name, kept while the model is trained.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use candle_nn::{AdamW, Module, Optimizer, VarBuilder, VarMap};
//! use prune::{Amount, L1Unstructured, training::Schedule};
//! use prune_candle::PrunedVars;
//!
//! let vars = VarMap::new();
//! let builder = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
//! let net = candle_nn::seq()
//!     .add(candle_nn::linear(8, 16, builder.pp("fc1"))?)
//!     .add_fn(|x| x.relu())
//!     .add(candle_nn::linear(16, 1, builder.pp("fc2"))?);
//!
//! let pruned = PrunedVars::new(&vars);
//! let mut optimizer = pruned.optimizer(AdamW::new_lr(vars.all_vars(), 0.01)?);
//! let schedule = Schedule::cubic(0.0, 0.9)?.between(10, 50)?.every(5)?;
//! let input = Tensor::randn(0f32, 1.0, (32, 8), &Device::Cpu)?;
//! for step in 0..60 {
//!     let loss = (net.forward(&input)? - input.narrow(1, 0, 1)?)?.sqr()?.mean_all()?;
//!     optimizer.backward_step(&loss)?;
//!     if schedule.is_due(step) {
//!         let amount = Amount::sparsity(schedule.at(step));
//!         pruned.global_unstructured(&["*.weight"], L1Unstructured::new(amount)?)?;
//!     }
//! }
//! let kept: usize = pruned.masks().iter().map(|(_, mask)| mask.kept()).sum();
//! assert_eq!(kept, 14); // of 144
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`PrunedVars`] prunes variables with any method, ranks them by weights or scores, and stores masks in files.
//! - [`PrunedOptimizer`] keeps what is pruned at zero.
//! - [`Method`] is a method for all four dtypes: `f32`, `f64`, `f16` and `bf16`.
//!
//! Masks are those of `nn-prune` for the same numbers, bit for bit: the same counts, order of equal scores, and seeds. Weights and scores
//! on the CPU are ranked where they are; those of another device are copied to the host once for each pruning, and the
//! mask is copied back.

mod error;
mod float;
mod names;
mod optimizer;
mod prune_vars;
mod pruned_var;
mod pytorch;
mod ranked;
mod vars;

pub use error::Error;
pub use float::Method;
pub use optimizer::PrunedOptimizer;
pub use pytorch::mask_from_tensor;
pub use vars::PrunedVars;

/// The examples of the README, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
