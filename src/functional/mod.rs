//! The functions of `torch.nn.utils.prune`: a module, a path in it, and a method.

mod global;

use std::collections::HashMap;

pub use global::{Target, global_unstructured};

use ndarray::{ArrayView, Dimension};

use crate::amount::Amount;
use crate::error::PruneError;
use crate::mask::IntoMask;
use crate::method::{
    CustomFromMask, Identity, L1Unstructured, LnStructured, PruningMethod, RandomSource, RandomStructured,
    RandomUnstructured,
};
use crate::module::Module;
use crate::parameter::Parameter;
use crate::score::Norm;

/// Makes a parameter pruned without pruning any of it, as
/// [`torch.nn.utils.prune.identity`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.identity.html).
///
/// # Errors
///
/// As [`apply`].
pub fn identity<M: Module + ?Sized>(module: &mut M, name: &str) -> Result<(), PruneError> {
    apply(module, name, Identity)
}

/// Prunes entries at random, as
/// [`torch.nn.utils.prune.random_unstructured`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.random_unstructured.html).
///
/// ```
/// # let mut module = prune::ParameterStore::from_iter([("weight", ndarray::Array2::<f32>::ones((4, 4)))]);
/// prune::random_unstructured(&mut module, "weight", 0.5, 42)?; // a seed
/// let generator = prune::torch::Generator::manual_seed(888);
/// prune::random_unstructured(&mut module, "weight", 3, &generator)?; // PyTorch's mask
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # Errors
///
/// As [`apply`], [`PruneError::InvalidFraction`] and [`PruneError::AmountTooLarge`].
pub fn random_unstructured<M: Module + ?Sized>(
    module: &mut M,
    name: &str,
    amount: impl Into<Amount>,
    source: impl Into<RandomSource>,
) -> Result<(), PruneError> {
    apply(module, name, RandomUnstructured::new(amount, source)?)
}

/// Prunes the entries of lowest magnitude, as
/// [`torch.nn.utils.prune.l1_unstructured`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.l1_unstructured.html).
///
/// For importance scores, see [`apply_with_scores`].
///
/// ```
/// # let mut module = prune::ParameterStore::from_iter([("weight", ndarray::Array2::<f32>::ones((4, 4)))]);
/// prune::l1_unstructured(&mut module, "weight", 0.5)?; // a half of the entries
/// prune::l1_unstructured(&mut module, "weight", 3)?; // and three more
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # Errors
///
/// As [`apply`], [`PruneError::InvalidFraction`] and [`PruneError::AmountTooLarge`].
pub fn l1_unstructured<M: Module + ?Sized>(
    module: &mut M,
    name: &str,
    amount: impl Into<Amount>,
) -> Result<(), PruneError> {
    apply(module, name, L1Unstructured::new(amount)?)
}

/// Prunes whole channels along `dim` at random, as
/// [`torch.nn.utils.prune.random_structured`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.random_structured.html).
///
/// # Errors
///
/// As [`apply`], [`PruneError::InvalidFraction`], [`PruneError::AmountTooLarge`], [`PruneError::TooFewDimensions`],
/// [`PruneError::AxisOutOfRange`] and [`PruneError::TooManyChannels`].
pub fn random_structured<M: Module + ?Sized>(
    module: &mut M,
    name: &str,
    amount: impl Into<Amount>,
    dim: isize,
    source: impl Into<RandomSource>,
) -> Result<(), PruneError> {
    apply(module, name, RandomStructured::new(amount, dim, source)?)
}

/// Prunes the channels along `dim` of lowest `n`-norm, as
/// [`torch.nn.utils.prune.ln_structured`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.ln_structured.html).
///
/// ```
/// # let mut module = prune::ParameterStore::from_iter([("weight", ndarray::Array2::<f32>::ones((4, 4)))]);
/// prune::ln_structured(&mut module, "weight", 0.5, 2, -1)?; // a half of the columns, by their Euclidean norm
/// prune::ln_structured(&mut module, "weight", 1, f64::NEG_INFINITY, 0)?; // and the row with the smallest entry
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # Errors
///
/// As [`random_structured`], and those of [`channel_norms`](crate::channel_norms).
pub fn ln_structured<M: Module + ?Sized>(
    module: &mut M,
    name: &str,
    amount: impl Into<Amount>,
    n: impl Into<Norm>,
    dim: isize,
) -> Result<(), PruneError> {
    apply(module, name, LnStructured::new(amount, n, dim)?)
}

/// Prunes what a mask does not keep, as
/// [`torch.nn.utils.prune.custom_from_mask`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.custom_from_mask.html).
///
/// ```
/// # let mut module = prune::ParameterStore::from_iter([("weight", ndarray::Array1::<f32>::ones(3))]);
/// prune::custom_from_mask(&mut module, "weight", ndarray::arr1(&[1, 0, 1]))?;
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # Errors
///
/// As [`apply`], [`PruneError::MaskValue`] and [`PruneError::ShapeMismatch`].
pub fn custom_from_mask<M: Module + ?Sized>(module: &mut M, name: &str, mask: impl IntoMask) -> Result<(), PruneError> {
    apply(module, name, CustomFromMask::new(mask.into_mask()?))
}

