//! State dicts: modules as safetensors files that PyTorch reads and writes, and masks alone.
//!
//! ```
//! use ndarray::{arr1, arr2};
//! use prune::{ParameterStore, safetensors};
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("layer.safetensors");
//! let mut layer = ParameterStore::from_iter([("weight", arr2(&[[1.0_f32, -2.0], [3.0, -4.0]]))]);
//! layer.insert("bias", arr1(&[0.5, -0.5]));
//! prune::l1_unstructured(&mut layer, "weight", 2)?;
//! safetensors::save_file(&layer, &path)?; // weight_orig, weight_mask, bias
//!
//! let (mut layer, report) = safetensors::load_file::<f32>(&path)?;
//! assert_eq!(report.applied, ["weight_orig", "weight_mask", "bias"]);
//! assert!(layer["weight"].is_pruned());
//!
//! prune::l1_unstructured(&mut layer, "weight", 1)?; // one of the two entries that are left
//! assert_eq!(layer["weight"].value(), &arr2(&[[0.0, -0.0], [0.0, -4.0]]).into_dyn());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! In Python, `save_file(model.state_dict(), path)` of `safetensors.torch` writes what is read here, and
//! `model.load_state_dict(load_file(path))` reads what is written here, once the same parameters of the model are pruned
//! (by [`prune.identity`](https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.identity.html), say).
//!
//! # Names
//!
//! A parameter that is not pruned goes by its path, such as `encoder.0.weight`. A pruned one is two tensors of one shape:
//! `encoder.0.weight_orig`, what it would be without its mask, and `encoder.0.weight_mask`, zeros and ones in the dtype of
//! the parameter. Only the pair means that: an `x_orig` or an `x_mask` alone is an ordinary tensor of that name, and so is
//! every tensor whose name a parameter of the module has as it is. [`state_dict`] refuses names that a reader would
//! take for something else. The tensors of a file stand in the order of the module.
//!
//! # What is reported
//!
//! Nothing is converted, guessed or left out silently; a [`LoadReport`] accounts for every tensor.
//!
//! | file | module | loading | report |
//! |---|---|---|---|
//! | `w` | `w`, not pruned | gives `w` its values | `w` applied |
//! | `w_orig`, `w_mask` | `w`, not pruned | prunes `w` | both applied |
//! | `w_orig`, `w_mask` | `w`, pruned | replaces original, mask and history | both applied |
//! | `w` | `w`, pruned | leaves `w` as it is | `w` unexpected; `w_orig`, `w_mask` missing |
//! | `w_orig` alone | `w`, pruned or not | leaves `w` as it is | `w_orig` unexpected; the names of `w` missing |
//! | `w` in another dtype | `w` | leaves `w` as it is | `w` skipped, and missing |
//! | | `w` | leaves `w` as it is | `w` missing |
//! | `x` | | | `x` unexpected |
//! | `x` in another dtype | | | `x` skipped |
//!
//! A mask that is read may have any dtype that holds 0 and 1, since PyTorch's have that of the importance scores. After
//! loading, the history of a pruned parameter is one `CustomFromMask`.
//!
//! # Errors
//!
//! [`StateDictError`] has a variant for each way in which a file can be wrong, a stranger's included: one that is cut off,
//! that claims more than it has, whose tensors overlap, that has a name twice or a mask of numbers between 0 and 1. No file
//! causes a panic, or an allocation that is not in proportion to its own size. A module is loaded as a whole or, on an
//! error, not at all, and a file that is replaced is complete or untouched.

mod load;
mod masks;
mod report;
mod save;
mod state_dict;
mod stored;

pub use crate::file::error::StateDictError;
pub use load::{from_bytes, load_file, load_file_into, load_into};
pub use masks::{apply_masks, load_masks, masks_from_bytes, masks_to_bytes, save_masks};
pub use report::{LoadReport, SkipReason, Skipped};
pub use save::{save_file, to_bytes};
pub use state_dict::{Entry, StateDict, state_dict};
