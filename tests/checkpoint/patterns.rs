//! Patterns, blocks, allocations and their verification on files.

use half::{bf16, f16};
use ndarray::{ArrayD, IxDyn};
use prune::checkpoint::{
    Checkpoint, CheckpointError, Format, Output, Pruner, Scope, Selection, SkipReason, Unit, verify,
};
use prune::training::{Allocation, Bounds, Schedule, Session};
use prune::{
    Block, CustomFromMask, Fpgm, L1Unstructured, Lowest, Mask, NM, Norm, Parameter, ParameterStore, PruneError,
    PruningMethod, RandomUnstructured, TieBreak, Violation, safetensors,
};

use super::masks::{each, prune_all, twice};
use super::support::*;

/// The same masks from files as in memory, with and without masks in the input.
fn grouped<A: Stored>() {
    fn check<A: Stored, M>(method: M)
    where
        M: PruningMethod<f32> + PruningMethod<f64> + PruningMethod<f16> + PruningMethod<bf16> + Clone + 'static,
        M: PruningMethod<A>,
    {
        twice::<A>(&prune_all(Pruner::new(method.clone()), Scope::Tensor), |store| {
            each(store, |_, parameter: &mut Parameter<A>| parameter.prune(method.clone()).unwrap());
        });
    }
    check::<A, _>(NM::new(2, 4, -1).unwrap());
    check::<A, _>(NM::new(2, 4, 0).unwrap().amount(0.3).unwrap());
    check::<A, _>(Block::new(0.4, &[16, 1], 2).unwrap());
    check::<A, _>(Block::new(0.4, &[3, 3], 1).unwrap().tie_break(TieBreak::PyTorch));
    // Cases that do not depend on the dtype are tried with one.
    if size_of::<A>() == 4 {
        check::<A, _>(NM::new(2, 4, 0).unwrap());
        check::<A, _>(NM::new(1, 3, -1).unwrap().amount(0.5).unwrap().tie_break(TieBreak::PyTorch));
        for shape in [&[1, 8][..], &[1]] {
            check::<A, _>(Block::new(0.4, shape, f64::INFINITY).unwrap());
        }
    }
}

#[test]
fn groups_f32() {
    grouped::<f32>();
}

#[test]
fn groups_f64() {
    grouped::<f64>();
}

#[test]
fn groups_f16() {
    grouped::<f16>();
}

#[test]
fn groups_bf16() {
    grouped::<bf16>();
}

#[test]
fn distances_are_those_of_memory() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.safetensors");
    let mut store = ParameterStore::from_iter([("fc.weight", weights::<bf16>(&[20, 30], 4))]);
    store["fc.weight"].prune(L1Unstructured::new(0.3).unwrap()).unwrap();
    safetensors::save_file(&store, &input).unwrap();
    for dim in [0, 1] {
        let mut expected = store["fc.weight"].clone();
        expected.prune(Fpgm::new(0.4, dim).unwrap()).unwrap();
        let output = folder.path().join(format!("{dim}.safetensors"));
        let pruner = Pruner::new(Fpgm::new(0.4, dim).unwrap()).selection(Selection::new().only("*"));
        let report = run(&pruner.format(Format::Masks), [&input], &output).unwrap();
        assert_eq!((report.unit, report.pruned_after()), (Unit::Channels, expected.pruned()));
        let masks: Vec<Mask> = safetensors::load_masks(&output).unwrap().into_iter().map(|(_, mask)| mask).collect();
        assert_eq!(Some(&masks[0]), expected.mask());
    }
}

