//! Norms of channels, in the order of operations that PyTorch uses.

use std::fmt;

use ndarray::{Array1, ArrayViewD};
use num_traits::{Float, One, Zero};

use crate::element::Element;
use crate::error::PruneError;
use crate::score::reduce::ChannelReduction;
use crate::tensor::channels::Channels;
use crate::tensor::flat;

/// The norm that ranks channels, as in
/// [`torch.linalg.vector_norm`](https://pytorch.org/docs/stable/generated/torch.linalg.vector_norm.html).
///
/// ```
/// use prune::Norm;
///
/// assert_eq!(Norm::from(2), Norm::L(2.0));
/// assert_eq!(Norm::from(f64::NEG_INFINITY), Norm::L(f64::NEG_INFINITY));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Norm {
    /// The norm of order n, `(sum |x|^n)^(1/n)`. For n = ±infinity it is the largest or smallest magnitude, for n = 0 the number
    /// of nonzero entries.
    L(f64),
    /// The Frobenius norm, which equals `L(2.0)` for every shape.
    Frobenius,
    /// The nuclear norm: the sum of the singular values of a channel, which must be a matrix. It applies to 3-dimensional
    /// tensors of `f32` or `f64`, and needs the cargo feature `nuclear`.
    Nuclear,
}

/// The order as a number, or `inf`, `-inf`, `fro`, `nuc`.
impl fmt::Display for Norm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::L(n) => write!(f, "{n}"),
            Self::Frobenius => f.write_str("fro"),
            Self::Nuclear => f.write_str("nuc"),
        }
    }
}

impl From<f64> for Norm {
    fn from(n: f64) -> Self {
        Self::L(n)
    }
}

impl From<i32> for Norm {
    fn from(n: i32) -> Self {
        Self::L(n.into())
    }
}

/// Returns the norm of every channel of a tensor along `dim`, as [`LnStructured`](crate::LnStructured) ranks them.
///
/// Half-precision tensors are summed in `f32`, others in their element type, in PyTorch's order of operations. The result is
/// rounded to the element type. Channels without entries have norm 0.
///
/// ```
/// use ndarray::arr2;
///
/// let weight = arr2(&[[3.0_f32, 4.0], [0.0, -1.0]]);
/// assert_eq!(prune::channel_norms(weight.view().into_dyn(), 2, 0)?.to_vec(), [5.0, 1.0]);
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # Errors
///
/// - [`PruneError::InvalidNorm`] if n is NaN.
/// - [`PruneError::TooFewDimensions`] if the tensor has fewer than two dimensions; [`PruneError::AxisOutOfRange`] if it has no
///   axis `dim`.
/// - [`PruneError::TooManyChannels`] if it has more than 2^20 channels without entries.
/// - [`PruneError::EmptyChannels`] if its channels have no entries and n is negative or ±infinity.
/// - [`PruneError::NuclearNorm`] if the norm is [`Norm::Nuclear`] and the tensor is not a 3-dimensional one of `f32` or `f64`;
///   [`PruneError::FeatureDisabled`] if it is and the feature `nuclear` is off.
pub fn channel_norms<A: Element>(
    tensor: ArrayViewD<'_, A>,
    norm: impl Into<Norm>,
    dim: isize,
) -> Result<Array1<A>, PruneError> {
    let channels = Channels::of(tensor.shape(), dim)?;
    let norm = norm.into().validated()?;
    norm.check((A::DTYPE, size_of::<A>()), tensor.shape(), &channels)?;
    let tensor = tensor.as_standard_layout();
    let all: Vec<usize> = (0..channels.len).collect();
    Ok(norms(tensor.view(), &channels, &all, norm).into())
}

impl Norm {
    /// Rejects an order that is NaN.
    pub(crate) fn validated(self) -> Result<Self, PruneError> {
        match self {
            Self::L(found) if found.is_nan() => Err(PruneError::InvalidNorm { found }),
            Self::L(_) | Self::Frobenius | Self::Nuclear => Ok(self),
        }
    }

