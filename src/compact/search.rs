//! The search for an order of units: the dimensions that are searched together, and the magnitude that is kept before and after.

use std::collections::BTreeSet;

use crate::compact::coupling::Use;
use crate::compact::error::CompactError;
use crate::compact::importance::is_ranked;
use crate::compact::layout::Layout;
use crate::compact::permutation::Permutation;
use crate::compact::permute::{KeptMagnitude, Permuted, PermutedDimension, Search};
use crate::compact::swaps::{Climb, Columns, Movable, Site, has_effect};
use crate::element::accumulator::Accumulator;
use crate::tensor::channels::Channels;
use crate::tensor::groups::axis;

/// The memory for magnitudes that are compared, in bytes.
pub(crate) const LIMIT: usize = 96 << 20;

/// The magnitudes of parameters.
pub(crate) trait Source {
    type Error;

    /// Returns `true` if the entries of a parameter are not exact as `f32`.
    fn is_wide(&self, parameter: &str) -> bool;

    /// Fills in the magnitudes of the lines of a parameter.
    fn read<F: Accumulator>(&self, parameter: &str, columns: &mut Columns<F>) -> Result<(), Self::Error>;

    /// Is told that a round has compared the entries of some parameters.
    fn compared(&self, parameters: &[String]) -> Result<(), Self::Error>;
}

/// The number as one of a type that holds it exactly.
pub(crate) fn narrowed<F: Accumulator>(x: f64) -> F {
    F::from(x).unwrap_or_else(F::nan)
}

/// Dimensions whose units lie in the same parameters along the axis of the pattern. They are searched together.
pub(crate) struct Component {
    /// The numbers of the dimensions.
    dimensions: Vec<usize>,
    /// The parameters, with the axis of the pattern in each.
    parameters: Vec<(String, usize)>,
    /// `true` if some order has an effect.
    has_effect: bool,
}

