//! Laws that hold for every layer, not only for the golden ones.

use std::sync::Arc;

use ndarray::{Array2, Axis};
use proptest::prelude::*;
use prune::calibration::{Admm, DampeningOf, LeastSquares, Moments, Pattern, Ria, SparseGpt, Swaps, Wanda};
use prune::{AnyMethod, Mask, Parameter, Reconstruct};

use super::layer::{LAYERS, Layer, PATTERNS, group, pattern};

/// The relative error of a layer under a mask, with the weights as they are.
fn error(weight: &Array2<f64>, pruned: &Parameter<f64>, moments: &Moments) -> f64 {
    prune::calibration::reconstruction_error(weight.view().into_dyn(), pruned.value().view(), moments).unwrap()
}

fn masked(weight: &Array2<f64>, method: impl prune::PruningMethod<f64> + 'static) -> Parameter<f64> {
    let mut parameter = Parameter::new(weight.clone());
    parameter.prune(method).unwrap();
    parameter
}

fn reconstructed(weight: &Array2<f64>, method: impl Reconstruct<f64> + 'static) -> Parameter<f64> {
    let mut parameter = Parameter::new(weight.clone());
    parameter.reconstruct(method).unwrap();
    parameter
}

/// A random layer whose inputs are correlated.
fn layers() -> impl Strategy<Value = (Array2<f64>, Arc<Moments>)> {
    (1..12_usize, 2..40_usize, 1..60_usize, any::<u64>()).prop_map(|(rows, columns, tokens, seed)| {
        let mut state = seed | 1;
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / (1 << 24) as f64 - 0.5
        };
        let weight = Array2::from_shape_simple_fn((rows, columns), &mut draw);
        let mixed = Array2::from_shape_simple_fn((columns, columns), &mut draw) + &Array2::<f64>::eye(columns);
        let inputs = Array2::from_shape_simple_fn((tokens, columns), draw).dot(&mixed);
        let mut moments = Moments::with_gram(columns);
        moments.push(inputs.view()).unwrap();
        (weight, Arc::new(moments))
    })
}

