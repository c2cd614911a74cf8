//! An optimizer that keeps what is pruned at zero.

use candle_core::backprop::GradStore;
use candle_core::{Result, Var};
use candle_nn::Optimizer;

use crate::PrunedVars;

/// An optimizer after each step of which the masks are applied again: the one line that a training loop changes.
///
/// Made by [`PrunedVars::optimizer`]. The optimizer inside knows nothing of masks, and its moments of pruned weights go on;
/// no step can bring a pruned weight back. Prune at any time, between any two steps.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_nn::{AdamW, Module, Optimizer, VarBuilder, VarMap};
/// use prune_candle::PrunedVars;
///
/// let vars = VarMap::new();
/// let layer = candle_nn::linear(8, 4, VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu))?;
/// let pruned = PrunedVars::new(&vars);
/// let mut optimizer = pruned.optimizer(AdamW::new_lr(vars.all_vars(), 0.01)?);
///
/// let input = Tensor::ones((2, 8), DType::F32, &Device::Cpu)?;
/// pruned.l1_unstructured("weight", 0.5)?;
/// for _ in 0..10 {
///     optimizer.backward_step(&layer.forward(&input)?.sqr()?.mean_all()?)?;
/// }
/// let zeros = layer.weight().eq(0.0)?.to_dtype(DType::F32)?.sum_all()?.to_scalar::<f32>()?;
/// assert_eq!(zeros, 16.0);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug)]
pub struct PrunedOptimizer<O> {
    inner: O,
    pruned: PrunedVars,
}

impl<O> PrunedOptimizer<O> {
    pub(crate) fn over(inner: O, pruned: PrunedVars) -> Self {
        Self { inner, pruned }
    }

    /// Returns the optimizer inside.
    pub fn inner(&self) -> &O {
        &self.inner
    }

    /// Returns the optimizer inside mutably, for settings that [`Optimizer`] does not have. After a step of it,
    /// [`PrunedVars::reapply`] restores the zeros.
    pub fn inner_mut(&mut self) -> &mut O {
        &mut self.inner
    }

    /// Takes the optimizer out. The masks remain with the variables.
    pub fn into_inner(self) -> O {
        self.inner
    }

    /// Returns the variables with their masks.
    pub fn pruned(&self) -> &PrunedVars {
        &self.pruned
    }
}

impl<O: Optimizer> Optimizer for PrunedOptimizer<O> {
    type Config = (O::Config, PrunedVars);

    fn new(vars: Vec<Var>, (config, pruned): Self::Config) -> Result<Self> {
        Ok(Self { inner: O::new(vars, config)?, pruned })
    }

    fn step(&mut self, grads: &GradStore) -> Result<()> {
        // A step that fails may have changed some variables.
        let stepped = self.inner.step(grads);
        let reapplied = self.pruned.reapply().map_err(candle_core::Error::from);
        stepped.and(reapplied)
    }

    fn learning_rate(&self) -> f64 {
        self.inner.learning_rate()
    }

    fn set_learning_rate(&mut self, lr: f64) {
        self.inner.set_learning_rate(lr);
    }
}
