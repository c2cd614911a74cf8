//! Masks, histories and the rest of a module around a compaction.

use ndarray::{Array2, arr1, arr2};
use prune::compact::{Coupling, Dimension, Fold, Use, WidthNorm};
use prune::{L1Unstructured, Mask, ParameterStore};

fn model() -> ParameterStore<f32> {
    let mut model = ParameterStore::new();
    model.insert("w1", arr2(&[[1.0, 5.0], [2.0, 6.0], [3.0, 7.0]]));
    model.insert("b1", arr1(&[0.1, 0.2, 0.3]));
    model.insert("w2", arr2(&[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]));
    model
}

fn coupling() -> Coupling {
    let uses = [Use::out("w1", 0), Use::follow("b1", 0), Use::input("w2", 1)];
    Coupling::new().with(Dimension::new("h", uses).zero_at_zero())
}

#[test]
fn value_original_mask_and_history_are_cut_together() {
    let mut model = model();
    prune::l1_unstructured(&mut model, "w1", 2).unwrap(); // 1.0 and 2.0
    model["w1"].update(|mut orig| orig += 10.0);
    let plan = coupling().keep(&model, [("h", vec![1, 2])]).unwrap();
    let report = plan.compact(&mut model).unwrap();
    let w1 = &model["w1"];
    assert_eq!(w1.orig(), &arr2(&[[12.0, 16.0], [13.0, 17.0]]).into_dyn());
    assert_eq!(w1.value(), &arr2(&[[0.0, 16.0], [13.0, 17.0]]).into_dyn());
    assert_eq!(w1.mask().unwrap(), &arr2(&[[false, true], [true, true]]));
    assert_eq!(w1.methods()[0].name(), "L1Unstructured");
    assert!(!model["b1"].is_pruned() && !model["w2"].is_pruned());
    assert_eq!((report.bytes_before(), report.bytes_after()), (54 + 12 + 24, 36 + 8 + 16));

    // It goes on as a pruned parameter.
    model["w1"].prune(L1Unstructured::new(1).unwrap()).unwrap();
    assert_eq!(model["w1"].mask().unwrap(), &arr2(&[[false, true], [false, true]]));
}

#[test]
fn a_mask_that_keeps_all_that_is_left_stays() {
    let mut model = model();
    let plan = coupling().keep(&model, [("h", vec![0, 2])]).unwrap();
    plan.mask(&mut model).unwrap();
    assert_eq!(model["w2"].mask().unwrap(), &arr2(&[[true, false, true], [true, false, true]]));
    assert_eq!(model["b1"].mask().unwrap(), &arr1(&[true, false, true]));
    plan.compact(&mut model).unwrap();
    assert_eq!(model["w1"].mask().unwrap(), &Mask::from_elem((2, 2), true));
    assert_eq!(model["w1"].methods()[0].name(), "CustomFromMask");
    assert_eq!(model["b1"].value(), &arr1(&[0.1, 0.3]).into_dyn());
}

#[test]
fn what_a_coupled_mask_prunes_is_dead() {
    let mut model = model();
    let plan = coupling().keep(&model, [("h", vec![1])]).unwrap();
    plan.mask(&mut model).unwrap();
    let dead = coupling().dead(&model).unwrap();
    assert_eq!((dead.plan, dead.half_dead), (plan, vec![]));
}

