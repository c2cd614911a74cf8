//! What each cargo feature adds.
//!
//! No feature changes a mask or a value: with fewer of them there is less to call, never another result. To choose
//! some:
//!
//! ```toml
//! nn-prune = { version = "0.1", default-features = false, features = ["nuclear"] }
//! ```
//!
//! | feature | default | dependency | what it adds |
//! |---|---|---|---|
//! | [`nuclear`](#nuclear) | yes | nalgebra | [`Norm::Nuclear`] |
//! | [`rayon`](#rayon) | yes | rayon | large tensors are pruned on all cores |
//! | [`safetensors`](#safetensors) | yes | safetensors, serde, serde_json, tempfile, globset | `prune::safetensors`: state dicts and masks as files |
//! | [`cli`](#cli) | no | clap, comfy-table, indicatif, plotters, ctrlc | the command line `nn-prune` |
//!
//! # `nuclear`
//!
//! The nuclear norm, `n="nuc"` in PyTorch, for structured pruning: [`Norm::Nuclear`] in
//! [`LnStructured`](crate::LnStructured), [`ln_structured`](crate::ln_structured) and
//! [`channel_norms`](crate::channel_norms). It needs a singular value decomposition, which is what nalgebra is for.
//!
//! ```
//! # fn main() -> Result<(), prune::PruneError> {
//! # #[cfg(feature = "nuclear")] {
//! use ndarray::{arr3, ArrayD};
//! use prune::Norm;
//!
//! // Two channels, each a 2x2 matrix.
//! let weight: ArrayD<f64> = arr3(&[[[3.0, 0.0], [0.0, 1.0]], [[0.0, 2.0], [0.0, 0.0]]]).into_dyn();
//! let norms = prune::channel_norms(weight.view(), Norm::Nuclear, 0)?;
//! assert!((norms[0] - 4.0).abs() < 1e-12 && (norms[1] - 2.0).abs() < 1e-12);
//! # }
//! # Ok(())
//! # }
//! ```
//!
//! Without the feature the variant is still there, so that code compiles, and every use of it is
//! [`PruneError::FeatureDisabled`](crate::PruneError::FeatureDisabled): no other norm stands in for it.
//!
//! ```
//! # use prune::{LnStructured, Norm, Parameter};
//! let mut weight = Parameter::new(ndarray::Array3::<f32>::ones((4, 2, 2)));
//! let result = weight.prune(LnStructured::new(1, Norm::Nuclear, 0)?);
//! assert_eq!(result.is_ok(), cfg!(feature = "nuclear"));
//! # Ok::<(), prune::PruneError>(())
//! ```
//!
//! # `rayon`
//!
//! Pruning on all cores, in rayon's global thread pool. It takes part where there is enough to do, from 2^17 entries on
//! in a call; smaller tensors are pruned on the thread that calls. Masks and values are the same with the feature and
//! without it, and for any number of threads: `RAYON_NUM_THREADS=1` changes how long it takes and nothing else.
//!
//! # `safetensors`
//!
//! The module `prune::safetensors`: a whole [`Module`](crate::Module) as a state dict, under the names that PyTorch
//! gives to it (`weight_orig` and `weight_mask` for a pruned `weight`), in files or in memory, and masks alone.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # #[cfg(feature = "safetensors")] {
//! use prune::{ParameterStore, safetensors};
//!
//! let mut layer = ParameterStore::from_iter([("weight", ndarray::arr2(&[[1.0_f32, -2.0], [3.0, -4.0]]))]);
//! prune::l1_unstructured(&mut layer, "weight", 2)?;
//!
//! let bytes = safetensors::to_bytes(&layer)?;
//! let (copy, report) = safetensors::from_bytes::<f32>(&bytes)?;
//! assert_eq!(report.applied, ["weight_orig", "weight_mask"]);
//! assert_eq!(copy["weight"].value(), layer["weight"].value());
//! # }
//! # Ok(())
//! # }
//! ```
//!
//! # `cli`
//!
//! The program `nn-prune`, which prunes, inspects and compares checkpoints in safetensors files. It adds nothing to the
//! library: what it does is what `prune::checkpoint` does, and a program that depends on the library has no use for it.
//!
//! ```sh
//! cargo install --path . --features cli
//! nn-prune inspect model.safetensors
//! nn-prune prune model.safetensors -o half.safetensors --method l1 --amount 0.5
//! nn-prune diff model.safetensors half.safetensors
//! ```
//!
//! `nn-prune prune --help` explains the options, with examples. Scripts go by `--json` and by the exit code:
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | a file could not be read or written, or its contents do not allow what was asked |
//! | 2 | the command line is wrong |
//! | 3 | `diff`: the checkpoints differ |
//! | 130 | interrupted; temporary files were removed |
//!
//! [`Norm::Nuclear`]: crate::Norm::Nuclear
