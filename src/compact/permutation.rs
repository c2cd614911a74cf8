//! Permutations: orders of the units of every dimension, which change no output.

use std::sync::Arc;

use ndarray::{Array, ArrayBase, ArrayD, Data, Dimension};

use crate::compact::coupling::{Coupling, shapes_of};
use crate::compact::error::CompactError;
use crate::compact::layout::Layout;
use crate::compact::plan::{Plan, units_of};
use crate::compact::verify::difference;
use crate::module::Module;

/// An order of the units of every dimension.
///
/// [`apply`](Self::apply) reorders all that makes, follows and reads the units together, so a model computes what it did
/// before, up to the order in which products sum. That holds for any function between that treats units alike: activations,
/// norms and softmaxes over all of them too. It does not hold for those that tell units apart by their place, such as rotary
/// embeddings or a reshape into heads: [`verify`](Self::verify) measures the difference.
///
/// [`Coupling::permute`] finds an order in which an N:M pattern keeps more; [`Coupling::reorder`] takes one.
///
/// ```
/// use ndarray::{Ix2, arr2};
/// use prune::compact::{Coupling, Use};
///
/// let mut net = prune::ParameterStore::from_iter([("fc1", arr2(&[[1.0_f32, -2.0], [3.0, 4.0], [5.0, 6.0]]))]);
/// net.insert("fc2", arr2(&[[7.0, 8.0, 9.0]]));
/// let coupling = Coupling::new().dimension("hidden", [Use::out("fc1", 0), Use::input("fc2", 1)]);
/// let permutation = coupling.reorder(&net, [("hidden", vec![2, 0, 1])])?; // the unit at each place
///
/// let input = arr2(&[[0.5, 0.25]]);
/// let difference = permutation.verify(&net, |net| {
///     let hidden = input.dot(&net["fc1"].view::<Ix2>().t()).mapv(|x| x.max(0.0));
///     hidden.dot(&net["fc2"].view::<Ix2>().t())
/// })?;
/// assert_eq!(difference, 0.0);
///
/// permutation.apply(&mut net)?;
/// assert_eq!(net["fc1"].view(), arr2(&[[5.0, 6.0], [1.0, -2.0], [3.0, 4.0]]));
/// assert_eq!(net["fc2"].view(), arr2(&[[9.0, 7.0, 8.0]]));
/// permutation.inverse().apply(&mut net)?;
/// assert_eq!(net["fc2"].view(), arr2(&[[7.0, 8.0, 9.0]]));
/// # Ok::<(), prune::compact::CompactError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permutation {
    /// A plan that keeps all units, in their new order.
    pub(crate) plan: Plan,
}

impl Coupling {
    /// Returns the permutation with these orders: for each place, the number of the unit that moves there. The dimensions that
    /// are not listed keep their order.
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check); [`CompactError::UnknownDimension`] and [`CompactError::RepeatedDimension`] for the
    /// names; [`CompactError::UnitOutOfRange`], [`CompactError::RepeatedUnit`] and [`CompactError::IncompleteOrder`] if an
    /// order does not list each unit once.
    pub fn reorder<M: Module + ?Sized, N: Into<String>>(
        &self,
        module: &M,
        orders: impl IntoIterator<Item = (N, Vec<usize>)>,
    ) -> Result<Permutation, CompactError> {
        let layout = Layout::new(self, shapes_of(module))?;
        let orders = orders.into_iter().map(|(name, order)| (name.into(), order));
        let orders = units_of(&layout, orders, |name, order, units| check_order(name, order, units))?;
        Ok(Permutation::new(layout, orders))
    }
}

