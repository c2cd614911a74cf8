//! Skipped tensors are copied byte for byte, and the report gives the reason.

use half::f16;
use ndarray::{Array, array};
use prune::checkpoint::{Checkpoint, Outcome, Output, Pruner, Selection, SkipReason};

use super::support::*;

fn model() -> Vec<Raw> {
    let weight = |name: &str| Raw::of(name, &weights::<f32>(&[3, 4], name.len() as u64));
    vec![
        weight("model.embed_tokens.weight"),
        weight("layers.0.input_layernorm.weight"),
        Raw::new("position_ids", "I64", &[2], vec![7; 16]),
        weight("layers.0.q_proj.weight"),
        Raw::of("layers.0.q_proj.bias", &weights::<f32>(&[3], 1)),
        Raw::new("layers.0.scale", "F8_E4M3", &[5], vec![1, 2, 3, 4, 0x80]),
        Raw::new("odd", "U8", &[0, 3], vec![]),
        Raw::new("scalar", "F32", &[], vec![0, 0, 0x80, 0x3f]),
        Raw::of("vector", &array![f16::ONE, f16::ZERO].into_dyn()),
        Raw::new("flags", "BOOL", &[3], vec![1, 0, 1]),
        weight("lm_head.weight"),
        Raw::of("lonely_mask", &Array::<f32, _>::ones((2, 2)).into_dyn()),
    ]
}

fn l1() -> Pruner {
    l1_pruner(0.5)
}

#[test]
fn default_selection() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = model();
    let input = write(&folder.path().join("in.safetensors"), &[("format", "pt"), ("note", "é\n\"")], &tensors);
    let output = folder.path().join("out.safetensors");
    let report = run(&l1(), [&input], &output).unwrap();
    let pruned = Outcome::Pruned { asked: Some(6), before: 0, after: 6 };
    let skipped = Outcome::Skipped;
    let expected = [
        skipped(SkipReason::Embedding { word: "embed" }),
        skipped(SkipReason::Norm { word: "layernorm" }),
        Outcome::Skipped(SkipReason::Dtype),
        pruned.clone(),
        skipped(SkipReason::Vector),
        Outcome::Skipped(SkipReason::Dtype),
        Outcome::Skipped(SkipReason::Dtype),
        skipped(SkipReason::Vector),
        skipped(SkipReason::Vector),
        Outcome::Skipped(SkipReason::Dtype),
        skipped(SkipReason::Head),
        skipped(SkipReason::NotALayer { name: "lonely_mask".into() }),
    ];
    let outcomes: Vec<_> = report.tensors.iter().map(|tensor| tensor.outcome.clone()).collect();
    assert_eq!(outcomes, expected);
    assert_eq!((report.asked, report.selected_entries()), (Some(6), 12));

    assert_eq!(header(&input), header(&output));
    for (before, (after, outcome)) in tensors.iter().zip(read(&output).iter().zip(outcomes)) {
        assert_eq!(before == after, matches!(outcome, Outcome::Skipped(_)), "{}", before.name);
    }
}

#[test]
fn patterns() {
    let folder = tempfile::tempdir().unwrap();
    let input = write(&folder.path().join("in.safetensors"), &[], &model());
    let checkpoint = Checkpoint::open([&input]).unwrap();
    for (selection, expected) in [
        (Selection::new(), vec!["layers.0.q_proj.weight"]),
        (
            Selection::new().only("*.weight").exclude("lm_*").exclude("*norm*").exclude("*embed*"),
            vec!["layers.0.q_proj.weight"],
        ),
        (Selection::new().only("{vector,scalar}"), vec!["scalar", "vector"]),
        (Selection::new().only("layers.?.q_proj.*"), vec!["layers.0.q_proj.weight", "layers.0.q_proj.bias"]),
        (
            Selection::new().only("*.weight").exclude("*norm*"),
            vec!["model.embed_tokens.weight", "layers.0.q_proj.weight", "lm_head.weight"],
        ),
    ] {
        let report = l1().selection(selection.clone()).dry_run(&checkpoint, &()).unwrap();
        let pruned = report.tensors.iter().filter(|tensor| matches!(tensor.outcome, Outcome::Pruned { .. }));
        assert_eq!(pruned.map(|tensor| tensor.name.as_str()).collect::<Vec<_>>(), expected, "{selection:?}");
    }
    let report = l1().selection(Selection::new().only("*")).dry_run(&checkpoint, &()).unwrap();
    let skipped = report.tensors.iter().filter(|tensor| matches!(tensor.outcome, Outcome::Skipped(_)));
    assert!(skipped.clone().count() == 4 && skipped.clone().all(|tensor| !tensor.dtype.can_be_pruned()));
}

