//! Pruning with any method.

use candle_core::{Tensor, Var};
use ndarray::ArrayD;
use prune::{CustomFromMask, Mask, PruneError};

use crate::error::Error;
use crate::float::Method;
use crate::names::{find, find_names};
use crate::pruned_var::PrunedVar;
use crate::ranked::{Ranked, masks_together};
use crate::vars::{PrunedVars, State};

impl PrunedVars {
    /// Prunes each variable that matches a pattern, by itself, with any method of `nn-prune` or a custom one.
    ///
    /// The first method of a variable sees all of its entries, later ones those that remain: see
    /// [`PruningMethod::compute_mask`](prune::PruningMethod::compute_mask). A method with a seed draws the same numbers for each
    /// variable; [`prune_each`](Self::prune_each) gives each a seed of its own.
    ///
    /// ```
    /// # use candle_core::{DType, Device};
    /// # use candle_nn::VarMap;
    /// # use prune_candle::PrunedVars;
    /// # let vars = VarMap::new();
    /// # vars.get((8, 16), "encoder.0.weight", candle_nn::init::DEFAULT_KAIMING_NORMAL, DType::BF16, &Device::Cpu)?;
    /// let pruned = PrunedVars::new(&vars);
    /// pruned.prune("encoder.*.weight", prune::NM::new(2, 4, -1)?)?; // 2 of every 4 along the last axis
    /// assert_eq!(pruned.mask("encoder.0.weight").map(|mask| mask.sparsity()), Some(0.5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Error::NoMatch`] or [`Error::InvalidPattern`] for the pattern.
    /// - [`Error::DType`] if a variable that matches is not of `f32`, `f64`, `f16` or `bf16`.
    /// - [`Error::SharedVar`] if two names that match, or one that matches and one that is pruned, are the same variable.
    /// - [`Error::Prune`] with any error of the method.
    /// - [`Error::Candle`] if a device fails.
    pub fn prune(&self, pattern: &str, method: impl Method) -> Result<(), Error> {
        let method = &method;
        self.run(find(&self.map, &[pattern])?, |state, targets| {
            targets.iter().map(|target| weights(state, target)?.mask(method)).collect()
        })
    }

