//! Dead units: those that zeros and masks have made useless already.

use std::fmt;

use indexmap::IndexMap;

use crate::compact::coupling::{Coupling, Dimension, Role, Use, shapes_of};
use crate::compact::error::CompactError;
use crate::compact::layout::Layout;
use crate::compact::plan::Plan;
use crate::element::Element;
use crate::module::Module;
use crate::parameter::Parameter;
use crate::tensor::channels::Channels;
use crate::tensor::flat;

/// The units that have no effect, and those that almost have none.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadUnits {
    /// The plan that removes the units without effect. A dimension whose units are all dead keeps the first one.
    pub plan: Plan,
    /// The units whose producers or consumers are zero, but which have an effect nevertheless.
    pub half_dead: Vec<HalfDead>,
}

/// A unit with zeros in all its producers that something else keeps alive.
///
/// It displays as `` unit 3 of `c1` is kept: `bn1.bias` is 0.4 ``.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HalfDead {
    /// The dimension.
    pub dimension: String,
    /// The unit.
    pub unit: usize,
    /// The parameter that keeps it, and its first nonzero number; `None` if all are zero, but the dimension is not declared
    /// [`zero_at_zero`](Dimension::zero_at_zero).
    pub kept_by: Option<(String, f64)>,
}

impl fmt::Display for HalfDead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unit {} of `{}` is kept: ", self.unit, self.dimension)?;
        match &self.kept_by {
            Some((parameter, number)) => write!(f, "`{parameter}` is {number}"),
            None => f.write_str("the dimension is not declared zero at zero"),
        }
    }
}

impl Coupling {
    /// Returns the units that can be removed without any effect on the output: their values, with the masks applied, are
    /// zero where they are read, or zero where they are made.
    ///
    /// A unit is dead if all slices that read it are zero, or if all slices that make and follow it are and the dimension is
    /// declared [`zero_at_zero`](Dimension::zero_at_zero). Units that only lack the zeros of biases and the like are listed.
    ///
    /// ```
    /// use ndarray::{arr1, arr2};
    /// use prune::compact::{Coupling, Dimension, Use};
    ///
    /// let mut net = prune::ParameterStore::from_iter([("a", arr2(&[[0.0_f32], [0.0], [1.0]]))]);
    /// net.insert("bias", arr1(&[0.0, 0.5, 0.0]));
    /// net.insert("b", arr2(&[[1.0, 1.0, 1.0]]));
    /// let hidden = [Use::out("a", 0), Use::follow("bias", 0), Use::input("b", 1)];
    /// let coupling = Coupling::new().with(Dimension::new("h", hidden).zero_at_zero());
    /// let dead = coupling.dead(&net)?;
    /// assert_eq!(dead.plan.kept("h"), [1, 2]);
    /// assert_eq!(dead.half_dead[0].to_string(), "unit 1 of `h` is kept: `bias` is 0.5");
    /// # Ok::<(), prune::compact::CompactError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check).
    pub fn dead<M: Module + ?Sized>(&self, module: &M) -> Result<DeadUnits, CompactError> {
        let layout = Layout::new(self, shapes_of(module))?;
        let parameters: IndexMap<String, &Parameter<M::Elem>> = module.named_parameters().into_iter().collect();
        let mut found = Vec::new();
        for (dimension, &units) in layout.dimensions.iter().zip(&layout.units) {
            let uses = dimension.uses.iter().map(|use_| {
                let alive = first_nonzeros(parameters[&use_.parameter], use_);
                let unit = |unit| use_.positions(unit, units).find_map(|position| alive[position]);
                (0..units).map(unit).collect()
            });
            found.push(uses.collect());
        }
        Ok(dead(layout, &found))
    }
}

/// The dead units of a layout. For each dimension, use and unit, `found` has the first nonzero number of the slice.
pub(crate) fn dead(layout: Layout, found: &[Vec<Vec<Option<f64>>>]) -> DeadUnits {
    let mut half_dead = Vec::new();
    let mut kept = Vec::new();
    for ((dimension, &units), slices) in layout.dimensions.iter().zip(&layout.units).zip(found) {
        let mut own = Vec::new();
        for unit in 0..units {
            let state = if dimension.left_out { State::Alive } else { state(dimension, slices, unit) };
            match state {
                State::Dead => continue,
                State::Alive => {}
                State::HalfDead(kept_by) => {
                    half_dead.push(HalfDead { dimension: dimension.name.clone(), unit, kept_by });
                }
            }
            own.push(unit);
        }
        if own.is_empty() {
            own.push(0);
        }
        kept.push(own);
    }
    DeadUnits { plan: Plan::new(layout, kept), half_dead }
}

enum State {
    Alive,
    HalfDead(Option<(String, f64)>),
    Dead,
}

fn state(dimension: &Dimension, slices: &[Vec<Option<f64>>], unit: usize) -> State {
    let nonzero = |role: Role| {
        let mut uses = dimension.uses.iter().zip(slices).filter(move |(use_, _)| use_.role == role);
        uses.find_map(|(use_, slice)| Some((use_.parameter.clone(), slice[unit]?)))
    };
    // Uses that are not declared may make its units and read them. Any other dimension has declared uses of both roles.
    if dimension.open {
        return State::Alive;
    }
    if nonzero(Role::In).is_none() {
        return State::Dead;
    }
    if nonzero(Role::Out).is_some() {
        return State::Alive;
    }
    match nonzero(Role::Follow) {
        None if dimension.zero_at_zero => State::Dead,
        kept_by => State::HalfDead(kept_by),
    }
}

/// The first nonzero number at each position of the axis of a use.
fn first_nonzeros<A: Element>(parameter: &Parameter<A>, use_: &Use) -> Vec<Option<f64>> {
    let value = parameter.value();
    let channels = Channels::along(value.shape(), use_.axis);
    let mut first = vec![None; channels.len];
    for (entry, x) in flat(value).iter().enumerate() {
        let position = entry / channels.inner % channels.len;
        if first[position].is_none() && !x.is_zero() {
            first[position] = Some(x.exact_f64());
        }
    }
    first
}
