//! The search for an order of units in which an N:M pattern keeps more.

use std::collections::HashMap;
use std::fmt;
use std::ops::AddAssign;

use crate::compact::coupling::{Coupling, shapes_of};
use crate::compact::error::CompactError;
use crate::compact::layout::Layout;
use crate::compact::permutation::Permutation;
use crate::compact::search::{LIMIT, Source, components, narrowed, permute};
use crate::compact::swaps::Columns;
use crate::element::ElementInternals;
use crate::element::accumulator::Accumulator;
use crate::method::NM;
use crate::module::Module;
use crate::parameter::Parameter;
use crate::tensor::flat;

/// The search for an order of units: the pattern that is to keep more, and how long to search.
///
/// The search takes random pairs of units, and swaps those after which the pattern keeps more. It is greedy, so it ends at
/// an order that no swap improves, which need not be the best one.
///
/// ```
/// use prune::NM;
/// use prune::compact::Search;
///
/// let search = Search { budget: 20, ..Search::new(NM::new(2, 4, -1)?) };
/// assert_eq!(search.seed, 0);
/// # Ok::<(), prune::PruneError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Search {
    /// The pattern and its axis. Its amount and its order of ties play no role.
    pub pattern: NM,
    /// The number of rounds. In each, every unit is tried in one swap, with a random other unit of its dimension.
    pub budget: usize,
    /// The seed of the random pairs, for ChaCha8. The same seed gives the same order on any machine, for any number of
    /// threads, and from a file as from memory.
    pub seed: u64,
}

impl Search {
    /// Returns a search of 100 rounds with seed 0.
    pub fn new(pattern: NM) -> Self {
        Self { pattern, budget: 100, seed: 0 }
    }
}

/// An order of units that a search has found, and how much more the pattern keeps with it. Displays as a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Permuted {
    /// The order. Nothing is changed before it is [applied](Permutation::apply).
    pub permutation: Permutation,
    /// The dimensions with units along the axis of the pattern, in the order of the coupling.
    pub dimensions: Vec<PermutedDimension>,
    /// The magnitude of all parameters that these dimensions order, each counted once.
    pub total: KeptMagnitude,
}

/// The result of a search for one dimension.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PermutedDimension {
    /// The name.
    pub name: String,
    /// The number of units.
    pub units: usize,
    /// The magnitude of the groups that have entries of the units.
    pub magnitude: KeptMagnitude,
    /// The number of swaps that were tried; 0 if every group lies within one unit, so that the order has no effect.
    pub tried: usize,
    /// The number of swaps that were made.
    pub taken: usize,
}

/// The sum of the magnitudes of entries, in `f64`: of all, and of those that a pattern keeps. What masks prune is zero.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct KeptMagnitude {
    /// The sum over all entries.
    pub all: f64,
    /// The sum over those that the pattern keeps in the order of before.
    pub before: f64,
    /// The sum over those that it keeps in the order that was found: never less.
    pub after: f64,
}

impl KeptMagnitude {
    /// Returns the share that was kept before, from 0.0 to 1.0; 1.0 if all entries are zero, NaN if some are infinite.
    pub fn share_before(&self) -> f64 {
        share(self.before, self.all)
    }

    /// Returns the share that is kept in the order that was found.
    pub fn share_after(&self) -> f64 {
        share(self.after, self.all)
    }
}

fn share(part: f64, all: f64) -> f64 {
    if all == 0.0 { 1.0 } else { part / all }
}

impl AddAssign for KeptMagnitude {
    fn add_assign(&mut self, other: Self) {
        self.all += other.all;
        self.before += other.before;
        self.after += other.after;
    }
}

