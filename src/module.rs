//! Names for the parameters of nested models.

use crate::element::Element;
use crate::parameter::Parameter;

/// The parameters of a module under their dotted paths, in the module's own order.
pub type NamedParameters<'a, A> = Vec<(String, &'a Parameter<A>)>;

/// [`NamedParameters`] that can be changed.
pub type NamedParametersMut<'a, A> = Vec<(String, &'a mut Parameter<A>)>;

/// A layer or a model: named parameters, in a fixed order.
///
/// [`named_parameters!`](crate::named_parameters) writes both functions for a struct. Its fields are modules themselves:
/// parameters, other layers, and vectors, arrays, options and boxes of them. The name of an element of a vector or an array
/// is its index, as in PyTorch.
///
/// ```
/// use ndarray::{Array1, Array2};
/// use prune::{Module, Parameter};
///
/// struct Linear {
///     weight: Parameter<f32>,
///     bias: Option<Parameter<f32>>,
/// }
///
/// impl Module for Linear {
///     type Elem = f32;
///     prune::named_parameters!(weight, bias);
/// }
///
/// struct Net {
///     layers: Vec<Linear>,
/// }
///
/// impl Module for Net {
///     type Elem = f32;
///     prune::named_parameters!(layers);
/// }
///
/// let linear = || Linear { weight: Array2::ones((3, 4)).into(), bias: Some(Array1::zeros(3).into()) };
/// let mut net = Net { layers: vec![linear(), linear()] };
/// prune::l1_unstructured(&mut net, "layers.1.weight", 0.5)?;
/// assert!(net.layers[1].weight.is_pruned());
/// # Ok::<(), prune::PruneError>(())
/// ```
pub trait Module {
    /// The element type of all parameters.
    type Elem: Element;

    /// Returns the parameters, in order.
    fn named_parameters(&self) -> NamedParameters<'_, Self::Elem>;

    /// Returns the parameters mutably, in the same order and under the same names.
    fn named_parameters_mut(&mut self) -> NamedParametersMut<'_, Self::Elem>;

    /// Returns the parameter at a path such as `conv1.weight`, or `None` if there is none.
    fn parameter(&self, path: &str) -> Option<&Parameter<Self::Elem>> {
        self.named_parameters().into_iter().find_map(|(name, parameter)| (name == path).then_some(parameter))
    }

    /// Returns the parameter at a path such as `conv1.weight` mutably, or `None` if there is none.
    fn parameter_mut(&mut self, path: &str) -> Option<&mut Parameter<Self::Elem>> {
        self.named_parameters_mut().into_iter().find_map(|(name, parameter)| (name == path).then_some(parameter))
    }
}

/// Implements the two functions of [`Module`] for a struct: the parameters of its fields, in the order listed.
///
/// Write `field as "name"` to give a field another name.
///
/// ```
/// struct Embedding {
///     table: prune::Parameter<f32>,
/// }
///
/// impl prune::Module for Embedding {
///     type Elem = f32;
///     prune::named_parameters!(table as "weight");
/// }
///
/// let mut embedding = Embedding { table: ndarray::Array2::ones((8, 2)).into() };
/// prune::identity(&mut embedding, "weight")?;
/// # Ok::<(), prune::PruneError>(())
/// ```
#[macro_export]
macro_rules! named_parameters {
    ($($field:tt $(as $name:literal)?),* $(,)?) => {
        fn named_parameters(&self) -> $crate::NamedParameters<'_, Self::Elem> {
            let mut all = ::std::vec::Vec::new();
            $(all.extend($crate::prefixed(
                $crate::named_parameters!(@name $field $($name)?),
                $crate::Module::named_parameters(&self.$field),
            ));)*
            all
        }

        fn named_parameters_mut(&mut self) -> $crate::NamedParametersMut<'_, Self::Elem> {
            let mut all = ::std::vec::Vec::new();
            $(all.extend($crate::prefixed(
                $crate::named_parameters!(@name $field $($name)?),
                $crate::Module::named_parameters_mut(&mut self.$field),
            ));)*
            all
        }
    };
    (@name $field:tt) => { ::std::stringify!($field) };
    (@name $field:tt $name:literal) => { $name };
}

