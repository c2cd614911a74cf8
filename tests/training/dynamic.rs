//! Exchanges: the number of kept entries never changes. And arrays of an optimizer, cleared under a mask.

use ndarray::{Array2, ArrayD, arr1, arr2};
use proptest::prelude::*;
use prune::training::{Exchange, Growth, cosine, exchange};
use prune::{Amount, L1Unstructured, Mask, Parameter, PruneError, RandomSource, RandomUnstructured};

use crate::laws::runner::check_law;
use crate::training::{state, weights};

/// The new mask and which entries grew, by sorting.
fn oracle(weight: &Parameter<f32>, drop: usize, scores: &ArrayD<f32>) -> (Vec<bool>, Vec<bool>) {
    let before: Vec<bool> = weight.mask().expect("it is pruned").iter().collect();
    let values: Vec<f32> = weight.value().iter().copied().collect();
    let scores: Vec<f32> = scores.iter().copied().collect();
    let mut kept = before.clone();
    let mut living: Vec<usize> = (0..kept.len()).filter(|&i| kept[i]).collect();
    living.sort_by(|&a, &b| values[a].abs().total_cmp(&values[b].abs()));
    living[..drop].iter().for_each(|&i| kept[i] = false);
    let mut free: Vec<usize> = (0..kept.len()).filter(|&i| !kept[i]).collect();
    free.sort_by(|&a, &b| scores[b].abs().total_cmp(&scores[a].abs()));
    free[..drop].iter().for_each(|&i| kept[i] = true);
    let grown = kept.iter().zip(&before).map(|(kept, before)| *kept && !before).collect();
    (kept, grown)
}

#[test]
fn exchanges_are_those_of_the_definition() {
    let inputs = (1_usize..60, 0.0..=1.0_f64, 0.0..=1.0_f64, any::<u64>(), any::<bool>());
    check_law(inputs, |(entries, sparsity, share, seed, coarse)| {
        let mut weight = Parameter::new(weights(&[entries], seed));
        weight.prune(RandomUnstructured::new(sparsity, seed).unwrap()).unwrap();
        weight.update(|mut orig| orig += 0.01);
        // Coarse scores tie: the lowest index grows first.
        let scores = weights(&[entries], seed ^ 1).mapv(|x| if coarse { (x * 3.0).round() } else { x });
        let kept = weight.mask().unwrap().kept();
        let drop = Amount::Fraction(share).count(kept).unwrap();
        let (mask, grown) = oracle(&weight, drop, &scores);
        let before = weight.clone();
        let Exchange { grown: found, count } = exchange(&mut weight, share, Growth::Scores(scores.view())).unwrap();
        assert_eq!(weight.mask().unwrap().iter().collect::<Vec<_>>(), mask);
        assert_eq!(found.iter().collect::<Vec<_>>(), grown);
        assert_eq!((weight.mask().unwrap().kept(), count), (kept, grown.iter().filter(|grown| **grown).count()));
        for i in 0..entries {
            let orig = if grown[i] { 0.0 } else { before.orig()[[i]] };
            assert_eq!(weight.orig()[[i]].to_bits(), orig.to_bits());
            assert_eq!(weight.value()[[i]], if mask[i] { orig } else { 0.0 });
        }
        assert_eq!(weight.methods().len(), before.methods().len() + 1);
        assert_eq!(weight.methods()[weight.methods().len() - 1].name(), "CustomFromMask");
    });
}

#[test]
fn random_growth_has_a_seed_and_keeps_the_number() {
    let inputs = (1_usize..60, 0.0..=1.0_f64, 0.0..=1.0_f64, any::<u64>());
    check_law(inputs, |(entries, sparsity, share, seed)| {
        let mut weight = Parameter::new(weights(&[entries], seed));
        weight.prune(L1Unstructured::new(sparsity).unwrap()).unwrap();
        let mut again = weight.clone();
        let kept = weight.mask().unwrap().kept();
        for round in 0..3 {
            let grow = || Growth::Random(RandomSource::from(seed ^ round));
            let first = exchange(&mut weight, share, grow()).unwrap();
            assert_eq!(exchange(&mut again, share, grow()).unwrap(), first);
            assert_eq!(weight.mask().unwrap().kept(), kept);
            assert_eq!(state(&weight), state(&again));
        }
    });
}

#[test]
fn random_growth_reaches_every_free_entry() -> Result<(), PruneError> {
    let mut reached = [false; 12];
    for seed in 0..200 {
        let mut weight = Parameter::new(weights(&[12], 5));
        weight.prune(L1Unstructured::new(8)?)?;
        let grown = exchange(&mut weight, 2, Growth::Random(seed.into()))?.grown;
        reached.iter_mut().zip(grown.iter()).for_each(|(reached, grown)| *reached |= grown);
    }
    assert_eq!(reached.iter().filter(|reached| **reached).count(), 8);
    Ok(())
}

