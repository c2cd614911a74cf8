//! Pruning with data: masks and weights by the inputs of each layer, without a framework.
//!
//! Magnitude pruning knows only the weights. What a weight does depends on its input, too, and a few thousand tokens are enough to
//! tell: run them through the model once, [push](Moments::push) the inputs of each layer, and prune with the sums. No gradient and no
//! training is needed.
//!
//! ```
//! use ndarray::arr2;
//! use prune::Parameter;
//! use prune::calibration::{LeastSquares, Moments, Swaps, Wanda};
//!
//! let inputs = arr2(&[[1.0_f32, 0.9, 0.1, 0.3], [0.2, 0.3, 1.0, 0.9], [0.5, 0.4, 0.3, 0.2], [0.1, 0.8, 0.2, 0.7]]);
//! let mut moments = Moments::with_gram(4);
//! moments.push(inputs.view())?;
//! let moments = std::sync::Arc::new(moments);
//!
//! let mut weight = Parameter::new(arr2(&[[1.0_f32, 0.5, 0.4, 0.3], [0.1, 0.8, 0.7, 0.2]]));
//! let mask = Swaps::new(Wanda::new(0.5, moments.clone())?, moments.clone());
//! let done = weight.reconstruct(LeastSquares::after(mask, moments))?;
//! assert_eq!(weight.pruned(), 4);
//! assert!(done.error < 0.25); // of the output, relative
//! # Ok::<(), prune::PruneError>(())
//! ```
//!
//! # Methods
//!
//! | method | needs | changes | amount of |
//! |---|---|---|---|
//! | [`Wanda`] | sums of squares | mask | each row |
//! | [`Ria`] | sums of squares | mask | each row |
//! | [`Swaps`] | Gram matrix | mask of another method | as that |
//! | [`SparseGpt`] | Gram matrix | mask and weights | each block of columns |
//! | [`Admm`] | Gram matrix | mask and weights | the layer |
//! | [`LeastSquares`] | Gram matrix | weights, under any mask | |
//!
//! All take a share or a [`Pattern`] such as 2:4. Start with `LeastSquares` after `Swaps` of `Wanda`, or with `Admm` for 2:4.
//! [`owl`] gives each layer a sparsity of its own, and [`reconstruction_error`] is the measure to compare methods by.
//!
//! Weights are `[outputs, inputs]`; of a convolution, all axes but the first are inputs. A history keeps the name of a method, not
//! its data.
//!
//! # Stability
//!
//! Masks of [`Wanda`] and [`Ria`] are the same on every machine if the sums are: sums of squares are added token by token. Gram
//! matrices, and all that stands on them, are matrix products, whose last bits depend on the width of the CPU's vectors; so may
//! masks, where scores nearly tie. Nothing depends on the number of threads.

mod admm;
mod cholesky;
mod gradient_squares;
mod hessian;
mod inputs;
mod layer;
mod least_squares;
mod measure;
mod moments;
mod owl;
mod packed;
mod part;
mod pattern;
mod ria;
mod sparse_gpt;
#[cfg(feature = "safetensors")]
mod statistics;
mod swaps;
mod wanda;

pub use admm::Admm;
pub use gradient_squares::GradientSquares;
pub use hessian::DampeningOf;
pub use inputs::Inputs;
pub use least_squares::LeastSquares;
pub use measure::reconstruction_error;
pub use moments::Moments;
pub use owl::{Outliers, owl};
pub use pattern::Pattern;
pub use ria::Ria;
pub use sparse_gpt::SparseGpt;
#[cfg(feature = "safetensors")]
pub use statistics::{Statistics, StatisticsError};
pub use swaps::Swaps;
pub use wanda::Wanda;

#[cfg(feature = "safetensors")]
pub(crate) use measure::error_on;
