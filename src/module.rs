//! Names for the parameters of nested models.

use crate::element::Element;
use crate::parameter::Parameter;

/// The parameters of a module under their dotted paths, in the module's own order.
pub type NamedParameters<'a, A> = Vec<(String, &'a Parameter<A>)>;

/// [`NamedParameters`] that can be changed.
pub type NamedParametersMut<'a, A> = Vec<(String, &'a mut Parameter<A>)>;

/// Something with named parameters: a layer, or a model of layers of layers.
///
/// [`named_parameters!`](crate::named_parameters) writes both functions for a struct. Its fields are modules themselves:
/// parameters, other layers, and vectors, arrays, options and boxes of them. Elements of vectors and arrays have their
/// index as their name, as in PyTorch.
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
    /// The element type of all its parameters.
    type Elem: Element;

    /// The parameters, in order.
    fn named_parameters(&self) -> NamedParameters<'_, Self::Elem>;

    /// The parameters, in the same order and under the same names, mutably.
    fn named_parameters_mut(&mut self) -> NamedParametersMut<'_, Self::Elem>;

    /// The parameter at a path such as `conv1.weight`.
    fn parameter(&self, path: &str) -> Option<&Parameter<Self::Elem>> {
        self.named_parameters().into_iter().find_map(|(name, parameter)| (name == path).then_some(parameter))
    }

    /// The parameter at a path such as `conv1.weight`, mutably.
    fn parameter_mut(&mut self, path: &str) -> Option<&mut Parameter<Self::Elem>> {
        self.named_parameters_mut().into_iter().find_map(|(name, parameter)| (name == path).then_some(parameter))
    }
}

/// Implements the two functions of [`Module`] for a struct, in the order of the fields that are listed.
///
/// A field that should go by another name is written `field as "name"`.
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

/// Puts the parameters of a part under its name: `weight` becomes `prefix.weight`.
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

/// Modules that are nothing but a pointer to another one, whose look-ups may be faster than those of the trait. A function
/// with a `module: &mut M` does not see which it calls: `module.parameter(name)` is that of the pointer.
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

/// Modules that are nothing but some number of another one.
macro_rules! forward {
    ($([$($generics:tt)*] $module:ty, $elem:ty, |$self:ident| $parameters:expr, $parameters_mut:expr;)*) => {$(
        impl<$($generics)*> Module for $module {
            type Elem = $elem;

            fn named_parameters(&$self) -> NamedParameters<'_, $elem> {
                $parameters
            }
            fn named_parameters_mut(&mut $self) -> NamedParametersMut<'_, $elem> {
                $parameters_mut
            }
        }
    )*};
}

forward! {
    [M: Module] Vec<M>, M::Elem, |self| self.as_slice().named_parameters(), self.as_mut_slice().named_parameters_mut();
    [M: Module, const N: usize] [M; N], M::Elem, |self| self.as_slice().named_parameters(), self.as_mut_slice().named_parameters_mut();
    [M: Module] Option<M>, M::Elem, |self| self.iter().flat_map(M::named_parameters).collect(), self.iter_mut().flat_map(M::named_parameters_mut).collect();
}
