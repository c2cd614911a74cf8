//! Masks, scores and gradients of the wrong shape or contents, and names.

use half::{bf16, f16};
use ndarray::{Array1, Array2, ArrayD, IxDyn, arr1, array};
use prune::{
    Identity, IntoMask, L1Unstructured, Parameter, PruneError, PruningContainer, PruningMethod, Target, parameters_mut,
};

use super::{Outcome, Store, assert_says, fails, picture, store};

#[test]
fn a_wrong_shape() {
    let mismatch = |argument: &str, expected: &[usize], found: &[usize]| PruneError::ShapeMismatch {
        argument: argument.to_owned(),
        expected: expected.to_vec(),
        found: found.to_vec(),
    };
    let (square, flat) = (Array2::<f32>::zeros((3, 2)), Array1::<f32>::zeros(6));

    let message = "mask has shape [3, 2], but should have shape [2, 3]";
    fails(
        |m| prune::custom_from_mask(m, "weight", Array2::<u8>::ones((3, 2))),
        mismatch("mask", &[2, 3], &[3, 2]),
        message,
    );
    // Nothing is broadcast.
    let message = "mask has shape [1], but should have shape [3]";
    fails(|m| prune::custom_from_mask(m, "bias", arr1(&[true])), mismatch("mask", &[3], &[1]), message);

    let message = "importance_scores has shape [6], but should have shape [2, 3]";
    let expected = mismatch("importance_scores", &[2, 3], &[6]);
    let method = || L1Unstructured::new(1);
    fails(|m| prune::apply_with_scores(m, "weight", method()?, flat.view()), expected.clone(), message);
    fails(|m| m["weight"].prune_with_scores(method()?, flat.view()), expected.clone(), message);
    let message_of_target = "importance_scores of target 1 has shape [3, 2], but should have shape [2, 3]";
    let of_target = mismatch("importance_scores of target 1", &[2, 3], &[3, 2]);
    let global = |m: &mut Store| {
        let [bias, weight]: [_; 2] = parameters_mut(m, &["bias", "weight"])?.try_into().expect("two");
        prune::global_unstructured([Target::from(bias), (weight, square.view()).into()], method()?)
    };
    fails(global, of_target, message_of_target);

    let mut gradient = square.clone() - 1.0;
    let message_of_gradient = "gradient has shape [3, 2], but should have shape [2, 3]";
    let of_gradient = mismatch("gradient", &[2, 3], &[3, 2]);
    fails(|m| m["weight"].mask_gradient(gradient.view_mut()), of_gradient, message_of_gradient);
    assert_eq!(gradient, square.clone() - 1.0);
    assert!(store()["bias"].mask_gradient(gradient.view_mut()).is_err(), "also of an unpruned parameter");

    let (tensor, ones) = (Array2::<f32>::zeros((2, 3)).into_dyn(), ArrayD::from_elem(IxDyn(&[3, 2]), true));
    let message_of_mask = "default_mask has shape [3, 2], but should have shape [2, 3]";
    let of_mask = mismatch("default_mask", &[2, 3], &[3, 2]);
    let mut container = PruningContainer::new();
    container.push(method().unwrap());
    let refused = [
        method().unwrap().compute_mask(tensor.view(), ones.view()).map(drop),
        container.compute_mask(tensor.view(), ones.view()).map(drop),
        method().unwrap().prune(tensor.view(), Some(ones.view()), None).map(drop),
    ];
    refused.into_iter().for_each(|refused| assert_says(refused.unwrap_err(), of_mask.clone(), message_of_mask));
    let refused = method().unwrap().prune(tensor.view(), None, Some(flat.view().into_dyn()));
    assert_says(refused.unwrap_err(), expected, message);
}

