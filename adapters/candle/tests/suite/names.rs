//! Names and patterns.

use candle_core::DType;
use prune::L1Unstructured;
use prune_candle::{Error, PrunedVars};

use crate::{array, insert, snapshot, vars_of};

fn map() -> candle_nn::VarMap {
    let weights = array::<f32>(0, &[2, 2]);
    vars_of(
        &["enc.0.weight", "enc.0.bias", "enc.10.weight", "dec.weight", "odd[0].weight", "a*"]
            .map(|name| (name, &weights)),
    )
}

/// The names that a pattern prunes.
fn pruned_by(patterns: &[&str]) -> Vec<String> {
    let pruned = PrunedVars::new(&map());
    pruned.global_unstructured(patterns, L1Unstructured::new(1).unwrap()).unwrap();
    pruned.masks().into_iter().map(|(name, _)| name).collect()
}

#[test]
fn patterns_match_whole_names() {
    assert_eq!(pruned_by(&["enc.?.weight"]), ["enc.0.weight"]);
    assert_eq!(pruned_by(&["enc.*.weight"]), ["enc.0.weight", "enc.10.weight"]);
    assert_eq!(pruned_by(&["*.weight"]), ["dec.weight", "enc.0.weight", "enc.10.weight", "odd[0].weight"]);
    assert_eq!(pruned_by(&["{dec,enc.0}.weight"]), ["dec.weight", "enc.0.weight"]);
    assert_eq!(pruned_by(&["enc.*", "*.bias"]), ["enc.0.bias", "enc.0.weight", "enc.10.weight"]);
    assert!(matches!(PrunedVars::new(&map()).identity("weight"), Err(Error::NoMatch { .. })));
}

#[test]
fn a_name_is_no_pattern() {
    assert_eq!(pruned_by(&["odd[0].weight"]), ["odd[0].weight"]);
    assert_eq!(pruned_by(&["a*"]), ["a*"]);
}

#[test]
fn ties_are_pruned_in_the_order_of_the_patterns_and_then_of_the_names() {
    let ones = ndarray::ArrayD::<f32>::ones(vec![2]);
    let pruned_of = |patterns: &[&str], count: usize| {
        let pruned = PrunedVars::new(&vars_of(&["z", "b.y", "b.x"].map(|name| (name, &ones))));
        pruned.global_unstructured(patterns, L1Unstructured::new(count).unwrap()).unwrap();
        pruned.masks().into_iter().filter(|(_, mask)| mask.pruned() == 2).map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(pruned_of(&["z", "b.*"], 2), ["z"]);
    assert_eq!(pruned_of(&["b.*", "z"], 2), ["b.x"]);
    assert_eq!(pruned_of(&["b.*", "*"], 4), ["b.x", "b.y"]);
}

#[test]
fn an_unknown_name_is_an_error_that_lists_the_names() {
    let weights = array::<f32>(0, &[2]);
    let map = vars_of(&[("b", &weights), ("a", &weights)]);
    let pruned = PrunedVars::new(&map);
    let before = snapshot(&map, &pruned);
    let error = pruned.l1_unstructured("c.*", 1).unwrap_err();
    assert_eq!(error.to_string(), "no variable matches `c.*`; the map has `a`, `b`");
    // One that is known beside it is not pruned.
    let error = pruned.global_unstructured(&["a", "c"], L1Unstructured::new(1).unwrap()).unwrap_err();
    assert!(matches!(error, Error::NoMatch { pattern, known } if pattern == "c" && known == ["a", "b"]));
    let error =
        pruned.apply_masks([("a", prune::Mask::from_elem([2], false)), ("*", prune::Mask::from_elem([2], false))]);
    assert!(matches!(error, Err(Error::NoMatch { pattern, .. }) if pattern == "*"));
    assert_eq!(snapshot(&map, &pruned), before);
}

#[test]
fn a_bad_pattern_is_an_error() {
    let error = PrunedVars::new(&map()).l1_unstructured("enc[", 1).unwrap_err();
    assert_eq!(error.to_string(), "`enc[` is not a valid pattern");
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn variables_that_are_added_later_can_be_pruned() {
    let map = map();
    let pruned = PrunedVars::new(&map);
    insert(&map, "new", candle_core::Tensor::ones(4, DType::F32, &candle_core::Device::Cpu).unwrap());
    pruned.l1_unstructured("new", 1).unwrap();
    assert_eq!(pruned.mask("new").unwrap().pruned(), 1);
}

#[test]
fn two_names_of_one_variable_have_one_mask() {
    let map = vars_of(&[("a", &array::<f32>(0, &[4]))]);
    let var = crate::var(&map, "a");
    map.data().lock().unwrap().insert("tied".to_owned(), var);
    let pruned = PrunedVars::new(&map);
    let error = pruned.l1_unstructured("*", 1).unwrap_err();
    assert_eq!(error.to_string(), "`a` and `tied` are the same variable, which has one mask");
    assert!(!pruned.is_pruned());

    pruned.l1_unstructured("a", 1).unwrap();
    assert!(
        matches!(pruned.l1_unstructured("tied", 1), Err(Error::SharedVar { name, other }) if name == "tied" && other == "a")
    );
    pruned.l1_unstructured("a", 1).unwrap();
    assert_eq!(pruned.mask("a").unwrap().pruned(), 2);
    assert_eq!(pruned.sparsity(), 0.5); // of four entries, not of eight
}