#[test]
fn half_dead_units_are_kept_and_listed() {
    let mut net = model();
    prune::custom_from_mask(&mut net, "w1", arr2(&[[0, 0], [1, 1], [1, 1]])).unwrap();
    let dead = coupling().dead(&net).unwrap();
    assert_eq!(dead.plan.kept("h"), [0, 1, 2]);
    assert_eq!(dead.half_dead[0].to_string(), "unit 0 of `h` is kept: `b1` is 0.10000000149011612");

    // Without zero at zero, even a unit without a bias is kept.
    prune::custom_from_mask(&mut net, "b1", arr1(&[0, 1, 1])).unwrap();
    assert_eq!(coupling().dead(&net).unwrap().plan.kept("h"), [1, 2]);
    let sigmoid = Coupling::new().dimension("h", [Use::out("w1", 0), Use::follow("b1", 0), Use::input("w2", 1)]);
    let dead = sigmoid.dead(&net).unwrap();
    assert_eq!(dead.plan.kept("h"), [0, 1, 2]);
    assert_eq!(dead.half_dead[0].to_string(), "unit 0 of `h` is kept: the dimension is not declared zero at zero");

    // A unit that nothing reads is dead, whatever makes it; of only dead units the first is kept.
    let mut unread = model();
    unread.insert("w2", Array2::zeros((2, 3)));
    assert_eq!(sigmoid.dead(&unread).unwrap().plan.kept("h"), [0]);
    // An open dimension has readers that are not declared.
    let uses = [Use::out("w1", 0), Use::follow("b1", 0), Use::input("w2", 1)];
    let open = Coupling::new().with(Dimension::new("h", uses).open());
    assert_eq!(open.dead(&unread).unwrap().plan.kept("h"), [0, 1, 2]);
}

#[test]
fn plans_of_some_dimensions_are_joined() {
    let model = model();
    let first = coupling().keep(&model, [("h", vec![0, 1])]).unwrap();
    let second = coupling().keep(&model, [("h", vec![1, 2])]).unwrap();
    assert_eq!(first.and(&second).unwrap().kept("h"), [1]);
    assert_eq!(first.sizes().of("h"), 2);
    assert_eq!(first.iter().collect::<Vec<_>>(), [("h", &[0, 1][..])]);
}

/// A channel-last flatten that is declared as a channel-first one fits all shapes; only the outputs show it.
#[test]
fn verify_finds_what_shapes_cannot_show() {
    let wave = |rows, columns| Array2::from_shape_fn((rows, columns), |(i, j)| ((5 * i + 3 * j + 1) as f64).sin());
    let net = ParameterStore::from_iter([("conv", wave(3, 2)), ("fc", wave(2, 12))]);
    let input = wave(4, 2); // four pixels
    let forward = |net: &ParameterStore<f64>, _: &_| {
        let maps = input.dot(&net["conv"].view::<ndarray::Ix2>().t()); // pixel by pixel: channels last
        let flat = maps.to_shape((1, maps.len())).unwrap().to_owned();
        flat.dot(&net["fc"].view::<ndarray::Ix2>().t())
    };
    let plan = |read: Use| {
        let coupling = Coupling::new().dimension("c", [Use::out("conv", 0), read]);
        coupling.keep(&net, [("c", vec![0, 2])]).unwrap()
    };
    assert!(plan(Use::input("fc", 1).block(4)).verify(&net, forward).unwrap() > 0.1);
    assert!(plan(Use::input("fc", 1).repeat(4)).verify(&net, forward).unwrap() < 1e-14);
}

/// A NaN in one of two outputs is a difference that no tolerance covers.
#[test]
fn verify_reports_nan() {
    let net = ParameterStore::from_iter([("a", arr2(&[[1.0_f64], [f64::NAN]])), ("b", arr2(&[[1.0, 1.0]]))]);
    let coupling = Coupling::new().dimension("h", [Use::out("a", 0), Use::input("b", 1)]);
    let plan = coupling.keep(&net, [("h", vec![0])]).unwrap();
    let difference = plan.verify(&net, |net, _| net["b"].view::<ndarray::Ix2>().dot(&net["a"].view::<ndarray::Ix2>()));
    assert!(difference.unwrap().is_nan());
}

/// The calls of the page about compaction that any module allows, a trait object too.
#[test]
fn a_trait_object_is_compacted() {
    let mut model = model();
    let any: &mut dyn prune::Module<Elem = f32> = &mut model;
    let plan = coupling().choose(any, &prune::compact::Choice { amount: 1.into(), ..Default::default() }).unwrap();
    plan.mask(any).unwrap();
    plan.compact(any).unwrap();
    assert_eq!(model["b1"].value().len(), 2);
}