    /// Rejects channels for which the norm is undefined. `dtype` is the name and the size of the element type.
    pub(crate) fn check(
        self,
        dtype: (&'static str, usize),
        shape: &[usize],
        channels: &Channels,
    ) -> Result<(), PruneError> {
        match self {
            Self::Nuclear if cfg!(not(feature = "nuclear")) => {
                Err(PruneError::FeatureDisabled { needed_by: "the nuclear norm", feature: "nuclear" })
            }
            Self::Nuclear if shape.len() != 3 || dtype.1 < size_of::<f32>() => {
                Err(PruneError::NuclearNorm { dtype: dtype.0, shape: shape.to_vec() })
            }
            Self::L(found) if channels.size() == 0 && (found < 0.0 || found.is_infinite()) => {
                Err(PruneError::EmptyChannels { found, shape: shape.to_vec() })
            }
            Self::L(_) | Self::Frobenius | Self::Nuclear => Ok(()),
        }
    }
}

/// Returns the norms of the `remaining` channels of a tensor in standard layout. The norm has been [checked](Norm::check).
pub(crate) fn norms<A: Element>(
    tensor: ArrayViewD<'_, A>,
    channels: &Channels,
    remaining: &[usize],
    norm: Norm,
) -> Vec<A> {
    let n = match norm {
        Norm::Nuclear => return nuclear(tensor, channels, remaining),
        Norm::Frobenius => 2.0,
        Norm::L(n) => n,
    };
    let reduction = ChannelReduction { tensor: flat(&tensor), channels };
    let (zero, one) = (A::Accumulator::zero(), A::Accumulator::one());
    let norms = if n == 0.0 {
        reduction.fold(zero, |sum, x| if x == zero { sum } else { sum + one })
    } else if channels.size() == 1 || n == 1.0 {
        // A single entry is its own norm, whatever the order: no power is taken that could overflow.
        reduction.fold(zero, |sum, x| sum + x)
    } else if n == f64::INFINITY {
        reduction.fold(zero, |max, x| if x > max || x.is_nan() { x } else { max })
    } else if n == f64::NEG_INFINITY {
        reduction.fold(A::Accumulator::infinity(), |min, x| if x < min || x.is_nan() { x } else { min })
    } else if n == 2.0 {
        let sums = match A::SQUARES {
            Some(blocks) if channels.are_contiguous() => reduction.square_sums(blocks),
            _ => reduction.fold(zero, |sum, x| sum + x * x),
        };
        sums.into_iter().map(Float::sqrt).collect()
    } else {
        // Both are rounded to the accumulator before the power is taken.
        let (power, root) = (cast::<A>(n), cast::<A>(n).recip());
        let sums = reduction.fold(zero, |sum, x| sum + x.powf(power));
        sums.into_iter().map(|sum| sum.powf(root)).collect()
    };
    remaining.iter().map(|&channel| A::narrow(norms[channel])).collect()
}

/// Converts the order of a norm to the accumulator.
fn cast<A: Element>(n: f64) -> A::Accumulator {
    // Every f64 has a nearest f32 or f64, so the cast cannot fail.
    num_traits::cast(n).unwrap_or_else(A::Accumulator::nan)
}

/// Returns the sums of the singular values of channels that are matrices.
#[cfg(feature = "nuclear")]
fn nuclear<A: Element>(tensor: ArrayViewD<'_, A>, channels: &Channels, remaining: &[usize]) -> Vec<A> {
    let sum_of_singular_values = |&channel: &usize| {
        let matrix = tensor.index_axis(ndarray::Axis(channels.axis), channel);
        let (rows, columns) = (matrix.shape()[0], matrix.shape()[1]);
        let values: Vec<f64> = matrix.iter().map(|x| x.exact_f64()).collect();
        if values.is_empty() {
            return A::zero();
        }
        // The decomposition iterates, and may not terminate if an entry is not finite.
        if values.iter().any(|x| !x.is_finite()) {
            return A::nan();
        }
        let sum: f64 = nalgebra::DMatrix::from_row_slice(rows, columns, &values).singular_values().iter().sum();
        crate::element::rounded(sum)
    };
    remaining.iter().map(sum_of_singular_values).collect()
}

#[cfg(not(feature = "nuclear"))]
fn nuclear<A: Element>(_: ArrayViewD<'_, A>, _: &Channels, remaining: &[usize]) -> Vec<A> {
    // Never called: `Norm::check` has rejected the norm.
    vec![A::nan(); remaining.len()]
}
