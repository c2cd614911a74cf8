//! The parts of PyTorch that reproduce a run: its random stream, its layer initialisation and its choice among equal scores.
//!
//! You need this module only for *PyTorch's* masks or weights. For a reproducible run of your own, a seed is enough.
//!
//! ```
//! use ndarray::array;
//! use prune::torch::Generator;
//!
//! // torch.manual_seed(888); layer = nn.Linear(3, 2); noise = torch.rand(2)
//! let generator = Generator::manual_seed(888);
//! let (weight, bias) = generator.linear::<f32>(3, 2);
//! let noise = generator.rand::<f32>(2);
//!
//! assert_eq!(weight, array![[-0.5224838, 0.2234061, -0.42748153], [0.36487758, 0.31159058, 0.33315423]]);
//! assert_eq!(bias, array![0.32675758, -0.09128259]);
//! assert_eq!(noise, array![0.7104488, 0.6197927].into_dyn());
//! ```
//!
//! A random pruning method with a [`Generator`] gives the mask that `torch.nn.utils.prune` draws at the same place in the
//! stream, and advances it as PyTorch does. [`random_unstructured`](crate::random_unstructured) has an example.
//!
//! # Guarantees
//!
//! Every value drawn from a [`Generator`] and every mask made with one equals, bit for bit, that of **PyTorch 2.15 or newer
//! on the CPU of an x86-64 Linux machine**, given the same seed and the same calls in the same order. The same holds for the
//! choices of [`TieBreak::PyTorch`](crate::TieBreak::PyTorch), which a [`Generator`] implies. The promise was checked against
//! PyTorch 2.15.0, and holds on every platform that this crate runs on.
//!
//! PyTorch itself gives other results in these cases, which the promise excludes (only the last row was run):
//!
//! | PyTorch | what differs |
//! |---|---|
//! | older than 2.15 | draws of `f16` and `bf16`; those of `f32` and `f64` are the same |
//! | on a GPU | every draw, because GPUs have another generator |
//! | on macOS or Windows | which of several equal scores is pruned |
//! | on a CPU without AVX2 and FMA | last bits of [`uniform`](Generator::uniform) and of initial weights; [`rand`](Generator::rand) and masks are the same |
//!
//! `randn` and other distributions are not available.

mod generator;
mod init;
mod tie_order;

pub use generator::Generator;
pub(crate) use tie_order::first_k;
