//! SparseGPT: column by column, the weights to the right make up for what is pruned.

use ndarray::{Array2, ArrayD, ArrayView2, ArrayViewD, ArrayViewMut1, Axis};

use crate::calibration::cholesky::{for_strips, multiply};
use crate::calibration::hessian::{Dampening, DampeningOf, Hessian};
use crate::calibration::inputs::columns;
use crate::calibration::layer::{Layer, in_shape, kept, reconstruction};
use crate::calibration::part::{from, part, part_mut};
use crate::calibration::{Inputs, Pattern};
use crate::element::Element;
use crate::error::PruneError;
use crate::method::request::{Request, Score};
use crate::method::{Describe, PruningMethod, Reconstruct, Reconstruction};
use crate::pruning_type::PruningType;
use crate::select::TieBreak;
use crate::tensor::parallel;

const NAME: &str = "SparseGpt";

/// Prunes column by column, and lets the weights to the right of each pruned one make up for it.
///
/// With `H = 2/n XᵀX`, damped, and `U` the upper Cholesky factor of `H⁻¹`, the score of a weight is `(w_ij / U_jj)²`, the error that
/// pruning it causes if all weights to its right are adapted. Columns are taken in blocks of 128. Of each block, over all rows, the
/// given amount is pruned at once: exactly the count, ties by lowest index. With a [pattern](Pattern::KeepOf), each group is chosen when its
/// first column is reached.
///
/// [`Parameter::prune`](crate::Parameter::prune) takes the mask alone; [`Parameter::reconstruct`](crate::Parameter::reconstruct) takes
/// the new weights too.
///
/// ```
/// use ndarray::arr2;
/// use prune::Parameter;
/// use prune::calibration::{Moments, SparseGpt};
///
/// let mut moments = Moments::with_gram(2);
/// moments.push(arr2(&[[1.0_f32, 1.0], [2.0, 2.0]]).view())?; // two equal inputs
/// let mut weight = Parameter::new(arr2(&[[1.0_f32, 3.0]]));
/// let done = weight.reconstruct(SparseGpt::new(1, moments)?.dampening(1e-6))?;
/// assert_eq!((weight.pruned(), done.dead), (1, 0));
/// assert!(done.error < 1e-3 && (weight.value()[[0, 1]] - 4.0).abs() < 1e-3); // 3 does the work of 1 too
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// - **Inputs that are always zero:** their weights become 0, pruned or not.
/// - **Arithmetic** is `f64`; the result is rounded once. It depends on the width of the CPU's vectors in the last digits, and so may masks.
///   It does not depend on the number of threads.
/// - **Against the published code:** it prunes one more entry of each block and all ties; its damping is that of [`DampeningOf::All`].
///
/// # References
///
/// *SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot* (Frantar and Alistarh, 2023),
/// [arXiv 2301.00774](https://arxiv.org/abs/2301.00774).
#[derive(Debug, Clone, PartialEq)]
pub struct SparseGpt {
    pattern: Pattern,
    inputs: Inputs,
    dampening: Dampening,
    block: usize,
}