/// Rejects an order that does not list each unit once.
fn check_order(dimension: &str, order: &[usize], units: usize) -> Result<(), CompactError> {
    let dimension = || dimension.to_owned();
    let mut seen = vec![false; units];
    for &unit in order {
        match seen.get_mut(unit) {
            None => return Err(CompactError::UnitOutOfRange { dimension: dimension(), unit, size: units }),
            Some(true) => return Err(CompactError::RepeatedUnit { dimension: dimension(), unit }),
            Some(seen) => *seen = true,
        }
    }
    if order.len() < units {
        return Err(CompactError::IncompleteOrder { dimension: dimension(), expected: units, found: order.len() });
    }
    Ok(())
}

impl Permutation {
    /// The orders are of all units of each dimension of the layout.
    pub(crate) fn new(layout: Layout, orders: Vec<Vec<usize>>) -> Self {
        Self { plan: Plan::new(layout, orders) }
    }

    /// Returns the order of a dimension: for each place, the number that the unit there had before.
    ///
    /// # Panics
    ///
    /// If there is no dimension of this name, like the index of a map.
    pub fn order(&self, dimension: &str) -> &[usize] {
        self.plan.kept(dimension)
    }

    /// Returns an iterator over the dimensions and their orders.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &[usize])> {
        self.plan.iter()
    }

    /// Returns `true` if every unit stays at its place.
    pub fn is_identity(&self) -> bool {
        self.plan.kept.iter().all(|order| order.iter().copied().eq(0..order.len()))
    }

    /// Returns the permutation that undoes this one.
    pub fn inverse(&self) -> Self {
        let inverse = |order: &Vec<usize>| {
            let mut inverse = vec![0; order.len()];
            order.iter().enumerate().for_each(|(place, &unit)| inverse[unit] = place);
            inverse
        };
        let kept = self.plan.kept.iter().map(inverse).collect();
        Self { plan: Plan { layout: Arc::clone(&self.plan.layout), kept } }
    }

    /// Reorders the units of a module: value, original and mask of each parameter together. The history stays. On error,
    /// nothing changes.
    ///
    /// Optimizers hold arrays in the old order: [`slice`](Self::slice) reorders those.
    ///
    /// # Errors
    ///
    /// [`CompactError::OtherShape`], [`CompactError::MissingParameter`] and [`CompactError::Undeclared`] if the module is not
    /// the one that the permutation was made for.
    pub fn apply<M: Module + ?Sized>(&self, module: &mut M) -> Result<(), CompactError> {
        self.plan.compact(module).map(drop)
    }

    /// Reorders an array that belongs to a parameter, such as the momentum of an optimizer, as the parameter is reordered.
    ///
    /// # Errors
    ///
    /// [`CompactError::MissingParameter`] if there is no parameter of this name; [`CompactError::OtherShape`] if the array
    /// does not have its shape.
    pub fn slice<A: Clone, S: Data<Elem = A>, D: Dimension>(
        &self,
        parameter: &str,
        array: &ArrayBase<S, D>,
    ) -> Result<ArrayD<A>, CompactError> {
        self.plan.slice(parameter, array)
    }

    /// Runs a forward pass of the module and of a reordered clone, and returns the largest absolute difference of their
    /// outputs: 0.0 if they are equal, NaN if only one of them is NaN somewhere.
    ///
    /// Products sum in another order, so expect the error of rounding: about 1e-15 of the size of the outputs for `f64`.
    ///
    /// # Errors
    ///
    /// Those of [`apply`](Self::apply), and [`CompactError::PermutedShape`] if the outputs have different shapes.
    pub fn verify<M: Module + Clone, D: Dimension>(
        &self,
        module: &M,
        forward: impl Fn(&M) -> Array<M::Elem, D>,
    ) -> Result<f64, CompactError> {
        let mut permuted = module.clone();
        self.apply(&mut permuted)?;
        let (original, permuted) = (forward(module).into_dyn(), forward(&permuted).into_dyn());
        if original.shape() != permuted.shape() {
            let (original, permuted) = (original.shape().to_vec(), permuted.shape().to_vec());
            return Err(CompactError::PermutedShape { original, permuted });
        }
        Ok(difference(&original, &permuted))
    }
}