impl fmt::Display for Permuted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.dimensions.iter().map(|dimension| dimension.name.chars().count());
        let width = names.chain(["dimension".len()]).max().unwrap_or_default();
        writeln!(
            f,
            "{:width$}  {:>6}  {:>11}  {:>10}  {:>6}",
            "dimension", "units", "kept before", "kept after", "swaps"
        )?;
        let percent = |share: f64| format!("{:.2}%", 100.0 * share);
        let shares = |kept: &KeptMagnitude| [percent(kept.share_before()), percent(kept.share_after())];
        for PermutedDimension { name, units, magnitude, taken, .. } in &self.dimensions {
            let [before, after] = shares(magnitude);
            writeln!(f, "{name:width$}  {units:>6}  {before:>11}  {after:>10}  {taken:>6}")?;
        }
        let [before, after] = shares(&self.total);
        writeln!(f, "{:width$}  {:>6}  {before:>11}  {after:>10}", "total", "")
    }
}

impl Coupling {
    /// Searches an order of the units of every dimension in which an N:M pattern keeps more magnitude, as [Pool and Yu
    /// (2021)](https://proceedings.neurips.cc/paper/2021/hash/6e8404c3b93a9527c8db241a1846599a-Abstract.html) propose.
    ///
    /// A pattern ranks the entries of a group. Which entries meet in a group depends on the order of the units along the
    /// axis of the pattern: the columns of a linear layer that reads them. Large entries that were in one group are spread
    /// over several. Units in several parameters along this axis are ordered by the sum over all of them, and whole blocks
    /// move together; vectors have no part in it.
    ///
    /// The magnitudes of large parameters are compared in a part of the lines, as many as fit in 96 MiB; what is kept is
    /// measured in all.
    ///
    /// ```
    /// use ndarray::{Array2, arr2};
    /// use prune::NM;
    /// use prune::compact::{Coupling, Search, Use};
    ///
    /// let mut net = prune::ParameterStore::from_iter([("fc1", Array2::<f32>::ones((8, 3)))]);
    /// // 2:4 would prune two of the four large entries, and keep two zeros.
    /// net.insert("fc2", arr2(&[[5.0, 6.0, 7.0, 8.0, 0.0, 0.0, 0.0, 0.0]]));
    /// let coupling = Coupling::new().dimension("hidden", [Use::out("fc1", 0), Use::input("fc2", 1)]);
    ///
    /// let found = coupling.permute(&net, &Search::new(NM::new(2, 4, -1)?))?;
    /// assert_eq!((found.total.all, found.total.before, found.total.after), (26.0, 15.0, 26.0));
    /// println!("{found}");
    /// found.permutation.apply(&mut net)?;
    /// prune::apply(&mut net, "fc2", NM::new(2, 4, -1)?)?;
    /// assert_eq!(net["fc2"].value().sum(), 26.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check), and [`CompactError::NoUnitsAlong`] if no parameter has units along the axis.
    pub fn permute<M: Module + ?Sized>(&self, module: &M, search: &Search) -> Result<Permuted, CompactError> {
        let layout = Layout::new(self, shapes_of(module))?;
        let components = components(&layout, search)?;
        let parameters = module.named_parameters().into_iter().collect();
        permute(layout, &components, search, LIMIT, &Memory::<M> { parameters })
    }
}

/// The parameters of a module.
struct Memory<'m, M: Module + ?Sized> {
    parameters: HashMap<String, &'m Parameter<M::Elem>>,
}

impl<M: Module + ?Sized> Source for Memory<'_, M> {
    type Error = CompactError;

    fn is_wide(&self, _: &str) -> bool {
        size_of::<<M::Elem as ElementInternals>::Accumulator>() > size_of::<f32>()
    }

    fn read<F: Accumulator>(&self, parameter: &str, columns: &mut Columns<F>) -> Result<(), CompactError> {
        let entries = columns.entries();
        let values = &flat(self.parameters[parameter].value())[entries.clone()];
        columns.fill(entries.start, values.iter().map(|x| narrowed(x.exact_f64())));
        Ok(())
    }

    fn compared(&self, _: &[String]) -> Result<(), CompactError> {
        Ok(())
    }
}