/// Puts a prefix before the name of each parameter: `weight` becomes `prefix.weight`, and an empty name `prefix`.
///
/// For implementations of [`Module`] that [`named_parameters!`](crate::named_parameters) does not cover.
///
/// ```
/// use prune::{Module, Parameter};
///
/// let weight = Parameter::new(ndarray::arr1(&[1.0_f32]));
/// let all: Vec<_> = prune::prefixed("weight", weight.named_parameters()).collect();
/// assert_eq!(all[0].0, "weight");
/// ```
pub fn prefixed<P>(prefix: &str, parameters: Vec<(String, P)>) -> impl Iterator<Item = (String, P)> {
    parameters.into_iter().map(move |(name, parameter)| {
        let path = if name.is_empty() { prefix.to_owned() } else { format!("{prefix}.{name}") };
        (path, parameter)
    })
}

/// A single parameter, under the empty name.
impl<A: Element> Module for Parameter<A> {
    type Elem = A;

    fn named_parameters(&self) -> NamedParameters<'_, A> {
        vec![(String::new(), self)]
    }
    fn named_parameters_mut(&mut self) -> NamedParametersMut<'_, A> {
        vec![(String::new(), self)]
    }
}

impl<M: Module> Module for [M] {
    type Elem = M::Elem;

    fn named_parameters(&self) -> NamedParameters<'_, M::Elem> {
        let parts = self.iter().enumerate();
        parts.flat_map(|(i, part)| prefixed(&i.to_string(), part.named_parameters()).collect::<Vec<_>>()).collect()
    }
    fn named_parameters_mut(&mut self) -> NamedParametersMut<'_, M::Elem> {
        let parts = self.iter_mut().enumerate();
        parts.flat_map(|(i, part)| prefixed(&i.to_string(), part.named_parameters_mut()).collect::<Vec<_>>()).collect()
    }
}

/// Pointers to a module, which forward look-ups too: those of a a `ParameterStore` are faster than
/// the provided ones, and in a function with a `module: &mut M`, `module.parameter(name)` is that of the pointer.
macro_rules! forward_to_pointee {
    ($($pointer:ty),*) => {$(
        impl<M: Module + ?Sized> Module for $pointer {
            type Elem = M::Elem;

            fn named_parameters(&self) -> NamedParameters<'_, M::Elem> {
                (**self).named_parameters()
            }
            fn named_parameters_mut(&mut self) -> NamedParametersMut<'_, M::Elem> {
                (**self).named_parameters_mut()
            }
            fn parameter(&self, path: &str) -> Option<&Parameter<M::Elem>> {
                (**self).parameter(path)
            }
            fn parameter_mut(&mut self, path: &str) -> Option<&mut Parameter<M::Elem>> {
                (**self).parameter_mut(path)
            }
        }
    )*};
}

forward_to_pointee!(Box<M>, &mut M);

impl<M: Module> Module for Vec<M> {
    type Elem = M::Elem;

    fn named_parameters(&self) -> NamedParameters<'_, M::Elem> {
        self.as_slice().named_parameters()
    }
    fn named_parameters_mut(&mut self) -> NamedParametersMut<'_, M::Elem> {
        self.as_mut_slice().named_parameters_mut()
    }
}

impl<M: Module, const N: usize> Module for [M; N] {
    type Elem = M::Elem;

    fn named_parameters(&self) -> NamedParameters<'_, M::Elem> {
        self.as_slice().named_parameters()
    }
    fn named_parameters_mut(&mut self) -> NamedParametersMut<'_, M::Elem> {
        self.as_mut_slice().named_parameters_mut()
    }
}

/// The parameters of the module, or none.
impl<M: Module> Module for Option<M> {
    type Elem = M::Elem;

    fn named_parameters(&self) -> NamedParameters<'_, M::Elem> {
        self.iter().flat_map(M::named_parameters).collect()
    }
    fn named_parameters_mut(&mut self) -> NamedParametersMut<'_, M::Elem> {
        self.iter_mut().flat_map(M::named_parameters_mut).collect()
    }
}
