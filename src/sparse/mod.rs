//! Packed weights and sparse products: a pruned network that is smaller in memory, and answers faster on a CPU.
//!
//! [`Packed`] stores one bit for each entry and the kept values. [`Packed::prepare`] turns it into the form in which products
//! with a number of inputs at once are fastest: compressed rows, blocks of four rows where the weight was pruned in blocks, or
//! dense where zeros are too few to gain anything. It says [which and why](Prepared::choice). [`PackedLinear`] and
//! [`PackedConv2d`] are layers for inference.
//!
//! ```
//! use ndarray::{Array2, Ix2};
//! use prune::sparse::{Packed, PackedLinear};
//! use prune::{L1Unstructured, Parameter};
//!
//! let mut weight = Parameter::new(Array2::from_shape_fn((128, 256), |(i, j)| ((7 * i + j) as f32).cos()));
//! weight.prune(L1Unstructured::new(0.9)?)?;
//!
//! let packed = Packed::new(&weight); // 10 % of the values, and a bit for each entry
//! assert_eq!((packed.dense_bytes(), packed.bytes()), (131_072, 18_236));
//! let layer = PackedLinear::new(packed.prepare(32), None)?; // for 32 inputs at once
//!
//! let inputs = Array2::from_elem((32, 256), 0.5_f32);
//! let expected = inputs.dot(&weight.view::<Ix2>().t());
//! assert!((layer.forward(inputs.view())? - expected).iter().all(|error| error.abs() < 1e-4));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Types
//!
//! Weights are `f32`, `f64`, `f16` or `bf16`. Inputs, biases and outputs have the type of the sums, [`Sum`]: `f64` for weights of
//! `f64`, and otherwise `f32`. Half precisions are widened exactly.
//!
//! # Accuracy
//!
//! A sum over `n` kept entries differs from the exact one by at most `n * 2^-23` (`f32`) or `n * 2^-52` (`f64`) times the sum of
//! the magnitudes of its products. The results do not depend on the number of threads. They depend on the form, the number of
//! inputs and the processor in their last bits.
//!
//! `prune::safetensors::save_packed` and `nn-prune pack` write packed weights to files.

mod bitmask;
pub(crate) mod bits;
mod choice;
mod convolution;
mod dense;
mod error;
mod kernel;
mod linear;
pub(crate) mod packed;
mod prepared;
mod product;
mod rows;
mod segments;

pub use choice::{Choice, Reason};
pub use convolution::{Conv2dOptions, PackedConv2d};
pub use error::SparseError;
pub use linear::PackedLinear;
pub use packed::Packed;
pub use prepared::{Form, Prepared};
pub use product::Scratch;

use crate::element::ElementInternals;

/// The type of the sums of a product, and of its inputs: `f64` for weights of `f64`, `f32` for all others.
pub type Sum<A> = <A as ElementInternals>::Accumulator;
