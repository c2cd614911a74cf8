//! Methods that change weights, not only masks.

use ndarray::{ArrayD, ArrayViewD};

use crate::element::Element;
use crate::error::PruneError;
use crate::mask::Mask;
use crate::method::PruningMethod;

/// A method that prunes and changes the weights that it keeps, to make up for those that it prunes.
///
/// [`Parameter::reconstruct`](crate::Parameter::reconstruct) runs it. [`Parameter::prune`](crate::Parameter::prune) takes its mask
/// alone. The methods with data implement it: [`calibration`](crate::calibration).
pub trait Reconstruct<A: Element>: PruningMethod<A> {
    /// Returns the new mask and weights. Nothing has changed yet.
    ///
    /// `weights` and `mask` have one shape. What `mask` prunes already stays pruned, and the weights there are what the kept ones
    /// make up for, together with what the method prunes.
    ///
    /// # Errors
    ///
    /// Any reason why the method cannot prune these weights.
    fn reconstruct(
        &self,
        weights: ArrayViewD<'_, A>,
        mask: ArrayViewD<'_, bool>,
    ) -> Result<Reconstruction<A>, PruneError>;
}

/// The result of a [`Reconstruct`] method.
#[derive(Debug, Clone, PartialEq)]
pub struct Reconstruction<A> {
    /// The new mask.
    pub mask: Mask,
    /// The new weights, 0 where they are pruned.
    pub weights: ArrayD<A>,
    /// The relative error of the layer's output on the inputs of the method: `‖X Wᵀ - X Vᵀ‖ / ‖X Wᵀ‖`.
    pub error: f64,
    /// The number of inputs that are always zero.
    pub dead: usize,
    /// The number that was added to the diagonal of the Hessian.
    pub dampening: f64,
}
