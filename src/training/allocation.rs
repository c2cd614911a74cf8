//! Allocation: the number of entries to prune from each of several parameters, if the sparsity of all together is given.

use std::fmt;
use std::str::FromStr;

use ndarray::ArrayViewD;

use crate::amount::Amount;
use crate::element::Element;
use crate::error::PruneError;
use crate::score::saliency::{lamp_of_sorted, magnitude};
use crate::training::merge::merged_counts;

/// The rule that divides a sparsity among parameters.
///
/// Counts are exact: they add up to the rounded share of all entries, whatever the rule and the bounds. Each parameter gets
/// the integer part of its share, and the remainder goes to the largest fractions, the first parameter first.
///
/// ```
/// use prune::training::{Allocation, Bounds};
///
/// let shapes: [&[usize]; 3] = [&[300, 784], &[100, 300], &[10, 100]];
/// let counts = Allocation::Erk.counts(&shapes, 0.9, Bounds::default())?;
/// assert_eq!(counts.iter().sum::<usize>(), 239_580); // 90 % of 266,200
/// assert_eq!(counts, [216_486, 23_094, 0]); // the small layer stays dense
/// # Ok::<(), prune::PruneError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Allocation {
    /// The same sparsity everywhere.
    #[default]
    Uniform,
    /// Erdős-Rényi: the density of a weight `[out, in, ..]` is proportional to `(out + in) / (out * in)`, so that layers with
    /// few entries keep more of them. *Scalable Training of Artificial Neural Networks with Adaptive Sparse Connectivity*
    /// (2018), <https://arxiv.org/abs/1707.04780>.
    ErdosRenyi,
    /// Erdős-Rényi-Kernel: the density is proportional to the sum of all sizes divided by their product. *Rigging the Lottery*
    /// (2020), <https://arxiv.org/abs/1911.11134>.
    Erk,
    /// One ranking of the magnitudes of all parameters.
    Global,
    /// One ranking of the [LAMP scores](crate::score::lamp) of all parameters, in `f64`.
    Lamp,
}

/// The lowest and the highest sparsity that an [`Allocation`] may give to a parameter, as fractions.
///
/// A bound below 1 keeps a layer from being pruned as a whole. The entries that a bound refuses are pruned from the other
/// parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// The lowest sparsity.
    pub min: f64,
    /// The highest sparsity.
    pub max: f64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { min: 0.0, max: 1.0 }
    }
}

/// The name on the command line: `uniform`, `erdos-renyi`, `erk`, `global` or `lamp`.
impl fmt::Display for Allocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uniform => "uniform",
            Self::ErdosRenyi => "erdos-renyi",
            Self::Erk => "erk",
            Self::Global => "global",
            Self::Lamp => "lamp",
        })
    }
}

/// Parses what [`Display`](fmt::Display) writes.
impl FromStr for Allocation {
    type Err = PruneError;

    fn from_str(text: &str) -> Result<Self, PruneError> {
        let all = [Self::Uniform, Self::ErdosRenyi, Self::Erk, Self::Global, Self::Lamp];
        let found = all.into_iter().find(|allocation| allocation.to_string() == text);
        found.ok_or_else(|| PruneError::UnknownAllocation { found: text.to_owned() })
    }
}

/// The numbers of entries of a parameter, and how many of them may be pruned in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub entries: usize,
    pub min: usize,
    pub max: usize,
}

impl Limits {
    /// The limits of a parameter of which some entries are pruned already: they stay pruned.
    pub fn of(entries: usize, pruned: usize, bounds: Bounds) -> Self {
        let Bounds { min, max } = bounds;
        let share = |fraction: f64| fraction * entries as f64;
        let max = (share(max).floor() as usize).min(entries).max(pruned);
        Self { entries, min: (share(min).ceil() as usize).clamp(pruned, max), max }
    }
}

impl Bounds {
    /// Rejects bounds that are NaN, outside `0.0..=1.0`, or the wrong way round.
    pub(crate) fn validated(self) -> Result<Self, PruneError> {
        for found in [self.min, self.max] {
            Amount::Sparsity(found).validated()?;
        }
        let Self { min, max } = self;
        if min > max { Err(PruneError::InvalidBounds { min, max }) } else { Ok(self) }
    }
}

