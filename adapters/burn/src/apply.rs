//! Masks come to a module: decided for all selected parameters, then set.

use std::collections::HashMap;

use burn_core::module::Module;
use prune::{AnyMethod, Mask, PruneError};

use crate::decide::{HostTensor, Method, Scores, global};
use crate::error::Error;
use crate::mask::{Attach, Replace};
use crate::paths::{Matcher, Paths};
use crate::survey::{Entry, select};

/// Prunes each selected parameter with a method, and returns the module.
///
/// A parameter without a mask gets one. A parameter with a mask is pruned further: amounts are relative to the entries that
/// remain, as in `torch.nn.utils.prune`. Masks are those that `nn-prune` makes for the same array, bit for bit.
///
/// ```
/// # use burn::nn::LinearConfig;
/// # use burn::prelude::*;
/// let layer = LinearConfig::new(8, 4).init(&Device::default());
/// let layer = prune_burn::apply(layer, "weight", prune::NM::new(2, 4, 0)?)?; // 2 of 4 inputs of each output
/// assert_eq!(prune_burn::sparsity(&layer)?.fraction(), 16.0 / 36.0); // of the weight and the bias
/// # Ok::<(), prune_burn::Error>(())
/// ```
///
/// # Errors
///
/// - [`Error::InvalidPattern`], [`Error::UnmatchedPattern`] and [`Error::NothingSelected`] if the paths are wrong.
/// - [`Error::UnsupportedDtype`] if a parameter is quantized, [`Error::OtherReparameterization`] if it has LoRA or another
///   reparameterization.
/// - [`Error::Read`] if a tensor cannot be copied from its device.
/// - [`Error::Parameter`] with any error of the method.
///
/// No mask has changed then: a clone of the module is as it was.
pub fn apply<M: Module>(module: M, paths: impl Into<Paths>, method: impl Method) -> Result<M, Error> {
    apply_with_scores(module, paths, method, &Scores::new())
}

/// Prunes each selected parameter with a method, ranked by importance scores instead of values where there are some:
/// `importance_scores` in PyTorch.
///
/// Scores have the shape of the parameter, and may be of another floating-point type: they are ranked in their own.
///
/// ```
/// # use burn::nn::LinearConfig;
/// # use burn::prelude::*;
/// use prune::L1Unstructured;
///
/// let device = Device::default().autodiff();
/// let layer = LinearConfig::new(8, 4).init(&device);
/// let loss = layer.forward(Tensor::<2>::ones([1, 8], &device)).powf_scalar(2.0).mean();
/// let gradient = layer.weight.base().grad(&loss.backward()).expect("the weight was used");
/// let saliency = layer.weight.val().without_autodiff() * gradient; // first-order Taylor
/// let scores = [("weight".to_owned(), saliency.into_data())].into();
/// let layer = prune_burn::apply_with_scores(layer, "weight", L1Unstructured::new(0.5)?, &scores)?;
/// # Ok::<(), prune_burn::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`apply`]; [`Error::UnusedScores`] if there are scores for a path that is not selected, [`Error::ScoresDtype`] if they
/// are no floating-point numbers, and [`PruneError::ShapeMismatch`] in an [`Error::Parameter`] if they have another shape.
pub fn apply_with_scores<M: Module>(
    module: M,
    paths: impl Into<Paths>,
    method: impl Method,
    scores: &Scores,
) -> Result<M, Error> {
    let method = AnyMethod::new(method);
    prune_each(module, paths, scores, |_, _| Ok(method.clone()))
}

/// Prunes each selected parameter with a method of its own, which is made from its path.
///
/// ```
/// # use burn::nn::LinearConfig;
/// # use burn::prelude::*;
/// use prune::L1Unstructured;
///
/// # let device = Device::default();
/// # let layers = vec![LinearConfig::new(8, 10).init(&device), LinearConfig::new(10, 2).init(&device)];
/// let layers = prune_burn::apply_each(layers, "*.weight", |path| {
///     L1Unstructured::new(if path.starts_with("0.") { 0.9 } else { 0.5 })
/// })?;
/// assert_eq!(prune_burn::masks(&layers)?["0.weight"].pruned(), 72);
/// # Ok::<(), prune_burn::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`apply`], and any error of `method`.
pub fn apply_each<M: Module, P: Method>(
    module: M,
    paths: impl Into<Paths>,
    mut method: impl FnMut(&str) -> Result<P, PruneError>,
) -> Result<M, Error> {
    prune_each(module, paths, &Scores::new(), |_, path| method(path))
}

