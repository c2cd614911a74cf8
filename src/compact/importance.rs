//! The importance of units: norms of their slices.

use std::ops::Index;

use indexmap::IndexMap;

use crate::compact::coupling::{Coupling, Role, Use, shapes_of};
use crate::compact::error::CompactError;
use crate::compact::layout::Layout;
use crate::element::ElementInternals;
use crate::error::PruneError;
use crate::module::Module;
use crate::score::Norm;
use crate::tensor::channels::Channels;
use crate::tensor::flat;

/// The way in which the norms of the slices of a unit become one number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reduce {
    /// One norm over all slices together. For the Euclidean norm and layers without BatchNorm, this is the order of
    /// [Torch-Pruning](https://github.com/VainF/Torch-Pruning)'s group norm.
    #[default]
    Joint,
    /// The sum of the norms.
    Sum,
    /// The mean of the norms.
    Mean,
    /// The largest of the norms.
    Max,
}

/// The scale of the scores of a dimension, before they are compared with those of other dimensions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Normalize {
    /// No scale.
    #[default]
    None,
    /// The scores are divided by their mean.
    Mean,
    /// The scores are divided by the largest.
    Max,
}

/// The criterion by which units are ranked: norms of the slices that make and read them, computed in `f64`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rank {
    /// The norm of a slice, Euclidean by default. Not the nuclear norm.
    pub norm: Norm,
    /// The way in which the slices of a unit are joined.
    pub reduce: Reduce,
    /// The scale that makes dimensions comparable. It matters for choices over all dimensions together.
    pub normalize: Normalize,
}

impl Default for Rank {
    fn default() -> Self {
        Self { norm: Norm::L(2.0), reduce: Reduce::default(), normalize: Normalize::default() }
    }
}

/// One score for each unit of some dimensions: the lowest are pruned first.
///
/// ```
/// use prune::compact::Scores;
///
/// let mut scores = Scores::new();
/// scores.insert("ffn", [0.3, 0.1, 0.7]); // from activations or gradients, for example
/// assert_eq!(scores.get("ffn"), Some(&[0.3, 0.1, 0.7][..]));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scores {
    scores: IndexMap<String, Vec<f64>>,
}

impl Scores {
    /// Returns scores of no dimension.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the scores of a dimension, and returns the previous ones.
    pub fn insert(&mut self, dimension: impl Into<String>, scores: impl Into<Vec<f64>>) -> Option<Vec<f64>> {
        self.scores.insert(dimension.into(), scores.into())
    }

    /// Returns the scores of a dimension.
    pub fn get(&self, dimension: &str) -> Option<&[f64]> {
        self.scores.get(dimension).map(Vec::as_slice)
    }

    /// Returns an iterator over the dimensions and their scores, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &[f64])> {
        self.scores.iter().map(|(name, scores)| (name.as_str(), scores.as_slice()))
    }
}

impl<N: Into<String>, S: Into<Vec<f64>>> FromIterator<(N, S)> for Scores {
    fn from_iter<I: IntoIterator<Item = (N, S)>>(scores: I) -> Self {
        Self { scores: scores.into_iter().map(|(name, scores)| (name.into(), scores.into())).collect() }
    }
}

/// The scores of a dimension.
///
/// # Panics
///
/// If there are none, like the index of a map.
impl Index<&str> for Scores {
    type Output = [f64];

    fn index(&self, dimension: &str) -> &[f64] {
        &self.scores[dimension]
    }
}

