//! OWL: less pruning where there are more outliers.

use ndarray::{ArrayView, Dimension};

use crate::calibration::Moments;
use crate::calibration::inputs::columns;
use crate::element::Element;
use crate::error::PruneError;

const NAME: &str = "owl";

/// The outliers of a layer, by which [`owl`] gives it a sparsity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outliers {
    /// The share of weights whose product with the input's root mean square is above a multiple of the layer's mean.
    pub share: f64,
    /// The number of weights.
    pub entries: usize,
}

impl Outliers {
    /// Counts the weights with `|w_ij| * rms_j` above `multiple` times the mean over the layer. The paper takes 3 to 10.
    ///
    /// # Errors
    ///
    /// [`PruneError::ShapeMismatch`] if the moments have another number of channels than a row has entries.
    pub fn of<A: Element, D: Dimension>(
        weights: ArrayView<'_, A, D>,
        moments: &Moments,
        multiple: f64,
    ) -> Result<Self, PruneError> {
        PruneError::check_shape("moments", &[columns(weights.shape())], &[moments.channels()])?;
        let inputs = moments.root_mean_squares();
        let score = |(w, rms): (&A, &f64)| w.exact_f64().abs() * rms;
        let scores = || weights.iter().zip(inputs.iter().cycle()).map(score);
        let entries = weights.len();
        let mean = scores().sum::<f64>() / entries.max(1) as f64;
        let outliers = scores().filter(|&score| score > multiple * mean).count();
        Ok(Self { share: outliers as f64 / entries.max(1) as f64, entries })
    }
}

/// Returns a sparsity for each layer: `sparsity` for all weights together, less for layers with more outliers, and at most
/// `spread` away from the mean.
///
/// Shares of outliers are mapped linearly to `0..=2 * spread`, and sparsities are centred so that the weighted mean is exact. Layers that are
/// all alike get the same. Sparsities are limited to `0.0..=1.0`, after which the mean may differ.
///
/// ```
/// use prune::calibration::{Outliers, owl};
///
/// let layers = [Outliers { share: 0.01, entries: 100 }, Outliers { share: 0.05, entries: 300 }];
/// let sparsities = owl(&layers, 0.7, 0.08)?;
/// assert!(sparsities[0] > sparsities[1]);
/// assert!(((100.0 * sparsities[0] + 300.0 * sparsities[1]) / 400.0 - 0.7).abs() < 1e-12);
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # Errors
///
/// [`PruneError::InvalidFraction`] if the sparsity is NaN or outside `0.0..=1.0`; [`PruneError::Method`] if the spread is negative
/// or NaN, or a share is NaN.
///
/// # References
///
/// *Outlier Weighed Layerwise Sparsity* (Yin et al., 2024), [arXiv 2310.05175](https://arxiv.org/abs/2310.05175). Its mean is not
/// weighted by size, so layers of unequal size miss the total there.
pub fn owl(layers: &[Outliers], sparsity: f64, spread: f64) -> Result<Vec<f64>, PruneError> {
    crate::amount::Amount::Sparsity(sparsity).validated()?;
    if spread.is_nan() || spread < 0.0 {
        return Err(PruneError::method(NAME, format!("spread {spread:?} is not a number of at least 0")));
    }
    if layers.iter().any(|layer| layer.share.is_nan()) {
        return Err(PruneError::method(NAME, "the share of outliers of a layer is NaN"));
    }
    let (lowest, highest) = layers
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), layer| (low.min(layer.share), high.max(layer.share)));
    let scale = if highest > lowest { 2.0 * spread / (highest - lowest) } else { 0.0 };
    let scaled: Vec<f64> = layers.iter().map(|layer| (layer.share - lowest) * scale).collect();
    let all: usize = layers.iter().map(|layer| layer.entries).sum();
    let weighted = scaled.iter().zip(layers).map(|(share, layer)| share * layer.entries as f64).sum::<f64>();
    let mean = weighted / all.max(1) as f64;
    Ok(scaled.into_iter().map(|share| (sparsity - share + mean).clamp(0.0, 1.0)).collect())
}
