//! Counts of one ranking over several parameters, which are looked at one by one.

use crate::key::Ranked;
use crate::training::allocation::Limits;

/// The number of bits that one pass over all scores tells apart.
const DIGIT: u32 = 16;

/// The number of passes over all parameters.
#[cfg(feature = "safetensors")]
pub(crate) const PASSES: u64 = 5;

/// Returns how many entries of each parameter are pruned if the lowest scores of all are, within the limits of each.
///
/// `scores` gives the scores of a parameter's remaining entries in ascending order, once in each pass; `pruned` is the number
/// of its other entries, none if the list is empty. So a parameter is held in memory only while it is looked at. The total was
/// checked. Equal scores are counted for the first parameter first.
pub(crate) fn merged_counts<E>(
    limits: &[Limits],
    total: usize,
    pruned: &[usize],
    mut scores: impl FnMut(usize) -> Result<Vec<f64>, E>,
) -> Result<Vec<usize>, E> {
    let mut counts: Vec<usize> = limits.iter().map(|limits| limits.min).collect();
    // The scores between the limits of each parameter compete for the rest.
    let mut rest = total - counts.iter().sum::<usize>();
    let mut keys = |number: usize| -> Result<Vec<u64>, E> {
        let (Limits { min, max, .. }, pruned) = (limits[number], pruned.get(number).copied().unwrap_or(0));
        Ok(scores(number)?[min - pruned..max - pruned].iter().map(|score| score.key()).collect())
    };

    // The key at which the rest is used up, found from its first bits to its last.
    let mut threshold = 0;
    for shift in [48, 32, 16, 0] {
        let mut histogram = vec![0_usize; 1 << DIGIT];
        for number in 0..limits.len() {
            let distances = keys(number)?.into_iter().filter_map(|key| key.checked_sub(threshold));
            let digits = distances.map(|distance| (distance >> shift) as usize);
            digits.filter(|&digit| digit < 1 << DIGIT).for_each(|digit| histogram[digit] += 1);
        }
        let mut digits = histogram.into_iter().enumerate();
        let last = digits.find(|&(_, at)| {
            let is_last = at >= rest;
            rest -= if is_last { 0 } else { at };
            is_last
        });
        threshold += last.map_or(0, |(digit, _)| (digit as u64) << shift);
    }
    for (number, count) in counts.iter_mut().enumerate() {
        let keys = keys(number)?;
        let below = keys.partition_point(|&key| key < threshold);
        let ties = (keys.partition_point(|&key| key <= threshold) - below).min(rest);
        rest -= ties;
        *count += below + ties;
    }
    Ok(counts)
}