impl Coupling {
    /// Returns the importance of every unit of every dimension: norms of the slices of the uses that make or read it.
    ///
    /// Values are ranked, so what masks prune counts as zero. [`Rank::normalize`] is left to the choice.
    ///
    /// ```
    /// use ndarray::arr2;
    /// use prune::compact::{Coupling, Rank, Use};
    ///
    /// let mut net = prune::ParameterStore::from_iter([("a", arr2(&[[3.0_f32], [1.0]]))]);
    /// net.insert("b", arr2(&[[4.0, 0.0]]));
    /// let coupling = Coupling::new().dimension("h", [Use::out("a", 0), Use::input("b", 1)]);
    /// assert_eq!(&coupling.importance(&net, &Rank::default())?["h"], [5.0, 1.0]);
    /// # Ok::<(), prune::compact::CompactError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check), and [`CompactError::Prune`] if the norm is nuclear or its order is NaN.
    pub fn importance<M: Module + ?Sized>(&self, module: &M, rank: &Rank) -> Result<Scores, CompactError> {
        importance(&Layout::new(self, shapes_of(module))?, module, rank)
    }
}

/// The importance of every unit of a layout that was made for the module.
pub(crate) fn importance<M: Module + ?Sized>(layout: &Layout, module: &M, rank: &Rank) -> Result<Scores, CompactError> {
    let norm = EntryNorm::new(rank.norm)?;
    let parameters: IndexMap<String, _> = module.named_parameters().into_iter().collect();
    let dimensions = layout.dimensions.iter().zip(&layout.units);
    let scores = dimensions.map(|(dimension, &units)| {
        let slices = dimension.uses.iter().filter(|use_| is_ranked(use_)).map(|use_| {
            let value = parameters[&use_.parameter].value();
            let channels = Channels::along(value.shape(), use_.axis);
            let mut total = AxisSums::new(norm, channels);
            let mut wide = Vec::new();
            // In blocks, as files are read, so that both give the same sums.
            for (number, block) in flat(value).chunks(BLOCK).enumerate() {
                wide.clear();
                wide.extend(block.iter().map(|x| x.exact_f64()));
                let mut sums = AxisSums::new(norm, channels);
                sums.add(number * BLOCK, &wide);
                total.join(&sums);
            }
            norm.units(&total.sums, use_, units)
        });
        (dimension.name.clone(), norm.reduce(rank.reduce, units, slices))
    });
    Ok(scores.collect())
}

/// The number of entries that are summed at a time.
pub(crate) const BLOCK: usize = 1 << 18;

/// Returns `true` for a use whose slices rank the units.
pub(crate) fn is_ranked(use_: &Use) -> bool {
    match use_.role {
        Role::Out | Role::In => true,
        Role::Follow | Role::Buffer => false,
    }
}

/// A norm that is a function of entries: some function of each entry, accumulated, and a function of the result.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum EntryNorm {
    /// The number of nonzero entries.
    Count,
    /// The sum of magnitudes.
    Sum,
    /// The root of the sum of squares.
    Squares,
    /// The root of the sum of powers.
    Powers(f64),
    /// The largest magnitude.
    Max,
    /// The smallest magnitude.
    Min,
}

impl EntryNorm {
    pub fn new(norm: Norm) -> Result<Self, PruneError> {
        Ok(match norm.validated()? {
            Norm::L(0.0) => Self::Count,
            Norm::L(1.0) => Self::Sum,
            Norm::L(2.0) | Norm::Frobenius => Self::Squares,
            Norm::L(f64::INFINITY) => Self::Max,
            Norm::L(f64::NEG_INFINITY) => Self::Min,
            Norm::L(order) => Self::Powers(order),
            Norm::Nuclear => return Err(PruneError::method("importance", "the nuclear norm cannot rank units")),
        })
    }

    /// The accumulated value of no entries.
    fn start(self) -> f64 {
        match self {
            Self::Count | Self::Sum | Self::Squares | Self::Powers(_) | Self::Max => 0.0,
            Self::Min => f64::INFINITY,
        }
    }

    fn of_entry(self, x: f64) -> f64 {
        match self {
            Self::Count => f64::from(u8::from(x != 0.0)),
            Self::Sum | Self::Max | Self::Min => x.abs(),
            Self::Squares => x * x,
            Self::Powers(order) => x.abs().powf(order),
        }
    }

