//! A weight as a matrix in `f64`, and what the methods do with it.

use ndarray::{Array2, ArrayD, ArrayView2, ArrayViewD, Axis, Ix2, Zip};

use crate::calibration::cholesky::STRIP;
use crate::calibration::inputs::columns;
use crate::element::{self, Element};
use crate::error::PruneError;
use crate::method::candidates::{MemoryCandidates, TensorCandidates};
use crate::method::decide::decide;
use crate::method::request::Request;
use crate::method::{PruningMethod, Reconstruction};
use crate::select::scores::infallible;
use crate::tensor::parallel;

/// A weight, one row for each output, and the entries that remain.
pub(crate) struct Layer {
    pub weights: Array2<f64>,
    pub remaining: Array2<bool>,
}

impl Layer {
    /// The layer of finite weights of at least two dimensions.
    pub fn new<A: Element>(
        method: &str,
        weights: ArrayViewD<'_, A>,
        mask: ArrayViewD<'_, bool>,
    ) -> Result<Self, PruneError> {
        PruneError::check_shape("default_mask", weights.shape(), mask.shape())?;
        Self::check(method, &weights)?;
        Ok(Self { weights: wide(&weights), remaining: rows(&mask) })
    }

    /// Rejects weights of fewer than two dimensions, and weights that are not finite.
    pub fn check<A: Element>(method: &str, weights: &ArrayViewD<'_, A>) -> Result<(), PruneError> {
        if weights.ndim() < 2 {
            return Err(PruneError::TooFewDimensions { shape: weights.shape().to_vec() });
        }
        if weights.iter().any(|x| !x.is_finite()) {
            return Err(PruneError::method(method, "a weight is NaN or infinite"));
        }
        Ok(())
    }

    /// The number of inputs.
    pub fn columns(&self) -> usize {
        self.weights.ncols()
    }

    /// The weights in the type of the tensor, zero where none remains, and the mask.
    pub fn into_rounded<A: Element>(self) -> (Array2<A>, Array2<bool>) {
        let Self { weights, remaining } = self;
        (Zip::from(&weights).and(&remaining).map_collect(|&x, &remains| rounded(x, remains)), remaining)
    }
}

/// The reconstruction of a layer: its new weights and their mask, and the error of its output.
pub(crate) fn reconstruction<A: Element>(
    original: ArrayViewD<'_, A>,
    (weights, mask): (Array2<A>, Array2<bool>),
    gram: ArrayView2<'_, f64>,
    (dead, dampening): (usize, f64),
) -> Reconstruction<A> {
    let weights = in_shape(weights, original.shape());
    let error = relative_error(original, weights.view(), gram);
    let mask = in_shape(mask, weights.shape()).into();
    Reconstruction { mask, weights, error, dead, dampening }
}

/// A matrix in the shape of the weight.
pub(crate) fn in_shape<T>(matrix: Array2<T>, shape: &[usize]) -> ArrayD<T> {
    let (entries, _) = matrix.into_raw_vec_and_offset();
    ArrayD::from_shape_vec(shape, entries).unwrap_or_else(|_| unreachable!("the matrix has all entries"))
}

/// The rows of a tensor as a matrix.
pub(crate) fn rows<T: Copy>(tensor: &ArrayViewD<'_, T>) -> Array2<T> {
    matrix(tensor, |&x| x)
}

/// The rows of a weight in `f64`.
pub(crate) fn wide<A: Element>(tensor: &ArrayViewD<'_, A>) -> Array2<f64> {
    matrix(tensor, |x| x.exact_f64())
}

fn matrix<T, U>(tensor: &ArrayViewD<'_, T>, f: impl Fn(&T) -> U) -> Array2<U> {
    let size = (tensor.shape()[0], columns(tensor.shape()));
    Array2::from_shape_vec(size, tensor.iter().map(f).collect())
        .unwrap_or_else(|_| unreachable!("the size is that of the tensor"))
}

/// A weight that remains in the type of the tensor, or zero.
pub(crate) fn rounded<A: Element>(x: f64, remains: bool) -> A {
    if remains { element::rounded(x) } else { A::zero() }
}

/// The entries that a request keeps of those that remain, by the magnitudes of the scores.
pub(crate) fn kept(
    scores: &Array2<f64>,
    remaining: &Array2<bool>,
    request: Request,
) -> Result<Array2<bool>, PruneError> {
    let (scores, remaining) = (scores.view().into_dyn(), remaining.view().into_dyn());
    let candidates =
        MemoryCandidates::new(vec![TensorCandidates { scores: scores.clone(), remaining: Some(remaining.clone()) }]);
    let decision = infallible(candidates.resolve(request)?.decide(&candidates));
    let kept = decision.mask(remaining, scores).into_dimensionality::<Ix2>();
    Ok(kept.unwrap_or_else(|_| unreachable!("a mask has the shape of the scores")))
}

/// The method for one tensor of a checkpoint, with the data of that tensor if it needs any.
pub(crate) fn method_for<A: Element, M: PruningMethod<A> + Clone + 'static>(
    method: &M,
    name: &str,
    shape: &[usize],
) -> Result<Box<dyn PruningMethod<A>>, PruneError> {
    Ok(method.for_tensor(name, shape)?.unwrap_or_else(|| Box::new(method.clone())))
}

/// The mask that a method leaves of a default mask, where it selects among the entries that the default mask keeps.
pub(crate) fn mask_by<A: Element>(
    method: &dyn PruningMethod<A>,
    scores: ArrayViewD<'_, A>,
    default_mask: ArrayViewD<'_, bool>,
) -> Result<ArrayD<bool>, PruneError> {
    PruneError::check_shape("default_mask", scores.shape(), default_mask.shape())?;
    let (scores, remaining) = (scores.as_standard_layout(), default_mask.as_standard_layout());
    let candidates = if remaining.iter().all(|&remains| remains) {
        MemoryCandidates::untouched(scores.view())
    } else {
        MemoryCandidates::new(vec![TensorCandidates { scores: scores.view(), remaining: Some(remaining.view()) }])
    };
    let decision = decide(method, &candidates)?;
    Ok(decision.mask(default_mask, scores.view()))
}

/// `‖X Wᵀ - X Vᵀ‖ / ‖X Wᵀ‖`; 0 if both are 0. Computed some rows at a time, in little memory; their sums are added in order.
pub(crate) fn relative_error<A: Element>(
    original: ArrayViewD<'_, A>,
    pruned: ArrayViewD<'_, A>,
    gram: ArrayView2<'_, f64>,
) -> f64 {
    let energy =
        |rows: &Array2<f64>| Zip::from(&rows.dot(&gram)).and(rows).fold(0.0, |sum, product, x| sum + product * x);
    let strips = original.axis_chunks_iter(Axis(0), STRIP).zip(pruned.axis_chunks_iter(Axis(0), STRIP));
    let strips: Vec<_> = strips.collect();
    let energies = parallel::map(&strips, original.len() * gram.ncols(), |(original, pruned)| {
        let original = wide(original);
        (energy(&(&original - &wide(pruned))), energy(&original))
    });
    let (lost, all) = energies.into_iter().fold((0.0, 0.0), |sums, rows| (sums.0 + rows.0, sums.1 + rows.1));
    if lost <= 0.0 { 0.0 } else { (lost / all).sqrt() }
}
