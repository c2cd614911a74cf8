//! The functions of `torch.nn.utils.prune` under their names. They take a module and return it, as functions of burn do.

use burn_core::module::Module;
use burn_core::tensor::{Bool, Tensor};
use ndarray::{ArrayViewD, IxDyn};
use prune::{
    Amount, CustomFromMask, L1Unstructured, LnStructured, Mask, Norm, RandomSource, RandomStructured,
    RandomUnstructured, tensor_seed,
};

use crate::apply::{apply, keep_all, prune_each};
use crate::decide::{Scores, slice};
use crate::error::Error;
use crate::paths::{Matcher, Paths};
use crate::survey::select;

/// Gives each selected parameter a mask that keeps every entry, unless it has a mask, like
/// [`torch.nn.utils.prune.identity`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.identity.html). No tensor is
/// read.
///
/// # Errors
///
/// Those of [`apply`] about paths and parameters.
pub fn identity<M: Module>(module: M, paths: impl Into<Paths>) -> Result<M, Error> {
    let (_, mut entries) = select(&module, paths)?;
    entries.iter().try_for_each(|entry| entry.flat().map(drop))?;
    entries.retain(|entry| entry.mask.is_none());
    Ok(keep_all(module, &entries))
}

/// Prunes the entries with the lowest magnitudes, like
/// [`torch.nn.utils.prune.l1_unstructured`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.l1_unstructured.html).
///
/// ```
/// # use burn::nn::LinearConfig;
/// # use burn::prelude::*;
/// let layer = LinearConfig::new(8, 4).init(&Device::default());
/// let layer = prune_burn::l1_unstructured(layer, "weight", 0.5)?; // half of the entries
/// let layer = prune_burn::l1_unstructured(layer, "weight", 3)?; // and three more
/// assert_eq!(prune_burn::masks(&layer)?["weight"].pruned(), 19);
/// # Ok::<(), prune_burn::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`apply`]; [`prune::PruneError::InvalidFraction`] in an [`Error::Prune`] if `amount` is a fraction or sparsity that is NaN
/// or outside `0.0..=1.0`.
pub fn l1_unstructured<M: Module>(module: M, paths: impl Into<Paths>, amount: impl Into<Amount>) -> Result<M, Error> {
    apply(module, paths, L1Unstructured::new(amount)?)
}

/// Prunes entries at random, like
/// [`torch.nn.utils.prune.random_unstructured`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.random_unstructured.html).
///
/// A parameter that is selected by its own path is pruned with the seed itself. Those that match a pattern are pruned with
/// [`tensor_seed`]`(seed, path)` each, so that layers of one shape differ, as in checkpoints. A PyTorch generator draws
/// one parameter after the other, in the order of the module; it stays advanced if a later parameter is an error.
///
/// ```
/// # use burn::nn::LinearConfig;
/// # use burn::prelude::*;
/// # let layer = LinearConfig::new(8, 4).init(&Device::default());
/// let layer = prune_burn::random_unstructured(layer, "weight", 0.5, 42)?; // a seed
/// let generator = prune::torch::Generator::manual_seed(888);
/// let layer = prune_burn::random_unstructured(layer, "weight", 3, &generator)?; // PyTorch's numbers
/// # Ok::<(), prune_burn::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`l1_unstructured`].
pub fn random_unstructured<M: Module>(
    module: M,
    paths: impl Into<Paths>,
    amount: impl Into<Amount>,
    source: impl Into<RandomSource>,
) -> Result<M, Error> {
    let (amount, source) = (amount.into(), source.into());
    RandomUnstructured::new(amount, source.clone())?;
    prune_each(module, paths, &Scores::new(), |matcher, path| {
        RandomUnstructured::new(amount, own_source(&source, matcher, path))
    })
}

/// Prunes the channels along `dim` with the lowest `n`-norms, like
/// [`torch.nn.utils.prune.ln_structured`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.ln_structured.html).
///
/// The weight of a `Linear` of burn is `[inputs, outputs]`, so its neurons are `dim` 1, not 0 as in PyTorch. Convolutions have their
/// outputs first, as in PyTorch.
///
/// ```
/// # use burn::nn::LinearConfig;
/// # use burn::prelude::*;
/// let layer = LinearConfig::new(8, 4).init(&Device::default());
/// let layer = prune_burn::ln_structured(layer, "weight", 0.5, 2, 1)?; // two of four neurons, by their Euclidean norm
/// assert_eq!(prune_burn::masks(&layer)?["weight"].kept_channels(1)?.len(), 2);
/// # Ok::<(), prune_burn::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`l1_unstructured`]; [`prune::PruneError::TooFewDimensions`] and [`prune::PruneError::AxisOutOfRange`] in an [`Error::Parameter`] if a
/// parameter has no channels along `dim`; [`prune::PruneError::InvalidNorm`] if the order of the norm is NaN.
pub fn ln_structured<M: Module>(
    module: M,
    paths: impl Into<Paths>,
    amount: impl Into<Amount>,
    n: impl Into<Norm>,
    dim: isize,
) -> Result<M, Error> {
    apply(module, paths, LnStructured::new(amount, n, dim)?)
}

/// Prunes whole channels along `dim` at random, like
/// [`torch.nn.utils.prune.random_structured`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.random_structured.html).
///
/// Seeds are those of [`random_unstructured`], and axes those of [`ln_structured`].
///
/// # Errors
///
/// Those of [`ln_structured`].
pub fn random_structured<M: Module>(
    module: M,
    paths: impl Into<Paths>,
    amount: impl Into<Amount>,
    dim: isize,
    source: impl Into<RandomSource>,
) -> Result<M, Error> {
    let (amount, source) = (amount.into(), source.into());
    RandomStructured::new(amount, dim, source.clone())?;
    prune_each(module, paths, &Scores::new(), |matcher, path| {
        RandomStructured::new(amount, dim, own_source(&source, matcher, path))
    })
}

/// Prunes the entries that a mask does not keep, like
/// [`torch.nn.utils.prune.custom_from_mask`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.custom_from_mask.html):
/// `true` = kept. What an earlier mask has pruned remains pruned.
///
/// ```
/// # use burn::nn::LinearConfig;
/// # use burn::prelude::*;
/// let layer = LinearConfig::new(8, 4).init(&Device::default());
/// let mask = layer.weight.val().greater_equal_elem(0.0);
/// let layer = prune_burn::custom_from_mask(layer, "weight", mask)?;
/// assert_eq!(layer.weight.val().min().into_scalar::<f32>(), 0.0);
/// # Ok::<(), prune_burn::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`apply`]; [`prune::PruneError::ShapeMismatch`] in an [`Error::Parameter`] if the mask has another shape than a parameter.
pub fn custom_from_mask<M: Module, const D: usize>(
    module: M,
    paths: impl Into<Paths>,
    mask: Tensor<D, Bool>,
) -> Result<M, Error> {
    let shape = IxDyn(mask.shape().as_slice());
    let data = mask.try_into_data().map_err(Error::read("mask"))?;
    let kept = slice::<bool>(&data, "mask")?;
    let kept = ArrayViewD::from_shape(shape, &kept).map_err(Error::read("mask"))?;
    apply(module, paths, CustomFromMask::new(Mask::from(kept)))
}

/// The numbers for one parameter.
fn own_source(source: &RandomSource, matcher: &Matcher, path: &str) -> RandomSource {
    match source {
        RandomSource::Seed(seed) if !matcher.names(path) => tensor_seed(*seed, path).into(),
        source => source.clone(),
    }
}