impl Allocation {
    /// Returns the number of entries to prune in each parameter, of these shapes, so that all together have the sparsity.
    ///
    /// # Errors
    ///
    /// [`PruneError::InvalidFraction`] if the sparsity or a bound is NaN or outside `0.0..=1.0`; [`PruneError::InvalidBounds`] if
    /// the minimum is above the maximum; [`PruneError::Infeasible`] if no counts within the bounds have this sparsity; [`PruneError::AllocationNeedsValues`] for [`Global`](Self::Global) and
    /// [`Lamp`](Self::Lamp), which [`counts_of`](Self::counts_of) takes.
    pub fn counts(self, shapes: &[&[usize]], sparsity: f64, bounds: Bounds) -> Result<Vec<usize>, PruneError> {
        let bounds = bounds.validated()?;
        let limit = |shape: &&[usize]| Limits::of(shape.iter().product(), 0, bounds);
        let limits: Vec<Limits> = shapes.iter().map(limit).collect();
        let total = Amount::sparsity(sparsity).count(limits.iter().map(|limits| limits.entries).sum())?;
        check(&limits, total)?;
        self.divide(shapes, &limits, total).ok_or_else(|| PruneError::AllocationNeedsValues { found: self.to_string() })
    }

    /// Returns the number of entries to prune in each parameter, of these values; only [`Global`](Self::Global) and
    /// [`Lamp`](Self::Lamp) look at them. NaN ranks above all, and equal scores are counted for the first parameter first.
    ///
    /// ```
    /// use ndarray::arr1;
    /// use prune::training::{Allocation, Bounds};
    ///
    /// let (a, b) = (arr1(&[1.0_f32, 2.0, 3.0]).into_dyn(), arr1(&[30.0, 20.0, 10.0]).into_dyn());
    /// let half = |allocation: Allocation, bounds| allocation.counts_of(&[a.view(), b.view()], 0.5, bounds);
    /// assert_eq!(half(Allocation::Global, Bounds::default())?, [3, 0]);
    /// assert_eq!(half(Allocation::Global, Bounds { min: 0.0, max: 0.7 })?, [2, 1]); // no parameter is pruned as a whole
    /// assert_eq!(half(Allocation::Lamp, Bounds::default())?, [2, 1]); // scale does not matter
    /// # Ok::<(), prune::PruneError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`counts`](Self::counts) for the sparsity and the bounds.
    pub fn counts_of<A: Element>(
        self,
        values: &[ArrayViewD<'_, A>],
        sparsity: f64,
        bounds: Bounds,
    ) -> Result<Vec<usize>, PruneError> {
        let bounds = bounds.validated()?;
        let limits: Vec<Limits> = values.iter().map(|values| Limits::of(values.len(), 0, bounds)).collect();
        let total = Amount::sparsity(sparsity).count(limits.iter().map(|limits| limits.entries).sum())?;
        check(&limits, total)?;
        let shapes: Vec<&[usize]> = values.iter().map(ArrayViewD::shape).collect();
        if let Some(counts) = self.divide(&shapes, &limits, total) {
            return Ok(counts);
        }
        let scores = |number: usize| Ok(self.sorted_scores(values[number].iter().map(|&x| magnitude(x)).collect()));
        merged_counts(&limits, total, &[], scores)
    }

    /// Divides a total by shapes alone; `None` if the rule needs values. The total was [checked](check).
    pub(crate) fn divide(self, shapes: &[&[usize]], limits: &[Limits], total: usize) -> Option<Vec<usize>> {
        let share = |shape: &&[usize]| -> Option<f64> {
            let (entries, sum): (usize, usize) = (shape.iter().product(), shape.iter().sum());
            match (self, shape) {
                (Self::Uniform, _) | (Self::ErdosRenyi | Self::Erk, [] | [_]) => Some(entries as f64),
                (Self::ErdosRenyi, [a, b, kernel @ ..]) => {
                    Some((a + b) as f64 * kernel.iter().product::<usize>() as f64)
                }
                (Self::Erk, [_, _, ..]) => Some(sum as f64),
                (Self::Global | Self::Lamp, _) => None,
            }
        };
        let shares: Vec<f64> = shapes.iter().map(share).collect::<Option<_>>()?;
        Some(rounded(&zeros(&shares, limits, total), limits, total))
    }

    /// The scores of a parameter's magnitudes, in ascending order; only for rules that need values.
    pub(crate) fn sorted_scores(self, mut magnitudes: Vec<f64>) -> Vec<f64> {
        magnitudes.sort_unstable_by(f64::total_cmp);
        match self {
            Self::Lamp => lamp_of_sorted(&magnitudes),
            Self::Uniform | Self::ErdosRenyi | Self::Erk | Self::Global => magnitudes,
        }
    }
}

/// Rejects a total that no counts within the limits add up to.
pub(crate) fn check(limits: &[Limits], total: usize) -> Result<(), PruneError> {
    let sum = |part: fn(&Limits) -> usize| limits.iter().map(part).sum::<usize>();
    let (lowest, highest, all) = (sum(|limits| limits.min), sum(|limits| limits.max), sum(|limits| limits.entries));
    if (lowest..=highest).contains(&total) {
        return Ok(());
    }
    let fraction = |count: usize| count as f64 / all as f64;
    Err(PruneError::Infeasible { sparsity: fraction(total), lowest: fraction(lowest), highest: fraction(highest) })
}

/// The numbers of zeros as real numbers: parameters keep entries in proportion to their shares, within their limits.
fn zeros(shares: &[f64], limits: &[Limits], total: usize) -> Vec<f64> {
    let kept = (limits.iter().map(|limits| limits.entries).sum::<usize>() - total) as f64;
    let range = |limits: &Limits| ((limits.entries - limits.max) as f64, (limits.entries - limits.min) as f64);
    let at = |scale: f64| -> Vec<f64> {
        let clamped = |(share, limits): (&f64, &Limits)| {
            let (low, high) = range(limits);
            (scale * share).clamp(low, high)
        };
        shares.iter().zip(limits).map(clamped).collect()
    };
    // The sum grows with the scale, and is linear between the scales at which a parameter reaches a limit.
    let reached = |(share, limits): (&f64, &Limits)| {
        let (low, high) = range(limits);
        [low / share, high / share]
    };
    let mut scales: Vec<f64> = shares.iter().zip(limits).filter(|(share, _)| **share > 0.0).flat_map(reached).collect();
    scales.sort_unstable_by(f64::total_cmp);
    let below = scales.partition_point(|&scale| at(scale).iter().sum::<f64>() <= kept);
    let low = if below == 0 { 0.0 } else { scales[below - 1] };
    let kept_at = match scales.get(below) {
        None => at(low),
        Some(&high) => {
            let (at_low, at_high) = (at(low), at(high));
            let (sum_low, sum_high) = (at_low.iter().sum::<f64>(), at_high.iter().sum::<f64>());
            let part = if sum_high > sum_low { (kept - sum_low) / (sum_high - sum_low) } else { 0.0 };
            at_low.iter().zip(at_high).map(|(low, high)| low + part * (high - low)).collect()
        }
    };
    limits.iter().zip(kept_at).map(|(limits, kept)| limits.entries as f64 - kept).collect()
}

/// The integers nearest to these numbers that add up to the total: the integer parts, and one more for the largest fractions.
fn rounded(zeros: &[f64], limits: &[Limits], total: usize) -> Vec<usize> {
    let integer = |(zeros, limits): (&f64, &Limits)| (zeros.floor() as usize).clamp(limits.min, limits.max);
    let mut counts: Vec<usize> = zeros.iter().zip(limits).map(integer).collect();
    let mut order: Vec<usize> = (0..counts.len()).collect();
    let fraction = |number: usize| zeros[number] - counts[number] as f64;
    let fractions: Vec<f64> = (0..counts.len()).map(fraction).collect();
    order.sort_by(|&a, &b| fractions[b].total_cmp(&fractions[a]));
    let mut sum: usize = counts.iter().sum();
    // As the limits allow the total, each round changes a count.
    while sum != total {
        for &number in &order {
            let count = &mut counts[number];
            if sum < total && *count < limits[number].max {
                (*count, sum) = (*count + 1, sum + 1);
            } else if sum > total && *count > limits[number].min {
                (*count, sum) = (*count - 1, sum - 1);
            }
        }
    }
    counts
}
