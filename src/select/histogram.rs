//! Histograms of magnitudes: counts that are added up over processes, and the bracket of the k-th lowest magnitude.

use crate::element::Element;
use crate::element::wide::{narrow_key, widen_key};
use crate::error::PruneError;
use crate::key::{Key, Ranked};
use crate::select::scores::{Scores, infallible};
use crate::tensor::chunk::{Chunk, Segment, chunks};

/// The element types, each of which has a section of the counts.
const TYPES: [&str; 4] = ["f16", "bf16", "f32", "f64"];
/// The bits of the number of a bin.
const BITS: u32 = 16;
/// The counts of a type: of the entries below the bracket, of those above, and of those in each bin.
const SECTION: usize = 2 + (1 << BITS);
const BELOW: usize = 0;
const ABOVE: usize = 1;
const BINS: usize = 2;

/// The magnitudes among which the k-th lowest is, and what is known of the others.
///
/// The magnitudes are inclusive. A NaN is above infinity, so the bracket of everything is from 0 to NaN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bracket {
    /// Keys of `f64`, in which magnitudes of all types are comparable.
    low: u64,
    high: u64,
    below: u64,
    inside: u64,
    exact: bool,
}

impl Bracket {
    /// Returns the bracket of the magnitudes from `low` to `high`, with no count known. Signs are ignored.
    /// If `low` is above `high`, no magnitude is inside.
    pub fn new(low: f64, high: f64) -> Self {
        Self { low: low.key(), high: high.key(), below: 0, inside: 0, exact: false }
    }

    /// The bracket of all magnitudes.
    pub fn all() -> Self {
        Self::new(0.0, f64::NAN)
    }

    /// The lowest magnitude.
    pub fn low(&self) -> f64 {
        f64::from_bits(self.low)
    }

    /// The highest magnitude.
    pub fn high(&self) -> f64 {
        f64::from_bits(self.high)
    }

    /// The number of entries whose magnitude is certainly below [`low`](Self::low): all such entries, if the bracket is
    /// [exact](Self::threshold).
    pub fn below(&self) -> u64 {
        self.below
    }

    /// The number of entries that may be inside.
    pub fn inside(&self) -> u64 {
        self.inside
    }

    /// The k-th lowest magnitude, if it is known: then [`below`](Self::below) entries are lower, and
    /// [`inside`](Self::inside) are equal. `None` if another histogram [within](Histogram::within) this bracket is needed.
    pub fn threshold(&self) -> Option<f64> {
        self.exact.then(|| self.low())
    }

    /// Returns `true` if both are from the same magnitude to the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (self.low, self.high) == (other.low, other.high)
    }
}