/// A skipped pair is copied as a pair, and an index with the same names keeps its bytes.
#[test]
fn pairs_and_the_index() {
    let folder = tempfile::tempdir().unwrap();
    let weight = weights::<f32>(&[40, 30], 1);
    let alive = weight.map(|x| *x > 0.0);
    let pair = [Raw::of("a_orig", &weight), Raw::mask::<f32>("a_mask", &alive)];
    let index = write_sharded(folder.path(), &[&pair, &[Raw::of("b", &weight)]]);
    let output = folder.path().join("out");
    let report = run(&l1().selection(Selection::new().only("b")), [&index], &output).unwrap();
    assert_eq!(report.tensors[0].outcome, Outcome::Skipped(SkipReason::NotIncluded));
    assert_eq!(SkipReason::NotIncluded.to_string(), "not included");
    let same = |name: &str| {
        let there = [folder.path().join(name), output.join(name)].map(|path| std::fs::read(path).unwrap());
        there[0] == there[1]
    };
    assert!(same("model-00001-of-00002.safetensors") && same("model.safetensors.index.json"));
    assert!(!same("model-00002-of-00002.safetensors"));
}

#[test]
fn nothing_is_as_it_was_but_in_shape() {
    let folder = tempfile::tempdir().unwrap();
    // Odd offsets: data that is not aligned to anything.
    let tensors = [
        Raw::new("a", "U8", &[3], vec![1, 2, 3]),
        Raw::of("w", &weights::<f64>(&[5, 5], 1)),
        Raw::new("b", "U8", &[1], vec![4]),
        Raw::of("v", &weights::<f32>(&[300, 300], 1)),
    ];
    let input = write(&folder.path().join("in.safetensors"), &[], &tensors);
    let output = folder.path().join("out.safetensors");
    let prune = l1_pruner(0);
    let report = prune.run(&Checkpoint::open([&input]).unwrap(), &Output::new(&output), &()).unwrap();
    assert_eq!(report.pruned_after(), 0);
    assert!(std::fs::read(input).unwrap() == std::fs::read(output).unwrap());
}

/// A selection says beforehand what a run skips. It is not an error if that is everything.
#[test]
fn a_selection_gives_the_reasons_of_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let input = write(&folder.path().join("in.safetensors"), &[], &model());
    let checkpoint = Checkpoint::open([&input]).unwrap();
    for selection in [
        Selection::new(),
        Selection::new().include("*.bias").include("*_proj*"),
        Selection::new().exclude("lm_*").exclude("*bias"),
    ] {
        let report = l1().selection(selection.clone()).dry_run(&checkpoint, &()).unwrap();
        let reasons = selection.skipped(&checkpoint).unwrap();
        assert!(reasons.iter().any(Option::is_some) && reasons.iter().any(Option::is_none));
        let of_run = report.tensors.into_iter().map(|tensor| match tensor.outcome {
            Outcome::Skipped(reason) => Some(reason),
            _ => None,
        });
        assert_eq!(reasons, of_run.collect::<Vec<_>>());
    }
    let nothing = Selection::new().exclude("*").skipped(&checkpoint).unwrap();
    assert!(nothing.iter().all(Option::is_some));
    assert!(Selection::new().include("nobody").skipped(&checkpoint).is_err());
    assert!(Selection::new().include("[").skipped(&checkpoint).is_err());
}