impl SparseGpt {
    /// Returns the method with the inputs of one layer, or for checkpoints those of all layers.
    ///
    /// # Errors
    ///
    /// Those of [`Wanda::new`](crate::calibration::Wanda::new).
    pub fn new(pattern: impl Into<Pattern>, inputs: impl Into<Inputs>) -> Result<Self, PruneError> {
        let (pattern, inputs) = (pattern.into().validated()?, inputs.into());
        Ok(Self { pattern, inputs, dampening: Dampening::DEFAULT, block: 128 })
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

    /// Sets the number of columns in a block, 128 by default; 0 counts as 1. Groups of a pattern begin at blocks, so the number
    /// must be a multiple of their size: pruning returns [`PruneError::Method`] if it is not.
    pub fn block(self, columns: usize) -> Self {
        Self { block: columns.max(1), ..self }
    }

    /// Prunes all blocks of a layer, from left to right: its weights and what remains are the new ones then.
    fn sweep(&self, layer: &mut Layer, upper: &Array2<f64>) -> Result<(), PruneError> {
        let Layer { weights, remaining: mask, .. } = layer;
        for start in (0..weights.ncols()).step_by(self.block) {
            let end = (start + self.block).min(weights.ncols());
            let corner = part(upper.view(), start..end, start..end);
            let (rows, all) = (0..weights.nrows(), weights.ncols());
            let mut block = part(weights.view(), rows.clone(), start..end).to_owned();
            let mut kept = part(mask.view(), rows.clone(), start..end).to_owned();
            let group = self.choose(&block, corner, &mut kept)?;
            let errors = sweep_block(&mut block, &mut kept, corner, group);
            part_mut(weights.view_mut(), rows.clone(), start..end).assign(&block);
            part_mut(mask.view_mut(), rows.clone(), start..end).assign(&kept);
            let right = part(upper.view(), start..end, end..all);
            let work = errors.len() * right.ncols();
            for_strips(part_mut(weights.view_mut(), rows, end..all), work, |row, strip| {
                let errors = part(errors.view(), row..row + strip.nrows(), 0..errors.ncols());
                multiply(-1.0, errors, right, strip);
            });
        }
        Ok(())
    }

    /// Chooses what is pruned of a block, or returns the group within which it is chosen column by column.
    fn choose(
        &self,
        block: &Array2<f64>,
        corner: ArrayView2<'_, f64>,
        kept_so_far: &mut Array2<bool>,
    ) -> Result<Option<(usize, usize)>, PruneError> {
        match self.pattern {
            Pattern::KeepOf { keep, of } => Ok(Some((keep, of))),
            Pattern::Amount(amount) => {
                let scores = (block / &corner.diag()).mapv(|x| x * x);
                let request = Request::Lowest { amount, score: Score::Magnitude, tie_break: TieBreak::LowestIndex };
                *kept_so_far = kept(&scores, kept_so_far, request)?;
                Ok(None)
            }
        }
    }

    /// The pruned layer, the number of dead channels and the damping. Holds one matrix over the inputs at a time.
    fn run<A: Element>(
        &self,
        weights: ArrayViewD<'_, A>,
        mask: ArrayViewD<'_, bool>,
    ) -> Result<(Layer, (usize, f64)), PruneError> {
        self.pattern.check(weights.shape())?;
        let dampening = self.dampening.validated(NAME)?;
        if let Pattern::KeepOf { of, .. } = self.pattern
            && !self.block.is_multiple_of(of)
        {
            return Err(PruneError::method(
                NAME,
                format!("a block of {} columns is not a multiple of {of}", self.block),
            ));
        }
        Layer::check(NAME, &weights)?;
        let columns = columns(weights.shape());
        let hessian = Hessian::new(self.inputs.gram(NAME, columns)?, dampening);
        let (dead, told) = (hessian.dead.clone(), (hessian.dead_channels(), hessian.dampening));
        let Ok(upper) = hessian.into_inverse_factor() else {
            return Err(Hessian::new(self.inputs.gram(NAME, columns)?, dampening).not_positive_definite());
        };
        let mut layer = Layer::new(NAME, weights, mask)?;
        for (column, _) in dead.iter().enumerate().filter(|(_, dead)| **dead) {
            layer.weights.column_mut(column).fill(0.0);
        }
        self.sweep(&mut layer, &upper)?;
        Ok((layer, told))
    }
}

/// Prunes a block column by column, and returns the errors that the columns to its right make up for.
fn sweep_block(
    block: &mut Array2<f64>,
    kept: &mut Array2<bool>,
    corner: ArrayView2<'_, f64>,
    group: Option<(usize, usize)>,
) -> Array2<f64> {
    let mut errors = Array2::zeros(block.raw_dim());
    let work = block.len() * block.ncols();
    let rows = block.axis_iter_mut(Axis(0)).zip(kept.axis_iter_mut(Axis(0))).zip(errors.axis_iter_mut(Axis(0)));
    let rows: Vec<_> = rows.map(|((row, kept), errors)| (row, kept, errors)).collect();
    let diagonal = corner.diag().to_owned();
    parallel::for_each(rows, work, |(mut row, mut kept, mut errors)| {
        for column in 0..row.len() {
            if let Some((keep, of)) = group
                && column % of == 0
            {
                let end = (column + of).min(row.len());
                let score = |column: usize| (row[column] / diagonal[column]).powi(2);
                let scores: Vec<f64> = (column..end).map(score).collect();
                prune_lowest(&scores, column, &mut kept, (of - keep) * (end - column) / of);
            }
            if kept[column] {
                continue;
            }
            let error = row[column] / diagonal[column];
            row.view_mut().split_at(Axis(0), column).1.scaled_add(-error, &from(corner.row(column), column));
            row[column] = 0.0;
            errors[column] = error;
        }
    });
    errors
}

/// Prunes the lowest of a few scores, of columns from `start` on, until `pruned` columns are pruned, the first among equals.
fn prune_lowest(scores: &[f64], start: usize, kept: &mut ArrayViewMut1<'_, bool>, pruned: usize) {
    let before = (start..start + scores.len()).filter(|&column| !kept[column]).count();
    for _ in before..pruned {
        let candidates = (start..).zip(scores).filter(|(column, _)| kept[*column]);
        let lowest = candidates.reduce(|best, next| if next.1 < best.1 { next } else { best });
        let Some((column, _)) = lowest else { return };
        kept[column] = false;
    }
}

impl Describe for SparseGpt {
    fn name(&self) -> &str {
        NAME
    }
    fn pruning_type(&self) -> PruningType {
        PruningType::Groups
    }
    fn options(&self) -> String {
        let Self { pattern, inputs, dampening: Dampening { share, of }, block } = self;
        format!("pattern={pattern} dampening={share:?} of={of:?} block={block} {inputs}")
    }
}

impl<A: Element> PruningMethod<A> for SparseGpt {
    fn compute_mask(
        &self,
        scores: ArrayViewD<'_, A>,
        default_mask: ArrayViewD<'_, bool>,
    ) -> Result<ArrayD<bool>, PruneError> {
        let (layer, _) = self.run(scores.view(), default_mask)?;
        Ok(in_shape(layer.remaining, scores.shape()))
    }
    fn reconstructing(&self) -> Option<&dyn Reconstruct<A>> {
        Some(self)
    }
    fn for_tensor(&self, name: &str, shape: &[usize]) -> Result<Option<Box<dyn PruningMethod<A>>>, PruneError> {
        let inputs = self.inputs.for_tensor(NAME, name, shape, true)?;
        Ok(inputs.map(|inputs| Box::new(Self { inputs, ..self.clone() }) as _))
    }
    fn without_data(&self) -> Option<Box<dyn PruningMethod<A>>> {
        Some(Box::new(Self { inputs: self.inputs.dropped(), ..self.clone() }))
    }
}

impl<A: Element> Reconstruct<A> for SparseGpt {
    fn reconstruct(
        &self,
        weights: ArrayViewD<'_, A>,
        mask: ArrayViewD<'_, bool>,
    ) -> Result<Reconstruction<A>, PruneError> {
        let (layer, told) = self.run(weights.view(), mask)?;
        let columns = layer.columns();
        let pruned = layer.into_rounded(); // there need not be memory for weights in `f64` and the Gram matrix
        Ok(reconstruction(weights, pruned, self.inputs.gram(NAME, columns)?.matrix.view(), told))
    }
}
