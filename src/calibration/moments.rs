//! Sums over the inputs of one layer.

use ndarray::{Array1, Array2, ArrayView, ArrayView1, Axis, Dimension, Ix2};

use crate::calibration::cholesky::rank;
use crate::calibration::hessian::{Dampening, Gram, Hessian};
use crate::calibration::packed::Packed;
use crate::element::Element;
use crate::error::PruneError;
use crate::hash::fnv1a;

/// The tokens that are converted at a time.
const TOKENS: usize = 512;

/// Sums over the inputs of one linear layer: the sum of the squares of each channel and, for the methods that need it, the Gram
/// matrix `XᵀX` of the inputs `X` with shape `[tokens, channels]`.
///
/// Inputs are pushed batch by batch, and only sums are kept. Products are exact and added in `f64`, so the result does not
/// depend on how inputs are split into batches, up to rounding: about 1e-13 of each sum.
///
/// ```
/// use ndarray::arr2;
/// use prune::calibration::Moments;
///
/// let mut moments = Moments::with_gram(2);
/// moments.push(arr2(&[[1.0_f32, 2.0], [3.0, 0.0]]).view())?;
/// moments.push(arr2(&[[0.0_f32, 1.0]]).view())?;
/// assert_eq!((moments.count(), moments.channels()), (3, 2));
/// assert_eq!(moments.sum_squares(), ndarray::arr1(&[10.0, 5.0]));
/// assert_eq!(moments.gram(), Some(arr2(&[[10.0, 2.0], [2.0, 5.0]])));
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # Memory
///
/// Eight bytes for each channel; with the Gram matrix, `4 * channels * (channels + 1)` more: 67 MB for 4096 channels.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    count: u64,
    sum_squares: Array1<f64>,
    gram: Option<Packed>,
}

impl Moments {
    /// Returns moments without inputs and without a Gram matrix, for [`Wanda`](crate::calibration::Wanda),
    /// [`Ria`](crate::calibration::Ria) and [`owl`](crate::calibration::owl).
    pub fn new(channels: usize) -> Self {
        Self { count: 0, sum_squares: Array1::zeros(channels), gram: None }
    }

    /// Returns moments without inputs and with a Gram matrix, for all methods.
    pub fn with_gram(channels: usize) -> Self {
        Self { gram: Some(Packed::zeros(channels)), ..Self::new(channels) }
    }

    #[cfg(feature = "safetensors")]
    pub(crate) fn of_parts(count: u64, sum_squares: Array1<f64>, gram: Option<Packed>) -> Self {
        Self { count, sum_squares, gram }
    }

    /// Returns the number of channels: of inputs of the layer.
    pub fn channels(&self) -> usize {
        self.sum_squares.len()
    }