/// Ranks the entries of all selected parameters together, and prunes them with an unstructured method, like
/// [`torch.nn.utils.prune.global_unstructured`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.global_unstructured.html).
///
/// Of equal scores, the first in the order of the module is pruned first. Parameters of several types are compared exactly.
/// All selected tensors are on the host at once.
///
/// ```
/// # use burn::nn::LinearConfig;
/// # use burn::prelude::*;
/// use prune::L1Unstructured;
///
/// # let device = Device::default();
/// # let layers = vec![LinearConfig::new(8, 10).init(&device), LinearConfig::new(10, 2).init(&device)];
/// let layers = prune_burn::global_unstructured(layers, "*.weight", L1Unstructured::new(0.8)?)?;
/// assert_eq!(prune_burn::sparsity(&layers)?.pruned(), 80); // of 100, wherever the lowest magnitudes are
/// # Ok::<(), prune_burn::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`apply`]; [`PruneError::NotUnstructured`] in an [`Error::Prune`] if the method does not select single entries.
pub fn global_unstructured<M: Module>(module: M, paths: impl Into<Paths>, method: impl Method) -> Result<M, Error> {
    global_unstructured_with_scores(module, paths, method, &Scores::new())
}

/// Like [`global_unstructured`], ranked by importance scores instead of values where there are some.
///
/// # Errors
///
/// Those of [`global_unstructured`] and of [`apply_with_scores`].
pub fn global_unstructured_with_scores<M: Module>(
    module: M,
    paths: impl Into<Paths>,
    method: impl Method,
    scores: &Scores,
) -> Result<M, Error> {
    let (_, entries) = select(&module, paths)?;
    check_scores(&entries, scores)?;
    let tensors = entries.iter().map(|entry| read(entry, scores)).collect::<Result<Vec<_>, _>>()?;
    let masks = global(&tensors, &method)?;
    Ok(set(module, &entries, masks))
}

/// Decides about each selected parameter, then sets all masks. The method is made from the selection and the path.
pub(crate) fn prune_each<M: Module, P: Method>(
    module: M,
    paths: impl Into<Paths>,
    scores: &Scores,
    mut method: impl FnMut(&Matcher, &str) -> Result<P, PruneError>,
) -> Result<M, Error> {
    let (matcher, entries) = select(&module, paths)?;
    check_scores(&entries, scores)?;
    let mut masks = Vec::with_capacity(entries.len());
    for entry in &entries {
        // One tensor at a time is on the host.
        let method = method(&matcher, &entry.path)?;
        masks.push(read(entry, scores)?.prune(&method)?);
    }
    Ok(set(module, &entries, masks))
}

/// The parameter on the host.
fn read<'s>(entry: &Entry, scores: &'s Scores) -> Result<HostTensor<'s>, Error> {
    HostTensor::read(entry, scores.get(&entry.path))
}

/// Rejects scores that nothing would be ranked by.
fn check_scores(entries: &[Entry], scores: &Scores) -> Result<(), Error> {
    match scores.keys().find(|path| entries.iter().all(|entry| entry.path != **path)) {
        Some(path) => Err(Error::UnusedScores { path: path.clone() }),
        None => Ok(()),
    }
}

/// Gives parameters without a mask one that keeps every entry.
pub(crate) fn keep_all<M: Module>(module: M, entries: &[Entry]) -> M {
    let masks = entries.iter().map(|entry| Mask::from_elem([entry.param.lazy_shape().num_elements()], true)).collect();
    set(module, entries, masks)
}

/// Sets the masks of parameters, in their order: attached where there is none yet, and replaced elsewhere.
fn set<M: Module>(mut module: M, entries: &[Entry], masks: Vec<Mask>) -> M {
    let (mut new, mut next) = (HashMap::new(), HashMap::new());
    for (entry, mask) in entries.iter().zip(masks) {
        let masks = if entry.mask.is_none() { &mut new } else { &mut next };
        masks.insert(entry.path.clone(), mask);
    }
    if !new.is_empty() {
        module = module.apply_reparameterization(Attach { masks: new });
    }
    if !next.is_empty() {
        module = module.map(&mut Replace { masks: next, path: Vec::new() });
    }
    module
}