/// The damped objective, `tr(D H Dᵀ)` with `H = 2/n G + dampening`.
fn objective(weight: &Array2<f64>, pruned: &Parameter<f64>, moments: &Moments) -> f64 {
    let scale = 2.0 / moments.count() as f64;
    let mut h = moments.gram().unwrap() * scale;
    let added = 0.01 * h.diag().iter().map(|&x| if x == 0.0 { 1.0 } else { x }).sum::<f64>() / h.nrows() as f64;
    h.diag_mut().iter_mut().for_each(|x| *x = if *x == 0.0 { 1.0 } else { *x } + added);
    let difference = weight - &pruned.view::<ndarray::Ix2>();
    (difference.dot(&h) * &difference).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Swaps never make it worse, and least squares are the best under a mask: at least as good as SparseGPT's update, and as none.
    #[test]
    fn each_step_lowers_the_error((weight, moments) in layers(), share in 0.0..0.95_f64) {
        let wanda = Wanda::new(share, moments.clone()).unwrap();
        let plain = masked(&weight, wanda.clone());
        let swapped = masked(&weight, Swaps::new(wanda.clone(), moments.clone()));
        prop_assert_eq!(plain.pruned(), swapped.pruned());
        prop_assert!(error(&weight, &swapped, &moments) <= error(&weight, &plain, &moments) + 1e-12);

        let mut updated = plain.clone();
        updated.reconstruct(SparseGpt::new(0, moments.clone()).unwrap()).unwrap();
        let solved = reconstructed(&weight, LeastSquares::after(wanda.clone(), moments.clone()));
        let steps = reconstructed(&weight, LeastSquares::after(wanda, moments.clone()).exact_up_to(0));
        let of = |pruned: &Parameter<f64>| objective(&weight, pruned, &moments);
        let slack = 1e-9 * of(&plain) + 1e-15;
        prop_assert!(of(&solved) <= of(&updated) + slack);
        prop_assert!(of(&solved) <= of(&steps) + slack && of(&steps) <= of(&plain) + slack);
    }

    /// Every row, block or group loses what was asked for, and what was pruned before stays pruned.
    #[test]
    fn counts_are_exact((weight, moments) in layers(), keep in 0..5_usize, share in 0.0..1.0_f64) {
        let columns = weight.ncols();
        let per_row = (share * columns as f64).round_ties_even() as usize;
        let wanda = Wanda::new(share, moments.clone()).unwrap();
        let methods = [
            AnyMethod::new(wanda.clone()),
            AnyMethod::new(Ria::new(share, moments.clone()).unwrap()),
            AnyMethod::new(Swaps::new(wanda.clone(), moments.clone())),
            AnyMethod::new(LeastSquares::after(wanda, moments.clone())),
        ];
        for method in methods {
            let mut parameter = masked(&weight, method.clone());
            for row in parameter.mask().unwrap().to_array().axis_iter(Axis(0)) {
                prop_assert_eq!(row.iter().filter(|kept| !**kept).count(), per_row);
            }
            let before = parameter.mask().unwrap().clone();
            parameter.prune(method).unwrap();
            prop_assert!(before.iter().zip(parameter.mask().unwrap().iter()).all(|(before, after)| before || !after));
        }
        let all = (share * weight.len() as f64).round_ties_even() as usize;
        prop_assert_eq!(masked(&weight, SparseGpt::new(share, moments.clone()).unwrap()).pruned(), all);
        prop_assert_eq!(masked(&weight, Admm::new(share, moments.clone()).unwrap()).pruned(), all);

        let groups = Pattern::KeepOf { keep: keep.min(4), of: 4 };
        let lost = columns / 4 * (4 - keep.min(4)) + (4 - keep.min(4)) * (columns % 4) / 4;
        let methods = [
            AnyMethod::new(Wanda::new(groups, moments.clone()).unwrap()),
            AnyMethod::new(Ria::new(groups, moments.clone()).unwrap()),
            AnyMethod::new(SparseGpt::new(groups, moments.clone()).unwrap()),
            AnyMethod::new(Admm::new(groups, moments.clone()).unwrap()),
            AnyMethod::new(Swaps::new(Wanda::new(groups, moments.clone()).unwrap(), moments).within(4)),
        ];
        for method in methods {
            let mut parameter = masked(&weight, method.clone());
            prop_assert_eq!(parameter.pruned(), lost * weight.nrows(), "{:?}", &method);
            parameter.prune(method).unwrap();
            prop_assert_eq!(parameter.pruned(), lost * weight.nrows(), "again");
        }
    }

    /// A row is pruned by itself, except by the methods that rank blocks or the layer.
    #[test]
    fn other_rows_make_no_difference((weight, moments) in layers(), share in 0.0..1.0_f64) {
        let method = Swaps::new(Wanda::new(share, moments.clone()).unwrap(), moments);
        let together = masked(&weight, method.clone()).mask().unwrap().to_array();
        for (row, expected) in weight.axis_chunks_iter(Axis(0), 1).zip(together.axis_chunks_iter(Axis(0), 1)) {
            let alone = masked(&row.to_owned(), method.clone());
            prop_assert_eq!(alone.mask().unwrap(), &Mask::from(expected.to_owned()));
        }
    }
}

#[test]
fn inequalities_of_the_golden_layers() {
    for name in LAYERS {
        let layer = Layer::load(name);
        for pattern_name in PATTERNS {
            let wanda = Wanda::new(pattern(pattern_name), layer.moments.clone()).unwrap();
            let swaps = Swaps::new(wanda.clone(), layer.moments.clone());
            let swaps = group(pattern_name).map_or(swaps.clone(), |of| swaps.within(of));
            let of = |pruned: &Parameter<f64>| error(&layer.weight, pruned, &layer.moments);
            let plain = of(&masked(&layer.weight, wanda.clone()));
            assert!(of(&masked(&layer.weight, swaps)) <= plain, "{name} {pattern_name}");
            let solved = LeastSquares::after(wanda.clone(), layer.moments.clone());
            assert!(of(&reconstructed(&layer.weight, solved)) < plain, "{name} {pattern_name}");
            let masked = masked(&layer.weight, wanda);
            let mut updated = masked.clone();
            updated.reconstruct(SparseGpt::new(0, layer.moments.clone()).unwrap()).unwrap();
            let damped = |pruned: &Parameter<f64>| objective(&layer.weight, pruned, &layer.moments);
            assert!(damped(&updated) < damped(&masked), "{name} {pattern_name}");
        }
    }
}

