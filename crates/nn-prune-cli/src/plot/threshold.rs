//! Tells a threshold of pruning from zeros that have other reasons.

use super::PlottedTensor;

/// The entries that have to be missing below a cut, to take it for one.
const MISSING: f64 = 16.0;
/// The fraction of a mask's entries that may be missing instead, if that is fewer.
const MISSING_OF_MASK: f64 = 0.125;

/// Returns the smallest magnitude kept, if the magnitudes are cut off there.
///
/// Weights are about as dense just below a magnitude as just above it, or denser. If the density above the smallest magnitude,
/// continued to 0, stands for 16 or more entries, then entries are missing, and if there are as many zeros, those are the
/// missing entries. Padding, dead channels and pruning by other criteria leave small magnitudes, so that none are missing.
/// Rounded weights have only half as many zeros.
pub fn threshold(tensor: &PlottedTensor) -> Option<f64> {
    let magnitudes = tensor.magnitudes;
    let (smallest, largest) = (magnitudes.smallest?, magnitudes.largest?);
    if !tensor.is_sparse() || !smallest.is_finite() || smallest == largest {
        return None;
    }
    let &(exponent, _) = magnitudes.log2.first()?;
    let above = magnitudes.log2.iter().take_while(|(other, _)| *other <= exponent + 1);
    let above: u64 = above.map(|(_, count)| count).sum();
    let end = 2_f64.powi(exponent + 2);
    let missing = above as f64 * smallest / (end - smallest);
    let enough = if tensor.masked > 0 { MISSING.min(tensor.masked as f64 * MISSING_OF_MASK) } else { MISSING };
    (missing >= enough && tensor.zeros as f64 >= 0.75 * missing).then_some(smallest)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prune::checkpoint::Magnitudes;

    use super::*;

    /// Returns the threshold of a tensor with these entries, of which the mask prunes `masked`.
    fn threshold_of(entries: &[f64], masked: usize) -> Option<f64> {
        let nonzero = || entries.iter().map(|x| x.abs()).filter(|&x| x > 0.0);
        let mut log2 = BTreeMap::new();
        for x in nonzero() {
            *log2.entry(x.log2().floor() as i32).or_default() += 1;
        }
        let magnitudes = Magnitudes {
            smallest: nonzero().reduce(f64::min),
            largest: nonzero().reduce(f64::max),
            log2: log2.into_iter().collect(),
            infinite: 0,
            nan: 0,
        };
        let zeros = entries.len() - nonzero().count();
        threshold(&PlottedTensor { name: "w".into(), entries: entries.len(), zeros, masked, magnitudes: &magnitudes })
    }

    /// Values of a bell curve, in an order without meaning.
    fn weights(count: usize) -> Vec<f64> {
        let uniform = |i: usize, step: f64| ((i as f64 + 0.5) * step).fract();
        let gaussian = |i| {
            let (radius, angle): (f64, f64) = (uniform(i, 0.618_033_988_75), uniform(i, 0.754_877_666_25));
            (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
        };
        (0..count).map(gaussian).collect()
    }

    fn cut(mut entries: Vec<f64>, limit: f64) -> Vec<f64> {
        entries.iter_mut().filter(|x| x.abs() <= limit).for_each(|x| *x = 0.0);
        entries
    }

    #[test]
    fn pruning_by_magnitude_has_a_threshold() {
        for limit in [0.02, 0.1, 0.5, 0.9, 1.0, 1.28, 2.5] {
            let found = threshold_of(&cut(weights(20_000), limit), 0).unwrap();
            assert!((limit..limit * 1.1).contains(&found), "{limit} {found}");
        }
    }

    #[test]
    fn other_zeros_have_none() {
        let every = |step: usize| {
            let mut entries = weights(20_000);
            entries.iter_mut().step_by(step).for_each(|x| *x = 0.0);
            entries
        };
        let padded = || [vec![0.0; 5_000], weights(20_000)].concat();
        let rounded = |step: f64| weights(20_000).iter().map(|x| (x / step).round() * step).collect::<Vec<_>>();
        let gains: Vec<f64> = (0..500).map(|i| if i % 20 == 0 { 0.0 } else { 0.5 + i as f64 / 500.0 }).collect();
        let signs: Vec<f64> = (0..999).map(|i| f64::from(i % 3) - 1.0).collect();
        for (entries, masked) in [
            (weights(20_000), 0),
            (every(2), 0),
            (every(2), 10_000),
            (padded(), 0),
            (rounded(0.1), 0),
            (rounded(0.04), 0),
            (gains, 0),
            (signs, 0),
            (vec![0.0; 100], 100),
            (vec![1.0, 0.0, 3.0, 4.0], 0),
        ] {
            assert_eq!(threshold_of(&entries, masked), None, "{:?}", &entries[..4]);
        }
    }

    /// With a mask, the zeros of a small tensor are known to be pruned.
    #[test]
    fn fewer_entries_are_enough_with_a_mask() {
        let entries = cut((0..20).map(|i| f64::from(i) / 20.0).collect(), 0.45);
        assert_eq!(threshold_of(&entries, 10), Some(0.5));
        assert_eq!(threshold_of(&entries, 0), None);
    }
}