/// Counts of entries by magnitude, by which processes that each have a part of a model find one threshold for all of it.
///
/// The counts of two parts are added, number by number, so any engine can join them: `MPI_Allreduce`,
/// `torch.distributed.all_reduce`, a loop over files. The sum gives a [`Bracket`] of the k-th lowest magnitude. A second
/// histogram within that bracket has bins that are narrower by a factor of 65,536, and so on until a bin is one magnitude: `f16`
/// and `bf16` need one histogram, `f32` two, `f64` four, and a model of several types as many as the widest. Entries of all types
/// are compared by their exact magnitudes, as global pruning of a checkpoint does.
///
/// ```
/// use prune::{Bracket, Histogram, UpTo};
///
/// let parts = [vec![0.5_f32, -0.1, 0.4], vec![0.3, 0.1, -0.9]]; // of two processes
/// let k = 3;
/// let mut bracket = Bracket::all();
/// let threshold = loop {
///     let mut sum = Histogram::within(&bracket);
///     for part in &parts {
///         let mut own = Histogram::within(&bracket);
///         own.add(part, None)?;
///         sum.merge(&own)?; // or add up `counts_mut` of all processes
///     }
///     bracket = sum.bracket(k).expect("there are six entries");
///     if let Some(threshold) = bracket.threshold() {
///         break threshold;
///     }
/// };
/// assert_eq!((threshold, bracket.below(), bracket.inside()), (f64::from(0.3_f32), 2, 1));
///
/// // Each process prunes up to the threshold. Of the entries at it, the first k - below are pruned; here, that is the only one.
/// let mut weight = prune::Parameter::new(ndarray::arr1(&parts[1]));
/// weight.prune(UpTo::new(threshold, 1))?;
/// assert_eq!(weight.value(), &ndarray::arr1(&[0.0, 0.0, -0.9]).into_dyn());
/// # Ok::<(), prune::PruneError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    within: Bracket,
    /// A section for each type.
    counts: Vec<u64>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// Returns an empty histogram of all magnitudes.
    pub fn new() -> Self {
        Self::within(&Bracket::all())
    }

    /// Returns an empty histogram that tells the magnitudes within a bracket apart. Others are counted as below or above.
    pub fn within(bracket: &Bracket) -> Self {
        let within = Bracket { below: 0, inside: 0, exact: false, ..*bracket };
        Self { within, counts: vec![0; TYPES.len() * SECTION] }
    }

    /// Counts the entries of a part that its mask keeps, or all without a mask.
    ///
    /// # Errors
    ///
    /// [`PruneError::ShapeMismatch`] if the mask has not one value per entry.
    pub fn add<A: Element>(&mut self, entries: &[A], mask: Option<&[bool]>) -> Result<(), PruneError> {
        if let Some(mask) = mask {
            PruneError::check_shape("mask", &[entries.len()], &[mask.len()])?;
        }
        let chunks = chunks(&[Segment { scores: entries, remaining: mask }]);
        infallible(self.count(&chunks[..]));
        Ok(())
    }

    /// Counts the remaining entries of scores of any origin.
    pub(crate) fn count<A: Element, S: Scores<Score = A> + ?Sized>(&mut self, scores: &S) -> Result<(), S::Error> {
        let bins = Bins::<A>::of(&self.within);
        let merge = |mut a: Vec<u64>, b: Vec<u64>| {
            add_up(&mut a, &b);
            a
        };
        let section = scores.fold(|| vec![0; SECTION], |counts, piece| bins.add(counts, piece), merge)?;
        add_up(&mut self.counts[section_of::<A>()..], &section);
        Ok(())
    }

    /// Adds the counts of another part.
    ///
    /// # Errors
    ///
    /// [`PruneError::OtherBracket`] if the other histogram is within another bracket.
    pub fn merge(&mut self, other: &Self) -> Result<(), PruneError> {
        if !self.within.is_same(&other.within) {
            let [expected, found] = [self.within, other.within].map(|within| (within.low(), within.high()));
            return Err(PruneError::OtherBracket { expected, found });
        }
        add_up(&mut self.counts, &other.counts);
        Ok(())
    }

    /// The counts, of one length for all histograms: about 262,000 numbers, 2 MB.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The counts, to be replaced by their sums over all parts, all of which are within the same bracket.
    pub fn counts_mut(&mut self) -> &mut [u64] {
        &mut self.counts
    }

    /// The number of entries that were counted.
    pub fn entries(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the bracket of the k-th lowest magnitude, where the first is `k = 1`. For `k = 0` it is exact and empty: nothing
    /// is below 0.
    ///
    /// Returns `None` if fewer entries were counted, or if the k-th of them is not [within](Self::within) the bracket of this
    /// histogram.
    pub fn bracket(&self, k: u64) -> Option<Bracket> {
        if k == 0 {
            return Some(Bracket { exact: true, ..Bracket::new(0.0, 0.0) });
        }
        let mut intervals = self.intervals();
        // As if every entry had the lowest magnitude that it can have, and then the highest.
        intervals.sort_by_key(|interval| interval.first);
        let low = kth(&intervals, k)?.first;
        intervals.sort_by_key(|interval| interval.last);
        let high = kth(&intervals, k)?.last;
        if low < self.within.low || high > self.within.high {
            return None;
        }
        let total = |test: &dyn Fn(&Interval) -> bool| -> u64 {
            intervals.iter().filter(|&interval| test(interval)).map(|interval| interval.count).sum()
        };
        let below = total(&|interval| interval.last < low);
        let inside = total(&|interval| interval.last >= low && interval.first <= high);
        let exact = low == high && inside == total(&|interval| interval.first == low && interval.last == low);
        Some(Bracket { low, high, below, inside, exact })
    }

    /// Returns the numbers of entries below a magnitude and at it, which must be the [threshold](Bracket::threshold) of a sum of
    /// which this histogram is a part.
    #[cfg(feature = "safetensors")]
    pub(crate) fn rank(&self, threshold: f64) -> (u64, u64) {
        let key = threshold.key();
        self.intervals().iter().fold((0, 0), |(below, at), interval| {
            if interval.last < key {
                (below + interval.count, at)
            } else if interval.first == key {
                (below, at + interval.count)
            } else {
                (below, at)
            }
        })
    }

    /// The types with their counts below the bracket, above it, and in each bin that has any.
    #[cfg(feature = "safetensors")]
    pub(crate) fn types(&self) -> impl Iterator<Item = TypeCounts> {
        TYPES.iter().zip(self.counts.chunks(SECTION)).map(|(name, section)| {
            let bins = (0..=u16::MAX).zip(&section[BINS..]).filter(|&(_, &count)| count > 0);
            let bins = bins.map(|(bin, &count)| (bin, count)).collect();
            TypeCounts { dtype: (*name).to_owned(), below: section[BELOW], above: section[ABOVE], bins }
        })
    }

    /// Adds the counts of a type. Returns `None` if there are no such type and bins within the bracket, or if a sum overflows.
    #[cfg(feature = "safetensors")]
    pub(crate) fn add_type(&mut self, counts: &TypeCounts) -> Option<()> {
        let number = TYPES.iter().position(|&name| name == counts.dtype)?;
        let last = [
            Bins::<half::f16>::of(&self.within).last(),
            Bins::<half::bf16>::of(&self.within).last(),
            Bins::<f32>::of(&self.within).last(),
            Bins::<f64>::of(&self.within).last(),
        ][number];
        let section = &mut self.counts[number * SECTION..][..SECTION];
        let mut add = |number: usize, count| {
            section[number] = section[number].checked_add(count)?;
            Some(())
        };
        add(BELOW, counts.below)?;
        add(ABOVE, counts.above)?;
        let mut bins = counts.bins.iter().map(|&(bin, count)| (bin as usize, count));
        bins.try_for_each(|(bin, count)| add(BINS + bin, count).filter(|()| last.is_some_and(|last| bin <= last)))
    }

    /// Returns the intervals of magnitudes in which the entries lie, as exactly as they are known.
    fn intervals(&self) -> Vec<Interval> {
        let mut intervals = Vec::new();
        self.intervals_of::<half::f16>(&mut intervals);
        self.intervals_of::<half::bf16>(&mut intervals);
        self.intervals_of::<f32>(&mut intervals);
        self.intervals_of::<f64>(&mut intervals);
        intervals
    }

    fn intervals_of<A: Element>(&self, intervals: &mut Vec<Interval>) {
        let section = &self.counts[section_of::<A>()..][..SECTION];
        let Bracket { low, high, .. } = self.within;
        let bins = Bins::<A>::of(&self.within);
        for (number, &count) in section.iter().enumerate().filter(|&(_, &count)| count > 0) {
            let (first, last) = match number {
                BELOW => (0, low.saturating_sub(1)),
                ABOVE => (high.saturating_add(1), u64::MAX),
                bin => bins.range(bin - BINS),
            };
            intervals.push(Interval { first, last, count });
        }
    }
}

