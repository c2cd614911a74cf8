//! A sample of the entries, and the bracket around the k-th lowest key that it gives.

use crate::key::Key;
use crate::select::KeyOf;
use crate::select::scores::Scores;
use crate::tensor::parallel;

/// The largest number of runs sampled from scores that are expensive to look at.
const SAMPLE_LIMIT: usize = 1 << 20;
/// The number of runs that a thread samples at a time.
const LOOKS: usize = 64;
/// The same where runs are single entries in memory.
const MANY_LOOKS: usize = 1 << 12;
/// The number of entries that a loop over neighbours reads while a look at memory waits for it. From 2 * 10^6 entries on, two
/// threads are faster then: 16 % of a whole pruning of 1.6 * 10^7 entries.
const WORK_OF_LOOK: usize = 8;
/// Half the width of the bracket, in standard deviations of the sample's error. Where a look is expensive, one scan in 15 000
/// misses.
pub(super) const DEVIATIONS: f64 = 4.0;
/// The same where entries are in memory: one scan in 80 misses and is followed by a radix search, which costs less than the
/// blocks that a wider bracket hits in all the others.
pub(super) const FEW_DEVIATIONS: f64 = 2.5;

/// Returns two keys between which the k-th lowest should lie.
pub(super) fn bracket<S: Scores + ?Sized>(
    scores: &S,
    entries: usize,
    k: usize,
) -> Result<(KeyOf<S>, KeyOf<S>), S::Error> {
    let stride = stride(entries, S::RUN);
    let mut sample = Vec::with_capacity(entries / stride * S::RUN);
    let mut runs = Vec::new();
    let (mut piece, mut first) = (0, 0);
    let places = sample_offsets(entries, stride).map(|offset| {
        while offset - first >= scores.len(piece) {
            first += scores.len(piece);
            piece += 1;
        }
        (piece, offset - first)
    });
    // A look at memory waits for it, and one at a file for the system: all cores take part.
    let places: Vec<_> = places.collect();
    let (at_a_time, work) = if S::RUN == 1 { (MANY_LOOKS, places.len() * WORK_OF_LOOK) } else { (LOOKS, entries) };
    let parts: Vec<_> = places.chunks(at_a_time).collect();
    let looks = parallel::try_map(parts.len(), work, |number| {
        let (mut keys, mut ends) = (Vec::with_capacity(parts[number].len() * S::RUN), Vec::new());
        for &(piece, entry) in parts[number] {
            scores.peek(piece, entry, &mut keys)?;
            if S::RUN > 1 {
                ends.push(keys.len());
            }
        }
        Ok((keys, ends))
    })?;
    for (keys, ends) in looks {
        runs.extend(ends.into_iter().map(|end| sample.len() + end));
        sample.extend(keys);
    }
    // The rank within the sample is the same fraction of it, give or take the deviation of a binomial distribution and the
    // rounding.
    let fraction = k as f64 / entries as f64;
    let size = sample.len() as f64;
    let deviation = (size * fraction * (1.0 - fraction)).sqrt().max(deviation_of_runs(&sample, &runs, fraction));
    let deviations = if S::RUN == 1 { FEW_DEVIATIONS } else { DEVIATIONS };
    let margin = deviations * deviation + deviations;
    let (low, high) = (fraction * size - margin, fraction * size + margin);
    let (mut lower, mut hi) = (&mut sample[..], KeyOf::<S>::MAX);
    if high < size {
        let (before, &mut key, _) = lower.select_nth_unstable(high as usize);
        (lower, hi) = (before, key);
    }
    let lo = if low < 0.0 { KeyOf::<S>::ZERO } else { *lower.select_nth_unstable(low as usize).1 };
    Ok((lo, hi))
}

/// Returns the number of entries per look of the sample, which takes in `run` of them.
pub(super) fn stride(entries: usize, run: usize) -> usize {
    if run == 1 {
        // A sample of about n^(2/3) balances its cost with the saving of the narrower bracket.
        return (entries as f64).cbrt() as usize / 2;
    }
    let most = (entries >> 12).clamp(1 << 17, SAMPLE_LIMIT);
    (entries / most).max(32) * run
}

/// Returns the sampled offsets: one of every `stride` neighbours.
///
/// The choice within each stride looks random, so that no period in the data (the columns of a matrix, for example) can line
/// up with the stride.
pub(super) fn sample_offsets(entries: usize, stride: usize) -> impl Iterator<Item = usize> {
    (0..entries / stride).map(move |stratum| {
        let scrambled =
            (stratum as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32).wrapping_mul(0xd6e8_feb8_6659_fd93)
                >> 32;
        stratum * stride + ((scrambled * stride as u64) >> 32) as usize
    })
}

/// Returns the deviation of the number of sampled entries below the quantile of `fraction`, estimated from its variation
/// between runs.
///
/// Neighbours are alike, so that a run says less about the whole than as many scattered entries.
pub(super) fn deviation_of_runs<K: Key>(sample: &[K], ends: &[usize], fraction: f64) -> f64 {
    let middle = (fraction * sample.len() as f64) as usize;
    if ends.is_empty() || middle >= sample.len() {
        return 0.0;
    }
    let quantile = *sample.to_vec().select_nth_unstable(middle).1;
    let mut start = 0;
    let squares = ends.iter().map(|&end| {
        let run = &sample[std::mem::replace(&mut start, end)..end];
        let below = run.iter().filter(|&&key| key < quantile).count();
        (below as f64 - fraction * run.len() as f64).powi(2)
    });
    squares.sum::<f64>().sqrt()
}
