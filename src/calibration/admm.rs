//! ADMM with a mask that becomes sparser step by step.

use ndarray::{Array2, ArrayD, ArrayViewD, Axis, Zip};

use crate::amount::Amount;
use crate::calibration::cholesky::{for_strips, invert_symmetric, multiply, product};
use crate::calibration::hessian::{Dampening, DampeningOf, Gram};
use crate::calibration::layer::{Layer, in_shape, kept, reconstruction};
use crate::calibration::part::part;
use crate::calibration::{Inputs, Pattern};
use crate::element::Element;
use crate::error::PruneError;
use crate::method::request::{Request, Score};
use crate::method::{Describe, PruningMethod, Reconstruct, Reconstruction};
use crate::pruning_type::PruningType;
use crate::select::TieBreak;

const NAME: &str = "Admm";
/// The number of steps, and how many of them change the mask.
const STEPS: usize = 20;
const GRADUAL: usize = 15;

/// Finds mask and weights together, by 20 steps of the alternating direction method of multipliers.
///
/// Columns are scaled to inputs of norm 1, and the Gram matrix is damped by 0.1 of its mean diagonal. In the first 15 steps, the mask
/// becomes sparser: its share rises as `1 - (1 - t/15)³`. The amount is one of all entries of the layer; with a
/// [pattern](Pattern::KeepOf), it is reached in each group.
///
/// ```
/// use ndarray::arr2;
/// use prune::Parameter;
/// use prune::calibration::{Admm, Moments};
///
/// let mut moments = Moments::with_gram(4);
/// moments.push(arr2(&[[1.0_f32, 0.9, 0.1, 0.0], [0.2, 0.3, 1.0, 0.9], [0.5, 0.4, 0.3, 0.2]]).view())?;
/// let mut weight = Parameter::new(arr2(&[[1.0_f32, 0.5, 0.4, 0.3], [0.1, 0.8, 0.7, 0.2]]));
/// weight.reconstruct(Admm::new("2:4".parse::<prune::calibration::Pattern>()?, moments)?)?;
/// assert_eq!(weight.pruned(), 4);
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # References
///
/// *Fast and Effective Weight Update for Pruned Large Language Models* (Boža, 2024), [arXiv 2401.02938](https://arxiv.org/abs/2401.02938).
#[derive(Debug, Clone, PartialEq)]
pub struct Admm {
    pattern: Pattern,
    inputs: Inputs,
    dampening: f64,
}

impl Admm {
    /// Returns the method with the inputs of one layer, or for checkpoints those of all layers.
    ///
    /// # Errors
    ///
    /// Those of [`Wanda::new`](crate::calibration::Wanda::new).
    pub fn new(pattern: impl Into<Pattern>, inputs: impl Into<Inputs>) -> Result<Self, PruneError> {
        Ok(Self { pattern: pattern.into().validated()?, inputs: inputs.into(), dampening: 0.1 })
    }

    /// Sets what is added to the diagonal, as a share of its mean; 0.1 by default.
    pub fn dampening(self, share: f64) -> Self {
        Self { dampening: share, ..self }
    }

    /// The mask of a step, for the magnitudes of `scores`.
    fn mask(&self, remaining: &Array2<bool>, scores: &Array2<f64>, ramp: f64) -> Result<Array2<bool>, PruneError> {
        let lowest = |count: f64| Request::Lowest {
            amount: Amount::Count(count.round_ties_even() as usize),
            score: Score::Magnitude,
            tie_break: TieBreak::LowestIndex,
        };
        match self.pattern {
            Pattern::Amount(amount) => {
                let (all, left) = (remaining.len(), remaining.iter().filter(|remains| **remains).count());
                let most = amount.count_remaining(all, left)? as f64;
                // A fraction of a step is rounded once, not after that of the end.
                let count = match amount {
                    Amount::Fraction(fraction) => ramp * fraction * left as f64,
                    Amount::Count(_) | Amount::Sparsity(_) => ramp * most,
                };
                kept(scores, remaining, lowest(count.min(most)))
            }
            Pattern::KeepOf { .. } => {
                let (granularity, quota) = self.pattern.groups();
                let tie_break = TieBreak::LowestIndex;
                let request = Request::InGroups { granularity, quota, score: Score::Magnitude, tie_break };
                let safe = kept(scores, remaining, request)?;
                let open = Zip::from(remaining).and(&safe).map_collect(|&remains, &safe| remains && !safe);
                let count = open.iter().filter(|open| **open).count() as f64;
                let spared = kept(scores, &open, lowest(ramp * count))?;
                Ok(Zip::from(&safe).and(&spared).map_collect(|&safe, &spared| safe || spared))
            }
        }
    }

