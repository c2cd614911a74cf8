//! The scores and masks that a method is given.

use super::{GLOBAL, KeepEvery, UNSTRUCTURED, all_true, counting, history, structured};
use ndarray::{ArrayD, ArrayViewD, arr1, arr2};
use prune::{CustomFromMask, Describe, ParameterStore, PruneError, PruningMethod, PruningType};
use std::sync::{Arc, Mutex};

/// The scores and the mask that a method is given.
type Seen = Arc<Mutex<Vec<(ArrayD<f32>, ArrayD<bool>)>>>;

/// Prunes nothing, and writes down what it sees.
#[derive(Debug, Clone)]
struct Spy {
    pruning_type: PruningType,
    seen: Seen,
}

impl Spy {
    fn new(pruning_type: PruningType) -> (Self, Seen) {
        let seen = Seen::default();
        (Self { pruning_type, seen: seen.clone() }, seen)
    }
}

impl Describe for Spy {
    fn name(&self) -> &str {
        "Spy"
    }
    fn pruning_type(&self) -> PruningType {
        self.pruning_type
    }
}

impl PruningMethod<f32> for Spy {
    fn compute_mask(
        &self,
        scores: ArrayViewD<'_, f32>,
        default_mask: ArrayViewD<'_, bool>,
    ) -> Result<ArrayD<bool>, PruneError> {
        let mut seen = self.seen.lock().map_err(|_| PruneError::method("Spy", "poisoned"))?;
        seen.push((scores.to_owned(), default_mask.to_owned()));
        Ok(default_mask.to_owned())
    }
}

/// The only thing that was seen.
fn only(seen: &Seen) -> (ArrayD<f32>, ArrayD<bool>) {
    let seen = seen.lock().expect("no test panics with the lock held");
    assert_eq!(seen.len(), 1, "the method runs once");
    seen[0].clone()
}

#[test]
fn a_first_call_sees_the_whole_tensor() -> Result<(), PruneError> {
    for pruning_type in [UNSTRUCTURED, structured(0), structured(-1), GLOBAL] {
        let (spy, seen) = Spy::new(pruning_type);
        let mut weight = counting(&[2, 3, 2]);
        let before = weight.value().clone();
        weight.prune(spy)?;
        assert_eq!(only(&seen), (before, all_true(&[2, 3, 2])), "{pruning_type:?}");
        assert!(weight.is_pruned());
    }
    Ok(())
}

#[test]
fn a_later_unstructured_call_sees_the_remaining_entries_as_a_vector() -> Result<(), PruneError> {
    let (spy, seen) = Spy::new(UNSTRUCTURED);
    let mut weight = counting(&[2, 3]);
    weight.prune(CustomFromMask::new(arr2(&[[true, false, true], [false, true, true]]).into_dyn()))?;
    weight.prune(spy)?;
    assert_eq!(only(&seen), (arr1(&[1.0, 3.0, 5.0, 6.0]).into_dyn(), all_true(&[4])));
    Ok(())
}

#[test]
fn a_later_structured_call_sees_the_channels_that_are_not_all_pruned() -> Result<(), PruneError> {
    // Row 1 is pruned; row 2 has remaining entries, and its pruned ones are zeros.
    let mask = arr2(&[[true, true, true], [false, false, false], [false, true, false]]);
    let rows = (arr2(&[[1.0, 2.0, 3.0], [0.0, 8.0, 0.0]]), arr2(&[[true, true, true], [false, true, false]]));
    // Every column has a remaining entry.
    let columns = (arr2(&[[1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [0.0, 8.0, 0.0]]), mask.clone());
    for (dim, (scores, expected)) in [(0, rows.clone()), (-2, rows), (1, columns.clone()), (-1, columns)] {
        let (spy, seen) = Spy::new(structured(dim));
        let mut weight = counting(&[3, 3]);
        weight.prune(CustomFromMask::new(mask.clone().into_dyn()))?;
        weight.prune(spy)?;
        assert_eq!(only(&seen), (scores.into_dyn(), expected.into_dyn()), "dim {dim}");
        assert_eq!(weight.mask().unwrap(), &mask, "the slice is written back where it came from");
    }
    Ok(())
}

#[test]
fn a_later_global_call_sees_everything() -> Result<(), PruneError> {
    let (spy, seen) = Spy::new(GLOBAL);
    let mut weight = counting(&[2, 2]);
    weight.prune(KeepEvery(3))?;
    weight.prune(spy)?;
    let expected = (arr2(&[[1.0, 0.0], [0.0, 4.0]]).into_dyn(), arr2(&[[true, false], [false, true]]).into_dyn());
    assert_eq!(only(&seen), expected);
    Ok(())
}

#[test]
fn the_scores_are_the_weights_of_this_moment() -> Result<(), PruneError> {
    let (spy, seen) = Spy::new(GLOBAL);
    let mut weight = counting(&[2, 2]);
    weight.prune(KeepEvery(2))?;
    weight.update(|mut orig| orig *= -10.0);
    weight.prune(spy)?;
    let (scores, _) = only(&seen);
    assert_eq!(scores, arr2(&[[-10.0, 0.0], [-30.0, 0.0]]).into_dyn());
    assert!(scores[[0, 1]].is_sign_negative(), "a product of -20 and 0");
    Ok(())
}

#[test]
fn scores_that_are_given_are_sliced_like_weights() -> Result<(), PruneError> {
    let (spy, seen) = Spy::new(UNSTRUCTURED);
    let mut module = ParameterStore::from_iter([("weight", counting(&[2, 2]))]);
    prune::apply(&mut module, "weight", KeepEvery(3))?;
    let scores = arr2(&[[0.5, 0.6], [0.7, 0.8]]);
    prune::apply_with_scores(&mut module, "weight", spy, scores.t())?;
    assert_eq!(only(&seen), (arr1(&[0.5, 0.8]).into_dyn(), all_true(&[2])));
    Ok(())
}

#[test]
fn a_global_call_sees_the_remaining_entries_of_all_parameters_in_order() -> Result<(), PruneError> {
    let (spy, seen) = Spy::new(UNSTRUCTURED);
    let (mut first, mut second) = (counting(&[2, 2]), counting(&[3]));
    first.prune(KeepEvery(3))?;
    prune::global_unstructured([&mut second, &mut first], spy)?;
    assert_eq!(only(&seen), (arr1(&[1.0, 2.0, 3.0, 1.0, 4.0]).into_dyn(), all_true(&[5])));
    assert_eq!(history(&first), ["KeepEvery", "CustomFromMask"]);
    assert_eq!(history(&second), ["CustomFromMask"]);
    Ok(())
}

#[test]
fn a_structured_method_is_not_asked_about_vectors() {
    let (spy, seen) = Spy::new(structured(0));
    let mut bias = counting(&[3]);
    assert_eq!(bias.prune(spy), Err(PruneError::TooFewDimensions { shape: vec![3] }));
    assert!(!bias.is_pruned() && seen.lock().is_ok_and(|seen| seen.is_empty()));
}