/// Weights of inputs that are always zero become 0 in SparseGPT, pruned or not.
#[test]
fn dead_inputs() {
    let layer = Layer::load("dead_f32");
    let dead = layer.moments.dead();
    assert_eq!(dead.len(), 7);
    let mut weight = Parameter::new(layer.weight.clone());
    let done = weight.reconstruct(SparseGpt::new(0.1, layer.moments.clone()).unwrap()).unwrap();
    assert_eq!(done.dead, 7);
    for column in dead {
        assert!(weight.view::<ndarray::Ix2>().column(column).iter().all(|&x| x == 0.0));
    }
    // With the mean over live inputs, the damping is that of the others alone.
    let live = SparseGpt::new(0.1, layer.moments.clone()).unwrap().dampening_of(DampeningOf::Live);
    let of_live = Parameter::new(layer.weight.clone()).reconstruct(live).unwrap().dampening;
    let h = layer.moments.gram().unwrap().diag().sum() * 2.0 / layer.moments.count() as f64;
    assert!((of_live - 0.01 * h / 121.0).abs() < 1e-12 * of_live);
    assert!((done.dampening - 0.01 * (h + 7.0) / 128.0).abs() < 1e-12 * done.dampening);
}

/// The second of two prunings makes up for what it prunes itself: what was made up for before is 0 in `orig`.
#[test]
fn nothing_is_made_up_for_twice() {
    let layer = Layer::load("small_f32");
    let least_squares =
        |share: f64| LeastSquares::after(Wanda::new(share, layer.moments.clone()).unwrap(), layer.moments.clone());
    let mut weight = Parameter::new(layer.weight.clone());
    weight.reconstruct(least_squares(0.5)).unwrap();
    assert_eq!(weight.value(), weight.orig());
    let before = weight.value().clone();
    weight.reconstruct(least_squares(0.0)).unwrap();
    let change = (&before - weight.value()).iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    assert!(change < 1e-12, "{change}");
    weight.reconstruct(least_squares(0.5)).unwrap();
    assert_eq!(weight.pruned(), 32 * 48);
    let error = error(&layer.weight, &weight, &layer.moments);
    assert!(error < layer.error("0.8", "wanda_ls"), "{error}");
}

/// The history names the method, and does not keep its data alive.
#[test]
fn histories_keep_no_data() {
    let layer = Layer::load("small_f32");
    let moments = Arc::clone(&layer.moments);
    let count = Arc::strong_count(&moments);
    let mut weight = Parameter::new(layer.weight.clone());
    weight.prune(Wanda::new(0.1, moments.clone()).unwrap()).unwrap();
    weight.prune(Swaps::new(Ria::new(0.2, moments.clone()).unwrap(), moments.clone())).unwrap();
    weight.reconstruct(SparseGpt::new(0.5, moments.clone()).unwrap()).unwrap();
    weight.reconstruct(LeastSquares::new(moments.clone())).unwrap();
    weight.reconstruct(Admm::new(0.1, moments.clone()).unwrap()).unwrap();
    assert_eq!(Arc::strong_count(&moments), count);
    let names: Vec<&str> = weight.methods().iter().map(|record| record.name()).collect();
    assert_eq!(names, ["Wanda", "Swaps", "SparseGpt", "LeastSquares", "Admm"]);
    let scores = layer.weight.view().into_dyn();
    let all = ndarray::ArrayD::from_elem(scores.shape(), true);
    let again = weight.methods().compute_mask(scores, all.view()).unwrap_err();
    assert_eq!(again.to_string(), "Admm: a history keeps no moments, so the mask cannot be computed again");
}
