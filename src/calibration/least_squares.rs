//! The best weights under a mask.

use std::sync::atomic::{AtomicBool, Ordering};

use ndarray::{Array1, Array2, ArrayD, ArrayView1, ArrayView2, ArrayViewD, ArrayViewMut1, ArrayViewMut2, Axis, Zip};

use crate::calibration::Inputs;
use crate::calibration::cholesky::{STRIP, multiply, solve};
use crate::calibration::hessian::{Dampening, DampeningOf, Hessian};
use crate::calibration::layer::{Layer, mask_by, method_for, reconstruction, rounded, rows, wide};
use crate::element::Element;
use crate::error::PruneError;
use crate::method::{Describe, Identity, PruningMethod, Reconstruct, Reconstruction};
use crate::pruning_type::PruningType;
use crate::tensor::parallel;

const NAME: &str = "LeastSquares";
/// The number of columns up to which each row's system is solved exactly.
const EXACT: usize = 512;
/// The steps of conjugate gradients for more columns.
const STEPS: usize = 40;

/// Changes the weights that a mask keeps so that the layer computes as nearly as possible what it did: least squares for each row.
///
/// For a row `w` with kept entries `K` and pruned entries `P`, the new weights are
///
/// ```text
/// v_K = w_K + H_KK⁻¹ H_KP w_P,   H = 2/n XᵀX + dampening * mean(diag)
/// ```
///
/// so the damping pulls towards `w`. Layers of up to 512 inputs are solved exactly, larger ones by 40 steps of conjugate gradients scaled
/// by the diagonal.
///
/// ```
/// use ndarray::arr2;
/// use prune::calibration::{LeastSquares, Moments};
/// use prune::{L1Unstructured, Parameter};
///
/// let mut moments = Moments::with_gram(2);
/// moments.push(arr2(&[[1.0_f32, 1.0], [2.0, 2.0]]).view())?; // two equal inputs
/// let mut weight = Parameter::new(arr2(&[[3.0_f32, 1.0]]));
/// weight.prune(L1Unstructured::new(1)?)?;
/// let error = weight.reconstruct(LeastSquares::new(moments).dampening(1e-6))?.error;
/// assert!(error < 1e-3 && (weight.value()[[0, 0]] - 4.0).abs() < 1e-3); // the weight that is kept does the work of both
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # References
///
/// Optimal brain surgeon's update for many weights at once (Hassibi and Stork, 1992), with the error of a layer as objective.
#[derive(Debug, Clone, PartialEq)]
pub struct LeastSquares<M = Identity> {
    method: M,
    inputs: Inputs,
    dampening: Dampening,
    exact: usize,
}

impl LeastSquares<Identity> {
    /// Returns the method that keeps the mask of a parameter.
    pub fn new(inputs: impl Into<Inputs>) -> Self {
        Self::after(Identity, inputs)
    }
}

impl<M> LeastSquares<M> {
    /// Returns the method that prunes with another one first, in the same call.
    pub fn after(method: M, inputs: impl Into<Inputs>) -> Self {
        Self { method, inputs: inputs.into(), dampening: Dampening::DEFAULT, exact: EXACT }
    }

    /// Sets what is added to the diagonal, as a share of its mean; 0.01 by default.
    pub fn dampening(mut self, share: f64) -> Self {
        self.dampening.share = share;
        self
    }

    /// Sets the channels over which the mean is taken.
    pub fn dampening_of(mut self, of: DampeningOf) -> Self {
        self.dampening.of = of;
        self
    }

    /// Sets the number of columns up to which rows are solved exactly, 512 by default; 0 for conjugate gradients always.
    pub fn exact_up_to(self, columns: usize) -> Self {
        Self { exact: columns, ..self }
    }

    fn with<N>(&self, method: N, inputs: Inputs) -> LeastSquares<N> {
        LeastSquares { method, inputs, dampening: self.dampening, exact: self.exact }
    }
}

/// The new weights under a mask. A row that is solved exactly is a job; conjugate gradients take strips of rows, for their matrix products.
fn solve_rows<A: Element>(
    weights: &ArrayViewD<'_, A>,
    hessian: &Hessian,
    kept: &Array2<bool>,
    exact: bool,
) -> Result<Array2<A>, PruneError> {
    let h = hessian.matrix.view();
    let (height, steps) = if exact { (1, 1) } else { (STRIP, STEPS) };
    let mut new = Array2::from_elem(kept.raw_dim(), A::zero());
    let strips = new.axis_chunks_iter_mut(Axis(0), height).zip(weights.axis_chunks_iter(Axis(0), height));
    let strips: Vec<_> = strips.zip(kept.axis_chunks_iter(Axis(0), height)).collect();
    let failed = AtomicBool::new(false);
    parallel::for_each(strips, kept.len() * steps * kept.ncols(), |((new, weights), kept)| {
        let weights = wide(&weights);
        let mut solved = Zip::from(&weights).and(kept).map_collect(|&w, &kept| if kept { w } else { 0.0 });
        if !exact {
            conjugate_gradients(weights.view(), h, kept, solved.view_mut());
        } else if !solve_row(solved.row_mut(0), weights.row(0), h, kept.row(0)) {
            failed.store(true, Ordering::Relaxed);
        }
        Zip::from(new).and(&solved).and(kept).for_each(|new, &x, &kept| *new = rounded(x, kept));
    });
    if failed.into_inner() { Err(hessian.not_positive_definite()) } else { Ok(new) }
}