/// An output whose own producers are masked gets no constant: what it adds to the next layer is its bias alone.
#[test]
fn masked_outputs_get_no_constants() {
    let mut net = ParameterStore::from_iter([("w1", arr2(&[[1.0_f64], [1.0]]))]);
    net.insert("w2", arr2(&[[1.0, 2.0], [3.0, 4.0]]));
    net.insert("w3", arr2(&[[5.0, 6.0]]));
    net.insert("b1", arr1(&[0.5, 0.25]));
    net.insert("b2", arr1(&[10.0, 20.0]));
    net.insert("b3", arr1(&[100.0]));
    let first = [Use::out("w1", 0), Use::follow("b1", 0), Use::input("w2", 1)];
    let second = [Use::out("w2", 0), Use::follow("b2", 0), Use::input("w3", 1)];
    let coupling = Coupling::new().dimension("first", first).dimension("second", second).fixed("b3");
    let plan = coupling.keep(&net, [("first", vec![0]), ("second", vec![0])]).unwrap();
    let folds = [Fold::new("first", "w2", "b2").bias("b1"), Fold::new("second", "w3", "b3").bias("b2")];
    plan.fold(&mut net, &folds).unwrap();
    assert_eq!(net["b2"].value(), &arr1(&[10.5, 20.0]).into_dyn());
    assert_eq!(net["b3"].value(), &arr1(&[220.0]).into_dyn());
}

/// The weight of an RMSNorm takes over the root of the width that is gone; one that is stored less one, too.
#[test]
fn norms_over_the_units_are_rescaled() {
    for (norm, stored, expected) in [(WidthNorm::Rms, 1.5_f64, 3.0), (WidthNorm::RmsPlusOne, 0.5, 2.0)] {
        let mut net = ParameterStore::from_iter([("embed", Array2::<f64>::ones((2, 4)))]);
        net.insert("norm", arr1(&[stored; 4]));
        net.insert("head", Array2::<f64>::ones((1, 4)));
        let uses = [Use::out("embed", 1), Use::follow("norm", 0).norm(norm), Use::input("head", 1)];
        let plan = Coupling::new().dimension("width", uses).keep(&net, [("width", vec![3])]).unwrap();
        plan.compact(&mut net).unwrap();
        assert_eq!(net["norm"].value(), &arr1(&[expected]).into_dyn());
    }
}

/// A variance of 0 is divided by the root of `eps` alone.
#[test]
fn a_folded_batch_norm_has_its_eps() {
    let mut net = ParameterStore::from_iter([("w1", arr2(&[[1.0_f64], [1.0]]))]);
    net.insert("w2", arr2(&[[1.0, 3.0]]));
    net.insert("b2", arr1(&[0.0]));
    for (name, numbers) in
        [("weight", [2.0, 2.0]), ("bias", [0.0, 1.0]), ("running_mean", [0.0, -1.0]), ("running_var", [0.0, 0.0])]
    {
        net.insert(format!("bn.{name}"), arr1(&numbers));
    }
    let buffers = ["weight", "bias", "running_mean", "running_var"].map(|name| Use::follow(format!("bn.{name}"), 0));
    let uses = buffers.into_iter().chain([Use::out("w1", 0), Use::input("w2", 1)]);
    let coupling = Coupling::new().dimension("h", uses).fixed("b2");
    let plan = coupling.keep(&net, [("h", vec![0])]).unwrap();
    plan.fold(&mut net, &[Fold::new("h", "w2", "b2").batch_norm("bn", 0.25)]).unwrap();
    // 3 * ((0 + 1) / 0.5 * 2 + 1)
    assert_eq!(net["b2"].value(), &arr1(&[15.0]).into_dyn());
}
