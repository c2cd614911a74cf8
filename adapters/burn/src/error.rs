//! The error of everything in this crate.

use std::fmt;

use burn_core::store::RecordError;
use burn_core::tensor::DType;
use prune::PruneError;

/// The reason why a module was not pruned, read or loaded.
///
/// Everything that can be refused is refused before the first mask changes, so a clone of the module that was made before the
/// call has not changed. A clone copies no tensor.
///
/// ```
/// # use burn::nn::LinearConfig;
/// # use burn::prelude::*;
/// let layer = LinearConfig::new(4, 2).init(&Device::default());
/// let error = prune_burn::l1_unstructured(layer.clone(), "wieght", 0.5).unwrap_err();
/// assert_eq!(error.to_string(), "`wieght` matches no parameter; the module has `weight`, `bias`");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A pattern that is not a valid glob.
    #[error("`{pattern}` is not a valid glob pattern")]
    InvalidPattern {
        /// The pattern.
        pattern: String,
        /// The fault.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A path or a pattern that no floating-point parameter of the module matches.
    #[error("`{pattern}` matches no parameter; the module has {}", List(known))]
    UnmatchedPattern {
        /// The path or the pattern.
        pattern: String,
        /// The paths of all floating-point parameters, in the order of the module.
        known: Vec<String>,
    },
    /// Patterns that select nothing: there are none, or what they match is excluded.
    #[error("no parameter is selected; the module has {}", List(known))]
    NothingSelected {
        /// The paths of all floating-point parameters, in the order of the module.
        known: Vec<String>,
    },
    /// A parameter of a type that cannot be ranked, such as a quantized one. Prune before you quantize.
    #[error("cannot prune `{path}`: its type is {dtype:?}, not f32, f64, f16 or bf16")]
    UnsupportedDtype {
        /// The path of the parameter.
        path: String,
        /// The type of its elements.
        dtype: DType,
    },
    /// A parameter with a reparameterization that is not a mask, such as LoRA: a parameter of burn has one at most.
    #[error("cannot prune `{path}`: it has the reparameterization `{name}`, and a parameter has one at most")]
    OtherReparameterization {
        /// The path of the parameter.
        path: String,
        /// The name of its reparameterization.
        name: String,
    },
    /// A call of `remove` that would merge a reparameterization that is not a mask.
    #[error(
        "cannot remove masks without merging the reparameterization `{name}` of `{path}`; `materialize` merges all of them"
    )]
    WouldMerge {
        /// The path of the parameter.
        path: String,
        /// The name of its reparameterization.
        name: String,
    },
    /// A call of `remove` for a path or a pattern of which no match has a mask.
    #[error("`{pattern}` matches no pruned parameter")]
    NotPruned {
        /// The path or the pattern.
        pattern: String,
    },
    /// Importance scores for a path that is not selected.
    #[error("there are scores for `{path}`, which is not selected")]
    UnusedScores {
        /// The path.
        path: String,
    },
    /// Importance scores of a type that cannot be ranked.
    #[error("scores of `{path}` have the type {dtype:?}, not f32, f64, f16 or bf16")]
    ScoresDtype {
        /// The path.
        path: String,
        /// The type of the scores.
        dtype: DType,
    },
    /// A tensor that could not be copied from its device.
    #[error("cannot read `{path}` from its device")]
    Read {
        /// The path of the parameter.
        path: String,
        /// The error of the backend.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A parameter that the method cannot prune.
    #[error("cannot prune `{path}`")]
    Parameter {
        /// The path of the parameter.
        path: String,
        /// The reason.
        source: PruneError,
    },
    /// An argument that no parameter could be pruned with.
    #[error(transparent)]
    Prune(#[from] PruneError),
    /// A record that could not be read, or that does not fit the module.
    #[error("cannot load the record")]
    Record(#[from] RecordError),
}

impl Error {
    /// The error of a method at one parameter.
    pub(crate) fn at(path: &str) -> impl FnOnce(PruneError) -> Self {
        move |source| Self::Parameter { path: path.to_owned(), source }
    }

    /// The error of a backend, or of data that it has returned.
    pub(crate) fn read<E: Into<Box<dyn std::error::Error + Send + Sync>>>(path: &str) -> impl FnOnce(E) -> Self {
        move |source| Self::Read { path: path.to_owned(), source: source.into() }
    }
}

/// `` `a`, `b` `` or `none`.
struct List<'a>(&'a [String]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (i, name) in self.0.iter().enumerate() {
            write!(f, "{}`{name}`", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}
