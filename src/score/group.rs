//! Scores of whole groups: means of their magnitudes.

use std::ops::Range;

use num_traits::{Float, NumCast, Zero};

use crate::element::Element;
use crate::error::PruneError;
use crate::score::Norm;
use crate::tensor::numbered::NumberedGroups;

/// The criterion that ranks whole groups, over the entries that are there; pruned ones are zeros.
///
/// Entries are added in row-major order, in `f64` for `f64` and in `f32` otherwise, and the result is not rounded to the
/// element type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupScore {
    /// The mean of the magnitudes.
    Mean,
    /// The mean of their squares.
    MeanSquare,
    /// The largest magnitude.
    Largest,
}

impl GroupScore {
    /// The score that ranks groups of one size as their norms do: order 1, 2 or infinity.
    pub fn of(norm: Norm) -> Result<Self, PruneError> {
        match norm {
            Norm::L(1.0) => Ok(Self::Mean),
            Norm::L(2.0) | Norm::Frobenius => Ok(Self::MeanSquare),
            Norm::L(f64::INFINITY) => Ok(Self::Largest),
            Norm::L(_) | Norm::Nuclear => Err(PruneError::BlockNorm { found: norm.to_string() }),
        }
    }

    /// Writes the scores of the groups of a [part](NumberedGroups::parts) of a tensor over zeros.
    pub fn score<A: Element>(
        self,
        groups: &NumberedGroups,
        part: Range<usize>,
        entries: &[A],
        remaining: Option<&[bool]>,
        scores: &mut [A::Accumulator],
    ) {
        let zero = A::Accumulator::zero();
        match remaining {
            None => self.of_magnitudes(groups, part, entries, A::widen_abs, scores),
            Some(remaining) => {
                let magnitude = |(x, &remaining): (&A, &bool)| if remaining { x.widen_abs() } else { zero };
                let magnitudes: Vec<A::Accumulator> = entries.iter().zip(remaining).map(magnitude).collect();
                self.of_magnitudes(groups, part, &magnitudes, |magnitude| magnitude, scores);
            }
        }
    }

    fn of_magnitudes<T: Copy, R: Float>(
        self,
        groups: &NumberedGroups,
        part: Range<usize>,
        entries: &[T],
        magnitude: impl Fn(T) -> R,
        scores: &mut [R],
    ) {
        match self {
            Self::Mean => groups.fold(part.clone(), entries, scores, |sum, x| sum + magnitude(x)),
            Self::MeanSquare => groups.fold(part.clone(), entries, scores, |sum, x| {
                let x = magnitude(x);
                sum + x * x
            }),
            // A comparison with NaN is false, so that NaN stays once it is there.
            Self::Largest => {
                return groups.fold(part, entries, scores, |largest: R, x| {
                    let x = magnitude(x);
                    if x > largest || x.is_nan() { x } else { largest }
                });
            }
        }
        // Every integer is some float.
        let float = |size: usize| <R as NumCast>::from(size).unwrap_or_else(R::nan);
        match groups.equal_size() {
            Some(size) => {
                let size = float(size);
                scores.iter_mut().for_each(|score| *score = *score / size);
            }
            None => {
                let sizes = groups.sizes(groups.numbers(part));
                scores.iter_mut().zip(sizes).for_each(|(score, size)| *score = *score / float(size));
            }
        }
    }
}
