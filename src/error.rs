//! Everything that can go wrong, as one enum with named data.

use std::fmt;

use crate::method_option::MethodOption;
use crate::pruning_type::PruningType;

/// Why a tensor was not pruned.
///
/// Whenever a function of this crate returns an error, every parameter it was given is bitwise as it was before the call.
///
/// ```
/// use ndarray::arr2;
/// use prune::{L1Unstructured, Parameter, PruneError};
///
/// let mut weight = Parameter::new(arr2(&[[1.0_f32, -2.0], [3.0, -4.0]]));
/// let error = weight.prune(L1Unstructured::new(5)?).unwrap_err();
/// assert_eq!(error, PruneError::AmountTooLarge { count: 5, available: 4, unit: "entries" });
/// assert_eq!(error.to_string(), "amount: expected at most the 4 entries that are not pruned yet, found 5");
/// # Ok::<(), PruneError>(())
/// ```
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PruneError {
    /// A fraction that is not between 0 and 1, or NaN.
    #[error("amount: expected a fraction from 0 to 1, found {found}")]
    InvalidFraction {
        /// The fraction that was given.
        found: f64,
    },
    /// More units were to be pruned than are left.
    #[error("amount: expected at most the {available} {unit} that are not pruned yet, found {count}")]
    AmountTooLarge {
        /// How many units the amount comes to.
        count: usize,
        /// How many are there to choose from.
        available: usize,
        /// What is counted: `entries` or `channels`.
        unit: &'static str,
    },
    /// The order of a norm is NaN.
    #[error("n: expected the order of a norm, found {found}")]
    InvalidNorm {
        /// The order that was given.
        found: f64,
    },
    /// The norm has no value for channels without entries.
    #[error("n: expected a norm that is defined for empty channels, found {found} for shape {shape:?}")]
    EmptyChannels {
        /// The order of the norm.
        found: f64,
        /// The shape of the tensor.
        shape: Vec<usize>,
    },
    /// A tensor without entries that has more channels along the axis than are looked at.
    ///
    /// Of any other tensor the channels take no more memory than its entries do. A shape such as `[0, 1 << 60]` costs
    /// nothing to make up, and a file may have one.
    #[error("dim: expected at most {limit} channels where they have no entries, found shape {shape:?}")]
    TooManyChannels {
        /// The largest number of channels without entries.
        limit: usize,
        /// The shape of the tensor.
        shape: Vec<usize>,
    },
    /// The nuclear norm of channels that are not matrices, or of a half-precision tensor.
    #[error("n: the nuclear norm expects a 3-dimensional tensor of f32 or f64, found {dtype} of shape {shape:?}")]
    NuclearNorm {
        /// The element type of the tensor.
        dtype: &'static str,
        /// The shape of the tensor.
        shape: Vec<usize>,
    },
    /// The crate was built without the cargo feature that this needs.
    #[error("{needed_by}: expected the cargo feature `{feature}`, which this build leaves out")]
    FeatureDisabled {
        /// What asked for it.
        needed_by: &'static str,
        /// The cargo feature to enable.
        feature: &'static str,
    },
    /// An axis that the tensor does not have.
    #[error("dim: expected an axis from -{ndim} to {}, found {found}", ndim.saturating_sub(1))]
    AxisOutOfRange {
        /// The axis that was given.
        found: isize,
        /// The number of dimensions of the tensor.
        ndim: usize,
    },
    /// Structured pruning of a vector or of a single number.
    #[error("structured pruning: expected a tensor of at least 2 dimensions, found shape {shape:?}")]
    TooFewDimensions {
        /// The shape of the tensor.
        shape: Vec<usize>,
    },
    /// A mask, gradient or array of scores of another shape than the tensor.
    #[error("{argument}: expected shape {expected:?}, found {found:?}")]
    ShapeMismatch {
        /// Which argument: `mask`, `gradient`, `importance_scores`, ...
        argument: String,
        /// The shape of the tensor.
        expected: Vec<usize>,
        /// The shape that was given.
        found: Vec<usize>,
    },
    /// A mask of numbers that holds something else than 0 and 1.
    #[error("mask: expected only 0 and 1, found {found} at {index:?}")]
    MaskValue {
        /// Where it stands.
        index: Vec<usize>,
        /// The value.
        found: f64,
    },
    /// No parameter of that name.
    #[error("name: expected one of {}, found `{found}`", List(known))]
    UnknownParameter {
        /// The name that was given.
        found: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// One parameter named twice in a single call.
    #[error("names: expected each parameter once, found `{found}` twice")]
    RepeatedParameter {
        /// The name that was repeated.
        found: String,
    },
    /// Another parameter already has a name under which a state dict would store the pruned one.
    #[error("name: expected `{clash}` to be free for pruning `{parameter}`, found a parameter of that name")]
    NameClash {
        /// The parameter to be pruned.
        parameter: String,
        /// The name that is taken.
        clash: String,
    },
    /// `remove` of a parameter that is not pruned.
    #[error("name: expected a pruned parameter, found {}, which is not pruned", Named(parameter))]
    NotPruned {
        /// Its name, where it was looked up by name.
        parameter: Option<String>,
    },
    /// A global call without any parameter.
    #[error("targets: expected at least one parameter, found none")]
    NoTargets,
    /// A global call with a method that does not choose single entries.
    #[error("method: expected an unstructured method for global pruning, found {method}, which is {found}")]
    NotUnstructured {
        /// The name of the method.
        method: String,
        /// Its type.
        found: PruningType,
    },
    /// No built-in method has this name.
    #[error("no method named `{found}`; the methods are {}", List(known))]
    UnknownMethod {
        /// The name that was given.
        found: String,
        /// The short names of all built-in methods.
        known: Vec<String>,
    },
    /// A method chosen by name needs an option that is not set.
    #[error("method {method} needs the option `{option}`")]
    MissingOption {
        /// The name of the method.
        method: String,
        /// The option.
        option: MethodOption,
    },
    /// An option is set that the method chosen by name does not have.
    #[error("method {method} has no option `{option}`")]
    UnusedOption {
        /// The name of the method.
        method: String,
        /// The option.
        option: MethodOption,
    },
    /// The last entry of a history is a mask, which cannot be computed again.
    #[error("the last entry of the history is a mask that came from elsewhere, not a method")]
    NotAMethod,
    /// A container without methods was asked for a mask.
    #[error("container: expected at least one method, found none")]
    EmptyContainer,
    /// A method returned a mask of another shape than the scores it was given.
    #[error("{method}: expected it to return a mask of shape {expected:?}, found {found:?}")]
    MethodShape {
        /// The name of the method.
        method: String,
        /// The shape of the scores that it was given.
        expected: Vec<usize>,
        /// The shape that it returned.
        found: Vec<usize>,
    },
    /// A method returned a mask that keeps an entry which was pruned before.
    #[error("{method}: expected pruned entries to stay pruned, found the one at {index:?} revived")]
    MethodRevived {
        /// The name of the method.
        method: String,
        /// Where, in the scores that the method was given.
        index: Vec<usize>,
    },
    /// A method has a reason of its own; see [`PruneError::method`].
    #[error("{method}: {reason}")]
    Method {
        /// The name of the method.
        method: String,
        /// What it said.
        reason: String,
    },
}

impl PruneError {
    /// The error of a method that is not one of this crate's.
    ///
    /// ```
    /// let error = prune::PruneError::method("EveryNth", "n must not be 0");
    /// assert_eq!(error.to_string(), "EveryNth: n must not be 0");
    /// ```
    pub fn method(method: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Method { method: method.into(), reason: reason.into() }
    }

    /// `Ok` when the two shapes are one.
    pub(crate) fn check_shape(argument: &str, expected: &[usize], found: &[usize]) -> Result<(), Self> {
        if expected == found {
            return Ok(());
        }
        Err(Self::ShapeMismatch { argument: argument.to_owned(), expected: expected.to_vec(), found: found.to_vec() })
    }
}

/// `` `a`, `b` `` or `no names at all`.
struct List<'a>(&'a [String]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no names at all");
        }
        for (i, name) in self.0.iter().enumerate() {
            write!(f, "{}`{name}`", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// `` `weight` ``, or `one` where no name is known.
struct Named<'a>(&'a Option<String>);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => write!(f, "`{name}`"),
            None => f.write_str("one"),
        }
    }
}
