//! Every method on every golden layer, within the tolerances of the README of the recordings.

use half::bf16;
use prune::calibration::{Admm, DampeningOf, LeastSquares, Ria, SparseGpt, Swaps, Wanda, reconstruction_error};
use prune::{CustomFromMask, Mask, Parameter, PruningMethod, Reconstruct, Reconstruction};

use super::layer::{Layer, PATTERNS, agreement, distance, group, pattern};

/// The mask of a method on a layer in `f64`.
fn mask(layer: &Layer, method: impl PruningMethod<f64> + 'static) -> Mask {
    let mut weight = Parameter::new(layer.weight.clone());
    weight.prune(method).unwrap();
    weight.mask().unwrap().clone()
}

fn reconstruct(layer: &Layer, method: impl Reconstruct<f64> + 'static) -> Reconstruction<f64> {
    let mut weight = Parameter::new(layer.weight.clone());
    let done = weight.reconstruct(method).unwrap();
    assert_eq!(weight.value(), &done.weights);
    assert_eq!(weight.mask(), Some(&done.mask));
    done
}

fn cases() -> impl Iterator<Item = (Layer, &'static str)> {
    PATTERNS.into_iter().flat_map(|pattern| Layer::all().map(move |layer| (layer, pattern)))
}

#[test]
fn sums_of_squares() {
    for layer in Layer::all() {
        let sums = layer.moments.sum_squares();
        for (found, expected) in sums.iter().zip(layer.sum_squares()) {
            assert!((found - expected).abs() <= 1e-12 * expected, "{}: {found} {expected}", layer.name);
        }
    }
}

#[test]
fn wanda_masks_are_equal() {
    for (layer, name) in cases() {
        let found = mask(&layer, Wanda::new(pattern(name), layer.moments.clone()).unwrap());
        assert_eq!(found, *layer.mask(name, "wanda").unwrap(), "{} {name}", layer.name);
    }
}

#[test]
fn ria_masks_are_equal() {
    for (layer, name) in cases() {
        let found = mask(&layer, Ria::new(pattern(name), layer.moments.clone()).unwrap());
        assert_eq!(found, *layer.mask(name, "ria").unwrap(), "{} {name}", layer.name);
    }
}

#[test]
fn masks_of_swaps_are_equal() {
    for (layer, name) in cases() {
        let wanda = Wanda::new(pattern(name), layer.moments.clone()).unwrap();
        let swaps = Swaps::new(wanda, layer.moments.clone()).steps(50);
        let swaps = match group(name) {
            Some(of) => swaps.within(of),
            None => swaps,
        };
        assert_eq!(mask(&layer, swaps), *layer.mask(name, "wanda_swaps").unwrap(), "{} {name}", layer.name);
    }
}

/// Masks are equal, weights to 1e-7, the precision of the recording.
#[test]
fn sparse_gpt_is_equal_in_f64() {
    for (layer, name) in cases() {
        for (method, of) in [("sparsegpt", DampeningOf::All), ("sparsegpt_live", DampeningOf::Live)] {
            let Some(expected) = layer.mask(name, method) else { continue };
            let sparse_gpt = SparseGpt::new(pattern(name), layer.moments.clone()).unwrap().dampening_of(of);
            let done = reconstruct(&layer, sparse_gpt);
            assert_eq!(done.mask, *expected, "{} {name} {method}", layer.name);
            assert!((done.error - layer.error(name, method)).abs() < 1e-7, "{} {name} {method}", layer.name);
            if let Some(weights) = layer.updated(name, method) {
                assert!(distance(&done.weights, weights) < 1e-7, "{} {name} {method}", layer.name);
            }
        }
    }
}

/// The update of SparseGPT under the mask of another method: nothing more is pruned.
#[test]
fn the_update_under_another_mask() {
    for (layer, name) in cases() {
        let mut weight = Parameter::new(layer.weight.clone());
        weight.prune(CustomFromMask::new(Mask::from(layer.mask(name, "wanda").unwrap().clone()))).unwrap();
        let done = weight.reconstruct(SparseGpt::new(0, layer.moments.clone()).unwrap()).unwrap();
        assert_eq!(done.mask, *layer.mask(name, "wanda").unwrap());
        assert!((done.error - layer.error(name, "wanda_obs")).abs() < 1e-7, "{} {name}", layer.name);
    }
}

#[test]
fn least_squares_are_equal() {
    for (layer, name) in cases() {
        let wanda = || Wanda::new(pattern(name), layer.moments.clone()).unwrap();
        let done = reconstruct(&layer, LeastSquares::after(wanda(), layer.moments.clone()));
        assert!(distance(&done.weights, layer.updated(name, "wanda_ls").unwrap()) < 1e-7, "{} {name}", layer.name);
        assert!((done.error - layer.error(name, "wanda_ls")).abs() < 1e-7, "{} {name}", layer.name);
        // In two calls, it is the same.
        let mut weight = Parameter::new(layer.weight.clone());
        weight.prune(wanda()).unwrap();
        weight.reconstruct(LeastSquares::new(layer.moments.clone())).unwrap();
        assert_eq!(weight.value(), &done.weights, "{} {name}", layer.name);
        // Conjugate gradients come near.
        let steps = LeastSquares::after(wanda(), layer.moments.clone()).exact_up_to(0);
        let found = reconstruct(&layer, steps).error;
        assert!((found - done.error).abs() < 2e-3, "{} {name}: {found} {}", layer.name, done.error);
    }
}

#[test]
fn admm_is_close() {
    for (layer, name) in cases() {
        let done = reconstruct(&layer, Admm::new(pattern(name), layer.moments.clone()).unwrap());
        let same = agreement(done.mask.iter(), layer.mask(name, "admm").unwrap());
        assert!(same >= 0.9999, "{} {name}: {same}", layer.name);
        assert!((done.error - layer.error(name, "admm")).abs() < 1e-6, "{} {name}", layer.name);
    }
}

/// Weights in bf16 are rounded once: at most one in a thousand differs from the rounded reference, by one unit in the last place.
#[test]
fn bf16_is_rounded_once() {
    for layer in Layer::all().filter(|layer| layer.is_bf16) {
        for name in PATTERNS {
            let mut weight = Parameter::new(layer.weight.mapv(bf16::from_f64));
            let sparse_gpt = SparseGpt::new(pattern(name), layer.moments.clone()).unwrap();
            weight.reconstruct(sparse_gpt).unwrap();
            let expected = layer.updated(name, "sparsegpt").unwrap();
            let unequal = weight.value().iter().zip(expected).filter(|(found, expected)| {
                let expected = bf16::from_f64(**expected);
                let apart = i32::from(found.to_bits() & 0x7fff).abs_diff(i32::from(expected.to_bits() & 0x7fff));
                assert!(apart <= 1, "{} {name}: {found} {expected}", layer.name);
                **found != expected
            });
            assert!(unequal.count() * 1000 <= layer.weight.len(), "{} {name}", layer.name);
        }
    }
}

#[test]
fn the_error_of_magnitude_pruning_is_that_of_the_reference() {
    for (layer, name) in cases() {
        let kept = layer.mask(name, "magnitude").unwrap().mapv(|kept| f64::from(u8::from(kept)));
        let pruned = &layer.weight.clone().into_dyn() * &kept;
        let error = reconstruction_error(layer.weight.view().into_dyn(), pruned.view(), &layer.moments).unwrap();
        assert!((error - layer.error(name, "magnitude")).abs() < 1e-9, "{} {name}", layer.name);
    }
}
