//! Sums of squared gradients.

use ndarray::{Array, ArrayD, ArrayView, Dimension};

use crate::element::{Element, rounded};
use crate::error::PruneError;

/// The sum of the squared gradients of a weight, entry by entry.
///
/// Each gradient is squared as it is pushed. Gradients of single samples give the empirical Fisher information; a gradient of a
/// batch is squared after its mean was taken, which gives another number, smaller by up to the size of the batch.
///
/// ```
/// use ndarray::arr1;
/// use prune::calibration::GradientSquares;
/// use prune::{L1Unstructured, Parameter};
///
/// let mut weight = Parameter::new(arr1(&[3.0_f32, 1.0]));
/// let mut gradients = GradientSquares::new(&[2]);
/// gradients.push(arr1(&[0.1_f32, 2.0]).view())?;
/// gradients.push(arr1(&[-0.1_f32, 1.0]).view())?;
/// let scores = gradients.fisher(weight.value().view())?; // w² * Σ g²
/// weight.prune_with_scores(L1Unstructured::new(1)?, scores.view())?;
/// assert_eq!(weight.value(), &arr1(&[0.0, 1.0]).into_dyn());
/// # Ok::<(), prune::PruneError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct GradientSquares {
    pushes: u64,
    sum: ArrayD<f64>,
}

impl GradientSquares {
    /// Returns sums without gradients, for a weight of this shape.
    pub fn new(shape: &[usize]) -> Self {
        Self { pushes: 0, sum: ArrayD::zeros(shape) }
    }

    #[cfg(feature = "safetensors")]
    pub(crate) fn of_parts(pushes: u64, sum: ArrayD<f64>) -> Self {
        Self { pushes, sum }
    }

    /// Returns the number of gradients that were pushed.
    pub fn pushes(&self) -> u64 {
        self.pushes
    }

    /// Returns the sum of the squares of each entry.
    pub fn sum(&self) -> &ArrayD<f64> {
        &self.sum
    }

    /// Adds the squares of a gradient.
    ///
    /// # Errors
    ///
    /// Nothing is added if this returns [`PruneError::ShapeMismatch`], because the gradient has another shape than the weight, or
    /// [`PruneError::NotFinite`], because an entry is NaN or infinite. The channel in that error is the place along the last axis.
    pub fn push<A: Element, D: Dimension>(&mut self, gradient: ArrayView<'_, A, D>) -> Result<(), PruneError> {
        PruneError::check_shape("gradient", self.sum.shape(), gradient.shape())?;
        if let Some(position) = gradient.iter().position(|x| !x.is_finite()) {
            let channels = gradient.shape().last().copied().unwrap_or(1);
            return Err(PruneError::NotFinite { channel: position % channels, token: position / channels });
        }
        self.sum.zip_mut_with(&gradient.into_dyn(), |sum, x| {
            let x = x.exact_f64();
            *sum += x * x;
        });
        self.pushes += 1;
        Ok(())
    }

    /// Adds the sums of other gradients of the same weight.
    ///
    /// # Errors
    ///
    /// [`PruneError::ShapeMismatch`] if the shapes differ; nothing is added then.
    pub fn merge(&mut self, other: &Self) -> Result<(), PruneError> {
        PruneError::check_shape("gradients", self.sum.shape(), other.sum.shape())?;
        self.pushes += other.pushes;
        self.sum += &other.sum;
        Ok(())
    }

    /// Returns the importance scores `w² * Σ g²` for [`Parameter::prune_with_scores`](crate::Parameter::prune_with_scores), divided by
    /// their maximum, so that every element type can hold them.
    ///
    /// Source: *Optimal Brain Damage* (LeCun, Denker and Solla, 1990), with the empirical Fisher information as Hessian.
    ///
    /// # Errors
    ///
    /// [`PruneError::ShapeMismatch`] if the weights have another shape than the gradients.
    pub fn fisher<A: Element, D: Dimension>(&self, weights: ArrayView<'_, A, D>) -> Result<Array<A, D>, PruneError> {
        PruneError::check_shape("weights", self.sum.shape(), weights.shape())?;
        let score = |(w, sum): (&A, &f64)| {
            let w = w.exact_f64();
            w * w * sum
        };
        let scores: Vec<f64> = weights.iter().zip(&self.sum).map(score).collect();
        let highest = scores.iter().copied().fold(0.0, f64::max);
        let scale = if highest > 0.0 { highest } else { 1.0 };
        let scores = scores.into_iter().map(|score| rounded(score / scale)).collect();
        // There is one score for each weight.
        Ok(Array::from_shape_vec(weights.raw_dim(), scores).unwrap_or_else(|_| unreachable!("one score a weight")))
    }
}
