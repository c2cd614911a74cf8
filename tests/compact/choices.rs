//! Choices of two dimensions by given scores: the order of equals, zeros of both signs, NaN, and scores that have no scale.

use ndarray::{Array2, arr2};
use prune::compact::{Choice, Coupling, Normalize, Plan, Rank, Scope, Scores, Use};
use prune::{Norm, ParameterStore};

/// Dimensions `h` of three units and `g` of two.
fn model() -> (ParameterStore<f64>, Coupling) {
    let shapes = [("w1", (3, 1)), ("w2", (2, 3)), ("w3", (1, 2))];
    let net = ParameterStore::from_iter(shapes.map(|(name, shape)| (name, Array2::<f64>::ones(shape))));
    let coupling = Coupling::new().dimension("h", [Use::out("w1", 0), Use::input("w2", 1)]);
    (net, coupling.dimension("g", [Use::out("w2", 0), Use::input("w3", 1)]))
}

fn choose(h: [f64; 3], g: [f64; 2], choice: &Choice) -> Plan {
    let (net, coupling) = model();
    let scores = Scores::from_iter([("h", h.to_vec()), ("g", g.to_vec())]);
    coupling.choose_by(&net, &scores, choice).unwrap()
}

#[track_caller]
fn assert_kept(plan: &Plan, h: &[usize], g: &[usize]) {
    assert_eq!((plan.kept("h"), plan.kept("g")), (h, g));
}

#[test]
fn of_equals_the_first_is_pruned() {
    assert_kept(&choose([1.0; 3], [1.0; 2], &Choice::new(1)), &[1, 2], &[1]);
    let global = Choice { scope: Scope::Global, ..Choice::new(2) };
    assert_kept(&choose([1.0; 3], [1.0; 2], &global), &[2], &[0, 1]);
}

#[test]
fn zeros_of_both_signs_are_equal_and_every_nan_is_the_highest() {
    assert_kept(&choose([0.0, -0.0, 1.0], [-0.0, 0.0], &Choice::new(1)), &[1, 2], &[1]);
    for nan in [f64::NAN, -f64::NAN] {
        assert_kept(&choose([nan, 1.0, f64::INFINITY], [nan, 1.0], &Choice::new(1)), &[0, 2], &[0]);
    }
}

/// Zeros have a mean of 0 and infinities an infinite one: neither is divided by.
#[test]
fn scores_without_a_scale_are_not_scaled() {
    for normalize in [Normalize::Mean, Normalize::Max] {
        let rank = Rank { normalize, ..Rank::default() };
        let global = Choice { scope: Scope::Global, rank, ..Choice::new(2) };
        assert_kept(&choose([0.0; 3], [0.5, 2.0], &global), &[2], &[0, 1]);
        assert_kept(&choose([-1.0, -2.0, -3.0], [0.5, 2.0], &global), &[0], &[0, 1]);
        assert_kept(&choose([f64::INFINITY, 0.25, 0.125], [5.0, 5.0], &global), &[0], &[0, 1]);
    }
}

#[test]
fn the_largest_magnitude_is_nan_if_one_is() {
    let (mut net, coupling) = model();
    net.insert("w1", arr2(&[[f64::NAN], [5.0], [2.0]]));
    net.insert("w2", arr2(&[[1.0, 1.0, 1.0], [1.0, f64::NAN, 1.0]]));
    let rank = Rank { norm: Norm::L(f64::INFINITY), ..Rank::default() };
    let scores = coupling.importance(&net, &rank).unwrap();
    assert!(scores["h"][0].is_nan() && scores["h"][1].is_nan(), "{scores:?}");
    assert_eq!(scores["h"][2], 2.0);
}

/// Of any order, the sum of powers has its root taken.
#[test]
fn norms_of_other_orders_are_norms() {
    let (net, coupling) = model();
    let rank = Rank { norm: Norm::L(3.0), ..Rank::default() };
    let scores = coupling.importance(&net, &rank).unwrap();
    // A unit has three ones: of what makes it, and of two rows that read it.
    assert!(scores["h"].iter().all(|score| (score - 3.0_f64.cbrt()).abs() < 1e-12), "{scores:?}");
}
