//! Methods that break the contract.

use super::{GLOBAL, KeepEvery, UNSTRUCTURED, all_true, counting, history, structured};
use ndarray::{ArrayD, ArrayViewD, Axis, arr1, arr2};
use prune::{Describe, Element, Module, Parameter, ParameterStore, PruneError, PruningMethod, PruningType};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Breaks the contract in the way that it says.
#[derive(Debug, Clone, Copy)]
enum Rogue {
    Transposes,
    Revives(PruningType),
    Refuses,
    Panics,
}

impl Describe for Rogue {
    fn name(&self) -> &str {
        "Rogue"
    }
    fn pruning_type(&self) -> PruningType {
        match self {
            Self::Revives(pruning_type) => *pruning_type,
            _ => UNSTRUCTURED,
        }
    }
}

impl<A: Element> PruningMethod<A> for Rogue {
    fn compute_mask(
        &self,
        _: ArrayViewD<'_, A>,
        default_mask: ArrayViewD<'_, bool>,
    ) -> Result<ArrayD<bool>, PruneError> {
        match self {
            // One axis more, so that a vector shows it too.
            Self::Transposes => Ok(default_mask.to_owned().insert_axis(Axis(0)).reversed_axes()),
            Self::Revives(_) => Ok(all_true(default_mask.shape())),
            Self::Refuses => Err(PruneError::method("Rogue", "not today")),
            Self::Panics => panic!("a bug in a method"),
        }
    }
}

/// Everything that can be observed of the parameters, to the last bit.
fn state(module: &impl Module<Elem = f32>) -> Vec<String> {
    let bits = |array: &ArrayD<f32>| format!("{:?}", array.mapv(f32::to_bits));
    let describe = |(name, parameter): (String, &Parameter<f32>)| {
        let (value, orig) = (bits(parameter.value()), bits(parameter.orig()));
        format!("{name} {value} {orig} {:?} {:?}", parameter.mask(), history(parameter))
    };
    module.named_parameters().into_iter().map(describe).collect()
}

#[test]
fn a_breach_is_an_error_that_names_the_method_and_nothing_changes() -> Result<(), PruneError> {
    let unpruned = || ParameterStore::from_iter([("weight", counting(&[2, 3])), ("bias", counting(&[2]))]);
    let mut pruned = unpruned();
    prune::custom_from_mask(&mut pruned, "weight", arr2(&[[1, 1, 0], [1, 0, 0]]))?;
    prune::custom_from_mask(&mut pruned, "bias", arr1(&[1, 0]))?;
    pruned["weight"].update(|mut orig| orig *= -1.0);

    let revived = "Rogue revived the pruned entry at";
    let cases = [
        (
            unpruned(),
            Rogue::Transposes,
            "Rogue returned a mask of shape [3, 2, 1] for scores of shape [2, 3]".to_owned(),
        ),
        (pruned.clone(), Rogue::Transposes, "Rogue returned a mask of shape [3, 1] for scores of shape [3]".to_owned()),
        (pruned.clone(), Rogue::Revives(structured(0)), format!("{revived} [0, 2]")),
        // Only the columns 0 and 1 are seen.
        (pruned.clone(), Rogue::Revives(structured(-1)), format!("{revived} [1, 1]")),
        (pruned.clone(), Rogue::Revives(GLOBAL), format!("{revived} [0, 2]")),
        (unpruned(), Rogue::Refuses, "Rogue: not today".to_owned()),
        (pruned.clone(), Rogue::Refuses, "Rogue: not today".to_owned()),
    ];
    for (mut module, rogue, message) in cases {
        let before = state(&module);
        let error = prune::apply(&mut module, "weight", rogue).expect_err("a breach is an error");
        assert_eq!(error.to_string(), message, "{rogue:?}");
        assert_eq!(state(&module), before, "{rogue:?}");
    }

    // An unstructured method cannot revive anything: it does not see what is pruned.
    let before = pruned["weight"].value().clone();
    prune::apply(&mut pruned, "weight", Rogue::Revives(UNSTRUCTURED))?;
    assert_eq!(pruned["weight"].value(), before);
    Ok(())
}

#[test]
fn a_breach_in_a_global_call_leaves_all_parameters_as_they_were() -> Result<(), PruneError> {
    let mut module = ParameterStore::from_iter([("weight", counting(&[2, 3])), ("bias", counting(&[2]))]);
    prune::apply(&mut module, "weight", KeepEvery(2))?;
    let before = state(&module);
    let cases = [
        (Rogue::Transposes, "Rogue returned a mask of shape [5, 1] for scores of shape [5]"),
        (Rogue::Refuses, "Rogue: not today"),
        (
            Rogue::Revives(structured(0)),
            "global pruning needs an unstructured method, but Rogue is structured along axis 0",
        ),
    ];
    for (rogue, message) in cases {
        let targets = prune::parameters_mut(&mut module, &["weight", "bias"])?;
        let error = prune::global_unstructured(targets, rogue).expect_err("a breach is an error");
        assert_eq!(error.to_string(), message);
        assert_eq!(state(&module), before, "{rogue:?}");
    }
    Ok(())
}

#[test]
fn a_panic_in_a_method_leaves_the_parameter_as_it_was() -> Result<(), PruneError> {
    let mut module = ParameterStore::from_iter([("weight", counting(&[2, 3]))]);
    prune::l1_unstructured(&mut module, "weight", 2)?;
    let before = state(&module);
    let outcome = catch_unwind(AssertUnwindSafe(|| prune::apply(&mut module, "weight", Rogue::Panics)));
    assert!(outcome.is_err());
    assert_eq!(state(&module), before);
    Ok(())
}
