//! Choices: the number of units that are pruned, and their selection by scores.

use crate::amount::Amount;
use crate::compact::coupling::{Coupling, shapes_of};
use crate::compact::error::CompactError;
use crate::compact::importance::{Normalize, Rank, Scores, importance};
use crate::compact::layout::Layout;
use crate::compact::plan::Plan;
use crate::module::Module;

/// The units that one ranking covers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// The units of one dimension: the amount is pruned from each.
    #[default]
    Dimension,
    /// The units of all dimensions together.
    Global,
}

/// The amount of units that is pruned, and the criterion that ranks them.
///
/// The units with the lowest scores are pruned. Of equal scores, the lowest index is pruned first; with global scope, the
/// dimension that was declared first. NaN ranks above infinity. Then the number of kept units is rounded *up* to a multiple,
/// so that no more is pruned than requested.
///
/// ```
/// use prune::compact::{Choice, Scope};
///
/// let choice = Choice { multiple: 8, scope: Scope::Global, ..Choice::new(0.5) };
/// assert_eq!((choice.minimum, choice.rank), (1, Default::default()));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// The units that are pruned, of each dimension or of all together.
    pub amount: Amount,
    /// The units that the amount is relative to.
    pub scope: Scope,
    /// The number of kept units is a multiple of this, or all of them. Odd widths are slow on most hardware.
    pub multiple: usize,
    /// The number of units that every dimension keeps at least.
    pub minimum: usize,
    /// The criterion.
    pub rank: Rank,
}

impl Choice {
    /// Returns the choice of an amount of each dimension, by the Euclidean norm, without rounding.
    pub fn new(amount: impl Into<Amount>) -> Self {
        Self { amount: amount.into(), scope: Scope::default(), multiple: 1, minimum: 1, rank: Rank::default() }
    }
}

/// A choice of nothing, for `Choice { amount, ..Choice::default() }`.
impl Default for Choice {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Coupling {
    /// Chooses the units with the lowest norms.
    ///
    /// # Errors
    ///
    /// Those of [`importance`](Self::importance) and [`choose_by`](Self::choose_by).
    pub fn choose<M: Module + ?Sized>(&self, module: &M, choice: &Choice) -> Result<Plan, CompactError> {
        let layout = Layout::new(self, shapes_of(module))?;
        let scores = importance(&layout, module, &choice.rank)?;
        choose(layout, &scores, choice)
    }

