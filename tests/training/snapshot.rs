//! Snapshots: rewind and restore.

use prune::training::Snapshot;
use prune::{L1Unstructured, Module, Parameter, ParameterStore, PruneError};

use crate::training::{net, states, train, weights};

#[test]
fn rewind_keeps_masks_and_restore_keeps_nothing() -> Result<(), PruneError> {
    let mut net = net();
    net["b"].prune(L1Unstructured::new(0.25)?)?;
    train(&mut net, 1);
    let (at_start, start) = (states(&net), Snapshot::of(&net));
    let first = net.clone();
    for round in 0..3 {
        train(&mut net, round);
        prune::global_unstructured(prune::parameters_mut(&mut net, &["a", "b"])?, L1Unstructured::new(0.2)?)?;
        let trained = net.clone();
        start.rewind(&mut net)?;
        for (name, parameter) in net.iter() {
            assert_eq!(parameter.orig(), first[name].orig(), "{name}");
            assert_eq!(parameter.mask(), trained[name].mask(), "{name}");
            assert_eq!(parameter.methods().len(), trained[name].methods().len(), "{name}");
            let mut expected = trained[name].clone();
            expected.update(|mut orig| orig.assign(first[name].orig()));
            assert_eq!(parameter.value(), expected.value(), "{name}");
        }
    }
    assert_eq!(states(start.parameters()), at_start, "training changed the snapshot");
    start.clone().restore(&mut net)?;
    assert_eq!(states(&net), at_start);
    // And again, after pruning anew.
    net["a"].prune(L1Unstructured::new(0.5)?)?;
    start.restore(&mut net)?;
    assert_eq!(states(&net), at_start);
    Ok(())
}

/// Two parameters under one name.
struct Repeated {
    first: Parameter<f32>,
    second: Parameter<f32>,
}

impl Module for Repeated {
    type Elem = f32;
    prune::named_parameters!(first as "weight", second as "weight");
}

#[test]
fn a_repeated_name_is_refused() {
    let mut module = Repeated { first: Parameter::new(weights(&[3], 1)), second: Parameter::new(weights(&[3], 2)) };
    let (start, before) = (Snapshot::of(&module), states(&module));
    let repeated = PruneError::RepeatedParameter { found: "weight".to_owned() };
    assert_eq!((start.rewind(&mut module), start.restore(&mut module)), (Err(repeated.clone()), Err(repeated)));
    assert_eq!(states(&module), before);
}

#[test]
fn a_nan_under_a_mask_is_gone_after_a_rewind() -> Result<(), PruneError> {
    let mut net = net();
    let start = Snapshot::of(&net);
    net["a"].prune(L1Unstructured::new(0.5)?)?;
    net["a"].update(|mut orig| orig.fill(f32::NAN));
    start.rewind(&mut net)?;
    assert!(net["a"].value().iter().all(|x| x.is_finite()));
    Ok(())
}

#[test]
fn other_modules_are_refused_and_unchanged() -> Result<(), PruneError> {
    let start = Snapshot::of(&net());
    let with = |change: fn(&mut ParameterStore<f32>)| {
        let mut other = net();
        train(&mut other, 9);
        change(&mut other);
        other
    };
    let others = [
        (with(|net| drop(net.take("c"))), "parameter `c` is only in one of the module and the snapshot"),
        (
            with(|net| drop(net.insert("d", weights(&[2], 1)))),
            "parameter `d` is only in one of the module and the snapshot",
        ),
        (
            with(|net| drop(net.insert("c", weights(&[8], 1)))),
            "snapshot of `c` has shape [7], but should have shape [8]",
        ),
    ];
    for (mut other, expected) in others {
        let before = states(&other);
        assert_eq!(start.rewind(&mut other).unwrap_err().to_string(), expected);
        assert_eq!(start.restore(&mut other).unwrap_err().to_string(), expected);
        assert_eq!(states(&other), before);
    }
    Ok(())
}