/// Solves for the kept entries of a row, which has the old weights there; `false` if the system is singular.
fn solve_row(
    mut solved: ArrayViewMut1<'_, f64>,
    weights: ArrayView1<'_, f64>,
    h: ArrayView2<'_, f64>,
    kept: ArrayView1<'_, bool>,
) -> bool {
    let (keep, gone): (Vec<usize>, Vec<usize>) = (0..kept.len()).partition(|&column| kept[column]);
    if keep.is_empty() || gone.is_empty() {
        return true;
    }
    let mut change: Array1<f64> = keep.iter().map(|&k| gone.iter().map(|&p| h[[k, p]] * weights[p]).sum()).collect();
    let mut system = Array2::from_shape_fn((keep.len(), keep.len()), |(i, j)| h[[keep[i], keep[j]]]);
    if solve(&mut system, &mut change).is_err() {
        return false;
    }
    keep.iter().zip(change).for_each(|(&column, change)| solved[column] += change);
    true
}

/// Improves rows by conjugate gradients under the mask, scaled by the diagonal. The rows have the old weights where they are kept.
fn conjugate_gradients(
    weights: ArrayView2<'_, f64>,
    h: ArrayView2<'_, f64>,
    kept: ArrayView2<'_, bool>,
    mut solved: ArrayViewMut2<'_, f64>,
) {
    let under_mask = |a: ArrayView2<'_, f64>| {
        let mut product = Array2::zeros(a.raw_dim());
        multiply(1.0, a, h, product.view_mut());
        product.zip_mut_with(&kept, |x, &kept| *x = if kept { *x } else { 0.0 });
        product
    };
    let dots = |a: &Array2<f64>, b: &Array2<f64>| (a * b).sum_axis(Axis(1)).insert_axis(Axis(1));
    let quotient =
        |a: &Array2<f64>, b: &Array2<f64>| Zip::from(a).and(b).map_collect(|&a, &b| if b > 0.0 { a / b } else { 0.0 });
    let scale = h.diag().mapv(|entry| if entry > 0.0 { 1.0 / entry } else { 0.0 });
    let mut residual = under_mask((&weights - &solved).view());
    let mut direction = &residual * &scale;
    let mut energy = dots(&residual, &direction);
    let first = dots(&residual, &residual);
    for _ in 0..STEPS {
        let image = under_mask(direction.view());
        let step = quotient(&energy, &dots(&direction, &image));
        solved += &(&step * &direction);
        residual -= &(&step * &image);
        if Zip::from(&dots(&residual, &residual)).and(&first).all(|now, first| *now <= 1e-20 * first) {
            break;
        }
        let scaled = &residual * &scale;
        let next = dots(&residual, &scaled);
        direction = scaled + quotient(&next, &energy) * &direction;
        energy = next;
    }
}

impl<M: Describe> Describe for LeastSquares<M> {
    fn name(&self) -> &str {
        NAME
    }
    fn pruning_type(&self) -> PruningType {
        PruningType::Groups
    }
    fn options(&self) -> String {
        let Self { method, inputs, dampening: Dampening { share, of }, exact } = self;
        format!("after={}({}) dampening={share:?} of={of:?} exact={exact} {inputs}", method.name(), method.options())
    }
}

impl<A: Element, M: PruningMethod<A> + Clone + 'static> PruningMethod<A> for LeastSquares<M> {
    /// The mask of the method that prunes first.
    fn compute_mask(
        &self,
        scores: ArrayViewD<'_, A>,
        default_mask: ArrayViewD<'_, bool>,
    ) -> Result<ArrayD<bool>, PruneError> {
        mask_by(&self.method, scores, default_mask)
    }
    fn reconstructing(&self) -> Option<&dyn Reconstruct<A>> {
        Some(self)
    }
    fn for_tensor(&self, name: &str, shape: &[usize]) -> Result<Option<Box<dyn PruningMethod<A>>>, PruneError> {
        let method = method_for(&self.method, name, shape)?;
        let inputs = self.inputs.for_tensor(NAME, name, shape, true)?.unwrap_or_else(|| self.inputs.clone());
        Ok(Some(Box::new(self.with(method, inputs))))
    }
    fn without_data(&self) -> Option<Box<dyn PruningMethod<A>>> {
        let method = self.method.without_data().unwrap_or_else(|| Box::new(self.method.clone()));
        Some(Box::new(self.with(method, self.inputs.dropped())))
    }
}

impl<A: Element, M: PruningMethod<A> + Clone + 'static> Reconstruct<A> for LeastSquares<M> {
    fn reconstruct(
        &self,
        weights: ArrayViewD<'_, A>,
        mask: ArrayViewD<'_, bool>,
    ) -> Result<Reconstruction<A>, PruneError> {
        let dampening = self.dampening.validated(NAME)?;
        Layer::check(NAME, &weights)?;
        let kept = rows(&mask_by(&self.method, weights.view(), mask)?.view());
        let columns = kept.ncols();
        let hessian = Hessian::new(self.inputs.gram(NAME, columns)?, dampening);
        let solved = solve_rows(&weights, &hessian, &kept, columns <= self.exact)?;
        let told = (hessian.dead_channels(), hessian.dampening);
        drop(hessian); // there need not be memory for two matrices
        Ok(reconstruction(weights, (solved, kept), self.inputs.gram(NAME, columns)?.matrix.view(), told))
    }
}