#[test]
fn a_mask_of_other_numbers() {
    #[track_caller]
    fn refused(mask: impl IntoMask, found: f64) {
        let message = format!("mask holds {found} at [1, 0]; only 0 and 1 are allowed");
        assert_says(mask.into_mask().unwrap_err(), PruneError::MaskValue { index: vec![1, 0], found }, &message);
    }
    refused(array![[0, 1], [2_u8, 3]], 2.0);
    refused(array![[0, 1], [-1_i32, 1]], -1.0);
    refused(array![[0, 1], [i64::MAX, 1]], i64::MAX as f64);
    refused(array![[0.0, 1.0], [0.5_f32, f32::NAN]], 0.5);
    refused(array![[-0.0, 1.0], [1.0 + f64::EPSILON, 1.0]], 1.0 + f64::EPSILON);
    refused(array![[0.0, 1.0], [3.0, 1.0]].mapv(f16::from_f64), 3.0);
    refused(array![[0.0, 1.0], [-1.0, 1.0]].mapv(bf16::from_f64), -1.0);
    refused(&array![[0, 1], [7_u8, 3]], 7.0);
    refused(array![[0, 7_u8], [1, 3]].t(), 7.0);
    assert!(matches!(arr1(&[f64::NAN]).into_mask(), Err(PruneError::MaskValue { found, .. }) if found.is_nan()));

    let expected = PruneError::MaskValue { index: vec![2], found: 0.25 };
    let message = "mask holds 0.25 at [2]; only 0 and 1 are allowed";
    fails(|m| prune::custom_from_mask(m, "bias", arr1(&[1.0, 0.0, 0.25])), expected, message);
}

#[test]
fn an_unknown_name() {
    let expected = PruneError::UnknownParameter { found: "wieght".into(), known: vec!["weight".into(), "bias".into()] };
    let message = "no parameter named `wieght`; the module has `weight`, `bias`";
    let calls: [fn(&mut Store) -> Outcome; 9] = [
        |m| prune::identity(m, "wieght"),
        |m| prune::l1_unstructured(m, "wieght", 0.5),
        |m| prune::random_unstructured(m, "wieght", 0.5, 1),
        |m| prune::random_structured(m, "wieght", 0.5, 0, 1),
        |m| prune::ln_structured(m, "wieght", 0.5, 2, 0),
        |m| prune::custom_from_mask(m, "wieght", arr1(&[1])),
        |m| prune::apply_with_scores(m, "wieght", Identity, arr1(&[1.0]).view()),
        |m| prune::remove(m, "wieght"),
        |m| parameters_mut(m, &["bias", "wieght"]).map(drop),
    ];
    calls.into_iter().for_each(|call| fails(call, expected.clone(), message));

    let expected = PruneError::UnknownParameter { found: String::new(), known: vec![] };
    let error = prune::identity(&mut Store::new(), "").unwrap_err();
    assert_says(error, expected, "no parameter named ``; the module has none");
}

#[test]
fn a_name_given_twice() {
    let expected = PruneError::RepeatedParameter { found: "bias".into() };
    let message = "parameter `bias` is listed twice";
    let twice = |m: &mut Store| {
        prune::global_unstructured(parameters_mut(m, &["bias", "weight", "bias"])?, L1Unstructured::new(1)?)
    };
    fails(twice, expected, message);
}

#[test]
fn a_name_that_a_state_dict_needs() {
    for clash in ["weight_orig", "weight_mask"] {
        let mut store = store();
        store.insert(clash, arr1(&[1.0]));
        let before = picture(&store);
        let expected = PruneError::NameClash { parameter: "weight".into(), clash: clash.into() };
        let message = format!("cannot prune `weight`: the module has another parameter named `{clash}`");
        let scores = Array2::ones((2, 3));
        let calls: [&dyn Fn(&mut Store) -> Outcome; 3] = [
            &|m| prune::identity(m, "weight"),
            &|m| prune::apply_with_scores(m, "weight", Identity, scores.view()),
            &|m| prune::global_unstructured(parameters_mut(m, &["bias", "weight"])?, L1Unstructured::new(1)?),
        ];
        for call in calls {
            assert_says(call(&mut store).unwrap_err(), expected.clone(), &message);
            assert_eq!(picture(&store), before);
        }
        // The one that is in the way is an ordinary name itself.
        prune::identity(&mut store, clash).unwrap();
    }
    // The error that there is no such parameter comes first.
    let mut store = Store::from_iter([("weight_orig", arr1(&[1.0]))]);
    assert!(matches!(prune::identity(&mut store, "weight"), Err(PruneError::UnknownParameter { .. })));
}

#[test]
fn remove_of_what_is_not_pruned() {
    let named = PruneError::NotPruned { parameter: Some("bias".into()) };
    fails(|m| prune::remove(m, "bias"), named, "parameter `bias` is not pruned");
    let unnamed = PruneError::NotPruned { parameter: None };
    fails(|m| m["bias"].remove(), unnamed, "parameter is not pruned");
}

#[test]
fn a_global_call_without_targets() {
    let none: [&mut Parameter<f32>; 0] = [];
    let error = prune::global_unstructured(none, L1Unstructured::new(0.5).unwrap()).unwrap_err();
    assert_says(error, PruneError::NoTargets, "global pruning needs at least one parameter");
}