impl Component {
    pub fn names(&self) -> Vec<String> {
        self.parameters.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The number of rounds that compare its entries.
    pub fn rounds(&self, search: &Search) -> usize {
        if self.has_effect { search.budget } else { 0 }
    }
}

/// The uses of a dimension along the axis of a pattern.
fn uses_along(layout: &Layout, d: usize, dim: isize) -> impl Iterator<Item = &Use> {
    let is_along = move |use_: &&Use| {
        let shape = &layout.shapes[&use_.parameter];
        shape.len() > 1 && axis(dim, shape) == Ok(use_.axis)
    };
    layout.dimensions[d].uses.iter().filter(|use_| is_ranked(use_)).filter(is_along)
}

/// The components of a layout, in the order of their first dimensions.
pub(crate) fn components(layout: &Layout, search: &Search) -> Result<Vec<Component>, CompactError> {
    let (_, m, dim) = search.pattern.pattern();
    let mut components: Vec<Component> = Vec::new();
    for d in (0..layout.units.len()).filter(|&d| !layout.dimensions[d].left_out) {
        let uses: Vec<&Use> = uses_along(layout, d, dim).collect();
        if uses.is_empty() {
            continue;
        }
        let own: BTreeSet<(String, usize)> = uses.iter().map(|use_| (use_.parameter.clone(), use_.axis)).collect();
        let (joined, others): (Vec<Component>, Vec<Component>) =
            components.into_iter().partition(|component| component.parameters.iter().any(|other| own.contains(other)));
        let has_effect = has_effect(layout.units[d], uses.iter().copied(), m);
        let mut component = Component { dimensions: Vec::new(), parameters: Vec::new(), has_effect };
        for other in joined {
            component.dimensions.extend(other.dimensions);
            component.parameters.extend(other.parameters);
            component.has_effect |= other.has_effect;
        }
        let new: Vec<_> = own.into_iter().filter(|own| !component.parameters.contains(own)).collect();
        component.parameters.extend(new);
        component.dimensions.push(d);
        component.dimensions.sort_unstable();
        components = others;
        components.push(component);
    }
    components.sort_by_key(|component| component.dimensions[0]);
    if components.is_empty() { Err(CompactError::NoUnitsAlong { dim }) } else { Ok(components) }
}

/// Searches the orders of all components. If the magnitudes of one take more than `limit` bytes, its units are compared in a
/// part of the lines.
pub(crate) fn permute<S: Source>(
    layout: Layout,
    components: &[Component],
    search: &Search,
    limit: usize,
    source: &S,
) -> Result<Permuted, S::Error> {
    let mut orders: Vec<Vec<usize>> = layout.units.iter().map(|&units| (0..units).collect()).collect();
    let mut dimensions = Vec::new();
    let mut total = KeptMagnitude::default();
    for component in components {
        let is_wide = component.parameters.iter().any(|(name, _)| source.is_wide(name));
        let mut found = match is_wide {
            true => Found::search::<f64, S>(&layout, component, search, limit, source)?,
            false => Found::search::<f32, S>(&layout, component, search, limit, source)?,
        };
        found.undo_losses();
        total += found.total();
        for (movable, &d) in component.dimensions.iter().enumerate() {
            let magnitude = found.magnitude(movable);
            let Movable { units, tried, taken, .. } = found.movables[movable];
            orders[d].clone_from(&found.movables[movable].order);
            let name = layout.dimensions[d].name.clone();
            dimensions.push((d, PermutedDimension { name, units, magnitude, tried, taken }));
        }
    }
    dimensions.sort_by_key(|&(d, _)| d);
    let dimensions = dimensions.into_iter().map(|(_, dimension)| dimension).collect();
    Ok(Permuted { permutation: Permutation::new(layout, orders), dimensions, total })
}

/// The orders that were found for a component.
struct Found {
    movables: Vec<Movable>,
    /// The groups that each movable has entries in: the site and the number, in ascending order.
    groups: Vec<Vec<(usize, usize)>>,
    /// For each site and group, the magnitude over all lines.
    magnitudes: Vec<Vec<KeptMagnitude>>,
}

impl Found {
    fn search<F: Accumulator, S: Source>(
        layout: &Layout,
        component: &Component,
        search: &Search,
        limit: usize,
        source: &S,
    ) -> Result<Self, S::Error> {
        let (n, m, dim) = search.pattern.pattern();
        let channels = component.parameters.iter().map(|(name, axis)| Channels::along(&layout.shapes[name], *axis));
        let channels: Vec<Channels> = channels.collect();
        let entries: usize = channels.iter().map(|channels| channels.len * channels.size()).sum();
        let parts = (entries * size_of::<F>()).div_ceil(limit).max(1);
        let read = |part: usize| -> Result<Vec<Columns<F>>, S::Error> {
            let columns = component.parameters.iter().zip(&channels).map(|((name, _), channels)| {
                let lines = channels.size();
                let mut columns = Columns::new(*channels, lines * part / parts..lines * (part + 1) / parts);
                source.read(name, &mut columns).map(|()| columns)
            });
            columns.collect()
        };

        let site = |columns: Columns<F>| {
            let sources: Vec<usize> = (0..columns.len()).collect();
            let kept = columns.kept(&sources, n, m);
            Site { columns, sources, kept }
        };
        let movable = |&d: &usize| {
            let site_of = |use_: &Use| component.parameters.iter().position(|(name, _)| *name == use_.parameter);
            let uses = uses_along(layout, d, dim).filter_map(|use_| Some((site_of(use_)?, use_.clone()))).collect();
            Movable::new(&layout.dimensions[d].name, layout.units[d], uses, search.seed)
        };
        let sites: Vec<Site<F>> = read(0)?.into_iter().map(site).collect();
        let movables = component.dimensions.iter().map(movable).collect();
        let mut climb = Climb { sites, movables, n, m };
        let own: Vec<Vec<usize>> = climb.sites.iter().map(|site| site.sources.clone()).collect();
        let names = component.names();
        for _ in 0..component.rounds(search) {
            climb.round();
            source.compared(&names)?;
        }

        let Climb { sites, movables, .. } = climb;
        let (mut columns, sources): (Vec<_>, Vec<_>) =
            sites.into_iter().map(|site| (site.columns, site.sources)).unzip();
        let mut magnitudes: Vec<Vec<KeptMagnitude>> =
            own.iter().map(|own| vec![KeptMagnitude::default(); own.len().div_ceil(m)]).collect();
        for part in 0..parts {
            if part > 0 {
                columns.clear();
                columns = read(part)?;
            }
            for (((columns, own), sources), magnitudes) in columns.iter().zip(&own).zip(&sources).zip(&mut magnitudes) {
                let sums = [columns.kept(own, m, m), columns.kept(own, n, m), columns.kept(sources, n, m)];
                let [all, before, after] = &sums;
                for (group, magnitude) in magnitudes.iter_mut().enumerate() {
                    *magnitude += KeptMagnitude { all: all[group], before: before[group], after: after[group] };
                }
            }
        }
        let groups = movables.iter().map(|movable| movable.groups(m)).collect();
        Ok(Self { movables, groups, magnitudes })
    }

    /// The magnitude of the groups of a movable.
    fn magnitude(&self, movable: usize) -> KeptMagnitude {
        sum(self.groups[movable].iter().map(|&(site, group)| self.magnitudes[site][group]))
    }

