//! Compaction: pruned units are removed for real, so that a model is smaller and faster, and computes what the masked one does.
//!
//! A [`Coupling`] declares the *dimensions* of a model: the positions of parameters that are one *unit* (a neuron, a
//! channel, an attention head) and are pruned together. It is declared, not traced, so nothing is guessed. A [`Plan`] says
//! which units are kept. It [masks](Plan::mask) the others, for training; it [compares](Plan::verify) the masked model with
//! the compacted one; and it [compacts](Plan::compact).
//!
//! ```
//! use ndarray::{Array1, Array2, Ix1, Ix2};
//! use prune::ParameterStore;
//! use prune::compact::{Choice, Coupling, Use};
//!
//! # fn wave<D: ndarray::Dimension>(array: ndarray::Array<f32, D>) -> ndarray::Array<f32, D> {
//! #     let mut i = 0.0;
//! #     array.mapv_into(|_| { i += 1.0; f32::sin(i) })
//! # }
//! let mut net = ParameterStore::new();
//! net.insert("fc1.weight", wave(Array2::zeros((16, 4))));
//! net.insert("fc1.bias", wave(Array1::zeros(16)));
//! net.insert("fc2.weight", wave(Array2::zeros((3, 16))));
//!
//! let coupling = Coupling::new().dimension("hidden", [
//!     Use::out("fc1.weight", 0),    // the rows of fc1 make the units,
//!     Use::follow("fc1.bias", 0),   // each has a bias,
//!     Use::input("fc2.weight", 1),  // and the columns of fc2 read them
//! ]);
//! let plan = coupling.choose(&net, &Choice { multiple: 4, ..Choice::new(0.5) })?;
//!
//! let input = Array2::from_elem((1, 4), 0.5_f32);
//! let forward = |net: &ParameterStore<f32>| {
//!     let hidden = input.dot(&net["fc1.weight"].view::<Ix2>().t()) + net["fc1.bias"].view::<Ix1>();
//!     hidden.mapv(|x| x.max(0.0)).dot(&net["fc2.weight"].view::<Ix2>().t())
//! };
//! assert!(plan.verify(&net, |net, _| forward(net))? < 1e-5); // masked against compacted, on clones
//!
//! plan.mask(&mut net)?; // train on: the pruned units stay zero; then
//! let report = plan.compact(&mut net)?;
//! assert_eq!(net["fc1.weight"].value().shape(), [8, 4]);
//! assert_eq!((report.entries_before(), report.entries_after()), (128, 64));
//! # Ok::<(), prune::compact::CompactError>(())
//! ```
//!
//! Units can also be reordered, without any change of the outputs, so that an N:M pattern keeps more: [`Coupling::permute`].
//!
//! `prune::checkpoint::Compactor` does the same on files, for models of Hugging Face without any declaration, and so does
//! `prune::checkpoint::Permuter`.

pub(crate) mod choice;
mod coupling;
pub(crate) mod dead;
mod error;
mod fold;
pub(crate) mod importance;
pub(crate) mod layout;
mod permutation;
pub(crate) mod permute;
pub(crate) mod plan;
mod report;
pub(crate) mod search;
pub(crate) mod swaps;
mod verify;

pub use choice::{Choice, Scope};
pub use coupling::{Coupling, Dimension, Role, Use, WidthNorm};
pub use dead::{DeadUnits, HalfDead};
pub use error::CompactError;
pub use fold::{Activation, Fold};
pub use importance::{Normalize, Rank, Reduce, Scores};
pub use layout::Sizes;
pub use permutation::Permutation;
pub use permute::{KeptMagnitude, Permuted, PermutedDimension, Search};
pub use plan::Plan;
pub use report::{Compacted, CompactedDimension, CompactedParameter};
