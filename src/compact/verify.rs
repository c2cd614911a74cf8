//! Comparing the masked model with the compacted one.

use ndarray::{Array, ArrayD, Dimension};

use crate::compact::error::CompactError;
use crate::compact::layout::Sizes;
use crate::compact::plan::Plan;
use crate::element::Element;
use crate::module::Module;

impl Plan {
    /// Runs a forward pass of the masked model and of the compacted one, on clones of the module, and returns the largest
    /// absolute difference of their outputs: 0.0 if they are equal, NaN if only one of them is NaN somewhere.
    ///
    /// Shapes cannot show that a coupling names the wrong positions, such as a channel-last flatten declared as a
    /// channel-first one, or that a norm mixes the units: this does. `forward` is given the number of units of each
    /// dimension, for reshapes, heads and groups.
    ///
    /// ```
    /// use ndarray::{Array2, Ix2, arr2};
    /// use prune::compact::{Choice, Coupling, Use};
    ///
    /// let weight = |rows, columns| Array2::from_shape_fn((rows, columns), |(i, j)| ((3 * i + j) as f64).sin());
    /// let net = prune::ParameterStore::from_iter([("fc1", weight(8, 3)), ("fc2", weight(2, 8))]);
    /// let coupling = Coupling::new().dimension("hidden", [Use::out("fc1", 0), Use::input("fc2", 1)]);
    /// let plan = coupling.choose(&net, &Choice::new(0.5))?;
    ///
    /// let input = arr2(&[[0.1, -0.2, 0.3]]);
    /// let difference = plan.verify(&net, |net, _| {
    ///     let hidden = input.dot(&net["fc1"].view::<Ix2>().t()).mapv(|x| x.max(0.0));
    ///     hidden.dot(&net["fc2"].view::<Ix2>().t())
    /// })?;
    /// assert!(difference < 1e-14);
    /// # Ok::<(), prune::compact::CompactError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`mask`](Self::mask), and [`CompactError::OutputShape`] if the outputs have different shapes.
    pub fn verify<M: Module + Clone, D: Dimension>(
        &self,
        module: &M,
        forward: impl Fn(&M, &Sizes) -> Array<M::Elem, D>,
    ) -> Result<f64, CompactError> {
        let (mut masked, mut compacted) = (module.clone(), module.clone());
        self.mask(&mut masked)?;
        self.compact(&mut compacted)?;
        let masked = forward(&masked, &self.layout.sizes()).into_dyn();
        let compacted = forward(&compacted, &self.sizes()).into_dyn();
        if masked.shape() != compacted.shape() {
            let (masked, compacted) = (masked.shape().to_vec(), compacted.shape().to_vec());
            return Err(CompactError::OutputShape { masked, compacted });
        }
        Ok(difference(&masked, &compacted))
    }
}

/// The largest absolute difference of two arrays of one shape; NaN if only one of them is NaN somewhere.
pub(crate) fn difference<A: Element>(a: &ArrayD<A>, b: &ArrayD<A>) -> f64 {
    let mut largest = 0.0_f64;
    for (&a, &b) in a.iter().zip(b) {
        // Equal infinities have no difference, and NaN is expected where both are.
        if a == b || a.is_nan() && b.is_nan() {
            continue;
        }
        let difference = (a.exact_f64() - b.exact_f64()).abs();
        if difference > largest || difference.is_nan() {
            largest = difference;
        }
        if largest.is_nan() {
            break;
        }
    }
    largest
}