/// Makes a pruning permanent, as
/// [`torch.nn.utils.prune.remove`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.remove.html): the value
/// stays as it is, zeros included, and the parameter is an ordinary one again.
///
/// # Errors
///
/// [`PruneError::UnknownParameter`], [`PruneError::NotPruned`].
pub fn remove<M: Module + ?Sized>(module: &mut M, name: &str) -> Result<(), PruneError> {
    let parameter = find_mut(module, name)?;
    parameter.remove().map_err(|_| PruneError::NotPruned { parameter: Some(name.to_owned()) })
}

/// Whether any parameter of the module or of its children is pruned, as
/// [`torch.nn.utils.prune.is_pruned`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.is_pruned.html).
pub fn is_pruned<M: Module + ?Sized>(module: &M) -> bool {
    module.named_parameters().iter().any(|(_, parameter)| parameter.is_pruned())
}

/// Prunes a parameter by any method, a user's own too: `BasePruningMethod.apply`. On an error nothing has changed.
///
/// # Errors
///
/// [`PruneError::UnknownParameter`]; [`PruneError::NameClash`] when another parameter has the name `{name}_orig` or
/// `{name}_mask`, under which a state dict stores the pruned one; whatever the method says.
pub fn apply<M: Module + ?Sized>(
    module: &mut M,
    name: &str,
    method: impl PruningMethod<M::Elem> + 'static,
) -> Result<(), PruneError> {
    find_prunable(module, name)?.prune(method)
}

/// Prunes a parameter by the importance of each of its entries instead of by their values: `importance_scores`.
///
/// The scores have the shape of the parameter, in any layout. When a structured method prunes again, the scores of single
/// entries that are already pruned count, in channels that are not, as in PyTorch.
///
/// # Errors
///
/// As [`apply`], and [`PruneError::ShapeMismatch`].
pub fn apply_with_scores<M: Module + ?Sized, D: Dimension>(
    module: &mut M,
    name: &str,
    method: impl PruningMethod<M::Elem> + 'static,
    scores: ArrayView<'_, M::Elem, D>,
) -> Result<(), PruneError> {
    find_prunable(module, name)?.prune_with_scores(method, scores)
}

/// Several parameters of one module at once, in the order of the names, for
/// [`global_unstructured`](crate::global_unstructured).
///
/// # Errors
///
/// [`PruneError::UnknownParameter`], [`PruneError::RepeatedParameter`], and [`PruneError::NameClash`] as [`apply`].
pub fn parameters_mut<'m, M: Module + ?Sized>(
    module: &'m mut M,
    names: &[impl AsRef<str>],
) -> Result<Vec<&'m mut Parameter<M::Elem>>, PruneError> {
    if let Some(unknown) = names.iter().find(|name| module.parameter(name.as_ref()).is_none()) {
        return Err(unknown_parameter(module, unknown.as_ref()));
    }
    names.iter().try_for_each(|name| check_clash(module, name.as_ref()))?;
    let mut parameters: HashMap<_, _> = module.named_parameters_mut().into_iter().collect();
    let take =
        |name: &str| parameters.remove(name).ok_or_else(|| PruneError::RepeatedParameter { found: name.to_owned() });
    names.iter().map(AsRef::as_ref).map(take).collect()
}

fn find_mut<'m, M: Module + ?Sized>(module: &'m mut M, name: &str) -> Result<&'m mut Parameter<M::Elem>, PruneError> {
    // Two look-ups, since a reference that may be returned cannot be given up again for the error.
    if module.parameter(name).is_none() {
        return Err(unknown_parameter(module, name));
    }
    module.parameter_mut(name).ok_or_else(|| PruneError::UnknownParameter { found: name.to_owned(), known: Vec::new() })
}

fn unknown_parameter<M: Module + ?Sized>(module: &M, name: &str) -> PruneError {
    let known = module.named_parameters().into_iter().map(|(name, _)| name).collect();
    PruneError::UnknownParameter { found: name.to_owned(), known }
}

/// The parameter, if nothing else has the names under which it would be stored once it is pruned.
fn find_prunable<'m, M: Module + ?Sized>(
    module: &'m mut M,
    name: &str,
) -> Result<&'m mut Parameter<M::Elem>, PruneError> {
    let clash = check_clash(module, name);
    let parameter = find_mut(module, name)?;
    clash.map(|()| parameter)
}

fn check_clash<M: Module + ?Sized>(module: &M, name: &str) -> Result<(), PruneError> {
    let names = ["_orig", "_mask"].map(|suffix| format!("{name}{suffix}"));
    match names.into_iter().find(|clash| module.parameter(clash).is_some()) {
        Some(clash) => Err(PruneError::NameClash { parameter: name.to_owned(), clash }),
        None => Ok(()),
    }
}
