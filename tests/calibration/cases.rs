//! Layers so small that every result follows by hand: equals, zeros, huge inputs, and weights at limits.

use std::sync::Arc;

use half::f16;
use ndarray::{Array2, arr1, arr2};
use prune::calibration::{
    GradientSquares, LeastSquares, Moments, Outliers, Pattern, Ria, SparseGpt, Swaps, Wanda, owl, reconstruction_error,
};
use prune::{AnyMethod, CustomFromMask, L1Unstructured, Mask, NM, Parameter, PruningMethod};

/// Independent inputs, one token for each.
fn independent(inputs: &[f64]) -> Arc<Moments> {
    let mut moments = Moments::with_gram(inputs.len());
    moments.push(Array2::from_diag(&arr1(inputs)).view()).unwrap();
    Arc::new(moments)
}

/// The entries that a method keeps.
fn kept(weight: &Array2<f64>, method: impl PruningMethod<f64> + 'static) -> Vec<bool> {
    let mut parameter = Parameter::new(weight.clone());
    parameter.prune(method).unwrap();
    parameter.mask().unwrap().iter().collect()
}

#[test]
fn of_equals_the_first_is_pruned() {
    let (weight, inputs) = (arr2(&[[1.0, 1.0, 1.0, 1.0]]), independent(&[2.0; 4]));
    let pattern: Pattern = "2:4".parse().unwrap();
    for method in [
        AnyMethod::new(Wanda::new(0.5, inputs.clone()).unwrap()),
        AnyMethod::new(Wanda::new(pattern, inputs.clone()).unwrap()),
        AnyMethod::new(Ria::new(pattern, inputs.clone()).unwrap()),
        AnyMethod::new(SparseGpt::new(0.5, inputs.clone()).unwrap()),
        AnyMethod::new(SparseGpt::new(pattern, inputs).unwrap()),
    ] {
        let name = format!("{method:?}");
        assert_eq!(kept(&weight, method), [false, false, true, true], "{name}");
    }
}

/// Errors are w² x²: 9 each of the pruned entries and 4 each of the kept ones.
#[test]
fn of_equal_swaps_the_first_is_made() {
    let (weight, inputs) = (arr2(&[[1.0, 1.0, 2.0, 2.0]]), independent(&[3.0, 3.0, 1.0, 1.0]));
    let swaps = |steps| Swaps::new(L1Unstructured::new(2).unwrap(), inputs.clone()).steps(steps);
    assert_eq!(kept(&weight, swaps(0)), [false, false, true, true]);
    assert_eq!(kept(&weight, swaps(1)), [true, false, false, true]);
    assert_eq!(kept(&weight, swaps(2)), [true, true, false, false]);
}

/// A pruned weight does not come back, however large its score is.
#[test]
fn swaps_revive_nothing() {
    let scores = arr2(&[[5.0, 1.0, 2.0, 2.0]]);
    let mut weight = Parameter::new(scores.clone());
    weight.prune(CustomFromMask::new(arr2(&[[false, true, true, true]]).into_dyn())).unwrap();
    let swaps = Swaps::new(L1Unstructured::new(1).unwrap(), independent(&[1.0; 4]));
    weight.prune_with_scores(swaps, scores.view().into_dyn()).unwrap();
    assert_eq!(weight.mask(), Some(&Mask::from(arr2(&[[false, false, true, true]]))));
}

#[test]
fn a_gain_that_may_be_rounding_is_not_swapped_for() {
    let nearly = 1.0 + 2.0 * f64::EPSILON;
    for (input, expected) in [(nearly, [false, true]), (1.001, [true, false])] {
        let swaps = Swaps::new(L1Unstructured::new(1).unwrap(), independent(&[input, 1.0]));
        assert_eq!(kept(&arr2(&[[1.0, 1.0]]), swaps), expected, "{input}");
    }
}

/// Within a group nothing is gained. Across groups, the pattern would be lost.
#[test]
fn swaps_within_groups_keep_the_pattern() {
    let weight = arr2(&[[1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0]]);
    let inputs = independent(&[10.0, 10.0, 6.0, 6.0, 1.0, 1.0, 1.0, 1.0]);
    let pattern = NM::new(2, 4, -1).unwrap();
    let swaps = Swaps::new(pattern, inputs);
    assert_eq!(kept(&weight, swaps.clone().within(4)), kept(&weight, pattern));
    assert_ne!(kept(&weight, swaps), kept(&weight, pattern));
}

/// A root mean square above all of `f32` is the largest of them, and not infinite: 0 times it is 0.
#[test]
fn huge_inputs_are_finite_factors() {
    let weight = arr2(&[[1.0, 0.0, 2.0]]);
    assert_eq!(kept(&weight, Wanda::new(1, independent(&[1.0, 1e40, 1.0])).unwrap()), [true, false, true]);
}

