//! Wanda: magnitude times the norm of the input.

use std::sync::Arc;

use crate::calibration::{Inputs, Pattern};
use crate::error::PruneError;
use crate::method::Describe;
use crate::method::built_in::BuiltIn;
use crate::method::request::{Request, Score};
use crate::pruning_type::PruningType;
use crate::select::TieBreak;

const NAME: &str = "Wanda";

/// Prunes the weights with the lowest product of magnitude and norm of the input, of each output row.
///
/// The score of the weight of output `i` and input `j` is `|w_ij| * rms_j`, where `rms_j` is the root mean square of input `j`,
/// rounded to `f32`. The same amount is pruned from each row, or from each group of a [pattern](Pattern::KeepOf). Kept weights
/// do not change; [`LeastSquares`](crate::calibration::LeastSquares) updates them, and [`Swaps`](crate::calibration::Swaps) improves
/// the mask.
///
/// ```
/// use ndarray::arr2;
/// use prune::Parameter;
/// use prune::calibration::{Moments, Wanda};
///
/// let mut moments = Moments::new(3);
/// moments.push(arr2(&[[10.0_f32, 1.0, 1.0]]).view())?;
/// let mut weight = Parameter::new(arr2(&[[0.2_f32, 0.5, 1.0], [0.1, 2.0, 3.0]]));
/// weight.prune(Wanda::new(1, moments)?)?; // one of each row
/// assert_eq!(weight.value(), &arr2(&[[0.2, 0.0, 1.0], [0.0, 2.0, 3.0]]).into_dyn());
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// - **Ties** are pruned by lowest index; inputs that are always zero come first.
/// - **Count:** a fraction is rounded half to even; the published code rounds down.
/// - **Cost:** files are read in pieces, as with every method that does not need the tensor as a whole.
///
/// # References
///
/// *A Simple and Effective Pruning Approach for Large Language Models* (Sun, Liu, Bair and Kolter, 2023),
/// [arXiv 2306.11695](https://arxiv.org/abs/2306.11695).
#[derive(Debug, Clone, PartialEq)]
pub struct Wanda {
    pattern: Pattern,
    inputs: Inputs,
}

impl Wanda {
    /// Returns the method with the inputs of one layer, or for checkpoints those of all layers.
    ///
    /// # Errors
    ///
    /// [`PruneError::InvalidFraction`] if the amount is a fraction that is NaN or outside `0.0..=1.0`;
    /// [`PruneError::InvalidPattern`] if a group of the pattern has no entries, or would keep more than it has.
    ///
    /// Pruning returns [`PruneError::TooFewDimensions`] for a vector, [`PruneError::ShapeMismatch`] if the inputs have another
    /// number of channels than a row has entries, and [`PruneError::Method`] if no input was pushed.
    pub fn new(pattern: impl Into<Pattern>, inputs: impl Into<Inputs>) -> Result<Self, PruneError> {
        Ok(Self { pattern: pattern.into().validated()?, inputs: inputs.into() })
    }
}

impl Describe for Wanda {
    fn name(&self) -> &str {
        NAME
    }
    fn pruning_type(&self) -> PruningType {
        PruningType::Groups
    }
    fn options(&self) -> String {
        format!("pattern={} {}", self.pattern, self.inputs)
    }
}

impl BuiltIn for Wanda {
    fn request(&self, names: &[&str]) -> Result<Request, PruneError> {
        let moments = self.inputs.sums(NAME, names.first().copied())?;
        let factors = moments.root_mean_squares().mapv(|rms| (rms as f32).min(f32::MAX));
        let (granularity, quota) = self.pattern.groups();
        let factors: Arc<[f32]> = factors.into_iter().collect();
        Ok(Request::InGroups {
            granularity,
            quota,
            score: Score::Scaled([factors].into()),
            tie_break: TieBreak::LowestIndex,
        })
    }
    fn of_tensor(&self, name: &str, shape: &[usize]) -> Result<Option<Self>, PruneError> {
        let inputs = self.inputs.for_tensor(NAME, name, shape, false)?;
        Ok(inputs.map(|inputs| Self { inputs, ..self.clone() }))
    }
    fn for_history(&self) -> Option<Self> {
        Some(Self { inputs: self.inputs.dropped(), ..self.clone() })
    }
}
