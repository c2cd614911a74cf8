//! [`CompactError`], the error of everything that compacts.

use std::fmt::{self, Write};

use crate::error::PruneError;

/// The reason why a coupling, a plan or a compaction was refused. Nothing has changed then.
///
/// ```
/// use prune::compact::{Coupling, Use};
///
/// let net = prune::ParameterStore::from_iter([("w", ndarray::Array2::<f32>::ones((4, 2)))]);
/// let error = Coupling::new().dimension("h", [Use::out("v", 0)]).check(&net).unwrap_err();
/// assert_eq!(error.to_string(), "dimension `h`: no parameter named `v`");
/// ```
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CompactError {
    /// Two dimensions have one name.
    #[error("two dimensions are named `{dimension}`", dimension = Name(dimension))]
    RepeatedDimension {
        /// The name.
        dimension: String,
    },
    /// A dimension has no units: an axis has size 0, or a size of 0 was given.
    #[error("dimension `{dimension}` has no units", dimension = Name(dimension))]
    NoUnits {
        /// The dimension.
        dimension: String,
    },
    /// A use with a block or a repetition of 0 names no positions.
    #[error("dimension `{dimension}`: the use of `{parameter}` has {what} 0", dimension = Name(dimension), parameter = Name(parameter))]
    EmptyUse {
        /// The dimension.
        dimension: String,
        /// The parameter.
        parameter: String,
        /// `block` or `repeat`.
        what: &'static str,
    },
    /// A use names a parameter that does not exist.
    #[error("dimension `{dimension}`: no parameter named `{parameter}`", dimension = Name(dimension), parameter = Name(parameter))]
    UnknownParameter {
        /// The dimension.
        dimension: String,
        /// The name.
        parameter: String,
    },
    /// A use names a parameter without entries.
    #[error("dimension `{dimension}`: parameter `{parameter}` has no entries", dimension = Name(dimension), parameter = Name(parameter))]
    NoEntries {
        /// The dimension.
        dimension: String,
        /// The parameter.
        parameter: String,
    },
    /// A use names an axis that its parameter does not have.
    #[error("dimension `{dimension}`: axis {axis} of `{parameter}` is out of range for {ndim} dimensions", dimension = Name(dimension), parameter = Name(parameter))]
    AxisOutOfRange {
        /// The dimension.
        dimension: String,
        /// The parameter.
        parameter: String,
        /// The axis.
        axis: usize,
        /// The number of axes of the parameter.
        ndim: usize,
    },
    /// The positions of an axis cannot be divided among units.
    #[error(
        "dimension `{dimension}`: axis {axis} of `{parameter}` has {len} positions, which is not a multiple of {unit}", dimension = Name(dimension), parameter = Name(parameter))]
    Indivisible {
        /// The dimension.
        dimension: String,
        /// The parameter.
        parameter: String,
        /// The axis.
        axis: usize,
        /// The size of the axis.
        len: usize,
        /// The number of positions of one unit.
        unit: usize,
    },
    /// Two uses of a dimension disagree about the number of its units.
    #[error("dimension `{dimension}` has {expected} units, but axis {axis} of `{parameter}` has room for {found}", dimension = Name(dimension), parameter = Name(parameter))]
    SizesDisagree {
        /// The dimension.
        dimension: String,
        /// The number of units.
        expected: usize,
        /// The parameter that disagrees.
        parameter: String,
        /// The axis.
        axis: usize,
        /// The number of units by this use.
        found: usize,
    },
    /// A use reaches beyond the end of its axis.
    #[error("dimension `{dimension}`: the use of axis {axis} of `{parameter}` ends at {end}, but the axis at {len}", dimension = Name(dimension), parameter = Name(parameter))]
    SpanTooLong {
        /// The dimension.
        dimension: String,
        /// The parameter.
        parameter: String,
        /// The axis.
        axis: usize,
        /// The size of the axis.
        len: usize,
        /// The position after the last one of the use.
        end: usize,
    },
    /// A position of an axis belongs to no unit, and no size was given that would leave it.
    #[error(
        "position {position} of axis {axis} of `{parameter}` belongs to no unit, and its dimension has no set size", parameter = Name(parameter))]
    Uncovered {
        /// The parameter.
        parameter: String,
        /// The axis.
        axis: usize,
        /// The first such position.
        position: usize,
    },
    /// Two uses claim one position.
    #[error("position {position} of axis {axis} of `{parameter}` belongs to `{first}` and to `{second}`", parameter = Name(parameter), first = Name(first), second = Name(second))]
    Overlap {
        /// The parameter.
        parameter: String,
        /// The axis.
        axis: usize,
        /// The first such position.
        position: usize,
        /// The dimension that was declared first.
        first: String,
        /// The other dimension, which may be the same.
        second: String,
    },
    /// A parameter is neither used by a dimension nor fixed.
    #[error("parameter `{parameter}` is neither in a dimension nor fixed", parameter = Name(parameter))]
    Undeclared {
        /// The parameter.
        parameter: String,
    },
    /// A parameter is used by a dimension and fixed.
    #[error("parameter `{parameter}` is in dimension `{dimension}`, but fixed by `{pattern}`", dimension = Name(dimension), parameter = Name(parameter), pattern = Name(pattern))]
    FixedAndUsed {
        /// The parameter.
        parameter: String,
        /// The dimension.
        dimension: String,
        /// The pattern.
        pattern: String,
    },
    /// A pattern of fixed parameters matches none.
    #[error("pattern `{pattern}` of fixed parameters matches none", pattern = Name(pattern))]
    UnmatchedFixed {
        /// The pattern.
        pattern: String,
    },
    /// No parameter makes the units of a dimension, and it is not open.
    #[error("dimension `{dimension}` has no producer: no use is `out`, and it is not open", dimension = Name(dimension))]
    NoProducer {
        /// The dimension.
        dimension: String,
    },
    /// No parameter reads the units of a dimension, and it is not open.
    #[error("dimension `{dimension}` has no consumer: no use is `in`, and it is not open", dimension = Name(dimension))]
    NoConsumer {
        /// The dimension.
        dimension: String,
    },
    /// The statistics of a layer norm or group norm change with the width, and no weights repair that.
    #[error("dimension `{dimension}` cannot be cut: `{parameter}` is the weight of a layer norm over it", dimension = Name(dimension), parameter = Name(parameter))]
    LayerNorm {
        /// The dimension.
        dimension: String,
        /// The parameter.
        parameter: String,
    },
    /// No dimension has this name.
    #[error("no dimension named `{found}`; the dimensions are {}", Names(known), found = Name(found))]
    UnknownDimension {
        /// The name.
        found: String,
        /// The names of all dimensions.
        known: Vec<String>,
    },
    /// A plan would keep no unit of a dimension.
    #[error("no unit of dimension `{dimension}` is kept", dimension = Name(dimension))]
    NothingKept {
        /// The dimension.
        dimension: String,
    },
    /// A unit that the dimension does not have.
    #[error("unit {unit} of dimension `{dimension}` is out of range: it has {size} units", dimension = Name(dimension))]
    UnitOutOfRange {
        /// The dimension.
        dimension: String,
        /// The unit.
        unit: usize,
        /// The number of units.
        size: usize,
    },
    /// A unit that is listed twice.
    #[error("unit {unit} of dimension `{dimension}` is listed twice", dimension = Name(dimension))]
    RepeatedUnit {
        /// The dimension.
        dimension: String,
        /// The unit.
        unit: usize,
    },
    /// An order that does not list all units.
    #[error("dimension `{dimension}` has {expected} units, but the order lists {found}", dimension = Name(dimension))]
    IncompleteOrder {
        /// The dimension.
        dimension: String,
        /// The number of units.
        expected: usize,
        /// The number of units in the order.
        found: usize,
    },
    /// No units lie along the axis of a pattern, so that their order has no effect on what the pattern keeps.
    #[error("no dimension has units along axis {dim}, which the groups of the pattern run along")]
    NoUnitsAlong {
        /// The axis of the pattern.
        dim: isize,
    },
    /// Scores lack a dimension of which units are chosen.
    #[error("no scores for dimension `{dimension}`", dimension = Name(dimension))]
    MissingScores {
        /// The dimension.
        dimension: String,
    },
    /// A dimension has another number of scores than of units.
    #[error("dimension `{dimension}` has {expected} units, but {found} scores", dimension = Name(dimension))]
    ScoresLength {
        /// The dimension.
        dimension: String,
        /// The number of units.
        expected: usize,
        /// The number of scores.
        found: usize,
    },
    /// A choice whose `multiple` or `minimum` is 0.
    #[error("{what} must be at least 1")]
    ZeroChoice {
        /// `multiple` or `minimum`.
        what: &'static str,
    },
    /// A module whose parameters are not those that the plan was made for: it was compacted already, for example.
    #[error("parameter `{parameter}` has shape {found:?}, but the plan is for shape {expected:?}", parameter = Name(parameter))]
    OtherShape {
        /// The parameter.
        parameter: String,
        /// The shape for which the plan was made.
        expected: Vec<usize>,
        /// The shape that was found.
        found: Vec<usize>,
    },
    /// A module lacks a parameter that the plan was made for.
    #[error("the plan is for a parameter `{parameter}`, which the module lacks", parameter = Name(parameter))]
    MissingParameter {
        /// The parameter.
        parameter: String,
    },
    /// Two plans were made for different couplings, and cannot be joined.
    #[error("the two plans are for different couplings or sizes")]
    OtherCoupling,
    /// The masked and the compacted model gave outputs of different shapes.
    #[error("the masked model returned shape {masked:?}, the compacted model shape {compacted:?}")]
    OutputShape {
        /// The shape of the output of the masked model.
        masked: Vec<usize>,
        /// The shape of the output of the compacted model.
        compacted: Vec<usize>,
    },
    /// The original and the permuted model gave outputs of different shapes.
    #[error("the original model returned shape {original:?}, the permuted model shape {permuted:?}")]
    PermutedShape {
        /// The shape of the output of the original model.
        original: Vec<usize>,
        /// The shape of the output of the permuted model.
        permuted: Vec<usize>,
    },
    /// A constant cannot be folded.
    #[error("cannot fold dimension `{dimension}` into `{into}`: {reason}", dimension = Name(dimension), into = Name(into))]
    Fold {
        /// The dimension.
        dimension: String,
        /// The parameter that would receive the constants.
        into: String,
        /// The reason.
        reason: String,
    },
    /// An amount, a norm or a name that pruning refuses too.
    #[error(transparent)]
    Prune(#[from] PruneError),
}

/// A name without control characters: it may come from an untrusted file.
struct Name<'a>(&'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .chars()
            .try_for_each(|c| if c.is_control() { write!(f, "{}", c.escape_unicode()) } else { f.write_char(c) })
    }
}

/// `` `a`, `b` `` or `none`.
struct Names<'a>(&'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.0.iter().enumerate() {
            write!(f, "{}`{}`", if i == 0 { "" } else { ", " }, Name(name))?;
        }
        if self.0.is_empty() { f.write_str("none") } else { Ok(()) }
    }
}