/// Groups whose stretch is longer than a block of a file.
#[test]
fn long_stretches() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.safetensors");
    let tensor = weights::<f32>(&[9, 90_000], 3);
    safetensors::save_file(&ParameterStore::from_iter([("w", tensor.clone())]), &input).unwrap();
    let check = |method: prune::AnyMethod| {
        let mut parameter = Parameter::new(tensor.clone());
        parameter.prune(method.clone()).unwrap();
        let output = folder.path().join("masks.safetensors");
        let _ = std::fs::remove_file(&output);
        let pruner = Pruner::new(method).format(Format::Masks).selection(Selection::new().only("*"));
        let report = run(&pruner, [&input], &output).unwrap();
        assert_eq!(report.pruned_after(), parameter.pruned());
        let masks: Vec<Mask> = safetensors::load_masks(&output).unwrap().into_iter().map(|(_, mask)| mask).collect();
        assert_eq!(Some(&masks[0]), parameter.mask());
    };
    check(prune::AnyMethod::new(NM::new(2, 4, 0).unwrap()));
    check(prune::AnyMethod::new(NM::new(2, 4, 0).unwrap().amount(0.5).unwrap()));
    check(prune::AnyMethod::new(Block::new(0.5, &[4, 1], 2).unwrap()));
}

#[test]
fn amounts_of_blocks_and_patterns_count_groups() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.safetensors");
    let tensors = [("a", weights::<f32>(&[8, 8], 1)), ("b", weights::<f32>(&[4, 6], 2))];
    safetensors::save_file(&ParameterStore::from_iter(tensors), &input).unwrap();
    let checkpoint = Checkpoint::open([&input]).unwrap();
    let all = Selection::new().only("*");
    let report = |pruner: Pruner| pruner.selection(all.clone()).dry_run(&checkpoint, &());
    let blocks = report(Pruner::new(Block::new(2, &[4, 1], 2).unwrap())).unwrap();
    assert_eq!((blocks.unit, blocks.asked, blocks.pruned_after()), (Unit::Groups, Some(4), 16));
    let pattern = report(Pruner::new(NM::new(2, 4, -1).unwrap().amount(1).unwrap())).unwrap();
    assert_eq!((pattern.unit, pattern.asked, pattern.pruned_after()), (Unit::Groups, Some(2), 4));
    let pattern = report(Pruner::new(NM::new(2, 4, -1).unwrap())).unwrap();
    assert_eq!((pattern.unit, pattern.asked, pattern.pruned_after()), (Unit::Entries, None, 40));

    let error = report(Pruner::new(Block::new(7, &[4, 1], 2).unwrap())).unwrap_err();
    let source = PruneError::AmountTooLarge { count: 7, available: 6, unit: "blocks" };
    assert!(matches!(&error, CheckpointError::Tensor { tensor, source: found } if tensor == "b" && *found == source));
    assert_eq!(source.to_string(), "amount 7 exceeds the number of remaining blocks (6)");
    let l1 = prune::AnyMethod::new(L1Unstructured::new(1).unwrap());
    let mixed = Pruner::new(Block::new(1, &[4, 1], 2).unwrap()).layer("a", l1);
    assert!(matches!(report(mixed), Err(CheckpointError::MixedUnits)));
    let global = Pruner::new(NM::new(2, 4, -1).unwrap()).scope(Scope::Global);
    assert!(matches!(report(global), Err(CheckpointError::NotUnstructured { .. })));
    let signed = report(Pruner::new(Lowest::new(0.5).unwrap())).unwrap_err();
    assert!(matches!(signed, CheckpointError::OnlyInMemory { what: "Lowest", .. }));
}

