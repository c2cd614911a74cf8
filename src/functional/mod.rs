//! The functions of `torch.nn.utils.prune`: a module, a path in it, and a method.

mod borrowed;
mod global;
#[cfg(test)]
pub(crate) mod granularity_tests;

use std::collections::HashMap;

pub use borrowed::{BorrowedTensor, global_masks};
pub(crate) use global::check_global;
pub use global::{Target, global_unstructured};

use ndarray::{ArrayView, Dimension};

use crate::amount::Amount;
use crate::error::PruneError;
use crate::mask::IntoMask;
use crate::method::{
    CustomFromMask, Identity, L1Unstructured, LnStructured, PruningMethod, RandomSource, RandomStructured,
    RandomUnstructured, Reconstruct, Reconstruction,
};
use crate::module::Module;
use crate::parameter::Parameter;
use crate::score::Norm;

/// Gives a parameter a mask that keeps every entry, like
/// [`torch.nn.utils.prune.identity`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.identity.html).
///
/// # Errors
///
/// Those of [`apply`].
pub fn identity<M: Module + ?Sized>(module: &mut M, name: &str) -> Result<(), PruneError> {
    apply(module, name, Identity)
}

/// Prunes entries at random, like
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
/// Those of [`apply`]; [`PruneError::InvalidFraction`] if `amount` is a fraction or sparsity that is NaN or outside
/// `0.0..=1.0`; [`PruneError::AmountTooLarge`] if fewer entries remain than requested.
pub fn random_unstructured<M: Module + ?Sized>(
    module: &mut M,
    name: &str,
    amount: impl Into<Amount>,
    source: impl Into<RandomSource>,
) -> Result<(), PruneError> {
    apply(module, name, RandomUnstructured::new(amount, source)?)
}

/// Prunes the entries with the lowest magnitudes, like
/// [`torch.nn.utils.prune.l1_unstructured`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.l1_unstructured.html).
///
/// [`apply_with_scores`] ranks by importance scores instead.
///
/// ```
/// # let mut module = prune::ParameterStore::from_iter([("weight", ndarray::Array2::<f32>::ones((4, 4)))]);
/// prune::l1_unstructured(&mut module, "weight", 0.5)?; // half of the entries
/// prune::l1_unstructured(&mut module, "weight", 3)?; // and three more
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # Errors
///
/// Those of [`apply`]; [`PruneError::InvalidFraction`] if `amount` is a fraction or sparsity that is NaN or outside
/// `0.0..=1.0`; [`PruneError::AmountTooLarge`] if fewer entries remain than requested.
pub fn l1_unstructured<M: Module + ?Sized>(
    module: &mut M,
    name: &str,
    amount: impl Into<Amount>,
) -> Result<(), PruneError> {
    apply(module, name, L1Unstructured::new(amount)?)
}

/// Prunes whole channels along `dim` at random, like
/// [`torch.nn.utils.prune.random_structured`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.random_structured.html).
///
/// # Errors
///
/// Those of [`apply`]; [`PruneError::InvalidFraction`] if `amount` is a fraction or sparsity that is NaN or outside
/// `0.0..=1.0`; [`PruneError::AmountTooLarge`] if fewer channels remain than requested;
/// [`PruneError::TooFewDimensions`] if the tensor has fewer than two axes; [`PruneError::AxisOutOfRange`] if it has no axis
/// `dim`; [`PruneError::TooManyChannels`] if it has no entries but more than a million channels.
pub fn random_structured<M: Module + ?Sized>(
    module: &mut M,
    name: &str,
    amount: impl Into<Amount>,
    dim: isize,
    source: impl Into<RandomSource>,
) -> Result<(), PruneError> {
    apply(module, name, RandomStructured::new(amount, dim, source)?)
}

/// Prunes the channels along `dim` with the lowest `n`-norms, like
/// [`torch.nn.utils.prune.ln_structured`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.ln_structured.html).
///
/// ```
/// # let mut module = prune::ParameterStore::from_iter([("weight", ndarray::Array2::<f32>::ones((4, 4)))]);
/// prune::ln_structured(&mut module, "weight", 0.5, 2, -1)?; // half of the columns, by their Euclidean norm
/// prune::ln_structured(&mut module, "weight", 1, f64::NEG_INFINITY, 0)?; // and the row with the smallest entry
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # Errors
///
/// Those of [`random_structured`] and of [`channel_norms`](crate::channel_norms).
pub fn ln_structured<M: Module + ?Sized>(
    module: &mut M,
    name: &str,
    amount: impl Into<Amount>,
    n: impl Into<Norm>,
    dim: isize,
) -> Result<(), PruneError> {
    apply(module, name, LnStructured::new(amount, n, dim)?)
}

/// Prunes the entries that a mask does not keep, like
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
/// Those of [`apply`]; [`PruneError::MaskValue`] if the mask holds a number other than 0 and 1;
/// [`PruneError::ShapeMismatch`] if it has another shape than the tensor.
pub fn custom_from_mask<M: Module + ?Sized>(module: &mut M, name: &str, mask: impl IntoMask) -> Result<(), PruneError> {
    apply(module, name, CustomFromMask::new(mask.into_mask()?))
}

/// Makes pruning permanent, like
/// [`torch.nn.utils.prune.remove`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.remove.html): keeps the
/// value with its zeros, and drops the original, the mask and the history.
///
/// # Errors
///
/// [`PruneError::UnknownParameter`] if the module has no parameter `name`; [`PruneError::NotPruned`] if it has no mask.
pub fn remove<M: Module + ?Sized>(module: &mut M, name: &str) -> Result<(), PruneError> {
    let parameter = find_mut(module, name)?;
    parameter.remove().map_err(|_| PruneError::NotPruned { parameter: Some(name.to_owned()) })
}

