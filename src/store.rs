//! Parameters by name, without a struct for the model.

use std::ops::{Index, IndexMut};

use indexmap::IndexMap;

use crate::element::Element;
use crate::module::{Module, NamedParameters, NamedParametersMut};
use crate::parameter::Parameter;

/// An ordered map from names to parameters: a layer, or a whole model under dotted names. It is a [`Module`].
///
/// ```
/// use ndarray::{arr1, arr2};
/// use prune::ParameterStore;
///
/// let mut layer = ParameterStore::new();
/// layer.insert("weight", arr2(&[[1.0_f32, -2.0], [3.0, -4.0]]));
/// layer.insert("bias", arr1(&[0.5, -0.5]));
/// prune::l1_unstructured(&mut layer, "weight", 0.5)?;
/// assert_eq!(layer["weight"].value(), &arr2(&[[0.0, -0.0], [3.0, -4.0]]).into_dyn());
/// # Ok::<(), prune::PruneError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ParameterStore<A: Element> {
    parameters: IndexMap<String, Parameter<A>>,
}

impl<A: Element> ParameterStore<A> {
    /// Returns a store without parameters.
    pub fn new() -> Self {
        Self { parameters: IndexMap::new() }
    }

    /// Adds an array or a parameter at the end. Replaces one of the same name in its place, and returns it.
    pub fn insert(&mut self, name: impl Into<String>, parameter: impl Into<Parameter<A>>) -> Option<Parameter<A>> {
        self.parameters.insert(name.into(), parameter.into())
    }

    /// Returns the parameter of this name.
    pub fn get(&self, name: &str) -> Option<&Parameter<A>> {
        self.parameters.get(name)
    }

    /// Returns the parameter of this name mutably.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Parameter<A>> {
        self.parameters.get_mut(name)
    }

    /// Removes the parameter of this name and returns it. The others keep their order.
    pub fn take(&mut self, name: &str) -> Option<Parameter<A>> {
        self.parameters.shift_remove(name)
    }

    /// Returns `true` if there is a parameter of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.parameters.contains_key(name)
    }

    /// Returns an iterator over names and parameters, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Parameter<A>)> + DoubleEndedIterator {
        self.parameters.iter().map(|(name, parameter)| (name.as_str(), parameter))
    }

    /// Returns an iterator over names and mutable parameters, in order.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = (&str, &mut Parameter<A>)> + DoubleEndedIterator {
        self.parameters.iter_mut().map(|(name, parameter)| (name.as_str(), parameter))
    }

    /// Returns the number of parameters.
    pub fn len(&self) -> usize {
        self.parameters.len()
    }

    /// Returns `true` if there are no parameters.
    pub fn is_empty(&self) -> bool {
        self.parameters.is_empty()
    }
}

impl<A: Element> Default for ParameterStore<A> {
    fn default() -> Self {
        Self::new()
    }
}

/// The parameter of this name.
///
/// # Panics
///
/// If there is none, like the index of a map.
impl<A: Element> Index<&str> for ParameterStore<A> {
    type Output = Parameter<A>;

    fn index(&self, name: &str) -> &Parameter<A> {
        self.get(name).unwrap_or_else(|| missing(name))
    }
}

/// The parameter of this name, mutably.
///
/// # Panics
///
/// If there is none, like the index of a map.
impl<A: Element> IndexMut<&str> for ParameterStore<A> {
    fn index_mut(&mut self, name: &str) -> &mut Parameter<A> {
        self.get_mut(name).unwrap_or_else(|| missing(name))
    }
}

fn missing(name: &str) -> ! {
    panic!("no parameter named `{name}`")
}

impl<A: Element, N: Into<String>, P: Into<Parameter<A>>> FromIterator<(N, P)> for ParameterStore<A> {
    fn from_iter<I: IntoIterator<Item = (N, P)>>(parameters: I) -> Self {
        let mut store = Self::new();
        store.extend(parameters);
        store
    }
}

impl<A: Element, N: Into<String>, P: Into<Parameter<A>>> Extend<(N, P)> for ParameterStore<A> {
    fn extend<I: IntoIterator<Item = (N, P)>>(&mut self, parameters: I) {
        self.parameters.extend(parameters.into_iter().map(|(name, parameter)| (name.into(), parameter.into())));
    }
}

impl<A: Element> IntoIterator for ParameterStore<A> {
    type Item = (String, Parameter<A>);
    type IntoIter = indexmap::map::IntoIter<String, Parameter<A>>;

    fn into_iter(self) -> Self::IntoIter {
        self.parameters.into_iter()
    }
}

impl<A: Element> Module for ParameterStore<A> {
    type Elem = A;

    fn named_parameters(&self) -> NamedParameters<'_, A> {
        self.iter().map(|(name, parameter)| (name.to_owned(), parameter)).collect()
    }
    fn named_parameters_mut(&mut self) -> NamedParametersMut<'_, A> {
        self.iter_mut().map(|(name, parameter)| (name.to_owned(), parameter)).collect()
    }
    fn parameter(&self, path: &str) -> Option<&Parameter<A>> {
        self.get(path)
    }
    fn parameter_mut(&mut self, path: &str) -> Option<&mut Parameter<A>> {
        self.get_mut(path)
    }
}
