//! Scores that need more than the weights, and scores of channels, as arrays.

use ndarray::{Array, ArrayBase, ArrayD, ArrayView, ArrayViewD, Axis, Data, Dimension, IxDyn, RemoveAxis, Zip};
use num_traits::Zero;

use crate::element::{Element, rounded};
use crate::error::PruneError;
use crate::tensor::channels::Channels;
use crate::tensor::parallel;

/// Returns `|weight * gradient|` for every entry: the first-order Taylor estimate of how much the loss changes without it.
///
/// At initialisation, this is SNIP's connection sensitivity: SNIP divides by the sum, which does not change the order.
///
/// ```
/// use ndarray::arr1;
/// use prune::{L1Unstructured, Parameter, score};
///
/// let mut weight = Parameter::new(arr1(&[3.0_f32, 1.0, -2.0]));
/// let gradient = arr1(&[0.01, 0.5, -0.1]);
/// let saliency = score::taylor(weight.value().view(), gradient.view().into_dyn())?;
/// weight.prune_with_scores(L1Unstructured::new(1)?, saliency.view())?;
/// assert_eq!(weight.value(), &arr1(&[0.0, 1.0, -2.0]).into_dyn());
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # Errors
///
/// [`PruneError::ShapeMismatch`] if the gradient has another shape than the weight.
///
/// # References
///
/// *Importance Estimation for Neural Network Pruning* (2019), <https://arxiv.org/abs/1906.10771>; *SNIP: Single-shot Network
/// Pruning based on Connection Sensitivity* (2019), <https://arxiv.org/abs/1810.02340>.
pub fn taylor<A: Element, D: Dimension>(
    weight: ArrayView<'_, A, D>,
    gradient: ArrayView<'_, A, D>,
) -> Result<Array<A, D>, PruneError> {
    PruneError::check_shape("gradient", weight.shape(), gradient.shape())?;
    Ok(Zip::from(weight).and(gradient).map_collect(|&weight, &gradient| (weight * gradient).abs()))
}

/// Returns the LAMP score of every entry: its square, divided by the sum of the squares of the entries that are not smaller.
///
/// Scores of several layers can be compared, so that one ranking of them all decides how much is pruned from each. Sums are
/// taken in `f64`, from the largest square on; equal entries are taken in index order. Scores are about as small as one over
/// the number of entries, which half precisions cannot tell apart:
/// [`Allocation::Lamp`](crate::training::Allocation::Lamp) ranks them in `f64`. NaN has the score NaN and is in no sum.
///
/// ```
/// use ndarray::arr1;
/// use prune::score;
///
/// assert_eq!(score::lamp(arr1(&[1.0_f32, -2.0, 2.0]).view()), arr1(&[1.0 / 9.0, 0.5, 1.0]));
/// ```
///
/// # References
///
/// *Layer-adaptive sparsity for the Magnitude-based Pruning* (2021), <https://arxiv.org/abs/2010.07611>.
pub fn lamp<A: Element, D: Dimension>(weight: ArrayView<'_, A, D>) -> Array<A, D> {
    let magnitudes: Vec<f64> = weight.iter().map(|&x| magnitude(x)).collect();
    let mut order: Vec<usize> = (0..magnitudes.len()).collect();
    // Stable. The order is total: NaN comes last.
    order.sort_by(|&a, &b| magnitudes[a].total_cmp(&magnitudes[b]));
    let sorted: Vec<f64> = order.iter().map(|&entry| magnitudes[entry]).collect();
    let mut scores = vec![A::nan(); magnitudes.len()];
    for (&entry, score) in order.iter().zip(lamp_of_sorted(&sorted)) {
        scores[entry] = rounded(score);
    }
    let mut scores = scores.into_iter();
    // There are as many scores as entries.
    Array::from_shape_simple_fn(weight.raw_dim(), || scores.next().unwrap_or_else(A::nan))
}

