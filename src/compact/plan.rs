//! Plans: the units of every dimension that are kept, and what follows for each parameter.

use std::sync::Arc;

use ndarray::{ArrayBase, ArrayD, Data, Dimension};

use crate::compact::coupling::{Coupling, Role, Use, WidthNorm, shapes_of};
use crate::compact::error::CompactError;
use crate::compact::layout::{Layout, Sizes};
use crate::compact::report::{Compacted, CompactedDimension, CompactedParameter};
use crate::element::Element;
use crate::functional::parameters_mut;
use crate::mask::Mask;
use crate::method::decision::Decision;
use crate::module::Module;
use crate::parameter::Parameter;
use crate::tensor::channels::Channels;

/// The units of every dimension that are kept.
///
/// A plan is made by a [`Coupling`] for the shapes of one model, and refuses any other: one that was compacted already, for
/// example.
///
/// # Equality
///
/// [`mask`](Self::mask) clears every entry of the pruned units in the uses that make, follow and read them. The compacted
/// model computes what the masked one does, in evaluation mode, for finite weights and activations and any function between
/// that treats units separately. The parameters are bitwise the kept entries. Outputs are bitwise equal where sums run in a
/// fixed order; matrix products may group them differently, which changes the last bits. A norm over the units of a
/// dimension, a softmax or a mean over them mixes units: see [`WidthNorm`]. [`verify`](Self::verify) measures the difference.
///
/// Masks on producers only, as [`ln_structured`](crate::ln_structured) makes them, leave biases: a pruned unit is then the
/// constant `f(bias)`, which [`fold`](Self::fold) adds to the next layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub(crate) layout: Arc<Layout>,
    /// The kept units of each dimension: in ascending order, or all of them in the order of a
    /// [`Permutation`](crate::compact::Permutation).
    pub(crate) kept: Vec<Vec<usize>>,
}

impl Coupling {
    /// Returns the plan that keeps these units; the dimensions that are not listed keep all of theirs.
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check); [`CompactError::UnknownDimension`] and [`CompactError::RepeatedDimension`] for the
    /// names; [`CompactError::NothingKept`], [`CompactError::UnitOutOfRange`] and [`CompactError::RepeatedUnit`] for the
    /// units.
    pub fn keep<M: Module + ?Sized, N: Into<String>>(
        &self,
        module: &M,
        kept: impl IntoIterator<Item = (N, Vec<usize>)>,
    ) -> Result<Plan, CompactError> {
        keep(Layout::new(self, shapes_of(module))?, kept.into_iter().map(|(name, units)| (name.into(), units)))
    }
}

/// The plan that keeps these units of a layout.
pub(crate) fn keep(
    layout: Layout,
    listed: impl IntoIterator<Item = (String, Vec<usize>)>,
) -> Result<Plan, CompactError> {
    let kept = units_of(&layout, listed, |name, units, size| {
        let dimension = || name.to_owned();
        units.sort_unstable();
        if let Some(pair) = units.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(CompactError::RepeatedUnit { dimension: dimension(), unit: pair[0] });
        }
        match units.last() {
            None => Err(CompactError::NothingKept { dimension: dimension() }),
            Some(&unit) if unit >= size => Err(CompactError::UnitOutOfRange { dimension: dimension(), unit, size }),
            Some(_) => Ok(()),
        }
    })?;
    Ok(Plan::new(layout, kept))
}

/// The units of each dimension: those that are listed under its name, or all of them. `check` is given the name, the list and
/// the number of units.
pub(crate) fn units_of(
    layout: &Layout,
    listed: impl IntoIterator<Item = (String, Vec<usize>)>,
    check: impl Fn(&str, &mut Vec<usize>, usize) -> Result<(), CompactError>,
) -> Result<Vec<Vec<usize>>, CompactError> {
    let mut units_of: Vec<Option<Vec<usize>>> = vec![None; layout.units.len()];
    for (name, mut units) in listed {
        let Some(d) = layout.dimensions.iter().position(|dimension| dimension.name == name) else {
            return Err(CompactError::UnknownDimension { found: name, known: layout.names().collect() });
        };
        check(&name, &mut units, layout.units[d])?;
        if units_of[d].replace(units).is_some() {
            return Err(CompactError::RepeatedDimension { dimension: name });
        }
    }
    let all = units_of.into_iter().zip(&layout.units);
    Ok(all.map(|(units, &size)| units.unwrap_or_else(|| (0..size).collect())).collect())
}

impl Plan {
    pub(crate) fn new(layout: Layout, kept: Vec<Vec<usize>>) -> Self {
        Self { layout: Arc::new(layout), kept }
    }

