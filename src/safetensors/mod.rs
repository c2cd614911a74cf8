//! State dicts: modules as safetensors files that PyTorch reads and writes. Mask files: the masks of a module alone.
//!
//! ```
//! use ndarray::{arr1, arr2};
//! use prune::{ParameterStore, safetensors};
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("layer.safetensors");
//! let mut layer = ParameterStore::from_iter([("weight", arr2(&[[1.0_f32, -2.0], [3.0, -4.0]]))]);
//! layer.insert("bias", arr1(&[0.5, -0.5]));
//! prune::l1_unstructured(&mut layer, "weight", 2)?;
//! safetensors::save_file(&layer, &path)?; // weight_orig, weight_mask, bias
//!
//! let (mut layer, report) = safetensors::load_file::<f32>(&path)?;
//! assert_eq!(report.applied, ["weight_orig", "weight_mask", "bias"]);
//! assert!(layer["weight"].is_pruned());
//!
//! prune::l1_unstructured(&mut layer, "weight", 1)?; // one of the two remaining entries
//! assert_eq!(layer["weight"].value(), &arr2(&[[0.0, -0.0], [0.0, -4.0]]).into_dyn());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! In Python, `save_file(model.state_dict(), path)` of `safetensors.torch` writes a file for [`load_file`]. A file by
//! [`save_file`] is loaded with `model.load_state_dict(load_file(path))`, once the same parameters of the model are pruned,
//! for example by [`prune.identity`](https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.identity.html).
//!
//! # Names
//!
//! An unpruned parameter is stored under its path, such as `encoder.0.weight`. A pruned one is stored as two tensors of the
//! same shape: `encoder.0.weight_orig`, the original, and `encoder.0.weight_mask`, zeros and ones in the dtype of the
//! parameter.
//!
//! Only the pair is read as a pruned parameter. An `x_orig` or an `x_mask` alone is an ordinary tensor of that name, and so
//! is a tensor that has the name of a parameter of the module. [`state_dict`] refuses names that would be read
//! differently. The tensors of a file are in the order of the module.
//!
//! # Reports
//!
//! Dtypes are not converted, names are not guessed, and a [`LoadReport`] lists every tensor.
//!
//! | file | module | loading | report |
//! |---|---|---|---|
//! | `w` | `w`, unpruned | replaces the value | `w` applied |
//! | `w_orig`, `w_mask` | `w`, unpruned | prunes `w` | both applied |
//! | `w_orig`, `w_mask` | `w`, pruned | replaces original, mask and history | both applied |
//! | `w` | `w`, pruned | does not change `w` | `w` unexpected; `w_orig`, `w_mask` missing |
//! | `w_orig` alone | `w`, pruned or not | does not change `w` | `w_orig` unexpected; the names of `w` missing |
//! | `w` in another dtype | `w` | does not change `w` | `w` skipped, and missing |
//! | | `w` | does not change `w` | `w` missing |
//! | `x` | | | `x` unexpected |
//! | `x` in another dtype | | | `x` skipped |
//!
//! A mask may be stored as booleans, integers, or floats of at least 16 bits, since PyTorch's masks have the dtype of the
//! importance scores. After loading, the history of a pruned parameter is one `CustomFromMask`.
//!
//! # Errors
//!
//! Every defect of a file is a variant of [`StateDictError`], so files may be untrusted: truncated ones, overlapping tensors,
//! repeated names, masks with fractions. No file causes a panic, or an allocation out of proportion to its size. If loading
//! returns an error, the module is unchanged; if saving does, an existing file is.

mod load;
mod masks;
mod packed;
mod report;
mod save;
mod session;
mod state_dict;
mod stored;

pub use crate::file::error::StateDictError;
pub use crate::file::recognise::FileFormat;
pub use load::{from_bytes, load_file, load_file_into, load_into};
pub use masks::{apply_masks, load_masks, masks_from_bytes, masks_to_bytes, save_masks, save_named_masks};
pub use packed::{NamedTensors, PackedTensor, load_packed, packed_from_bytes, packed_to_bytes, save_packed};
pub use report::{LoadReport, SkipReason, Skipped};
pub use save::{save_file, to_bytes};
pub use session::{load_session, save_session};
pub use state_dict::{Entry, StateDict, state_dict};