/// Makes the pruning of every pruned parameter of the module permanent, like [`remove`], and returns their number.
///
/// ```
/// # use ndarray::arr1;
/// let mut net = prune::ParameterStore::from_iter([("a", arr1(&[1.0_f32, 2.0])), ("b", arr1(&[3.0]))]);
/// prune::l1_unstructured(&mut net, "a", 1)?;
/// assert_eq!(prune::remove_all(&mut net), 1);
/// assert!(!prune::is_pruned(&net));
/// # Ok::<(), prune::PruneError>(())
/// ```
pub fn remove_all<M: Module + ?Sized>(module: &mut M) -> usize {
    let parameters = module.named_parameters_mut().into_iter();
    parameters.filter_map(|(_, parameter)| parameter.remove().ok()).count()
}

/// Prunes several parameters of a module, each by an amount of its own. On error, no parameter changes.
///
/// `method` makes the method for one amount.
///
/// ```
/// # use ndarray::Array2;
/// use prune::L1Unstructured;
///
/// # let layer = || Array2::<f32>::ones((10, 10));
/// let mut net = prune::ParameterStore::from_iter([("conv.weight", layer()), ("fc.weight", layer())]);
/// let amounts = [("conv.weight", 0.3), ("fc.weight", 0.9)];
/// prune::prune_each(&mut net, amounts, |amount| L1Unstructured::new(amount))?;
/// assert_eq!((net["conv.weight"].pruned(), net["fc.weight"].pruned()), (30, 90));
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// # Errors
///
/// Those of [`parameters_mut`], and any error of the methods.
pub fn prune_each<M, N, T, P>(
    module: &mut M,
    amounts: impl IntoIterator<Item = (N, T)>,
    mut method: impl FnMut(Amount) -> Result<P, PruneError>,
) -> Result<(), PruneError>
where
    M: Module + ?Sized,
    N: AsRef<str>,
    T: Into<Amount>,
    P: PruningMethod<M::Elem> + 'static,
{
    let (names, amounts): (Vec<N>, Vec<T>) = amounts.into_iter().unzip();
    let methods = amounts.into_iter().map(|amount| method(amount.into())).collect::<Result<Vec<P>, _>>()?;
    let parameters = parameters_mut(module, &names)?;
    // An error draws nothing from a generator, so everything that can be refused is refused before the first decision.
    parameters.iter().zip(&methods).try_for_each(|(parameter, method)| parameter.check(method))?;
    let decisions = parameters.iter().zip(&methods).map(|(parameter, method)| parameter.decide(method, None));
    let decisions = decisions.collect::<Result<Vec<_>, _>>()?;
    for ((parameter, method), decision) in parameters.into_iter().zip(methods).zip(decisions) {
        parameter.commit_method(&decision, method, None);
    }
    Ok(())
}

/// Returns `true` if any parameter of the module or of its children is pruned, like
/// [`torch.nn.utils.prune.is_pruned`](https://pytorch.org/docs/stable/generated/torch.nn.utils.prune.is_pruned.html).
pub fn is_pruned<M: Module + ?Sized>(module: &M) -> bool {
    module.named_parameters().iter().any(|(_, parameter)| parameter.is_pruned())
}

/// Prunes a parameter with any method, built in or custom, like `BasePruningMethod.apply`. On error, nothing changes.
///
/// # Errors
///
/// [`PruneError::UnknownParameter`] if the module has no parameter `name`; [`PruneError::NameClash`] if another parameter
/// is named `{name}_orig` or `{name}_mask`, as a state dict names the parts of the pruned one; any error of the method.
pub fn apply<M: Module + ?Sized>(
    module: &mut M,
    name: &str,
    method: impl PruningMethod<M::Elem> + 'static,
) -> Result<(), PruneError> {
    find_prunable(module, name)?.prune(method)
}

/// Prunes a parameter by importance scores instead of values: `importance_scores` in PyTorch.
///
/// The scores have the shape of the parameter, in any layout. A criterion such as `|weight * gradient|` is applied this way.
/// When a structured method prunes again, the scores of pruned entries still count in channels that remain, as in PyTorch.
///
/// # Errors
///
/// Those of [`apply`], and [`PruneError::ShapeMismatch`] if the scores have another shape than the parameter.
pub fn apply_with_scores<M: Module + ?Sized, D: Dimension>(
    module: &mut M,
    name: &str,
    method: impl PruningMethod<M::Elem> + 'static,
    scores: ArrayView<'_, M::Elem, D>,
) -> Result<(), PruneError> {
    find_prunable(module, name)?.prune_with_scores(method, scores)
}

/// Prunes a parameter with a method that changes the weights that it keeps, and returns what it has done; see
/// [`Parameter::reconstruct`]. On error, nothing changes.
///
/// # Errors
///
/// Those of [`apply`] and of [`Parameter::reconstruct`].
pub fn reconstruct<M: Module + ?Sized>(
    module: &mut M,
    name: &str,
    method: impl Reconstruct<M::Elem> + 'static,
) -> Result<Reconstruction<M::Elem>, PruneError> {
    find_prunable(module, name)?.reconstruct(method).map_err(|error| error.of_tensor(name))
}

/// Returns several parameters of one module, in the order of the names, for
/// [`global_unstructured`](crate::global_unstructured).
///
/// # Errors
///
/// [`PruneError::UnknownParameter`] if the module lacks one of them; [`PruneError::RepeatedParameter`] if a name is listed
/// twice; [`PruneError::NameClash`] as in [`apply`].
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

/// The parameter, if no other one has a name under which its parts would be stored.
pub(crate) fn find_prunable<'m, M: Module + ?Sized>(
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
