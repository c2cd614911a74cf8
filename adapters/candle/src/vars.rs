//! The variables of a `VarMap` with their masks.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::Tensor;
use candle_nn::{Optimizer, VarMap};
use prune::Mask;

use crate::error::Error;
use crate::float::FloatType;
use crate::names::find;
use crate::optimizer::PrunedOptimizer;
use crate::pruned_var::PrunedVar;

/// The variables of a [`VarMap`], to be pruned by name, and their masks.
///
/// A pruned variable holds `orig * mask`, so the layers of a model, which share its storage, need not know of it. Every call prunes
/// among the entries that remain, and none brings one back. Clones share the masks, as clones of a `VarMap` share the variables.
///
/// ```
/// use candle_core::{DType, Device};
/// use candle_nn::{VarBuilder, VarMap};
/// use prune::L1Unstructured;
/// use prune_candle::PrunedVars;
///
/// let vars = VarMap::new();
/// let builder = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
/// let first = candle_nn::linear(16, 32, builder.pp("fc1"))?;
/// let second = candle_nn::linear(32, 4, builder.pp("fc2"))?;
///
/// let pruned = PrunedVars::new(&vars);
/// pruned.l1_unstructured("fc1.weight", 0.5)?; // half of the entries
/// pruned.global_unstructured(&["*.weight"], L1Unstructured::new(96)?)?; // and 96 more, the lowest of both layers
/// assert_eq!(pruned.sparsity(), (256.0 + 96.0) / (512.0 + 32.0 + 128.0 + 4.0));
/// # Ok::<(), prune_candle::Error>(())
/// ```
///
/// # Names and patterns
///
/// Wherever a pattern is taken, a name is one too. A pattern is a glob that matches whole names: `?` is any character, `*` any
/// number of characters, dots included, `[ab]` one of several characters, `{a,b}` one of several patterns. Variables that match are
/// pruned in the order of their names, and all of them or, on an error, none.
///
/// # Originals
///
/// With [`new`](Self::new), the weights themselves become zero, and what they were is gone. With
/// [`with_originals`](Self::with_originals), a copy of the weights is kept under the mask, as PyTorch's `weight_orig` is.
///
/// # Errors
///
/// If a call returns an error, no variable and no mask has changed. The one exception is a device that fails while values are
/// written.
///
/// # Locks
///
/// A variable of candle is behind a lock, and pruning writes to it. While the guard of `Tensor::storage_and_layout` is held, a call
/// in the same thread waits for ever. So does a method that calls the `PrunedVars` that run it.
#[derive(Clone)]
pub struct PrunedVars {
    pub(crate) map: VarMap,
    pub(crate) keeps_orig: bool,
    pruned: Arc<Mutex<State>>,
}

/// The variables that have a mask, by name.
pub(crate) type State = BTreeMap<String, PrunedVar>;

impl PrunedVars {
    /// Takes the variables of a map, none of which is pruned yet. Pruning sets weights to zero.
    pub fn new(map: &VarMap) -> Self {
        Self { map: map.clone(), keeps_orig: false, pruned: Arc::default() }
    }

    /// Takes the variables of a map, none of which is pruned yet. Pruning keeps the weights under the mask: see
    /// [`orig`](Self::orig).
    pub fn with_originals(map: &VarMap) -> Self {
        Self { keeps_orig: true, ..Self::new(map) }
    }

    /// Wraps an optimizer, so that pruned weights stay zero after its steps.
    pub fn optimizer<O: Optimizer>(&self, optimizer: O) -> PrunedOptimizer<O> {
        PrunedOptimizer::over(optimizer, self.clone())
    }

    /// Gives every pruned variable the value `orig * mask` again. [`PrunedOptimizer`] does so after each step; call it after
    /// anything else that changes variables, such as [`VarMap::load`] or an optimizer that is not wrapped.
    ///
    /// # Errors
    ///
    /// [`Error::Candle`] if a device fails.
    pub fn reapply(&self) -> Result<(), Error> {
        Ok(self.state().values_mut().try_for_each(PrunedVar::reapply)?)
    }