#[test]
fn a_column_of_zeros_has_no_share() {
    let weight = arr2(&[[1.0, 0.0], [2.0, 0.0]]);
    assert_eq!(kept(&weight, Ria::new(1, independent(&[1.0, 1.0])).unwrap()), [true, false, true, false]);
}

/// All rows and columns have the same sum, so that only the weights and the power of the inputs count.
#[test]
fn the_power_of_ria_weighs_the_inputs() {
    let (weight, inputs) = (arr2(&[[2.0, 3.0], [3.0, 2.0]]), independent(&[10.0, 1.0]));
    let ria = Ria::new(1, inputs).unwrap();
    assert_eq!(kept(&weight, ria.clone()), [true, false, true, false]);
    assert_eq!(kept(&weight, ria.clone().power(1.0)), [true, false, true, false]);
    assert_eq!(kept(&weight, ria.power(0.0)), [false, true, true, false]);
}

/// Rows of up to so many columns are solved exactly. Conjugate gradients come as near as rounding allows.
#[test]
fn conjugate_gradients_find_the_exact_weights() {
    let columns = 24;
    let mut moments = Moments::with_gram(columns);
    let noise = |i: usize, j: usize| ((i * 7919 + j * 104_729 + i * j * 31) % 1009) as f64 / 1009.0 - 0.5;
    // Channels of very different sizes, which the diagonal makes alike.
    moments.push(Array2::from_shape_fn((300, columns), |(i, j)| noise(i, j) * (1 << (j % 8)) as f64).view()).unwrap();
    let moments = Arc::new(moments);
    let weight = Array2::from_shape_fn((5, columns), |(i, j)| noise(i + 1000, j));
    let solved = |exact: Option<usize>| {
        let method = LeastSquares::after(L1Unstructured::new(0.5).unwrap(), moments.clone());
        let method = exact.map_or(method.clone(), |columns| method.exact_up_to(columns));
        let mut parameter = Parameter::new(weight.clone());
        parameter.reconstruct(method).unwrap();
        parameter.value().clone()
    };
    let (exact, steps) = (solved(None), solved(Some(columns - 1)));
    assert_eq!(solved(Some(columns)), exact);
    assert_ne!(steps, exact);
    let apart = (&steps - &exact).iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    assert!(apart < 1e-9, "{apart}");
}

#[test]
fn sparsities_and_outliers_at_limits() {
    let layers = [Outliers { share: 0.0, entries: 10 }, Outliers { share: 1.0, entries: 10 }];
    let high = owl(&layers, 0.95, 0.2).unwrap();
    assert!(high[0] == 1.0 && (high[1] - 0.75).abs() < 1e-12, "{high:?}");
    let low = owl(&layers, 0.1, 0.2).unwrap();
    assert!(low[1] == 0.0 && (low[0] - 0.3).abs() < 1e-12, "{low:?}");
    // An outlier is above the multiple, not at it.
    let outliers = Outliers::of(Array2::<f32>::ones((2, 2)).view(), &independent(&[1.0, 1.0]), 1.0).unwrap();
    assert_eq!(outliers.share, 0.0);
}

#[test]
fn the_error_of_nothing_is_nothing() {
    let (zeros, ones) = (Array2::<f32>::zeros((2, 2)), Array2::<f32>::ones((2, 2)));
    let inputs = independent(&[1.0, 2.0]);
    for weight in [&zeros, &ones] {
        assert_eq!(reconstruction_error(weight.view(), weight.view(), &inputs).unwrap(), 0.0);
    }
    let broken = Array2::from_elem((2, 2), f32::NAN);
    assert!(reconstruction_error(ones.view(), broken.view(), &inputs).is_err());
}

/// 300² is more than the largest `f16`.
#[test]
fn fisher_scores_fit_every_type() {
    let mut gradients = GradientSquares::new(&[2]);
    gradients.push(arr1(&[1.0_f32, -1.0]).view()).unwrap();
    let scores = gradients.fisher(arr1(&[300.0, 100.0]).mapv(f16::from_f64).view()).unwrap();
    assert_eq!(scores, arr1(&[1.0, 1.0 / 9.0]).mapv(f16::from_f64));
}

/// The square of 1 + 2⁻¹² takes 25 bits, one more than `f32` has.
#[test]
fn products_of_inputs_are_exact() {
    let x = 1.0 + 2.0_f64.powi(-12);
    let mut moments = Moments::with_gram(1);
    moments.push(arr2(&[[x as f32]]).view()).unwrap();
    assert_eq!((moments.sum_squares()[0], moments.gram()), (x * x, Some(arr2(&[[x * x]]))));
}