/// The LAMP scores of magnitudes in ascending order. They ascend too.
pub(crate) fn lamp_of_sorted(magnitudes: &[f64]) -> Vec<f64> {
    let mut scores = vec![f64::NAN; magnitudes.len()];
    let mut sum = 0.0;
    for (score, magnitude) in scores.iter_mut().zip(magnitudes).rev().filter(|(_, magnitude)| !magnitude.is_nan()) {
        let square = magnitude * magnitude;
        sum += square;
        // Zeros have nothing to be divided by if all entries are zeros.
        *score = if square == 0.0 { 0.0 } else { square / sum };
    }
    scores
}

/// A magnitude in `f64`; NaN is positive.
pub(crate) fn magnitude<A: Element>(x: A) -> f64 {
    let magnitude: f64 = x.widen_abs().into();
    if magnitude.is_nan() { f64::NAN } else { magnitude }
}

/// Returns for every channel along `dim` the sum of its Euclidean distances to all others, as an array of the tensor's shape.
///
/// The channel with the lowest sum is nearest to the geometric median of all channels, so that the others can replace it best.
/// All entries of a channel have its score: rank them with [`LnStructured`](crate::LnStructured) and the norm infinity. A
/// negative `dim` counts from the last axis. Distances are taken in `f64`. [`Fpgm`](crate::Fpgm) is the same as a method.
///
/// ```
/// use ndarray::arr2;
/// use prune::{LnStructured, Parameter, score};
///
/// let mut weight = Parameter::new(arr2(&[[0.0_f32, 1.0], [8.0, 2.0], [2.0, 1.0]]));
/// let scores = score::fpgm(weight.value().view(), 0)?;
/// weight.prune_with_scores(LnStructured::new(1, f64::INFINITY, 0)?, scores.view())?;
/// assert_eq!(weight.value(), &arr2(&[[0.0, 1.0], [8.0, 2.0], [0.0, 0.0]]).into_dyn());
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # Errors
///
/// [`PruneError::TooFewDimensions`], [`PruneError::AxisOutOfRange`] and [`PruneError::TooManyChannels`] as in
/// [`channel_norms`](crate::channel_norms).
///
/// # References
///
/// *Filter Pruning via Geometric Median for Deep Convolutional Neural Networks Acceleration* (2019),
/// <https://arxiv.org/abs/1811.00250>.
pub fn fpgm<A: Element, D: RemoveAxis>(weight: ArrayView<'_, A, D>, dim: isize) -> Result<Array<A, D>, PruneError> {
    let channels = Channels::of(weight.shape(), dim)?;
    let standard = weight.as_standard_layout();
    let all: Vec<usize> = (0..channels.len).collect();
    let sums = distances(standard.view().into_dyn(), &channels, &all);
    let sums: Vec<A> = sums.into_iter().map(rounded).collect();
    let mut scores = Array::from_elem(weight.raw_dim(), A::zero());
    for (mut channel, sum) in scores.axis_iter_mut(Axis(channels.axis)).zip(sums) {
        channel.fill(sum);
    }
    Ok(scores)
}

/// The sum of the distances of each of some channels to the others of them.
pub(crate) fn distances<A: Element>(tensor: ArrayViewD<'_, A>, channels: &Channels, some: &[usize]) -> Vec<f64> {
    let values = |&channel: &usize| -> Vec<f64> {
        let value = |x: &A| x.exact_f64();
        tensor.index_axis(Axis(channels.axis), channel).iter().map(value).collect()
    };
    let rows: Vec<Vec<f64>> = some.iter().map(values).collect();
    let distance = |a: &Vec<f64>, b: &Vec<f64>| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
    let work = some.len() * some.len() * channels.size();
    parallel::map(&rows, work, |row| rows.iter().map(|other| distance(row, other)).sum())
}