    /// Makes pruning permanent, like PyTorch's `remove`: the variables keep their zeros; masks and originals are dropped.
    ///
    /// ```
    /// # use candle_core::{DType, Device};
    /// # use candle_nn::VarMap;
    /// # use prune_candle::PrunedVars;
    /// # let vars = VarMap::new();
    /// # let weight = vars.get(4, "weight", candle_nn::Init::Const(1.0), DType::F32, &Device::Cpu)?;
    /// let pruned = PrunedVars::with_originals(&vars);
    /// pruned.l1_unstructured("weight", 1)?;
    /// pruned.remove("weight")?;
    /// assert_eq!(weight.to_vec1::<f32>()?, [0.0, 1.0, 1.0, 1.0]);
    /// assert!(!pruned.is_pruned());
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoMatch`] or [`Error::InvalidPattern`] for the pattern; [`Error::NotPruned`] if a variable that matches has no
    /// mask; [`Error::Candle`] if a device fails.
    pub fn remove(&self, pattern: &str) -> Result<(), Error> {
        let names = find(&self.map, &[pattern])?;
        let mut state = self.state();
        if let Some((name, _)) = names.iter().find(|(name, _)| !state.contains_key(name)) {
            return Err(Error::NotPruned { name: name.clone() });
        }
        // The zeros are permanent even if something has changed the variable since.
        for (name, _) in &names {
            state.get_mut(name).map_or(Ok(()), PrunedVar::reapply)?;
        }
        state.retain(|name, _| names.iter().all(|(removed, _)| removed != name));
        Ok(())
    }

    /// Returns `true` if any variable has a mask, even one that keeps every entry.
    pub fn is_pruned(&self) -> bool {
        !self.state().is_empty()
    }

    /// Returns the mask of a variable, or `None` if it is not pruned.
    pub fn mask(&self, name: &str) -> Option<Mask> {
        self.state().get(name).map(|pruned| pruned.kept.view().into())
    }

    /// Returns the masks of all pruned variables, sorted by name.
    pub fn masks(&self) -> Vec<(String, Mask)> {
        self.state().iter().map(|(name, pruned)| (name.clone(), pruned.kept.view().into())).collect()
    }

    /// Returns the mask of a variable as zeros and ones, in its dtype and on its device: to mask a gradient, for example.
    pub fn mask_tensor(&self, name: &str) -> Option<Tensor> {
        self.state().get(name).map(|pruned| pruned.mask.clone())
    }

    /// Returns the weights under the mask, as PyTorch's `weight_orig`; `None` if the variable is not pruned, or if originals are not
    /// kept.
    ///
    /// Kept entries are the trained weights. Pruned entries are the weights at the time of pruning: candle gives
    /// an optimizer the variable, which is zero there. (In PyTorch an optimizer trains the original, but a pruned weight has no
    /// gradient: what changes it is weight decay and momentum. No value depends on it.)
    ///
    /// ```
    /// # use candle_core::{DType, Device};
    /// # use candle_nn::VarMap;
    /// # use prune_candle::PrunedVars;
    /// # let mut vars = VarMap::new();
    /// # let weight = vars.get(3, "weight", candle_nn::Init::Const(2.0), DType::F32, &Device::Cpu)?;
    /// let pruned = PrunedVars::with_originals(&vars);
    /// pruned.l1_unstructured("weight", 2)?;
    /// assert_eq!(weight.to_vec1::<f32>()?, [0.0, 0.0, 2.0]);
    ///
    /// // Undo.
    /// if let Some(orig) = pruned.orig("weight")? {
    ///     pruned.remove("weight")?;
    ///     vars.set_one("weight", orig)?;
    /// }
    /// assert_eq!(weight.to_vec1::<f32>()?, [2.0, 2.0, 2.0]);
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Candle`] if a device fails.
    pub fn orig(&self, name: &str) -> Result<Option<Tensor>, Error> {
        let state = self.state();
        let Some(pruned) = state.get(name) else { return Ok(None) };
        Ok(pruned.current_orig()?)
    }

    /// Returns the fraction of the entries of all variables that can be pruned, biases included, that are pruned: from 0.0 to 1.0;
    /// 0.0 if there are no entries. [`Mask::sparsity`] is that of one variable.
    pub fn sparsity(&self) -> f64 {
        let vars = self.map.all_vars();
        let mut seen = HashSet::new();
        let counted = vars.iter().filter(|var| FloatType::of(var.dtype()).is_some() && seen.insert(var.id()));
        let entries: usize = counted.map(|var| var.elem_count()).sum();
        let pruned: usize = self.state().values().map(PrunedVar::pruned).sum();
        if entries == 0 { 0.0 } else { pruned as f64 / entries as f64 }
    }

    /// Writes the masks to a file, one bit per entry: that of [`prune::safetensors::save_masks`], which `nn-prune` reads.
    ///
    /// ```
    /// # use candle_core::{DType, Device};
    /// # use candle_nn::VarMap;
    /// # use prune_candle::PrunedVars;
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("masks.safetensors");
    /// # let mut vars = VarMap::new();
    /// # let weight = vars.get(4, "weight", candle_nn::Init::Const(1.0), DType::F32, &Device::Cpu)?;
    /// # let model = directory.path().join("model.safetensors");
    /// let pruned = PrunedVars::new(&vars);
    /// pruned.l1_unstructured("weight", 1)?;
    /// vars.save(&model)?;
    /// pruned.save_masks(&path)?;
    ///
    /// // In another process:
    /// vars.load(&model)?;
    /// let pruned = PrunedVars::new(&vars);
    /// pruned.load_masks(&path)?;
    /// assert!(pruned.is_pruned());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::MaskFile`] if the file cannot be written.
    pub fn save_masks(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        Ok(prune::safetensors::save_named_masks(self.masks(), path)?)
    }

    /// Prunes with the masks of a file, like [`apply_masks`](Self::apply_masks).
    ///
    /// # Errors
    ///
    /// [`Error::MaskFile`] if the file cannot be read or is not a mask file; those of [`apply_masks`](Self::apply_masks).
    pub fn load_masks(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.apply_masks(prune::safetensors::load_masks(path)?)
    }

    /// The masks. A thread that panicked while it held the lock has changed nothing: changes come last.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.pruned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sparsities of the pruned variables.
impl fmt::Debug for PrunedVars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        let sparsities =
            state.iter().map(|(name, pruned)| (name, format!("{} of {}", pruned.pruned(), pruned.kept.len())));
        f.debug_map().entries(sparsities).finish()
    }
}