/// A file has the violations that the mask of its nonzero entries has in memory; masks in the file count as zeros.
#[test]
fn verify_finds_what_violations_finds() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.safetensors");
    let shapes: [&[usize]; 3] = [&[5, 7], &[300, 1030], &[2, 140_000]];
    let tensors =
        shapes.iter().enumerate().map(|(i, shape)| (format!("l{i}.weight"), weights::<bf16>(shape, i as u64)));
    let mut store = ParameterStore::from_iter(tensors);
    store.insert("l0.bias", weights::<bf16>(&[9], 9));
    for name in ["l0.weight", "l1.weight"] {
        store[name].prune(NM::new(2, 4, -1).unwrap().amount(0.7).unwrap()).unwrap();
        store[name].prune(L1Unstructured::new(0.1).unwrap()).unwrap();
    }
    safetensors::save_file(&store, &input).unwrap();
    let checkpoint = Checkpoint::open([&input]).unwrap();

    let pattern = |dim| NM::new(2, 4, dim).unwrap();
    let block = Block::new(0, &[2, 2], 2).unwrap();
    let nonzero = |parameter: &Parameter<bf16>| Mask::from(parameter.value().mapv(|x| x != bf16::ZERO));
    for dim in [0, -1] {
        let found = verify(&checkpoint, &Selection::new(), pattern(dim), &()).unwrap();
        for tensor in &found.tensors {
            match &tensor.result {
                Ok(violations) => {
                    let expected = pattern(dim).violations(&nonzero(&store[&*tensor.name])).unwrap();
                    assert_eq!(violations, &expected, "{}", tensor.name);
                }
                Err(reason) => assert_eq!((tensor.name.as_str(), reason), ("l0.bias", &SkipReason::Vector)),
            }
        }
        assert!(!found.holds() && found.violations() > 0);
    }
    let found = verify(&checkpoint, &Selection::new(), block.clone(), &()).unwrap();
    for tensor in found.tensors.iter().filter(|tensor| tensor.name != "l0.bias") {
        let expected = block.violations(&nonzero(&store[&*tensor.name])).unwrap();
        assert_eq!(tensor.result.as_ref(), Ok(&expected), "{}", tensor.name);
    }
    let everything = verify(&checkpoint, &Selection::new().only("*"), block, &()).unwrap_err();
    assert!(matches!(everything, CheckpointError::Tensor { tensor, .. } if tensor == "l0.bias"));
}

#[test]
fn a_pruned_file_has_its_pattern() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.safetensors"), folder.path().join("out.safetensors"));
    let store = ParameterStore::from_iter([("fc.weight", weights::<f32>(&[64, 48], 5))]);
    safetensors::save_file(&store, &input).unwrap();
    let pattern = NM::new(2, 4, -1).unwrap();
    let checkpoint = Checkpoint::open([&input]).unwrap();
    let broken = verify(&checkpoint, &Selection::new(), pattern, &()).unwrap();
    let first = Violation { at: vec![0, 0], kept: 4, allowed: 2 };
    assert_eq!(broken.tensors[0].result.as_ref().unwrap().first[0], first);
    let _ = Pruner::new(pattern).run(&checkpoint, &Output::new(&output), &()).unwrap();
    assert!(verify(&Checkpoint::open([&output]).unwrap(), &Selection::new(), pattern, &()).unwrap().holds());
}

/// The counts of the library, with masks in the input as a part of them.
#[test]
fn allocations_divide_the_amount() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.safetensors");
    let shapes: [&[usize]; 3] = [&[40, 30], &[16, 8, 3, 3], &[10, 40]];
    let tensors = shapes.iter().enumerate().map(|(i, shape)| (format!("w{i}"), weights::<f16>(shape, i as u64)));
    let mut store = ParameterStore::from_iter(tensors);
    let values: Vec<ArrayD<f16>> = store.iter().map(|(_, parameter)| parameter.value().clone()).collect();
    let views: Vec<_> = values.iter().map(|value| value.view()).collect();
    safetensors::save_file(&store, &input).unwrap();
    let bounds = Bounds { min: 0.1, max: 0.9 };
    let l1 = || Pruner::new(L1Unstructured::new(0.6).unwrap()).selection(Selection::new().only("*"));
    let all = [Allocation::Uniform, Allocation::ErdosRenyi, Allocation::Erk, Allocation::Lamp, Allocation::Global];
    for allocation in all {
        let counts = allocation.counts_of(&views, 0.6, bounds).unwrap();
        let output = folder.path().join(format!("{allocation}.safetensors"));
        let report = run(&l1().allocation(allocation, bounds), [&input], &output).unwrap();
        let found: Vec<usize> = (0..3).map(|number| after(&report, &format!("w{number}"))).collect();
        assert_eq!(found, counts, "{allocation}");
        let (loaded, _) = safetensors::load_file::<f16>(&output).unwrap();
        for ((name, parameter), count) in store.iter().zip(counts) {
            let mut expected = parameter.clone();
            expected.prune(L1Unstructured::new(count).unwrap()).unwrap();
            assert!(bits(loaded[name].value()) == bits(expected.value()), "{allocation} {name}");
        }
    }

    // One tensor is pruned more than its share already; the others lose less.
    let keep = Mask::from(ArrayD::from_shape_fn(IxDyn(&[10, 40]), |index| index[1] == 0));
    store["w2"].prune(CustomFromMask::new(keep)).unwrap();
    safetensors::save_file(&store, &input).unwrap();
    let checkpoint = Checkpoint::open([&input]).unwrap();
    for allocation in all {
        let half = Pruner::new(L1Unstructured::new(prune::Amount::sparsity(0.5)).unwrap());
        let half = half.selection(Selection::new().only("*")).allocation(allocation, Bounds::default());
        let report = half.dry_run(&checkpoint, &()).unwrap();
        assert_eq!(report.pruned_after(), (1200 + 1152 + 400) / 2, "{allocation}");
        assert!(after(&report, "w2") >= 390);
        if allocation == Allocation::Uniform {
            // A session rounds the same level for each parameter by itself.
            continue;
        }
        let mut in_memory = store.clone();
        let once = Schedule::once(0, 0.5).unwrap();
        let session = Session::new(&["w0", "w1", "w2"], once, |due| L1Unstructured::new(due.amount));
        session.allocation(allocation).step(&mut in_memory).unwrap();
        for (name, parameter) in in_memory.iter() {
            assert_eq!(after(&report, name), parameter.pruned(), "{allocation} {name}");
        }
    }
}

