//! Prune, inspect and compare safetensors checkpoints of any size, without model code.
//!
//! [`Checkpoint::open`] reads the headers only. [`Pruner`] writes a pruned copy, [`inspect`] counts zeros, [`diff`] compares
//! two checkpoints, [`verify`] checks patterns of zeros, [`remove`] makes masks permanent, [`restore`] drops them and
//! [`extract_masks`] writes a mask file. Input files are never written to.
//!
//! With the feature `onnx`, an ONNX model is a checkpoint too, and its output the same file with other values.
//!
//! ```
//! use prune::L1Unstructured;
//! use prune::checkpoint::{self, Checkpoint, Output, Pruner};
//!
//! # use ndarray::{arr1, arr2};
//! # let directory = tempfile::tempdir()?;
//! # let (input, output) = (directory.path().join("model.safetensors"), directory.path().join("pruned.safetensors"));
//! # let mut model = prune::ParameterStore::from_iter([("fc.weight", arr2(&[[1.0_f32, -2.0], [3.0, -4.0]]))]);
//! # model.insert("fc.bias", arr1(&[0.5, -0.5]));
//! # prune::safetensors::save_file(&model, &input)?;
//! let checkpoint = Checkpoint::open([&input])?; // reads the headers only
//! let half = Pruner::new(L1Unstructured::new(0.5)?);
//! let report = half.run(&checkpoint, &Output::new(&output), &())?;
//! assert_eq!(report.pruned_after(), 2);
//!
//! let inspection = checkpoint::inspect(&Checkpoint::open([&output])?, false, &())?;
//! let zeros: Vec<_> = inspection.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.zeros)).collect();
//! assert_eq!(zeros, [("fc.weight", Some(2)), ("fc.bias", Some(0))]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Masks
//!
//! - Each tensor is pruned in its own dtype and gets the mask that the same method gives it in memory, bit for bit. A seed
//!   applies as [`Scope::Tensor`] and [`Scope::Global`] describe.
//! - [`Scope::Global`] ranks all selected tensors as [`global_unstructured`](crate::global_unstructured) does, ordered by shard
//!   and by position in the shard. Scores of different dtypes are compared exactly; of ties, the first in this order is
//!   pruned first.
//! - A tensor stored as `w_orig` and `w_mask` is pruned further; amounts are relative to its remaining entries.
//!
//! # Files of PyTorch
//!
//! With the feature `pytorch`, [`Checkpoint::open`] also reads `.pt`, `.pth` and `.bin` files, without executing anything in them.
//! Every function works on them as on the safetensors files that they would be; those are what it writes.
//!
//! # Many machines
//!
//! [`Pruner::run_among`] is a run of several processes that share an operation, a sum of counts. [`Counts`] and [`Cut`] need none: they
//! find one threshold for shards that are counted and pruned anywhere. `docs/MANY-MACHINES.md` compares them.
//!
//! # Memory
//!
//! Up to sixteen threads read tensors in pieces of about 1 MiB. Tensors up to 16 MiB are held in memory between selection and
//! writing; larger ones, and their masks, are never loaded whole. Unstructured pruning therefore needs at most 256 MiB, plus
//! the headers and, for random pruning with global scope, 100 bytes per 16,384 entries.
//! [`LnStructured`](crate::LnStructured) along an axis other than the first, and [`Fpgm`](crate::Fpgm), hold one tensor and
//! its mask. [`Block`](crate::Block) holds about eight bytes for each block of one tensor.
//!
//! # Errors
//!
//! Every defect of a file is a variant of [`CheckpointError`]. No file causes a panic, or an allocation out of proportion to
//! its size. Sizes, modification times and paths of the inputs are checked again before an output appears; a change is an
//! error.

mod compact;
mod convert;
mod cut_error;
mod diff;
mod error;
mod inspect;
mod pack;
mod peers;
mod progress;
mod prune;
mod read;
mod report;
mod verify;
mod write;

#[cfg(feature = "onnx")]
pub use crate::file::onnx::OnnxError;
#[cfg(feature = "pytorch")]
pub use crate::file::pytorch::error::PyTorchError;
pub use compact::{CompactReport, CompactedTensorReport, Compactor, ConfigChange, Equality, PermuteReport, Permuter};
pub use convert::{Conversion, MaskSource, extract_masks, remove, restore};
pub use cut_error::CutError;
pub use diff::{Containment, Difference, EntryDifference, TensorDifference, diff};
pub use error::CheckpointError;
pub use inspect::{Inspection, Magnitudes, PackedSizes, TensorInspection, inspect};
pub use pack::{DenseReason, PackReport, PackedTensorReport, Packer, unpack};
pub use peers::Peers;
pub use progress::{Observer, Phase, Progress};
pub use prune::{Counts, Cut, Owl, Pruner, Scope, Selection, owl};
pub use read::{Checkpoint, Dtype, OpenOptions, Shard, Tensor};
pub use report::{
    AxisReason, CalibrationReport, ChannelAxis, Companions, Outcome, PruneReport, SkipReason, TensorReport, Unit,
};
pub use verify::{TensorVerification, Verification, ZeroPattern, verify};
pub use write::{Format, Output, check_apart};

pub use crate::method::tensor_seed;

/// The types of models, by `model_type` of their `config.json`, that [`Compactor`] and [`Permuter`] know.
pub const MODEL_TYPES: [&str; 12] =
    ["bert", "gemma", "gemma2", "gemma3_text", "gpt2", "llama", "mistral", "phi3", "qwen2", "qwen3", "roberta", "vit"];
