//! The error of a layer's output.

use ndarray::{ArrayView, Dimension};

use crate::calibration::inputs::columns;
use crate::calibration::layer::{Layer, relative_error};
use crate::calibration::{Inputs, Moments};
use crate::element::Element;
use crate::error::PruneError;

const NAME: &str = "reconstruction_error";

/// Returns the relative error of a layer's output, `‖X Wᵀ - X Vᵀ‖ / ‖X Wᵀ‖`, for the inputs whose Gram matrix the moments have.
///
/// Measure it on moments of other inputs, too: weights that were updated fit the inputs that updated them better than any others.
///
/// ```
/// use ndarray::arr2;
/// use prune::calibration::{Moments, reconstruction_error};
///
/// let mut moments = Moments::with_gram(2);
/// moments.push(arr2(&[[3.0_f32, 0.0], [0.0, 4.0]]).view())?;
/// let (original, pruned) = (arr2(&[[1.0_f32, 1.0]]), arr2(&[[0.0_f32, 1.0]]));
/// assert_eq!(reconstruction_error(original.view(), pruned.view(), &moments)?, 0.6);
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # Errors
///
/// [`PruneError::ShapeMismatch`] if the shapes differ or the moments have another number of channels;
/// [`PruneError::TooFewDimensions`] if the weights have fewer than two axes; [`PruneError::Method`] if a weight is not finite, or the
/// moments have no inputs or no Gram matrix.
pub fn reconstruction_error<A: Element, D: Dimension>(
    original: ArrayView<'_, A, D>,
    pruned: ArrayView<'_, A, D>,
    moments: &Moments,
) -> Result<f64, PruneError> {
    PruneError::check_shape("pruned", original.shape(), pruned.shape())?;
    let gram = moments.clone();
    error_on(original, pruned, &gram.into())
}

/// The same for inputs of any kind.
pub(crate) fn error_on<A: Element, D: Dimension>(
    original: ArrayView<'_, A, D>,
    pruned: ArrayView<'_, A, D>,
    inputs: &Inputs,
) -> Result<f64, PruneError> {
    let (original, pruned) = (original.into_dyn(), pruned.into_dyn());
    Layer::check(NAME, &original)?;
    Layer::check(NAME, &pruned)?;
    let gram = inputs.gram(NAME, columns(original.shape()))?;
    Ok(relative_error(original, pruned, gram.matrix.view()))
}