/// The counts of one type, as files hold them.
#[cfg(feature = "safetensors")]
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TypeCounts {
    pub dtype: String,
    pub below: u64,
    pub above: u64,
    /// The numbers of bins, with their counts.
    pub bins: Vec<(u16, u64)>,
}

#[cfg(feature = "safetensors")]
impl TypeCounts {
    /// The number of entries, if it does not overflow.
    pub fn entries(&self) -> Option<u64> {
        let bins = self.bins.iter().map(|&(_, count)| count);
        bins.chain([self.below, self.above]).try_fold(0, u64::checked_add)
    }
}

/// The index of the first count of a type.
fn section_of<A: Element>() -> usize {
    let number = TYPES.iter().position(|&name| name == A::DTYPE);
    // The trait Element is sealed.
    number.expect("these four are all the element types") * SECTION
}

/// Adds numbers in place.
fn add_up(sums: &mut [u64], numbers: &[u64]) {
    sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
}

/// Entries whose keys as `f64` are from `first` to `last`.
#[derive(Debug, Clone, Copy)]
struct Interval {
    first: u64,
    last: u64,
    count: u64,
}

/// The interval with the k-th entry, in the order in which they come.
fn kth(intervals: &[Interval], k: u64) -> Option<&Interval> {
    let mut before = 0;
    intervals.iter().find(|interval| {
        before += interval.count;
        k <= before
    })
}

/// The bins of a type: each takes 2^shift neighbouring keys, from `low` on.
#[derive(Clone, Copy)]
struct Bins<A: Element> {
    low: A::Key,
    /// The first key above the bracket; equal to `low` if the type has no magnitude inside.
    end: A::Key,
    shift: u32,
}

impl<A: Element> Bins<A> {
    fn of(within: &Bracket) -> Self {
        let (low, _) = narrow_key::<A>(within.low);
        let (last, is_inside) = narrow_key::<A>(within.high);
        let end = if is_inside { last + A::Key::ONE } else { last };
        let width = if end > low { (end - low - A::Key::ONE).bits() } else { 0 };
        Self { low, end, shift: width.saturating_sub(BITS) }
    }

    /// The last bin; `None` if there is no bin.
    #[cfg(feature = "safetensors")]
    fn last(&self) -> Option<usize> {
        (self.end > self.low).then(|| ((self.end - A::Key::ONE - self.low) >> self.shift).to_usize())
    }

    fn add(&self, mut counts: Vec<u64>, piece: &Chunk<'_, A>) -> Vec<u64> {
        for key in piece.keys() {
            let number = if key < self.low {
                BELOW
            } else if key < self.end {
                BINS + ((key - self.low) >> self.shift).to_usize()
            } else if key < A::Key::MAX {
                ABOVE
            } else {
                continue; // pruned
            };
            counts[number] += 1;
        }
        counts
    }

    /// The first and the last key of a bin, as keys of `f64`.
    fn range(&self, bin: usize) -> (u64, u64) {
        let step = |bin: usize| {
            // The number of a bin has 16 bits, and so fits into any key.
            let number = (0..BITS).fold(A::Key::ZERO, |sum, bit| sum | A::Key::from(bin >> bit & 1 == 1) << bit);
            self.low + (number << self.shift)
        };
        let first = step(bin);
        let last = first + ((A::Key::ONE << self.shift) - A::Key::ONE);
        (widen_key::<A>(first), widen_key::<A>(last.min(self.end - A::Key::ONE)))
    }
}

#[cfg(test)]
#[path = "histogram_tests.rs"]
mod tests;
