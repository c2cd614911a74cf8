//! Sweeps: one parameter at a time, and everything back as it was.

use std::panic::{AssertUnwindSafe, catch_unwind};

use prune::training::{Sensitivity, sensitivity};
use prune::{Amount, L1Unstructured, LnStructured, ParameterStore, PruneError};

use crate::training::{net, states};

fn pruned(net: &ParameterStore<f32>) -> Vec<usize> {
    net.iter().map(|(_, parameter)| parameter.pruned()).collect()
}

#[test]
fn one_parameter_at_one_level_at_a_time() -> Result<(), PruneError> {
    let mut net = net();
    net["b"].prune(L1Unstructured::new(0.25)?)?;
    let before = states(&net);
    let mut seen = Vec::new();
    let evaluate = |net: &ParameterStore<f32>| {
        seen.push(pruned(net));
        Ok::<_, PruneError>(seen.len() as f64)
    };
    let rows = sensitivity(&mut net, &["b", "a"], &[0.5, 0.1, 1.0], |due| L1Unstructured::new(due.amount), evaluate)?;
    // A level that is reached already is evaluated as it is.
    assert_eq!(seen, [[0, 40, 0], [0, 20, 0], [0, 80, 0], [64, 20, 0], [13, 20, 0], [128, 20, 0]]);
    let expected = [("b", 0.5), ("b", 0.1), ("b", 1.0), ("a", 0.5), ("a", 0.1), ("a", 1.0)];
    for (number, (row, (name, sparsity))) in rows.iter().zip(expected).enumerate() {
        assert_eq!(row, &Sensitivity { name: name.to_owned(), sparsity, score: (number + 1) as f64 });
    }
    assert_eq!(states(&net), before);
    Ok(())
}

#[test]
fn levels_count_the_units_of_the_method() -> Result<(), PruneError> {
    let mut net = net();
    let evaluate = |net: &ParameterStore<f32>| Ok::<_, PruneError>(net["a"].pruned() as f64);
    let rows = sensitivity(&mut net, &["a"], &[0.25], |due| LnStructured::new(due.amount, 2, 0), evaluate)?;
    assert_eq!(rows[0].score, 2.0 * 16.0);
    Ok(())
}

#[test]
fn the_model_is_as_it_was_after_an_error_and_after_a_panic() {
    let mut net = net();
    net["a"].prune(L1Unstructured::new(0.25).unwrap()).unwrap();
    let before = states(&net);
    let method = |due: prune::training::Due<'_>| L1Unstructured::new(due.amount);

    let mut calls = 0;
    let failing = |net: &ParameterStore<f32>| {
        calls += 1;
        assert_ne!(states(net), before);
        if calls == 2 { Err(PruneError::method("evaluation", "no data")) } else { Ok(0.0) }
    };
    let error = sensitivity(&mut net, &["a", "b"], &[0.5, 0.9], method, failing).unwrap_err();
    assert_eq!(error.to_string(), "evaluation: no data");
    assert_eq!(states(&net), before);

    let panicking = |_: &ParameterStore<f32>| -> Result<f64, PruneError> { panic!("out of memory") };
    let sweep = || sensitivity(&mut net, &["b"], &[0.5], method, panicking);
    assert!(catch_unwind(AssertUnwindSafe(sweep)).is_err());
    assert_eq!(states(&net), before);
}

#[test]
fn mistakes_are_found_before_anything_is_evaluated() {
    let mut net = net();
    let before = states(&net);
    let never = |_: &ParameterStore<f32>| -> Result<f64, PruneError> { panic!("nothing is evaluated") };
    let method = |due: prune::training::Due<'_>| L1Unstructured::new(due.amount);
    let unknown = sensitivity(&mut net, &["a", "x"], &[0.5], method, never).unwrap_err();
    assert!(matches!(unknown, PruneError::UnknownParameter { .. }));
    let level = sensitivity(&mut net, &["a"], &[0.5, 1.5], method, never).unwrap_err();
    assert_eq!(level, PruneError::InvalidFraction { found: 1.5 });
    let broken =
        sensitivity(&mut net, &["a"], &[0.5], |_| L1Unstructured::new(Amount::Count(1000)), never).unwrap_err();
    assert!(matches!(broken, PruneError::AmountTooLarge { .. }));
    assert_eq!(states(&net), before);
}
