//! Pruning up to a threshold that was found elsewhere.

use crate::error::PruneError;
use crate::key::Ranked;
use crate::method::Describe;
use crate::method::built_in::BuiltIn;
use crate::method::request::Request;
use crate::pruning_type::PruningType;

/// Prunes the entries below a magnitude, and a number of those at it.
///
/// It carries out what [`Histogram`](crate::Histogram) finds for a model of which each process has a part: the result is the part
/// of what [`global_unstructured`](crate::global_unstructured) with [`L1Unstructured`](crate::L1Unstructured) prunes of the whole.
///
/// # Guarantees
///
/// - **Ties:** of the entries at the magnitude, those with the lowest row-major index are pruned; if there are fewer, all are.
/// - **NaN** is a magnitude above infinity: up to NaN, all numbers are pruned. 0.0 and -0.0 are equal.
/// - Tensors of other types are compared with the exact magnitude, and have ties only if their type can hold it.
/// - **Cost:** linear; entries are read up to the last pruned tie only.
///
/// # Example
///
/// ```
/// use prune::{Parameter, UpTo};
///
/// let mut weight = Parameter::new(ndarray::arr1(&[1.0_f32, -3.0, 2.0, -2.0, 0.5]));
/// weight.prune(UpTo::new(2.0, 1))?;
/// assert_eq!(weight.value(), &ndarray::arr1(&[0.0, -3.0, 0.0, -2.0, 0.0]).into_dyn());
/// # Ok::<(), prune::PruneError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpTo {
    /// The key of the magnitude as `f64`.
    key: u64,
    ties: usize,
}

impl UpTo {
    /// Returns the method that prunes all entries below a magnitude, whose sign is ignored, and the first `ties` entries at it:
    /// none for 0, all for `usize::MAX`.
    pub fn new(magnitude: f64, ties: usize) -> Self {
        Self { key: magnitude.key(), ties }
    }

    /// Returns the magnitude.
    pub fn magnitude(&self) -> f64 {
        f64::from_bits(self.key)
    }

    /// Returns the number of entries at the magnitude that are pruned.
    pub fn ties(&self) -> usize {
        self.ties
    }
}

impl Describe for UpTo {
    fn name(&self) -> &str {
        "UpTo"
    }
    fn pruning_type(&self) -> PruningType {
        PruningType::Unstructured
    }
    fn options(&self) -> String {
        format!("magnitude={:?} ties={}", self.magnitude(), self.ties)
    }
}

impl BuiltIn for UpTo {
    fn request(&self, _: &[&str]) -> Result<Request, PruneError> {
        Ok(Request::UpTo { key: self.key, ties: self.ties })
    }
}