    /// Prunes each variable that matches a pattern, by itself, with a method that `method` makes for its name: other amounts
    /// for other layers, or a seed for each. [`Allocation::counts`](prune::training::Allocation::counts) divides a sparsity among
    /// shapes.
    ///
    /// ```
    /// # use candle_core::{DType, Device};
    /// # use candle_nn::VarMap;
    /// # use prune_candle::PrunedVars;
    /// use prune::L1Unstructured;
    ///
    /// # let vars = VarMap::new();
    /// # for name in ["fc1.weight", "fc2.weight"] {
    /// #     vars.get(10, name, candle_nn::Init::Const(1.0), DType::F32, &Device::Cpu)?;
    /// # }
    /// let pruned = PrunedVars::new(&vars);
    /// pruned.prune_each("*.weight", |name| L1Unstructured::new(if name == "fc1.weight" { 0.9 } else { 0.3 }))?;
    /// assert_eq!(pruned.masks().iter().map(|(_, mask)| mask.pruned()).collect::<Vec<_>>(), [9, 3]);
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`prune`](Self::prune), and [`Error::Prune`] with any error of `method`.
    pub fn prune_each<M: Method>(
        &self,
        pattern: &str,
        mut method: impl FnMut(&str) -> Result<M, PruneError>,
    ) -> Result<(), Error> {
        self.run(find(&self.map, &[pattern])?, |state, targets| {
            let masks = targets.iter().map(|target| {
                let method = method(&target.0).map_err(|source| Error::Prune { name: target.0.clone(), source })?;
                weights(state, target)?.mask(&method)
            });
            masks.collect()
        })
    }

    /// Prunes one variable, ranking its entries by importance scores instead of weights: `importance_scores` in PyTorch.
    ///
    /// The scores have the shape of the variable. They may have any of the four dtypes, in which they are ranked, any layout, and
    /// be on any device.
    ///
    /// ```
    /// # use candle_core::{DType, Device};
    /// # use candle_nn::VarMap;
    /// # use prune_candle::PrunedVars;
    /// use prune::L1Unstructured;
    ///
    /// # let vars = VarMap::new();
    /// # let weight = vars.get(3, "weight", candle_nn::Init::Const(1.0), DType::F32, &Device::Cpu)?;
    /// let loss = (&weight * candle_core::Tensor::new(&[3f32, -1.0, 2.0], &Device::Cpu)?)?.sum_all()?;
    /// let grads = loss.backward()?;
    /// if let Some(grad) = grads.get(&weight) {
    ///     let pruned = PrunedVars::new(&vars);
    ///     pruned.prune_with_scores("weight", L1Unstructured::new(1)?, &(&weight * grad)?)?; // |weight * gradient|
    /// }
    /// assert_eq!(weight.to_vec1::<f32>()?, [1.0, 0.0, 1.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`prune`](Self::prune), except that patterns are no names; [`Error::ScoresDType`] for scores of integers;
    /// [`PruneError::ShapeMismatch`] in [`Error::Prune`] for scores of another shape.
    pub fn prune_with_scores(&self, name: &str, method: impl Method, scores: &Tensor) -> Result<(), Error> {
        self.run(find_names(&self.map, &[name])?, |state, targets| {
            targets.iter().map(|target| scored(state, target, scores)?.mask(&method)).collect()
        })
    }

    /// Prunes several variables by one ranking of all their entries, like PyTorch's
    /// [`global_unstructured`](https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.global_unstructured.html).
    ///
    /// The amount is relative to the remaining entries of all variables together. Equal scores are pruned in the order of the
    /// patterns, within a pattern in the order of names, and within a variable by lowest index. Nothing is concatenated. Variables
    /// of different dtypes are ranked in a type that holds all their values.
    ///
    /// # Errors
    ///
    /// Those of [`prune`](Self::prune). Any error of the method is in [`Error::Global`], as are [`PruneError::NoTargets`] if there
    /// is no pattern, and [`PruneError::NotUnstructured`] if the method does not select single entries.
    pub fn global_unstructured(&self, patterns: &[impl AsRef<str>], method: impl Method) -> Result<(), Error> {
        self.run(find(&self.map, patterns)?, |state, targets| {
            masks_together(targets.iter().map(|target| weights(state, target)).collect::<Result<_, _>>()?, &method)
        })
    }

    /// Prunes several variables by one ranking of importance scores, one tensor of them for each name.
    ///
    /// # Errors
    ///
    /// Those of [`global_unstructured`](Self::global_unstructured) and [`prune_with_scores`](Self::prune_with_scores);
    /// [`Error::Repeated`] if a name is listed twice.
    pub fn global_unstructured_with_scores(
        &self,
        scores: &[(impl AsRef<str>, &Tensor)],
        method: impl Method,
    ) -> Result<(), Error> {
        let names: Vec<&str> = scores.iter().map(|(name, _)| name.as_ref()).collect();
        self.run(find_names(&self.map, &names)?, |state, targets| {
            let ranked = targets.iter().zip(scores).map(|(target, (_, scores))| scored(state, target, scores));
            masks_together(ranked.collect::<Result<_, _>>()?, &method)
        })
    }

    /// Prunes variables with masks by name, as [`custom_from_mask`](Self::custom_from_mask) does: pruned entries remain pruned.
    ///
    /// # Errors
    ///
    /// Those of [`prune`](Self::prune), except that patterns are no names; [`Error::Repeated`] if a name is listed twice;
    /// [`PruneError::ShapeMismatch`] in [`Error::Prune`] if a mask has another shape than its variable.
    pub fn apply_masks(
        &self,
        masks: impl IntoIterator<Item = (impl Into<String>, impl Into<Mask>)>,
    ) -> Result<(), Error> {
        let (names, masks): (Vec<String>, Vec<Mask>) =
            masks.into_iter().map(|(name, mask)| (name.into(), mask.into())).unzip();
        self.run(find_names(&self.map, &names)?, |state, targets| {
            let pairs = targets.iter().zip(masks);
            pairs.map(|(target, mask)| weights(state, target)?.mask(&CustomFromMask::new(mask))).collect()
        })
    }

    /// Finds the masks of all targets, and gives them to the variables then.
    fn run(
        &self,
        targets: Vec<Target>,
        decide: impl FnOnce(&State, &[Target]) -> Result<Vec<ArrayD<bool>>, Error>,
    ) -> Result<(), Error> {
        let mut state = self.state();
        check_shared(&state, &targets)?;
        let masks = decide(&state, &targets)?;
        let mut planned = Vec::with_capacity(targets.len());
        for ((name, var), kept) in targets.into_iter().zip(masks) {
            let (pruned, value) = PrunedVar::plan(var, kept, state.get(&name), self.keeps_orig)?;
            planned.push((name, pruned, value));
        }
        // Everything that can be refused has been.
        for (name, pruned, value) in planned {
            pruned.set(&value)?;
            state.insert(name, pruned);
        }
        Ok(())
    }
}

/// A variable to be pruned, and its name.
type Target = (String, Var);

/// A target that is ranked by its weights.
fn weights<'s>(state: &'s State, (name, var): &'s Target) -> Result<Ranked<'s>, Error> {
    Ranked::weights(name, var, before(state, name))
}

/// A target that is ranked by scores.
fn scored<'s>(state: &'s State, (name, var): &'s Target, scores: &Tensor) -> Result<Ranked<'s>, Error> {
    Ranked::scores(name, var, scores, before(state, name))
}

fn before<'s>(state: &'s State, name: &str) -> Option<&'s ArrayD<bool>> {
    state.get(name).map(|pruned| &pruned.kept)
}

/// Rejects a target that is another name of one before it, or of a variable that is pruned.
fn check_shared(state: &State, targets: &[Target]) -> Result<(), Error> {
    let pruned = state.iter().map(|(name, pruned)| (name, &pruned.var));
    let known: Vec<(&String, &Var)> = pruned.chain(targets.iter().map(|(name, var)| (name, var))).collect();
    for (name, var) in targets {
        if let Some((other, _)) = known.iter().find(|(other, same)| *other != name && same.id() == var.id()) {
            return Err(Error::SharedVar { name: name.clone(), other: (*other).clone() });
        }
    }
    Ok(())
}