#[test]
fn allocations_that_do_not_apply() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.safetensors");
    safetensors::save_file(&ParameterStore::from_iter([("fc.weight", weights::<f32>(&[8, 8], 1))]), &input).unwrap();
    let checkpoint = Checkpoint::open([&input]).unwrap();
    let refused = |pruner: Pruner, allocation, bounds| {
        pruner.allocation(allocation, bounds).dry_run(&checkpoint, &()).unwrap_err().to_string()
    };
    let l1 = || Pruner::new(L1Unstructured::new(0.5).unwrap());
    let any = Bounds::default();
    for (pruner, allocation, message) in [
        (
            l1().scope(Scope::Global),
            Allocation::Erk,
            "an allocation does not apply to global scope, which is one itself",
        ),
        (
            l1().layer("fc.weight", prune::AnyMethod::new(L1Unstructured::new(1).unwrap())),
            Allocation::Erk,
            "amounts for single tensors do not apply to an allocation",
        ),
        (Pruner::new(NM::new(2, 4, -1).unwrap()), Allocation::Erk, "allocation erk does not apply to NM"),
        (
            Pruner::new(RandomUnstructured::new(0.5, 1).unwrap()),
            Allocation::Lamp,
            "allocation lamp does not apply to RandomUnstructured",
        ),
    ] {
        assert_eq!(refused(pruner, allocation, any), message);
    }
    let infeasible = l1().allocation(Allocation::Uniform, Bounds { min: 0.0, max: 0.4 });
    let CheckpointError::Method { source } = infeasible.dry_run(&checkpoint, &()).unwrap_err() else { panic!() };
    let message = "sparsity 0.5 is not within the bounds of the parameters, which allow 0.0 to 0.390625";
    assert_eq!(source.to_string(), message);
    let random = Pruner::new(RandomUnstructured::new(0.5, 1).unwrap()).allocation(Allocation::Erk, any);
    assert_eq!(random.dry_run(&checkpoint, &()).unwrap().pruned_after(), 32);
}

#[test]
fn norms_of_blocks_are_few() {
    assert_eq!(
        Block::new(0.5, &[4], 3).unwrap_err().to_string(),
        "norm 3 does not rank blocks; the norms 1, 2 and inf do"
    );
    assert!(Block::new(0.5, &[4], Norm::Nuclear).is_err());
    assert_eq!(Block::new(0.5, &[4, 0], 2).unwrap_err().to_string(), "block [4, 0] has an axis of size 0");
    let error = NM::new(3, 2, 0).unwrap_err().to_string();
    assert_eq!(error, "3:2 is not a pattern of n kept among every m entries; n must be at most m, and m at least 1");
    assert!(NM::new(0, 0, 0).is_err());
}