    /// The layer after all steps, and what was added to the diagonal.
    ///
    /// Only `sum` is in memory, the weights plus the multipliers of a step: it is the sparse weight of a kept entry, and the next
    /// multiplier of any other.
    fn solve(&self, layer: Layer, gram: Gram) -> Result<(Layer, f64), PruneError> {
        let Layer { weights, remaining } = layer;
        let norms = gram.matrix.diag().mapv(|square| square.sqrt() + 1e-8);
        let mut a = gram.matrix / &norms / norms.view().insert_axis(Axis(1));
        let added = self.dampening * a.diag().mean().unwrap_or_default();
        a.diag_mut().iter_mut().for_each(|entry| *entry += added);
        let mut sum = weights * &norms;
        let target = product(sum.view(), a.view());
        a.diag_mut().iter_mut().for_each(|entry| *entry += 1.0);
        // With 1 added, this fails only if the matrix is no sum of squares.
        invert_symmetric(&mut a).map_err(|_| PruneError::method(NAME, "the Gram matrix is not that of any inputs"))?;
        let mut mask = remaining.clone();
        for step in 0..STEPS {
            if step < GRADUAL {
                let ramp = 1.0 - (1.0 - (step + 1) as f64 / GRADUAL as f64).powi(3);
                mask = self.mask(&remaining, &sum, ramp)?;
            }
            let work = sum.len() * a.ncols();
            for_strips(sum.view_mut(), work, |start, mut sum| {
                let rows = start..start + sum.nrows();
                let mask = part(mask.view(), rows.clone(), 0..mask.ncols());
                let target = part(target.view(), rows, 0..target.ncols());
                let signed = |&kept: &bool, &sum: &f64, target: &f64| if kept { target + sum } else { target - sum };
                let goal = Zip::from(mask).and(&sum).and(target).map_collect(signed);
                Zip::from(&mut sum).and(mask).for_each(|sum, &kept| *sum = if kept { 0.0 } else { *sum });
                multiply(1.0, goal.view(), a.view(), sum);
            });
        }
        sum /= &norms;
        Ok((Layer { weights: sum, remaining: mask }, added))
    }

    fn run<A: Element>(
        &self,
        weights: ArrayViewD<'_, A>,
        mask: ArrayViewD<'_, bool>,
    ) -> Result<(Layer, f64), PruneError> {
        self.pattern.check(weights.shape())?;
        Dampening { share: self.dampening, of: DampeningOf::All }.validated(NAME)?;
        let layer = Layer::new(NAME, weights, mask)?;
        let gram = self.inputs.gram(NAME, layer.columns())?;
        self.solve(layer, gram)
    }
}

impl Describe for Admm {
    fn name(&self) -> &str {
        NAME
    }
    fn pruning_type(&self) -> PruningType {
        PruningType::Groups
    }
    fn options(&self) -> String {
        format!("pattern={} dampening={:?} {}", self.pattern, self.dampening, self.inputs)
    }
}

impl<A: Element> PruningMethod<A> for Admm {
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

impl<A: Element> Reconstruct<A> for Admm {
    fn reconstruct(
        &self,
        weights: ArrayViewD<'_, A>,
        mask: ArrayViewD<'_, bool>,
    ) -> Result<Reconstruction<A>, PruneError> {
        let (layer, added) = self.run(weights.view(), mask)?;
        let columns = layer.columns();
        let pruned = layer.into_rounded();
        let dead = self.inputs.sums(NAME, None)?.dead().len();
        Ok(reconstruction(weights, pruned, self.inputs.gram(NAME, columns)?.matrix.view(), (dead, added)))
    }
}