    /// Chooses the units with the lowest of the given scores: from activations or gradients, for example. Of
    /// [`Choice::rank`], only [`Rank::normalize`] has an effect.
    ///
    /// ```
    /// # use prune::compact::{Choice, Coupling, Scores, Use};
    /// # let ones = |shape: (usize, usize)| ndarray::Array2::<f32>::ones(shape);
    /// # let net = prune::ParameterStore::from_iter([("a", ones((3, 2))), ("b", ones((4, 3)))]);
    /// let coupling = Coupling::new().dimension("ffn", [Use::out("a", 0), Use::input("b", 1)]);
    /// let scores = Scores::from_iter([("ffn", [0.3, 0.1, 0.7])]);
    /// assert_eq!(coupling.choose_by(&net, &scores, &Choice::new(1))?.kept("ffn"), [0, 2]);
    /// # Ok::<(), prune::compact::CompactError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check); [`CompactError::MissingScores`] and [`CompactError::ScoresLength`] if the scores do
    /// not fit; [`CompactError::UnknownDimension`] if they are of another dimension; [`CompactError::ZeroChoice`] if
    /// `multiple` or `minimum` is 0; [`CompactError::Prune`] if the amount is not a fraction or exceeds the units.
    pub fn choose_by<M: Module + ?Sized>(
        &self,
        module: &M,
        scores: &Scores,
        choice: &Choice,
    ) -> Result<Plan, CompactError> {
        choose(Layout::new(self, shapes_of(module))?, scores, choice)
    }
}

/// Chooses the units of a layout.
pub(crate) fn choose(layout: Layout, scores: &Scores, choice: &Choice) -> Result<Plan, CompactError> {
    for (what, number) in [("multiple", choice.multiple), ("minimum", choice.minimum)] {
        if number == 0 {
            return Err(CompactError::ZeroChoice { what });
        }
    }
    if let Some((found, _)) = scores.iter().find(|(name, _)| !layout.dimensions.iter().any(|d| d.name == *name)) {
        return Err(CompactError::UnknownDimension { found: found.to_owned(), known: layout.names().collect() });
    }
    let mut ranked = Vec::new();
    for (d, dimension) in layout.dimensions.iter().enumerate().filter(|(_, dimension)| !dimension.left_out) {
        let (name, expected) = (&dimension.name, layout.units[d]);
        let scores = scores.get(name).ok_or_else(|| CompactError::MissingScores { dimension: name.clone() })?;
        if scores.len() != expected {
            return Err(CompactError::ScoresLength { dimension: name.clone(), expected, found: scores.len() });
        }
        ranked.push(Ranked { dimension: d, scores: normalized(scores, choice.rank.normalize) });
    }
    let counts = counts(&ranked, choice)?;
    let mut kept: Vec<Vec<usize>> = layout.units.iter().map(|&units| (0..units).collect()).collect();
    for (ranked, count) in ranked.iter().zip(counts) {
        let units = ranked.scores.len();
        let rounded = (units - count).checked_next_multiple_of(choice.multiple).unwrap_or(units);
        let number = rounded.max(choice.minimum).min(units);
        kept[ranked.dimension] = ranked.highest(number);
    }
    Ok(Plan::new(layout, kept))
}

/// The scores of a dimension of which units are chosen.
struct Ranked {
    dimension: usize,
    /// Without -0.0 and with positive NaN, so that the total order ranks them.
    scores: Vec<f64>,
}

impl Ranked {
    /// The `count` units that are pruned last, in ascending order.
    fn highest(&self, count: usize) -> Vec<usize> {
        let mut units: Vec<usize> = (0..self.scores.len()).collect();
        // Stable, so of equal scores the lowest index comes first.
        units.sort_by(|&a, &b| self.scores[a].total_cmp(&self.scores[b]));
        let mut kept = units.split_off(units.len() - count);
        kept.sort_unstable();
        kept
    }
}

/// The number of units that are pruned from each dimension, before rounding.
fn counts(ranked: &[Ranked], choice: &Choice) -> Result<Vec<usize>, CompactError> {
    let count = |units| choice.amount.count_units(units, units, "units");
    match choice.scope {
        Scope::Dimension => Ok(ranked.iter().map(|ranked| count(ranked.scores.len())).collect::<Result<_, _>>()?),
        Scope::Global => {
            let mut all: Vec<(usize, f64)> = Vec::new();
            for (index, ranked) in ranked.iter().enumerate() {
                all.extend(ranked.scores.iter().map(|&score| (index, score)));
            }
            all.sort_by(|a, b| a.1.total_cmp(&b.1));
            let mut counts = vec![0; ranked.len()];
            all[..count(all.len())?].iter().for_each(|&(index, _)| counts[index] += 1);
            Ok(counts)
        }
    }
}

/// The scores, scaled and ready for the total order. Scores whose mean or largest is not a positive number are not scaled.
fn normalized(scores: &[f64], normalize: Normalize) -> Vec<f64> {
    let scale = match normalize {
        Normalize::None => 1.0,
        Normalize::Mean => scores.iter().sum::<f64>() / scores.len() as f64,
        Normalize::Max => scores.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    };
    let scale = if scale > 0.0 && scale.is_finite() { scale } else { 1.0 };
    // Adding 0.0 makes 0.0 of -0.0.
    scores.iter().map(|score| if score.is_nan() { f64::NAN } else { score / scale + 0.0 }).collect()
}
