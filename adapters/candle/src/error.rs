//! The error of everything in this crate.

use std::error::Error as _;
use std::fmt;

use candle_core::DType;
use prune::PruneError;
use prune::safetensors::StateDictError;

/// The reason why a call did not prune. Nothing has changed then: no variable and no mask.
///
/// `?` turns it into a [`candle_core::Error`] in functions that return one.
///
/// ```
/// use candle_nn::VarMap;
/// use prune_candle::PrunedVars;
///
/// let error = PrunedVars::new(&VarMap::new()).l1_unstructured("fc.weight", 0.5).unwrap_err();
/// assert_eq!(error.to_string(), "no variable matches `fc.weight`; the map has none");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name or a pattern that no variable has.
    #[error("no variable matches `{pattern}`; the map has {}", List(known))]
    NoMatch {
        /// The name or pattern that was given.
        pattern: String,
        /// The names of all variables, sorted.
        known: Vec<String>,
    },
    /// A pattern that is not a glob.
    #[error("`{pattern}` is not a valid pattern")]
    InvalidPattern {
        /// The pattern that was given.
        pattern: String,
        /// The fault.
        source: globset::Error,
    },
    /// A name that is listed twice in one call.
    #[error("`{name}` is listed twice")]
    Repeated {
        /// The repeated name.
        name: String,
    },
    /// A variable of integers, or of floats of fewer than 16 bits.
    #[error("`{name}` has dtype {}; only f32, f64, f16 and bf16 can be pruned", found.as_str())]
    DType {
        /// The name of the variable.
        name: String,
        /// Its dtype.
        found: DType,
    },
    /// Scores of integers, or of floats of fewer than 16 bits.
    #[error("scores of `{name}` have dtype {}, not f32, f64, f16 or bf16", found.as_str())]
    ScoresDType {
        /// The name of the variable.
        name: String,
        /// The dtype of the scores.
        found: DType,
    },
    /// Two names of one variable: its weights cannot have two masks.
    #[error("`{name}` and `{other}` are the same variable, which has one mask")]
    SharedVar {
        /// The name that was to be pruned.
        name: String,
        /// The other name, which is pruned already or by the same call.
        other: String,
    },
    /// A call of `remove` for a variable that has no mask.
    #[error("`{name}` is not pruned")]
    NotPruned {
        /// The name of the variable.
        name: String,
    },
    /// The method cannot prune a variable.
    #[error("cannot prune `{name}`")]
    Prune {
        /// The name of the variable.
        name: String,
        /// The reason.
        source: PruneError,
    },
    /// The method cannot rank the variables together.
    #[error("cannot prune globally")]
    Global {
        /// The reason.
        source: PruneError,
    },
    /// A tensor that is not a mask.
    #[error("the tensor is not a mask")]
    NotAMask {
        /// The first entry that is neither 0 nor 1.
        source: PruneError,
    },
    /// A method or a schedule that cannot be made, in a function that returns this error.
    #[error(transparent)]
    Method(#[from] PruneError),
    /// A mask file cannot be written or read.
    #[error(transparent)]
    MaskFile(#[from] StateDictError),
    /// candle cannot do an operation, for example because a device has no memory left.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// Keeps the message and those of its causes.
impl From<Error> for candle_core::Error {
    fn from(error: Error) -> Self {
        if let Error::Candle(error) = error {
            return error;
        }
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message.push_str(": ");
            message.push_str(&error.to_string());
            cause = error.source();
        }
        Self::msg(message)
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