    /// Joins two accumulated values. NaN wins.
    fn join(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Count | Self::Sum | Self::Squares | Self::Powers(_) => a + b,
            Self::Max => {
                if b > a || b.is_nan() {
                    b
                } else {
                    a
                }
            }
            Self::Min => {
                if b < a || b.is_nan() {
                    b
                } else {
                    a
                }
            }
        }
    }

    fn finish(self, accumulated: f64) -> f64 {
        match self {
            Self::Count | Self::Sum | Self::Max | Self::Min => accumulated,
            Self::Squares => accumulated.sqrt(),
            Self::Powers(order) => accumulated.powf(order.recip()),
        }
    }

    /// The accumulated values of the units of a use, of those of the positions.
    pub fn units(self, positions: &[f64], use_: &Use, units: usize) -> Vec<f64> {
        let unit = |unit| use_.positions(unit, units).map(|p| positions[p]).fold(self.start(), |a, b| self.join(a, b));
        (0..units).map(unit).collect()
    }

    /// The scores of the units, of the accumulated values of their slices.
    pub fn reduce(self, reduce: Reduce, units: usize, slices: impl IntoIterator<Item = Vec<f64>>) -> Vec<f64> {
        let slices: Vec<Vec<f64>> = slices.into_iter().collect();
        let norms = |unit: usize| slices.iter().map(move |slice| self.finish(slice[unit]));
        let score = |unit: usize| match reduce {
            Reduce::Joint => {
                self.finish(slices.iter().map(|slice| slice[unit]).fold(self.start(), |a, b| self.join(a, b)))
            }
            Reduce::Sum => norms(unit).sum(),
            Reduce::Mean => norms(unit).sum::<f64>() / slices.len() as f64,
            Reduce::Max => norms(unit).fold(0.0, |a, b| Self::Max.join(a, b)),
        };
        (0..units).map(score).collect()
    }
}

/// The accumulated values of every position along an axis, fed with neighbouring entries of the tensor.
#[derive(Debug, Clone)]
pub(crate) struct AxisSums {
    norm: EntryNorm,
    channels: Channels,
    pub sums: Vec<f64>,
}

impl AxisSums {
    pub fn new(norm: EntryNorm, channels: Channels) -> Self {
        Self { norm, channels, sums: vec![norm.start(); channels.len] }
    }

    /// Adds the entries from `offset` on. Entries of one position are added in order.
    pub fn add(&mut self, offset: usize, entries: &[f64]) {
        match self.norm {
            EntryNorm::Squares => self.fold(offset, entries, |sum, x| sum + x * x),
            EntryNorm::Sum => self.fold(offset, entries, |sum, x| sum + x.abs()),
            norm @ (EntryNorm::Count | EntryNorm::Powers(_) | EntryNorm::Max | EntryNorm::Min) => {
                self.fold(offset, entries, |sum, x| norm.join(sum, norm.of_entry(x)));
            }
        }
    }

    fn fold(&mut self, offset: usize, entries: &[f64], add: impl Fn(f64, f64) -> f64) {
        let Channels { len, inner, .. } = self.channels;
        let (mut at, mut rest) = (offset, entries);
        if inner == 1 {
            // Neighbouring entries belong to neighbouring positions, so their sums run side by side.
            while !rest.is_empty() {
                let sums = &mut self.sums[at % len..];
                let (line, others) = rest.split_at(rest.len().min(sums.len()));
                sums.iter_mut().zip(line).for_each(|(sum, &x)| *sum = add(*sum, x));
                (at, rest) = (at + line.len(), others);
            }
            return;
        }
        while !rest.is_empty() {
            let (slice, others) = rest.split_at(rest.len().min(inner - at % inner));
            let sum = &mut self.sums[at / inner % len];
            *sum = slice.iter().fold(*sum, |sum, &x| add(sum, x));
            (at, rest) = (at + slice.len(), others);
        }
    }

    /// Joins the values of other entries.
    pub fn join(&mut self, other: &Self) {
        let Self { norm, sums, .. } = self;
        sums.iter_mut().zip(&other.sums).for_each(|(sum, &other)| *sum = norm.join(*sum, other));
    }
}
