//! The error of everything that prunes: one enum whose variants hold the offending values.

use std::fmt;

use crate::method_option::MethodOption;
use crate::pruning_type::PruningType;

/// The reason why a call did not prune.
///
/// A function that returns an error has changed none of the parameters that it was given: each is bitwise as it was before
/// the call. Match on a variant for the data, or print the error for a sentence.
///
/// ```
/// use ndarray::arr2;
/// use prune::{L1Unstructured, Parameter, PruneError};
///
/// let mut weight = Parameter::new(arr2(&[[1.0_f32, -2.0], [3.0, -4.0]]));
/// let error = weight.prune(L1Unstructured::new(5)?).unwrap_err();
/// assert_eq!(error, PruneError::AmountTooLarge { count: 5, available: 4, unit: "entries" });
/// assert_eq!(error.to_string(), "amount 5 exceeds the number of remaining entries (4)");
/// # Ok::<(), PruneError>(())
/// ```
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PruneError {
    /// A fraction that is NaN or outside `0.0..=1.0`.
    // Debug prints 5.0 where Display prints 5, which reads like the count 5.
    #[error("amount {found:?} is not a fraction from 0.0 to 1.0")]
    InvalidFraction {
        /// The fraction that was given.
        found: f64,
    },
    /// An amount above the number of remaining units.
    #[error("amount {count} exceeds the number of remaining {unit} ({available})")]
    AmountTooLarge {
        /// The number of units that the amount comes to.
        count: usize,
        /// The number of remaining units.
        available: usize,
        /// The unit: `entries`, `channels`, `blocks` or `groups`.
        unit: &'static str,
    },
    /// A norm whose order is NaN.
    #[error("norm order must be a number, not {found}")]
    InvalidNorm {
        /// The order that was given.
        found: f64,
    },
    /// A norm that does not rank blocks.
    #[error("norm {found} does not rank blocks; the norms 1, 2 and inf do")]
    BlockNorm {
        /// The norm, as it displays.
        found: String,
    },
    /// A pattern that no group of entries can have.
    #[error("{n}:{m} is not a pattern of n kept among every m entries; n must be at most m, and m at least 1")]
    InvalidPattern {
        /// The number of entries that a group keeps.
        n: usize,
        /// The number of entries of a group.
        m: usize,
    },
    /// A block without entries.
    #[error("block {shape:?} has an axis of size 0")]
    EmptyBlock {
        /// The size of a block along each axis.
        shape: Vec<usize>,
    },
    /// A norm that is undefined for channels without entries.
    #[error("norm of order {found} is undefined for channels without entries (shape {shape:?})")]
    EmptyChannels {
        /// The order of the norm.
        found: f64,
        /// The shape of the tensor.
        shape: Vec<usize>,
    },
    /// A tensor without entries that has more channels than the limit.
    ///
    /// For any other tensor, the per-channel data takes no more memory than the entries. A shape such as `[0, 1 << 60]`
    /// takes no memory itself, and a file may contain one.
    #[error("more than {limit} channels without entries (shape {shape:?})")]
    TooManyChannels {
        /// The largest number of channels without entries.
        limit: usize,
        /// The shape of the tensor.
        shape: Vec<usize>,
    },
    /// The nuclear norm of channels that are not matrices, or of a half-precision tensor.
    #[error("nuclear norm needs a 3-dimensional f32 or f64 tensor, not {dtype} of shape {shape:?}")]
    NuclearNorm {
        /// The element type of the tensor.
        dtype: &'static str,
        /// The shape of the tensor.
        shape: Vec<usize>,
    },
    /// A cargo feature that this build lacks.
    #[error("{needed_by} needs the cargo feature `{feature}`, which this build lacks")]
    FeatureDisabled {
        /// The operation that needs the feature, for example `the nuclear norm`.
        needed_by: &'static str,
        /// The cargo feature to enable.
        feature: &'static str,
    },
    /// An axis that the tensor does not have.
    #[error("axis {found} is out of range for {ndim} dimensions{}", AxisRange(*ndim))]
    AxisOutOfRange {
        /// The axis that was given.
        found: isize,
        /// The number of dimensions of the tensor.
        ndim: usize,
    },
    /// A tensor with fewer than two dimensions, which has neither channels nor rows of inputs.
    #[error("channels and rows need at least 2 dimensions, not shape {shape:?}")]
    TooFewDimensions {
        /// The shape of the tensor.
        shape: Vec<usize>,
    },
    /// A mask, a gradient or scores whose shape is not that of the tensor, or inputs with another number of channels.
    #[error("{argument} has shape {found:?}, but should have shape {expected:?}")]
    ShapeMismatch {
        /// The argument: `mask`, `gradient`, `importance_scores`, ...
        argument: String,
        /// The shape that it should have.
        expected: Vec<usize>,
        /// The shape of the argument.
        found: Vec<usize>,
    },
    /// A numeric mask with an entry that is neither 0 nor 1.
    #[error("mask holds {found} at {index:?}; only 0 and 1 are allowed")]
    MaskValue {
        /// The index of the entry.
        index: Vec<usize>,
        /// The value of the entry.
        found: f64,
    },
    /// A name that no parameter of the module has.
    #[error("no parameter named `{found}`; the module has {}", List(known))]
    UnknownParameter {
        /// The name that was given.
        found: String,
        /// The names of all parameters of the module.
        known: Vec<String>,
    },
    /// A parameter that is listed twice in one call.
    #[error("parameter `{found}` is listed twice")]
    RepeatedParameter {
        /// The repeated name.
        found: String,
    },
    /// Another parameter has a name that the state dict of the pruned parameter needs.
    #[error("cannot prune `{parameter}`: the module has another parameter named `{clash}`")]
    NameClash {
        /// The parameter to be pruned.
        parameter: String,
        /// The name of the other parameter.
        clash: String,
    },
    /// A sparsity that no counts within the bounds of an allocation have.
    #[error("sparsity {sparsity:?} is not within the bounds of the parameters, which allow {lowest:?} to {highest:?}")]
    Infeasible {
        /// The sparsity of all parameters together.
        sparsity: f64,
        /// The lowest sparsity of all parameters together that the bounds allow.
        lowest: f64,
        /// The highest one.
        highest: f64,
    },
    /// Bounds whose minimum is above their maximum.
    #[error("the lowest sparsity {min:?} is above the highest {max:?}")]
    InvalidBounds {
        /// The lowest sparsity.
        min: f64,
        /// The highest sparsity.
        max: f64,
    },
    /// A call with shapes for an allocation that ranks values.
    #[error("allocation {found} ranks the values of parameters, not their shapes")]
    AllocationNeedsValues {
        /// The name of the allocation.
        found: String,
    },
    /// No allocation has this name.
    #[error("no allocation named `{found}`; the allocations are uniform, erdos-renyi, erk, global and lamp")]
    UnknownAllocation {
        /// The name that was given.
        found: String,
    },
    /// A call of `remove` for a parameter that has no mask.
    #[error("parameter {}is not pruned", Named(parameter))]
    NotPruned {
        /// The name of the parameter, if it was given by name.
        parameter: Option<String>,
    },
    /// A global call without parameters.
    #[error("global pruning needs at least one parameter")]
    NoTargets,
    /// A global call with a method that does not select single entries.
    #[error("global pruning needs an unstructured method, but {method} is {found}")]
    NotUnstructured {
        /// The name of the method.
        method: String,
        /// The pruning type of the method.
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
    /// Inputs or gradients to push with an entry that is NaN or infinite.
    #[error("channel {channel} is NaN or infinite at token {token}")]
    NotFinite {
        /// The index along the last axis.
        channel: usize,
        /// The index along all other axes together.
        token: usize,
    },
    /// The damped Hessian of a layer cannot be factored.
    #[error("{}", NotPositiveDefinite { tensor, channels, rank, dampening, works })]
    NotPositiveDefinite {
        /// The name of the weight, if it is known.
        tensor: Option<String>,
        /// The number of inputs of the layer.
        channels: usize,
        /// The rank of the Hessian before damping.
        rank: usize,
        /// The dampening that was too small, as a share of the mean of the diagonal.
        dampening: f64,
        /// The lowest power of ten that is large enough, if one up to 100 is.
        works: Option<f64>,
    },
    /// A mask was requested from a container without methods.
    #[error("pruning container has no methods")]
    EmptyContainer,
    /// A method returned a mask whose shape differs from that of its scores.
    #[error("{method} returned a mask of shape {found:?} for scores of shape {expected:?}")]
    MethodShape {
        /// The name of the method.
        method: String,
        /// The shape of the scores that the method was given.
        expected: Vec<usize>,
        /// The shape of the mask that it returned.
        found: Vec<usize>,
    },
    /// A method returned a mask that keeps an entry that was already pruned.
    #[error("{method} revived the pruned entry at {index:?}")]
    MethodRevived {
        /// The name of the method.
        method: String,
        /// The index of the entry in the scores that the method was given.
        index: Vec<usize>,
    },
    /// A schedule whose numbers or text make no sense.
    #[error("schedule {reason}")]
    InvalidSchedule {
        /// The reason, which continues the sentence.
        reason: String,
    },
    /// The state of a session that was built in another way.
    #[error("{part} of the session is `{expected}`, but that of the state is `{found}`")]
    OtherSession {
        /// The part that differs: `schedule`, `names`, `allocation` or `bounds`.
        part: &'static str,
        /// The value of the session.
        expected: String,
        /// The value of the state.
        found: String,
    },
    /// A snapshot of a module with other parameters.
    #[error("parameter `{parameter}` is only in one of the module and the snapshot")]
    OtherModule {
        /// The name of the parameter.
        parameter: String,
    },
    /// Histograms of different brackets were to be merged.
    #[error("a histogram from {} to {} cannot be merged with one from {} to {}", found.0, found.1, expected.0, expected.1)]
    OtherBracket {
        /// The lowest and the highest magnitude of the histogram that was to be added to.
        expected: (f64, f64),
        /// The lowest and the highest magnitude of the other histogram.
        found: (f64, f64),
    },
    /// Any other error of a method, made with [`PruneError::method`].
    #[error("{method}: {reason}")]
    Method {
        /// The name of the method.
        method: String,
        /// The reason that the method gave.
        reason: String,
    },
}

impl PruneError {
    /// Creates the error of a custom method.
    ///
    /// The message is the name of the method, a colon and the reason.
    ///
    /// ```
    /// let error = prune::PruneError::method("EveryNth", "n must not be 0");
    /// assert_eq!(error.to_string(), "EveryNth: n must not be 0");
    /// ```
    pub fn method(method: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Method { method: method.into(), reason: reason.into() }
    }

    /// The same error with the name of the tensor, where the message has room for it.
    pub(crate) fn of_tensor(mut self, name: &str) -> Self {
        if let Self::NotPositiveDefinite { tensor, .. } = &mut self {
            *tensor = Some(name.to_owned());
        }
        self
    }

    /// Returns `ShapeMismatch` if the two shapes differ.
    pub(crate) fn check_shape(argument: &str, expected: &[usize], found: &[usize]) -> Result<(), Self> {
        if expected == found {
            return Ok(());
        }
        Err(Self::ShapeMismatch { argument: argument.to_owned(), expected: expected.to_vec(), found: found.to_vec() })
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

/// `` `weight` `` and a space, or nothing if no name is known.
struct Named<'a>(&'a Option<String>);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => write!(f, "`{name}` "),
            None => Ok(()),
        }
    }
}

/// The message of an error that suggests a remedy.
struct NotPositiveDefinite<'a> {
    tensor: &'a Option<String>,
    channels: &'a usize,
    rank: &'a usize,
    dampening: &'a f64,
    works: &'a Option<f64>,
}

impl fmt::Display for NotPositiveDefinite<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tensor, channels, rank, dampening, works } = self;
        let tensor = Named(tensor);
        write!(
            f,
            "the Hessian of {tensor}has rank {rank} for {channels} inputs and cannot be factored with dampening {dampening:?}"
        )?;
        match works {
            Some(works) => write!(f, "; dampening {works:?} is enough"),
            None => f.write_str("; no dampening is enough"),
        }
    }
}

/// The axes that a tensor has, in parentheses; nothing if it has none.
struct AxisRange(usize);

impl fmt::Display for AxisRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.checked_sub(1) {
            Some(last) => write!(f, " (-{} to {last})", self.0),
            None => Ok(()),
        }
    }
}