/// Spreads one number for each channel along `dim` over a tensor of this shape, such as the scales of a batch norm over the
/// weight before it.
///
/// All entries of a channel have its number: rank them with [`LnStructured`](crate::LnStructured) and the norm infinity.
///
/// ```
/// use ndarray::{arr1, arr2};
/// use prune::{LnStructured, Parameter, score};
///
/// let mut weight = Parameter::new(arr2(&[[1.0_f32, 2.0], [3.0, 4.0]]));
/// let gamma = arr1(&[0.9, -0.01]);
/// let scores = score::channel(gamma.view(), weight.value().shape(), 0)?;
/// weight.prune_with_scores(LnStructured::new(1, f64::INFINITY, 0)?, scores.view())?;
/// assert_eq!(weight.value(), &arr2(&[[1.0, 2.0], [0.0, 0.0]]).into_dyn());
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # Errors
///
/// [`PruneError::TooFewDimensions`], [`PruneError::AxisOutOfRange`] and [`PruneError::TooManyChannels`] as in
/// [`channel_norms`](crate::channel_norms); [`PruneError::ShapeMismatch`] if there is not one number for each channel.
///
/// # References
///
/// *Learning Efficient Convolutional Networks through Network Slimming* (2017), <https://arxiv.org/abs/1708.06519>.
pub fn channel<A: Element, S: Data<Elem = A>>(
    numbers: ArrayBase<S, ndarray::Ix1>,
    shape: &[usize],
    dim: isize,
) -> Result<ArrayD<A>, PruneError> {
    let channels = Channels::of(shape, dim)?;
    PruneError::check_shape("numbers", &[channels.len], numbers.shape())?;
    let mut scores = ArrayD::from_elem(IxDyn(shape), A::zero());
    for (mut channel, &number) in scores.axis_iter_mut(Axis(channels.axis)).zip(&numbers) {
        channel.fill(number);
    }
    Ok(scores)
}

/// The movement of weights: the distance by which training moves each of them away from zero, summed over steps.
///
/// A step adds `-weight * gradient`: positive if gradient descent increases the magnitude. The entries that move towards zero
/// have the lowest scores and are pruned first, so that signs matter: rank them with [`Lowest`](crate::Lowest), not by
/// magnitude. Sums are kept in `f32`, or `f64` for `f64`.
///
/// ```
/// use ndarray::arr1;
/// use prune::{Lowest, Parameter, score::Movement};
///
/// let mut weight = Parameter::new(arr1(&[3.0_f32, 0.5, -2.0]));
/// let mut movement = Movement::new(weight.value().shape());
/// let gradient = arr1(&[0.2, -0.3, 0.1]).into_dyn(); // of the loss, in each step
/// movement.add(weight.value().view(), gradient.view())?;
/// weight.prune_with_scores(Lowest::new(1)?, movement.scores().view())?;
/// assert_eq!(weight.value(), &arr1(&[0.0, 0.5, -2.0]).into_dyn()); // 3.0 shrinks
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # References
///
/// *Movement Pruning: Adaptive Sparsity by Fine-Tuning* (2020), <https://arxiv.org/abs/2005.07683>.
#[derive(Debug, Clone, PartialEq)]
pub struct Movement<A: Element> {
    sums: ArrayD<A::Accumulator>,
}

impl<A: Element> Movement<A> {
    /// Returns the movement of a parameter of this shape before the first step.
    pub fn new(shape: &[usize]) -> Self {
        Self { sums: ArrayD::from_elem(IxDyn(shape), A::Accumulator::zero()) }
    }

    /// Adds a step: the weight before it, and its gradient.
    ///
    /// # Errors
    ///
    /// [`PruneError::ShapeMismatch`] if one of them has another shape; nothing has been added then.
    pub fn add(&mut self, weight: ArrayViewD<'_, A>, gradient: ArrayViewD<'_, A>) -> Result<(), PruneError> {
        PruneError::check_shape("weight", self.sums.shape(), weight.shape())?;
        PruneError::check_shape("gradient", self.sums.shape(), gradient.shape())?;
        let signed = |x: A| if x.is_sign_negative() { -x.widen_abs() } else { x.widen_abs() };
        Zip::from(&mut self.sums)
            .and(weight)
            .and(gradient)
            .for_each(|sum, &weight, &gradient| *sum = *sum - signed(weight) * signed(gradient));
        Ok(())
    }