/// A dropped entry competes with all others, and keeps its value if it wins. An old value under the mask does not come back.
#[test]
fn dropped_entries_can_grow_again() -> Result<(), PruneError> {
    let mut weight = Parameter::new(arr1(&[0.5_f32, -3.0, 2.0, 9.0]));
    weight.prune(prune::CustomFromMask::new(arr1(&[true, true, true, false])))?;
    let scores = arr1(&[7.0_f32, 0.0, 0.0, 0.1]).into_dyn();
    let exchanged = exchange(&mut weight, 1, Growth::Scores(scores.view()))?;
    assert_eq!((exchanged.count, weight.value()), (0, &arr1(&[0.5, -3.0, 2.0, 0.0]).into_dyn()));
    let exchanged = exchange(&mut weight, 2, Growth::Scores(arr1(&[0.0_f32, 0.0, 1.0, 2.0]).into_dyn().view()))?;
    assert_eq!((exchanged.count, weight.value()), (1, &arr1(&[0.0, -3.0, 2.0, 0.0]).into_dyn()));
    assert_eq!(weight.orig(), &arr1(&[0.5, -3.0, 2.0, 0.0]).into_dyn());
    assert_eq!(weight.mask(), Some(&Mask::from(arr1(&[false, true, true, true]))));
    Ok(())
}

#[test]
fn mistakes_change_nothing() -> Result<(), PruneError> {
    let scores = weights(&[2, 3], 2);
    let grow = || Growth::Scores(scores.view());
    let mut weight = Parameter::new(weights(&[3, 2], 1));
    assert_eq!(exchange(&mut weight, 0.5, grow()), Err(PruneError::NotPruned { parameter: None }));
    weight.prune(L1Unstructured::new(2)?)?;
    let before = state(&weight);
    let error = exchange(&mut weight, 0.5, grow()).unwrap_err();
    assert!(matches!(error, PruneError::ShapeMismatch { .. }), "{error}");
    let error = exchange(&mut weight, 5, Growth::Random(1.into())).unwrap_err();
    assert_eq!(error, PruneError::AmountTooLarge { count: 5, available: 4, unit: "entries" });
    assert!(matches!(exchange(&mut weight, 1.5, Growth::Random(1.into())), Err(PruneError::InvalidFraction { .. })));
    assert_eq!(state(&weight), before);
    Ok(())
}

#[test]
fn cosine_falls_from_the_share_to_zero() {
    assert_eq!((cosine(0.3, 0, 10), cosine(0.3, 10, 10), cosine(0.3, 99, 10), cosine(0.3, 0, 0)), (0.3, 0.0, 0.0, 0.0));
    let shares: Vec<f64> = (0..=10).map(|step| cosine(0.3, step, 10)).collect();
    assert!(shares.windows(2).all(|pair| pair[1] < pair[0]), "{shares:?}");
    assert!((shares[5] - 0.15).abs() < 1e-15);
}

#[test]
fn zero_pruned_clears_nan_where_mask_gradient_does_not() -> Result<(), PruneError> {
    let mut weight = Parameter::new(arr2(&[[1.0_f32, -2.0], [3.0, 0.5]]));
    let filled = || Array2::from_elem((2, 2), f32::NAN);
    let mut gradient = filled();
    weight.zero_pruned(gradient.view_mut())?;
    assert!(gradient.iter().all(|x| x.is_nan()), "an unpruned parameter has nothing to clear");
    weight.prune(L1Unstructured::new(2)?)?;
    weight.zero_pruned(gradient.view_mut())?;
    assert_eq!((gradient[[0, 0]].to_bits(), gradient[[1, 1]].to_bits()), (0, 0));
    assert!(gradient[[0, 1]].is_nan() && gradient[[1, 0]].is_nan(), "kept entries are untouched");
    let mut multiplied = filled();
    weight.mask_gradient(multiplied.view_mut())?;
    assert!(multiplied.iter().all(|x| x.is_nan()));
    // Zeros of both signs become the positive one.
    let mut zeros = Array2::from_elem((2, 2), -0.0_f32);
    weight.zero_pruned(zeros.view_mut())?;
    assert_eq!(zeros.mapv(f32::is_sign_negative), arr2(&[[false, true], [true, false]]));
    // Any layout, and any type that has a zero.
    let mut moments = arr2(&[[1_i64, 2], [3, 4]]).reversed_axes();
    weight.zero_pruned(moments.view_mut())?;
    assert_eq!(moments, arr2(&[[0, 3], [2, 0]]));
    let error = weight.zero_pruned(arr1(&[f64::INFINITY]).view_mut()).unwrap_err();
    assert!(matches!(error, PruneError::ShapeMismatch { .. }));
    Ok(())
}

/// A NaN that training left under a mask spreads through `value`; clearing the original heals it.
#[test]
fn a_nan_under_a_mask_is_healed() -> Result<(), PruneError> {
    let mut weight = Parameter::new(arr1(&[1.0_f32, 2.0]));
    weight.prune(L1Unstructured::new(1)?)?;
    weight.update(|mut orig| orig[0] = f32::NAN);
    assert!(weight.value()[0].is_nan());
    let healthy = weight.clone();
    weight.update(|orig| healthy.zero_pruned(orig))?;
    assert_eq!(weight.value(), &arr1(&[0.0, 2.0]).into_dyn());
    Ok(())
}
