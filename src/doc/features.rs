//! The cargo features of the library.
//!
//! No feature changes a mask or a value; `simd` changes the last bits of sparse products. Without a feature, there is less to call. To select features:
//!
//! ```toml
//! nn-prune = { version = "0.1", features = ["safetensors"] }
//! ```
//!
//! | feature | default | dependency | what it adds |
//! |---|---|---|---|
//! | [`nuclear`](#nuclear) | no | nalgebra | [`Norm::Nuclear`] |
//! | [`rayon`](#rayon) | yes | rayon | pruning of large tensors on all cores |
//! | [`simd`](#simd) | yes | pulp | pruning and sparse products with the vector instructions that the processor has |
//! | [`onnx`](#onnx) | no | none of its own; it includes `safetensors` | ONNX models in `prune::checkpoint`, pruned in place |
//! | [`safetensors`](#safetensors) | no | safetensors, serde, serde_json, tempfile, globset | `prune::safetensors`: state dicts and masks as files; `prune::checkpoint`: files larger than memory |
//! | [`pytorch`](#pytorch) | no | rawzip; includes `safetensors` | checkpoints in `.pt`, `.pth` and `.bin` files |
//!
//! # `nuclear`
//!
//! The nuclear norm, `n="nuc"` in PyTorch, for structured pruning: [`Norm::Nuclear`] in
//! [`LnStructured`](crate::LnStructured), [`ln_structured`](crate::ln_structured) and
//! [`channel_norms`](crate::channel_norms). The norm needs a singular value decomposition, which nalgebra provides.
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
//! Without the feature the variant still exists, so that code compiles. Pruning with it returns
//! [`PruneError::FeatureDisabled`](crate::PruneError::FeatureDisabled); no other norm replaces it.
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
//! Pruning on all cores, in rayon's global thread pool. A call uses other threads from 2^17 entries on; it prunes fewer
//! entries on its own thread. Masks and values do not depend on the feature or on the number of threads:
//! `RAYON_NUM_THREADS=1` changes only the time.
//!
//! # `simd`
//!
//! Pruning, and products of [`sparse`](crate::sparse), use AVX2 and FMA, or NEON, if the processor has them when the program runs.
//! Without the feature they use what the crate was compiled for, SSE2 on most x86-64 builds. Products then take about twice as
//! long, magnitude pruning a quarter longer, and groups of 8 to 32 entries two to four times as long. Masks do not depend on it.
//!
//! # `onnx`
//!
//! `Checkpoint::open` opens ONNX models, with their external data. A pruning writes the same files with zeros among the weights of
//! layers, which are told by the operators that take them. `docs/FILES.md` says which.
//!
//! # `safetensors`
//!
//! The module `prune::safetensors` stores a [`Module`](crate::Module) as a state dict with PyTorch's names (`weight_orig`
//! and `weight_mask` for a pruned `weight`), in files or in memory. It also stores masks alone.
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
//! The module `prune::checkpoint` prunes, inspects and compares checkpoints in files, without a model. The command line
//! `nn-prune` does the same from a shell; it is a separate package, `nn-prune-cli`, and no feature of the library.
//!
//! # `pytorch`
//!
//! `prune::checkpoint` reads files of `torch.save` as it reads safetensors files: in pieces, in shards with an index, with all its
//! functions. Nothing in a file is executed. Outputs are safetensors files.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # #[cfg(feature = "pytorch")] {
//! use prune::L1Unstructured;
//! use prune::checkpoint::{OpenOptions, Output, Pruner};
//!
//! let checkpoint = OpenOptions::new().key("model").open(["training.pth"])?;
//! Pruner::new(L1Unstructured::new(0.5)?).run(&checkpoint, &Output::new("half.safetensors"), &())?;
//! # }
//! # Ok(())
//! # }
//! ```
//!
//! [`Norm::Nuclear`]: crate::Norm::Nuclear