    /// Returns the scores so far, rounded to the element type.
    pub fn scores(&self) -> ArrayD<A> {
        self.sums.mapv(A::narrow)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{arr1, arr2};

    use super::*;

    /// The definition, entry by entry.
    #[test]
    fn lamp_is_the_square_over_those_not_smaller() {
        let weight = arr2(&[[0.5_f64, -1.5, 0.0], [2.0, 1.5, -0.25]]);
        let scores = lamp(weight.view());
        let entries: Vec<f64> = weight.iter().copied().collect();
        for (i, score) in scores.iter().enumerate() {
            let rank = |j: usize| (entries[j].abs(), j);
            let rest = (0..6).filter(|&j| rank(j) >= rank(i)).map(|j| entries[j] * entries[j]);
            let expected = entries[i] * entries[i] / rest.sum::<f64>();
            assert!((score - expected).abs() < 1e-15, "{i}: {score} {expected}");
        }
        assert_eq!(lamp(arr1(&[0.0_f32, -0.0]).view()), arr1(&[0.0, 0.0]));
        assert!(lamp(arr1(&[1.0_f32, f32::NAN]).view())[1].is_nan());
        assert_eq!(lamp(arr1(&[1.0_f32, f32::NAN]).view())[0], 1.0);
        assert!(lamp(ndarray::Array2::<f32>::zeros((0, 3)).view()).is_empty());
    }

    #[test]
    fn taylor_is_the_magnitude_of_the_product() {
        let (weight, gradient) = (arr1(&[2.0_f32, -3.0, 0.5]), arr1(&[-1.0, -2.0, 0.0]));
        assert_eq!(taylor(weight.view(), gradient.view()), Ok(arr1(&[2.0, 6.0, 0.0])));
        assert!(taylor(weight.view(), arr1(&[1.0]).view()).is_err());
    }

    /// Tried on numbers that are equal in `f32`.
    #[test]
    fn sums_and_differences_are_those_of_f64() {
        let square = 2.0_f64.powi(-26);
        assert_eq!(lamp(arr1(&[2.0_f64.powi(-13), 1.0]).view())[0], square / (1.0 + square));
        let far = 1.0 + 2.0_f64.powi(-40);
        assert_eq!(fpgm(arr2(&[[0.0], [far]]).view(), 0), Ok(arr2(&[[far], [far]])));
    }

    #[test]
    fn fpgm_is_the_sum_of_distances() {
        let weight = arr2(&[[0.0_f32, 3.0, 6.0], [0.0, 4.0, 8.0]]);
        assert_eq!(fpgm(weight.view(), 1).unwrap(), arr2(&[[15.0, 10.0, 15.0], [15.0, 10.0, 15.0]]));
        assert!(fpgm(arr1(&[1.0_f32]).view(), 0).is_err());
    }

    #[test]
    fn movement_has_a_sign_and_adds_up() {
        let mut movement = Movement::<f32>::new(&[3]);
        let (weight, gradient) = (arr1(&[2.0, -1.0, -0.0]).into_dyn(), arr1(&[0.5, 4.0, 1.0]).into_dyn());
        for _ in 0..2 {
            movement.add(weight.view(), gradient.view()).unwrap();
        }
        assert_eq!(movement.scores(), arr1(&[-2.0, 8.0, 0.0]).into_dyn());
        assert!(movement.add(weight.view(), arr1(&[1.0]).into_dyn().view()).is_err());
        assert_eq!(movement.scores(), arr1(&[-2.0, 8.0, 0.0]).into_dyn());
    }

    #[test]
    fn numbers_are_spread_over_channels() {
        let scores = channel(arr1(&[1.0_f32, 2.0]).view(), &[3, 2], -1).unwrap();
        assert_eq!(scores, arr2(&[[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]]).into_dyn());
        assert!(channel(arr1(&[1.0_f32, 2.0]).view(), &[3, 2], 0).is_err());
    }
}
