//! Masks are merged into the tensors that they prune.

use burn_core::module::Module;

use crate::error::Error;
use crate::mask::Restore;
use crate::paths::Paths;
use crate::survey::survey;

/// Makes the pruning of each selected parameter permanent, like
/// [`torch.nn.utils.prune.remove`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.remove.html): the value with
/// its zeros becomes the parameter, and the mask is dropped. Other parameters keep their masks.
///
/// `"*"` selects all of them. burn's own [`Module::materialize`] does the same for a whole module, and merges other
/// reparameterizations too.
///
/// ```
/// # use burn::nn::LinearConfig;
/// # use burn::prelude::*;
/// # let layer = LinearConfig::new(8, 4).init(&Device::default());
/// let layer = prune_burn::l1_unstructured(layer, "weight", 0.5)?;
/// let layer = prune_burn::remove(layer, "weight")?;
/// assert!(!prune_burn::is_pruned(&layer));
/// assert_eq!(layer.weight.val().equal_elem(0.0).int().sum().into_scalar::<i64>(), 16);
/// # Ok::<(), prune_burn::Error>(())
/// ```
///
/// # Errors
///
/// - [`Error::InvalidPattern`], [`Error::UnmatchedPattern`] and [`Error::NothingSelected`] if the paths are wrong.
/// - [`Error::NotPruned`] if no match of a path or a pattern has a mask.
/// - [`Error::WouldMerge`] if a parameter of the module has a reparameterization that is not a mask, such as LoRA.
pub fn remove<M: Module>(module: M, paths: impl Into<Paths>) -> Result<M, Error> {
    let (matcher, entries) = (paths.into().compile()?, survey(&module));
    matcher.check(&entries.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>())?;
    if let Some((path, name)) = entries.iter().find_map(|entry| Some((&entry.path, entry.other.as_ref()?))) {
        return Err(Error::WouldMerge { path: path.clone(), name: name.clone() });
    }
    let pruned = entries.iter().filter(|entry| entry.mask.is_some() && matcher.selects(&entry.path));
    let pruned: Vec<_> = pruned.map(|entry| entry.path.as_str()).collect();
    if let Some(pattern) = matcher.unmatched(&pruned) {
        return Err(Error::NotPruned { pattern: pattern.to_owned() });
    }
    // burn merges all masks or none, so the parameters that keep theirs get back what they had.
    let kept = entries.into_iter().filter(|entry| !matcher.selects(&entry.path));
    let kept = kept.filter_map(|entry| Some((entry.path, (entry.param.into_any(), entry.mask?))));
    let restore = Restore { parameters: kept.collect() };
    Ok(module.materialize().apply_reparameterization(restore))
}