    /// Returns the kept units of a dimension, in ascending order.
    ///
    /// # Panics
    ///
    /// If there is no dimension of this name, like the index of a map.
    pub fn kept(&self, dimension: &str) -> &[usize] {
        match self.layout.dimensions.iter().position(|own| own.name == dimension) {
            Some(d) => &self.kept[d],
            None => panic!("no dimension named `{dimension}`"),
        }
    }

    /// Returns an iterator over the dimensions and their kept units, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &[usize])> {
        let dimensions = self.layout.dimensions.iter().zip(&self.kept);
        dimensions.map(|(dimension, kept)| (dimension.name.as_str(), kept.as_slice()))
    }

    /// Returns the number of kept units of each dimension.
    pub fn sizes(&self) -> Sizes {
        self.layout.names().zip(self.kept.iter().map(Vec::len)).collect()
    }

    /// Returns the plan that keeps the units which both plans keep.
    ///
    /// # Errors
    ///
    /// [`CompactError::OtherCoupling`] if the plans are for different dimensions or shapes; [`CompactError::NothingKept`] if
    /// no unit of a dimension is kept by both.
    pub fn and(&self, other: &Self) -> Result<Self, CompactError> {
        if !self.layout.agrees(&other.layout) {
            return Err(CompactError::OtherCoupling);
        }
        let kept = self.kept.iter().zip(&other.kept);
        let kept =
            kept.map(|(own, other)| own.iter().copied().filter(|unit| other.binary_search(unit).is_ok()).collect());
        let kept: Vec<Vec<usize>> = kept.collect();
        match kept.iter().position(Vec::is_empty) {
            Some(d) => Err(CompactError::NothingKept { dimension: self.layout.dimensions[d].name.clone() }),
            None => Ok(Self { layout: Arc::clone(&self.layout), kept }),
        }
    }

    /// Returns the shape that a parameter has after compaction, or `None` if the plan has no parameter of this name.
    pub fn shape(&self, parameter: &str) -> Option<Vec<usize>> {
        let shape = self.layout.shapes.get(parameter)?;
        Some(self.layout.slice(parameter, &self.kept).map_or_else(|| shape.clone(), |slice| slice.shape().to_vec()))
    }

    /// Prunes the entries of the pruned units, as ordinary masks: the *coupled mask*. The model can then be trained and
    /// evaluated as usual, with the pruned units at zero, before [`compact`](Self::compact) removes them.
    ///
    /// Parameters without pruned entries get no mask. Buffers are not masked.
    ///
    /// # Errors
    ///
    /// [`CompactError::OtherShape`], [`CompactError::MissingParameter`] and [`CompactError::Undeclared`] if the module is not
    /// the one that the plan was made for; [`CompactError::Prune`] with [`PruneError::NameClash`](crate::PruneError::NameClash) as in
    /// [`apply`](crate::apply).
    pub fn mask<M: Module + ?Sized>(&self, module: &mut M) -> Result<(), CompactError> {
        self.check(module)?;
        let shapes = self.layout.shapes.iter();
        let masks = shapes.filter_map(|(name, shape)| Some((name, self.mask_of(name, shape, |_| true)?)));
        let (names, masks): (Vec<&String>, Vec<Mask>) = masks.unzip();
        for (parameter, mask) in parameters_mut(module, &names)?.into_iter().zip(masks) {
            Parameter::commit_mask(vec![(parameter, None)], &Decision::Mask(Arc::new(mask)));
        }
        Ok(())
    }

    /// Removes the pruned units: every parameter is replaced by a smaller one under the same name. On error, nothing changes.
    ///
    /// The value, the original and the mask of a pruned parameter are cut together, and its history stays. Optimizers hold
    /// arrays of the old shapes: [`slice`](Self::slice) cuts those.
    ///
    /// # Errors
    ///
    /// [`CompactError::OtherShape`], [`CompactError::MissingParameter`] and [`CompactError::Undeclared`] if the module is not
    /// the one that the plan was made for.
    pub fn compact<M: Module + ?Sized>(&self, module: &mut M) -> Result<Compacted, CompactError> {
        self.check(module)?;
        let mut parameters = Vec::new();
        for (name, parameter) in module.named_parameters_mut() {
            let before = parameter.value().shape().to_vec();
            let bytes_before = parameter.bytes();
            if let Some(slice) = self.layout.slice(&name, &self.kept) {
                parameter.narrow(&slice);
            }
            for (d, use_) in self.layout.uses_of(&name) {
                rescale(parameter, use_, self.layout.units[d], self.kept[d].len());
            }
            let after = parameter.value().shape().to_vec();
            parameters.push(CompactedParameter { name, before, after, bytes_before, bytes_after: parameter.bytes() });
        }
        Ok(Compacted { dimensions: self.dimensions(), parameters })
    }

    /// Cuts an array that belongs to a parameter, such as the momentum of an optimizer, as the parameter is cut.
    ///
    /// ```
    /// # use prune::compact::{Coupling, Use};
    /// # let ones = |shape: (usize, usize)| ndarray::Array2::<f32>::ones(shape);
    /// # let mut net = prune::ParameterStore::from_iter([("a", ones((3, 2))), ("b", ones((4, 3)))]);
    /// # let coupling = Coupling::new().dimension("h", [Use::out("a", 0), Use::input("b", 1)]);
    /// let plan = coupling.keep(&net, [("h", vec![0, 2])])?;
    /// let momentum = ndarray::arr2(&[[1.0_f32, 1.0], [2.0, 2.0], [3.0, 3.0]]);
    /// plan.compact(&mut net)?;
    /// assert_eq!(plan.slice("a", &momentum)?, ndarray::arr2(&[[1.0, 1.0], [3.0, 3.0]]).into_dyn());
    /// # Ok::<(), prune::compact::CompactError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`CompactError::MissingParameter`] if the plan has no parameter of this name; [`CompactError::OtherShape`] if the
    /// array does not have its shape before compaction.
    pub fn slice<A: Clone, S: Data<Elem = A>, D: Dimension>(
        &self,
        parameter: &str,
        array: &ArrayBase<S, D>,
    ) -> Result<ArrayD<A>, CompactError> {
        let Some(expected) = self.layout.shapes.get(parameter) else {
            return Err(CompactError::MissingParameter { parameter: parameter.to_owned() });
        };
        check_shape(parameter, expected, array.shape())?;
        let array = array.view().into_dyn();
        Ok(match self.layout.slice(parameter, &self.kept) {
            Some(slice) => slice.array(&array.iter().cloned().collect::<Vec<A>>()),
            None => array.to_owned(),
        })
    }

    /// The mask of a parameter that clears the entries of pruned units in uses of some roles, or `None` if it keeps all.
    pub(crate) fn mask_of(&self, parameter: &str, shape: &[usize], roles: impl Fn(Role) -> bool) -> Option<Mask> {
        let mut mask = None;
        let uses = self.layout.uses_of(parameter);
        for (d, use_) in uses.filter(|(_, use_)| use_.role != Role::Buffer && roles(use_.role)) {
            if self.kept[d].len() == self.layout.units[d] {
                continue;
            }
            let channels = Channels::along(shape, use_.axis);
            let mut kept = vec![true; channels.len];
            self.layout.clear(d, use_, &self.kept[d], &mut kept);
            let pruned: Vec<bool> = kept.into_iter().map(|kept| !kept).collect();
            channels.clear(&pruned, 0, mask.get_or_insert_with(|| Mask::from_elem(shape, true)).as_mut_slice());
        }
        mask
    }

    /// Rejects a module that is not the one that the plan was made for.
    pub(crate) fn check<M: Module + ?Sized>(&self, module: &M) -> Result<(), CompactError> {
        let found = shapes_of(module);
        for (parameter, expected) in &self.layout.shapes {
            match found.get(parameter) {
                Some(found) => check_shape(parameter, expected, found)?,
                None => return Err(CompactError::MissingParameter { parameter: parameter.clone() }),
            }
        }
        match found.keys().find(|parameter| !self.layout.shapes.contains_key(*parameter)) {
            Some(parameter) => Err(CompactError::Undeclared { parameter: parameter.clone() }),
            None => Ok(()),
        }
    }

    /// The report about each dimension.
    pub(crate) fn dimensions(&self) -> Vec<CompactedDimension> {
        let dimensions = self.layout.names().zip(&self.layout.units).zip(&self.kept);
        dimensions.map(|((name, &units), kept)| CompactedDimension { name, units, kept: kept.len() }).collect()
    }
}

fn check_shape(parameter: &str, expected: &[usize], found: &[usize]) -> Result<(), CompactError> {
    if expected == found {
        return Ok(());
    }
    let (expected, found) = (expected.to_vec(), found.to_vec());
    Err(CompactError::OtherShape { parameter: parameter.to_owned(), expected, found })
}

/// Adapts the weight of an RMSNorm to the width that is left, so that the mean square over fewer entries has no effect.
fn rescale<A: Element>(parameter: &mut Parameter<A>, use_: &Use, units: usize, kept: usize) {
    let one = match use_.norm {
        Some(WidthNorm::Rms) => A::zero(),
        Some(WidthNorm::RmsPlusOne) => A::one(),
        // A layer norm is refused by the check of the coupling.
        Some(WidthNorm::Layer) | None => return,
    };
    if kept < units {
        let scale = num_traits::cast((units as f64 / kept as f64).sqrt()).unwrap_or_else(A::one);
        parameter.update(|mut weight| weight.mapv_inplace(|x| (x + one) * scale - one));
    }
}
