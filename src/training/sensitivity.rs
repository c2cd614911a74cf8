//! Sensitivity: the score of a model with one parameter pruned at a time.

use crate::amount::Amount;
use crate::error::PruneError;
use crate::functional::{find_prunable, parameters_mut};
use crate::method::PruningMethod;
use crate::module::Module;
use crate::parameter::Parameter;
use crate::training::session::Due;

/// One row of a sweep by [`sensitivity`].
#[derive(Debug, Clone, PartialEq)]
pub struct Sensitivity {
    /// The parameter that was pruned, and nothing else.
    pub name: String,
    /// The sparsity that it was pruned to.
    pub sparsity: f64,
    /// The result of the evaluation of the model.
    pub score: f64,
}

/// Prunes one parameter at a time to each of the levels, and evaluates the model. The rows are in the order of the names, and of
/// the levels for each.
///
/// A level is a sparsity of the whole parameter, in the units of the method; a parameter that is sparser already is evaluated as
/// it is. The model is put back bit for bit, with masks and histories, after every evaluation: also if it fails or panics. One
/// parameter is copied at a time.
///
/// ```
/// use ndarray::arr1;
/// use prune::training::sensitivity;
/// use prune::{L1Unstructured, ParameterStore, PruneError};
///
/// let mut net = ParameterStore::from_iter([("a", arr1(&[1.0_f64, 2.0])), ("b", arr1(&[10.0, 20.0]))]);
/// let sum = |net: &ParameterStore<f64>| Ok::<_, PruneError>(net["a"].value().sum() + net["b"].value().sum());
/// let rows = sensitivity(&mut net, &["a", "b"], &[0.5], |due| L1Unstructured::new(due.amount), sum)?;
/// assert_eq!(rows.iter().map(|row| row.score).collect::<Vec<_>>(), [32.0, 23.0]);
/// assert!(!prune::is_pruned(&net));
/// # Ok::<(), PruneError>(())
/// ```
///
/// # Errors
///
/// The first error of the evaluation. Before anything is evaluated: those of [`parameters_mut`], and
/// [`PruneError::InvalidFraction`] if a level is NaN or outside `0.0..=1.0`. Any error of the methods.
pub fn sensitivity<M, P, E>(
    module: &mut M,
    names: &[impl AsRef<str>],
    levels: &[f64],
    method: impl Fn(Due<'_>) -> Result<P, PruneError>,
    mut evaluate: impl FnMut(&M) -> Result<f64, E>,
) -> Result<Vec<Sensitivity>, E>
where
    M: Module + ?Sized,
    P: PruningMethod<M::Elem> + 'static,
    E: From<PruneError>,
{
    parameters_mut(module, names)?;
    levels.iter().try_for_each(|&level| Amount::Sparsity(level).validated().map(drop))?;
    let mut rows = Vec::with_capacity(names.len() * levels.len());
    for name in names.iter().map(AsRef::as_ref) {
        for &sparsity in levels {
            let due = |amount| Due { name, step: 0, amount };
            let parameter = find_prunable(module, name)?;
            let units = parameter.units(&method(due(Amount::Count(0)))?)?;
            let count = Amount::Sparsity(sparsity).count_remaining(units.all, units.left)?;
            let pruning = method(due(Amount::Count(count)))?;
            let saved = Some(parameter.clone());
            let during = PutBack { module: &mut *module, name, saved };
            find_prunable(during.module, name)?.prune(pruning)?;
            rows.push(Sensitivity { name: name.to_owned(), sparsity, score: evaluate(during.module)? });
        }
    }
    Ok(rows)
}

/// Puts a parameter back when it goes out of scope, however that happens.
struct PutBack<'a, M: Module + ?Sized> {
    module: &'a mut M,
    name: &'a str,
    saved: Option<Parameter<M::Elem>>,
}

impl<M: Module + ?Sized> Drop for PutBack<'_, M> {
    fn drop(&mut self) {
        if let Some((parameter, saved)) = self.module.parameter_mut(self.name).zip(self.saved.take()) {
            *parameter = saved;
        }
    }
}
