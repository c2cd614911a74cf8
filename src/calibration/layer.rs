//! A weight as a matrix in `f64`, and what the methods do with it.

use ndarray::{Array2, ArrayD, ArrayView2, ArrayViewD, Axis, Ix2, IxDyn, Zip};

use crate::calibration::cholesky::STRIP;
use crate::calibration::hessian::Gram;
use crate::calibration::inputs::columns;
use crate::element::Element;
use crate::error::PruneError;
use crate::mask::Mask;
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
    shape: IxDyn,
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
        let size = (weights.shape()[0], columns(weights.shape()));
        let weights_f64 = weights.iter().map(|x| x.exact_f64()).collect();
        Ok(Self {
            weights: matrix(size, weights_f64),
            remaining: matrix(size, mask.iter().copied().collect()),
            shape: weights.raw_dim(),
        })
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

    /// A mask of the weight as a matrix.
    pub fn kept_by(&self, mask: ArrayD<bool>) -> Array2<bool> {
        matrix(self.weights.dim(), mask.into_iter().collect())
    }

    /// The mask in the shape of the weight.
    pub fn mask(&self, kept: Array2<bool>) -> Mask {
        self.shaped(kept).into()
    }

    /// The tensor of the weights that remain, zero elsewhere, and what is told about it. The weights in `f64` are dropped before the
    /// Gram matrix is made, because there need not be memory for both.
    pub fn reconstruction<A: Element>(
        mut self,
        original: ArrayViewD<'_, A>,
        gram: impl FnOnce() -> Result<Gram, PruneError>,
        (dead, dampening): (usize, f64),
    ) -> Result<Reconstruction<A>, PruneError> {
        let rounded = Zip::from(&self.weights).and(&self.remaining).map_collect(|&x, &remains| match remains {
            true => A::from(x).unwrap_or_else(A::nan),
            false => A::zero(),
        });
        self.weights = Array2::default((0, 0));
        let weights = self.shaped(rounded);
        let error = relative_error(original, weights.view(), gram()?.matrix.view());
        let mask = ArrayD::from_shape_vec(self.shape, self.remaining.into_raw_vec_and_offset().0);
        let mask = mask.unwrap_or_else(|_| unreachable!("the mask has all entries")).into();
        Ok(Reconstruction { mask, weights, error, dead, dampening })
    }

    fn shaped<T>(&self, matrix: Array2<T>) -> ArrayD<T> {
        let (entries, _) = matrix.into_raw_vec_and_offset();
        ArrayD::from_shape_vec(self.shape.clone(), entries)
            .unwrap_or_else(|_| unreachable!("the matrix has all entries"))
    }
}

fn matrix<T>(size: (usize, usize), entries: Vec<T>) -> Array2<T> {
    Array2::from_shape_vec(size, entries).unwrap_or_else(|_| unreachable!("the size is that of the weight"))
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
    let wide = |rows: &ArrayViewD<'_, A>| {
        matrix((rows.shape()[0], gram.ncols()), rows.iter().map(|x| x.exact_f64()).collect())
    };
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