    /// The magnitude of all groups.
    fn total(&self) -> KeptMagnitude {
        sum(self.magnitudes.iter().flatten().copied())
    }

    /// Undoes the orders with which less is kept: what is gained in a part of the lines may be lost in all.
    fn undo_losses(&mut self) {
        let loses = |movable: &usize| {
            let KeptMagnitude { before, after, .. } = self.magnitude(*movable);
            after < before
        };
        let mut losing: Vec<usize> = (0..self.movables.len()).filter(loses).collect();
        let distinct: BTreeSet<&(usize, usize)> = self.groups.iter().flatten().collect();
        if !losing.is_empty() && distinct.len() < self.groups.iter().map(Vec::len).sum() {
            // Some groups have units of several dimensions: what one order keeps in them depends on the others.
            losing = (0..self.movables.len()).collect();
        }
        for movable in losing {
            self.movables[movable].undo();
            for &(site, group) in &self.groups[movable] {
                let magnitude = &mut self.magnitudes[site][group];
                magnitude.after = magnitude.before;
            }
        }
    }
}

fn sum(magnitudes: impl Iterator<Item = KeptMagnitude>) -> KeptMagnitude {
    let mut total = KeptMagnitude::default();
    magnitudes.for_each(|magnitude| total += magnitude);
    total
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::compact::coupling::{Coupling, shapes_of};
    use crate::method::NM;
    use crate::store::ParameterStore;
    use crate::torch::Generator;

    /// The entries of a store, with the lines that were read.
    struct Store {
        net: ParameterStore<f32>,
        read: RefCell<Vec<usize>>,
    }

    impl Source for Store {
        type Error = CompactError;

        fn is_wide(&self, _: &str) -> bool {
            false
        }

        fn read<F: Accumulator>(&self, parameter: &str, columns: &mut Columns<F>) -> Result<(), CompactError> {
            let entries = columns.entries();
            self.read.borrow_mut().push(entries.len());
            let values = crate::tensor::flat(self.net[parameter].value());
            columns.fill(entries.start, values[entries].iter().map(|&x| narrowed(x.into())));
            Ok(())
        }

        fn compared(&self, _: &[String]) -> Result<(), CompactError> {
            Ok(())
        }
    }

    /// The search by a part of the lines, with at most `limit` bytes at a time.
    fn found(seed: u64, limit: usize, dim: isize) -> (Permuted, Store) {
        let generator = Generator::manual_seed(seed);
        let mut net = ParameterStore::new();
        net.insert("a", generator.uniform::<f32>((24, 2), -1.0, 1.0));
        net.insert("b", generator.uniform::<f32>((40, 24), -1.0, 1.0));
        net.insert("c", generator.uniform::<f32>((2, 24, 3), -1.0, 1.0));
        let uses = [Use::out("a", 0), Use::input("b", 1), Use::input("c", 1)];
        let coupling = Coupling::new().dimension("h", uses);
        let layout = Layout::new(&coupling, shapes_of(&net)).unwrap();
        let pattern = NM::new(2, 4, dim).unwrap();
        let search = Search { budget: 50, ..Search::new(pattern) };
        let source = Store { net, read: RefCell::default() };
        let components = components(&layout, &search).unwrap();
        (permute(layout, &components, &search, limit, &source).unwrap(), source)
    }

    /// The kept magnitude is measured in all lines, and never falls, even if the few lines that were compared mislead.
    #[test]
    fn a_part_of_the_lines_is_compared_and_all_are_measured() {
        let mut undone = 0;
        for seed in 0..40 {
            let (whole, _) = found(seed, LIMIT, 1);
            let (part, source) = found(seed, 500, 1);
            assert!(source.read.borrow().len() > 10 && source.read.borrow().iter().all(|&entries| entries <= 288));
            let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
            assert!(close(part.total.all, whole.total.all) && close(part.total.before, whole.total.before));
            assert!(part.total.before <= part.total.after && part.total.after < whole.total.after);
            undone += usize::from(part.permutation.is_identity());
            assert_eq!(part.permutation.is_identity(), part.dimensions[0].taken == 0);
            let mut net = source.net.clone();
            part.permutation.apply(&mut net).unwrap();
            let kept = |name| {
                let mut parameter = net[name].clone();
                parameter.prune(NM::new(2, 4, 1).unwrap()).unwrap();
                parameter.value().iter().map(|&x| f64::from(x.abs())).sum::<f64>()
            };
            assert!(close(part.total.after, kept("b") + kept("c")));
        }
        assert!((1..40).contains(&undone), "{undone}");
    }
}
