//! RIA: relative importance and activations.

use ndarray::{Array2, ArrayD, ArrayViewD, Axis, Zip};

use crate::calibration::layer::{Layer, in_shape, kept};
use crate::calibration::{Inputs, Pattern};
use crate::element::Element;
use crate::error::PruneError;
use crate::method::request::{Request, Score};
use crate::method::{Describe, PruningMethod};
use crate::pruning_type::PruningType;
use crate::select::TieBreak;

const NAME: &str = "Ria";

/// Prunes the weights that are small compared with their row and column, weighted by the input, of each output row.
///
/// The score is `(|w_ij| / Σ_j |w_ij| + |w_ij| / Σ_i |w_ij|) * rms_j^a`, with the root mean square of the input and
/// `a = 0.5`. A row or column of zeros contributes 0.
///
/// ```
/// use ndarray::arr2;
/// use prune::Parameter;
/// use prune::calibration::{Moments, Ria};
///
/// let mut moments = Moments::new(2);
/// moments.push(arr2(&[[1.0_f32, 1.0]]).view())?;
/// let mut weight = Parameter::new(arr2(&[[4.0_f32, 3.0], [4.0, 0.1]]));
/// weight.prune(Ria::new(1, moments)?)?; // 3 is lower than 4, but nearly all of its column
/// assert_eq!(weight.value(), &arr2(&[[0.0, 3.0], [4.0, 0.0]]).into_dyn());
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # References
///
/// *Plug-and-Play: An Efficient Post-training Pruning Method for Large Language Models* (Zhang et al., ICLR 2024).
#[derive(Debug, Clone, PartialEq)]
pub struct Ria {
    pattern: Pattern,
    inputs: Inputs,
    power: f64,
}

impl Ria {
    /// Returns the method with the inputs of one layer, or for checkpoints those of all layers.
    ///
    /// # Errors
    ///
    /// Those of [`Wanda::new`](crate::calibration::Wanda::new).
    pub fn new(pattern: impl Into<Pattern>, inputs: impl Into<Inputs>) -> Result<Self, PruneError> {
        Ok(Self { pattern: pattern.into().validated()?, inputs: inputs.into(), power: 0.5 })
    }

    /// Sets the power of the input's root mean square.
    pub fn power(self, power: f64) -> Self {
        Self { power, ..self }
    }

    /// The scores, in the memory of the weights.
    fn scores(&self, mut weights: Array2<f64>) -> Result<Array2<f64>, PruneError> {
        let moments = self.inputs.sums(NAME, None)?;
        PruneError::check_shape("moments", &[weights.ncols()], &[moments.channels()])?;
        weights.mapv_inplace(f64::abs);
        let inverse = |sum: f64| if sum > 0.0 { 1.0 / sum } else { 0.0 };
        let rows = weights.sum_axis(Axis(1)).mapv(inverse);
        let columns = weights.sum_axis(Axis(0)).mapv(inverse);
        let inputs = moments.root_mean_squares().mapv(|rms| rms.powf(self.power));
        for (mut scores, row) in weights.axis_iter_mut(Axis(0)).zip(rows) {
            Zip::from(&mut scores).and(&columns).and(&inputs).for_each(|score, column, input| {
                *score = (*score * row + *score * column) * input;
            });
        }
        Ok(weights)
    }
}

impl Describe for Ria {
    fn name(&self) -> &str {
        NAME
    }
    fn pruning_type(&self) -> PruningType {
        PruningType::Groups
    }
    fn options(&self) -> String {
        format!("pattern={} power={:?} {}", self.pattern, self.power, self.inputs)
    }
}

impl<A: Element> PruningMethod<A> for Ria {
    fn compute_mask(
        &self,
        scores: ArrayViewD<'_, A>,
        default_mask: ArrayViewD<'_, bool>,
    ) -> Result<ArrayD<bool>, PruneError> {
        self.pattern.check(scores.shape())?;
        let (granularity, quota) = self.pattern.groups();
        let Layer { weights, remaining } = Layer::new(NAME, scores.view(), default_mask)?;
        let request =
            Request::InGroups { granularity, quota, score: Score::Magnitude, tie_break: TieBreak::LowestIndex };
        let kept = kept(&self.scores(weights)?, &remaining, request)?;
        Ok(in_shape(kept, scores.shape()))
    }
    fn for_tensor(&self, name: &str, shape: &[usize]) -> Result<Option<Box<dyn PruningMethod<A>>>, PruneError> {
        let inputs = self.inputs.for_tensor(NAME, name, shape, false)?;
        Ok(inputs.map(|inputs| Box::new(Self { inputs, ..self.clone() }) as _))
    }
    fn without_data(&self) -> Option<Box<dyn PruningMethod<A>>> {
        Some(Box::new(Self { inputs: self.inputs.dropped(), ..self.clone() }))
    }
}
