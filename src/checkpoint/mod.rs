//! Checkpoints in files, of any size: pruned, inspected and compared without a model and without loading them.
//!
//! ```
//! use prune::checkpoint::{self, Checkpoint, Method, Output, Prune};
//!
//! # use ndarray::{arr1, arr2};
//! # let folder = tempfile::tempdir()?;
//! # let (input, output) = (folder.path().join("model.safetensors"), folder.path().join("pruned.safetensors"));
//! # let mut model = prune::ParameterStore::from_iter([("fc.weight", arr2(&[[1.0_f32, -2.0], [3.0, -4.0]]))]);
//! # model.insert("fc.bias", arr1(&[0.5, -0.5]));
//! # prune::safetensors::save_file(&model, &input)?;
//! let checkpoint = Checkpoint::open([&input])?; // reads the headers only
//! let half = Prune::new(Method::L1 { amount: 0.5.into() })?;
//! let report = half.run(&checkpoint, &Output::new(&output), &())?;
//! assert_eq!(report.pruned_after(), 2);
//!
//! let inspection = checkpoint::inspect(&Checkpoint::open([&output])?, false, &())?;
//! let zeros: Vec<_> = inspection.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.zeros)).collect();
//! assert_eq!(zeros, [("fc.weight", Some(2)), ("fc.bias", Some(0))]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Memory
//!
//! Tensors are read in pieces of about a megabyte, by up to sixteen threads; one of up to 16 MiB is kept while it is worked
//! on. Neither a larger tensor nor its mask is ever held as a whole, so that unstructured pruning, global scope included,
//! takes at most 256 MiB for a checkpoint of any size. (Two things grow with it, slowly: the headers, and in a random
//! pruning with global scope a hundred bytes for every 16 384 entries.) [`Method::Ln`] reads groups of channels along the
//! first axis, and along any other axis holds one tensor at a time with its mask.
//!
//! # Same masks as in memory
//!
//! A tensor is pruned in its own dtype, and its mask is the one that the methods of this crate give it in memory, bit for
//! bit; with [`Scope::Global`], the one that [`global_unstructured`](crate::global_unstructured) gives all selected tensors
//! in the order of the shards, and of their data within each. Across dtypes, exact values are compared. Among equals the first in this
//! order is pruned first.
//!
//! A tensor that is pruned already, `w_orig` and `w_mask`, is pruned further: its mask only loses entries, and amounts are
//! shares of what is left, as in PyTorch. What is written then: [`Format`].
//!
//! # Errors
//!
//! [`CheckpointError`] has a variant for each way in which files can be wrong, a stranger's included. No file causes a
//! panic, or an allocation that is not in proportion to its own size. The files of a checkpoint must not change
//! while it is open: a change of size or time, or another file in its place, is noticed, and the output withheld.

mod convert;
mod diff;
mod error;
mod inspect;
mod progress;
mod prune;
mod read;
mod report;
mod write;

pub use convert::{MaskSource, extract_masks, remove};
pub use diff::{Containment, Difference, EntryDifference, TensorDifference, diff};
pub use error::CheckpointError;
pub use inspect::{Inspection, Magnitudes, PackedSizes, TensorInspection, inspect};
pub use progress::{Observer, Phase, Progress};
pub use prune::{Method, NOT_PRUNED_BY_DEFAULT, Prune, Scope, Selection, tensor_seed};
pub use read::{Checkpoint, Dtype, Shard, Tensor};
pub use report::{Outcome, PruneReport, SkipReason, TensorReport, Unit};
pub use write::{Format, Output};
