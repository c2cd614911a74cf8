//! Snapshots: the parameters of a module at one moment.

use std::collections::HashSet;

use crate::element::Element;
use crate::error::PruneError;
use crate::module::Module;
use crate::parameter::Parameter;
use crate::store::ParameterStore;

/// The parameters of a module at one moment, to go back to: to their values with the masks of today ([`rewind`](Self::rewind)),
/// or to everything as it was ([`restore`](Self::restore)).
///
/// Rewinding is how a *lottery ticket* is found: train, prune, put what is left back to where it started, and train again. A
/// snapshot taken after some steps of training is *late rewinding*.
///
/// ```
/// use ndarray::arr1;
/// use prune::training::Snapshot;
/// use prune::{L1Unstructured, ParameterStore};
///
/// let mut net = ParameterStore::from_iter([("weight", arr1(&[0.1_f32, -0.2, 0.3]))]);
/// let start = Snapshot::of(&net);
///
/// net["weight"].update(|mut w| w.assign(&arr1(&[3.0, 2.0, 1.0]).into_dyn())); // training
/// net["weight"].prune(L1Unstructured::new(1)?)?;
/// start.rewind(&mut net)?;
/// assert_eq!(net["weight"].value(), &arr1(&[0.1, -0.2, 0.0]).into_dyn());
///
/// start.restore(&mut net)?;
/// assert_eq!(net["weight"].value(), &arr1(&[0.1, -0.2, 0.3]).into_dyn());
/// assert!(!net["weight"].is_pruned());
/// # Ok::<(), prune::PruneError>(())
/// ```
///
/// A snapshot is saved like any module, by its [`parameters`](Self::parameters), and made again from what was loaded, which is a
/// module too.
///
/// # References
///
/// *The Lottery Ticket Hypothesis* (Frankle and Carbin, 2019); *Linear Mode Connectivity and the Lottery Ticket Hypothesis* (2020)
/// for late rewinding.
#[derive(Debug, Clone)]
pub struct Snapshot<A: Element> {
    parameters: ParameterStore<A>,
}

/// A parameter of a snapshot, and the one of a module that has its name.
type Pair<'s, 'm, A> = (&'s Parameter<A>, &'m mut Parameter<A>);

impl<A: Element> Snapshot<A> {
    /// Returns a copy of the parameters, with their masks and histories.
    pub fn of<M: Module<Elem = A> + ?Sized>(module: &M) -> Self {
        let parameters = module.named_parameters().into_iter();
        Self { parameters: parameters.map(|(name, parameter)| (name, parameter.clone())).collect() }
    }

    /// Returns the parameters as they were.
    pub fn parameters(&self) -> &ParameterStore<A> {
        &self.parameters
    }

    /// Puts [`orig`](Parameter::orig) of every parameter back to what it was. Masks and histories stay as they are today.
    ///
    /// # Errors
    ///
    /// [`PruneError::OtherModule`] if a parameter is only in the module or only in the snapshot, and
    /// [`PruneError::ShapeMismatch`] if one had another shape. Nothing changes then.
    pub fn rewind<M: Module<Elem = A> + ?Sized>(&self, module: &mut M) -> Result<(), PruneError> {
        for (old, parameter) in self.matched(module)? {
            parameter.update(|mut orig| orig.assign(old.orig()));
        }
        Ok(())
    }

    /// Puts everything back as it was: values, masks and histories, bit for bit.
    ///
    /// # Errors
    ///
    /// Those of [`rewind`](Self::rewind).
    pub fn restore<M: Module<Elem = A> + ?Sized>(&self, module: &mut M) -> Result<(), PruneError> {
        for (old, parameter) in self.matched(module)? {
            parameter.clone_from(old);
        }
        Ok(())
    }

    /// The parameters of the snapshot and of the module, in pairs.
    fn matched<'s, 'm, M: Module<Elem = A> + ?Sized>(
        &'s self,
        module: &'m mut M,
    ) -> Result<Vec<Pair<'s, 'm, A>>, PruneError> {
        let parameters = module.named_parameters_mut();
        let other = |name: &str| PruneError::OtherModule { parameter: name.to_owned() };
        let mut names = HashSet::new();
        if let Some((repeated, _)) = parameters.iter().find(|(name, _)| !names.insert(name.as_str())) {
            return Err(PruneError::RepeatedParameter { found: repeated.clone() });
        }
        if let Some((missing, _)) = self.parameters.iter().find(|(name, _)| !names.contains(name)) {
            return Err(other(missing));
        }
        let pair = |(name, parameter): (String, &'m mut Parameter<A>)| {
            let old = self.parameters.get(&name).ok_or_else(|| other(&name))?;
            PruneError::check_shape(&format!("snapshot of `{name}`"), parameter.value().shape(), old.value().shape())?;
            Ok((old, parameter))
        };
        parameters.into_iter().map(pair).collect()
    }
}