    /// Returns the number of tokens that were pushed.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the sum of the squares of each channel.
    pub fn sum_squares(&self) -> ArrayView1<'_, f64> {
        self.sum_squares.view()
    }

    /// Returns the Gram matrix, or `None` if the moments have none.
    pub fn gram(&self) -> Option<Array2<f64>> {
        self.gram.as_ref().map(Packed::unpack)
    }

    /// Returns `true` if the moments have a Gram matrix.
    pub fn has_gram(&self) -> bool {
        self.gram.is_some()
    }

    #[cfg(feature = "safetensors")]
    pub(crate) fn into_packed(self) -> Option<Packed> {
        self.gram
    }

    /// Returns the root mean square of each channel; 0 without inputs.
    pub fn root_mean_squares(&self) -> Array1<f64> {
        let count = (self.count as f64).max(1.0);
        self.sum_squares.mapv(|sum| (sum / count).sqrt())
    }

    /// Returns the rank of the Gram matrix, or `None` if there is none. Takes time with the cube of the number of channels.
    pub fn rank(&self) -> Option<usize> {
        self.gram().map(|gram| rank(&gram))
    }

    /// Returns the condition of the Hessian `2/n XᵀX` after `dampening`, a share of the mean of its diagonal, is added to the diagonal: its
    /// largest eigenvalue divided by its smallest, to about a hundredth. Infinite if it is not positive definite, so that SparseGPT would
    /// fail; `None` if there is no Gram matrix. Takes time with the cube of the number of channels.
    ///
    /// ```
    /// use ndarray::arr2;
    /// use prune::calibration::Moments;
    ///
    /// let mut moments = Moments::with_gram(2);
    /// moments.push(arr2(&[[1.0_f32, 1.0], [2.0, 2.0]]).view())?; // two equal inputs
    /// assert_eq!(moments.condition(0.0)?, Some(f64::INFINITY));
    /// let condition = moments.condition(0.01)?.unwrap(); // (2 + 0.01) / 0.01
    /// assert!((condition - 201.0).abs() < 1.0);
    /// # Ok::<(), prune::PruneError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PruneError::Method`] if `dampening` is negative, infinite or NaN.
    pub fn condition(&self, dampening: f64) -> Result<Option<f64>, PruneError> {
        let dampening = Dampening { share: dampening, ..Dampening::DEFAULT }.validated("condition")?;
        let gram = self.gram().map(|matrix| Gram { matrix, count: self.count });
        Ok(gram.map(|gram| Hessian::new(gram, dampening).condition()))
    }

    /// Returns the channels that are zero in all inputs.
    pub fn dead(&self) -> Vec<usize> {
        self.sum_squares.iter().enumerate().filter(|(_, sum)| **sum == 0.0).map(|(channel, _)| channel).collect()
    }

    /// Adds inputs of shape `[.., channels]`; all axes but the last are tokens.
    ///
    /// Push real tokens only: padding would count as input. For a convolution, push unfolded patches, with the channels in the
    /// order of the weight's axes after the first.
    ///
    /// # Errors
    ///
    /// Nothing is added if this returns [`PruneError::ShapeMismatch`], because the last axis has another size than there are
    /// channels, or [`PruneError::NotFinite`], because an input is NaN or infinite.
    pub fn push<A: Element, D: Dimension>(&mut self, inputs: ArrayView<'_, A, D>) -> Result<(), PruneError> {
        let channels = self.channels();
        let inputs = inputs.into_dyn();
        PruneError::check_shape("inputs", &[channels], &[inputs.shape().last().copied().unwrap_or(1)])?;
        let tokens = inputs.len().checked_div(channels).unwrap_or(0);
        if let Some(position) = inputs.iter().position(|x| !x.is_finite()) {
            return Err(PruneError::NotFinite { channel: position % channels, token: position / channels });
        }
        let inputs = inputs.as_standard_layout();
        let Ok(inputs) = inputs.view().into_shape_with_order((tokens, channels)) else { return Ok(()) };
        for block in inputs.axis_chunks_iter(Axis(0), TOKENS) {
            self.add(block);
        }
        self.count += tokens as u64;
        Ok(())
    }

    fn add<A: Element>(&mut self, block: ArrayView<'_, A, Ix2>) {
        let block = block.mapv(|x| x.exact_f64());
        for token in block.axis_iter(Axis(0)) {
            self.sum_squares.zip_mut_with(&token, |sum, x| *sum += x * x);
        }
        if let Some(gram) = &mut self.gram {
            gram.add_products(block.view());
        }
    }

    /// Adds the sums of other inputs of the same layer. The result has a Gram matrix if both have one.
    ///
    /// # Errors
    ///
    /// [`PruneError::ShapeMismatch`] if the numbers of channels differ; nothing is added then.
    pub fn merge(&mut self, other: &Self) -> Result<(), PruneError> {
        PruneError::check_shape("moments", &[self.channels()], &[other.channels()])?;
        self.count += other.count;
        self.sum_squares += &other.sum_squares;
        self.gram = match (self.gram.take(), &other.gram) {
            (Some(mut gram), Some(other)) => {
                gram.add(other);
                Some(gram)
            }
            (_, None) | (None, _) => None,
        };
        Ok(())
    }

    /// A hash of the count and the sums of squares, by which moments can be told apart.
    pub(crate) fn fingerprint(&self) -> u64 {
        fnv1a(self.count.to_le_bytes().into_iter().chain(self.sum_squares.iter().flat_map(|sum| sum.to_le_bytes())))
    }
}
