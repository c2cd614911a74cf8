//! Checkpoints: what is resumed, what was pruned before, and that an error writes nothing.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use half::bf16;
use ndarray::{Array2, Axis};
use prune::calibration::{Admm, LeastSquares, Moments, SparseGpt, Statistics, Wanda};
use prune::checkpoint::{Checkpoint, CheckpointError, Format, Output, Progress, Pruner};
use prune::{AnyMethod, ParameterStore, PruneError};

use super::layer::Layer;

/// Statistics of both tensors by a part of the layer's inputs.
fn statistics(layer: &Layer, tokens: usize) -> Arc<Statistics> {
    let mut moments = Moments::with_gram(layer.weight.ncols());
    moments.push(layer.inputs.view().split_at(Axis(0), tokens).0).unwrap();
    let mut statistics = Statistics::new();
    statistics.input("in", &["a.weight", "b.weight"], moments);
    Arc::new(statistics)
}

fn store(weight: &Array2<bf16>, names: &[&str]) -> ParameterStore<bf16> {
    ParameterStore::from_iter(names.iter().map(|name| (*name, weight.clone())))
}

/// Two shards with one tensor each, and a directory for the output.
fn shards(layer: &Layer, directory: &Path) -> Checkpoint {
    let weight = layer.weight.mapv(bf16::from_f64);
    let paths = ["a", "b"].map(|name| {
        let path = directory.join(format!("{name}.safetensors"));
        prune::safetensors::save_file(&store(&weight, &[&format!("{name}.weight")]), &path).unwrap();
        path
    });
    Checkpoint::open(paths).unwrap()
}

/// A run is resumed only with the same statistics.
#[test]
fn statistics_are_a_part_of_a_run() {
    let layer = Layer::load("small_bf16");
    let methods: [fn(Arc<Statistics>) -> AnyMethod; 3] = [
        |statistics| AnyMethod::new(Wanda::new(0.5, statistics).unwrap()),
        |statistics| AnyMethod::new(SparseGpt::new(0.5, statistics).unwrap()),
        |statistics| AnyMethod::new(LeastSquares::after(Wanda::new(0.5, statistics.clone()).unwrap(), statistics)),
    ];
    for method in methods {
        let (input, output) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let checkpoint = shards(&layer, input.path());
        let (own, other) = (statistics(&layer, 300), statistics(&layer, 200));
        let pruner = |statistics: &Arc<Statistics>| Pruner::new(method(Arc::clone(statistics)));
        let out = Output::new(output.path());
        let half_way = |progress: Progress| {
            if 2 * progress.done > progress.total { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        assert!(matches!(pruner(&own).run(&checkpoint, &out, &half_way), Err(CheckpointError::Stopped)));
        let resume = Output::new(output.path()).resume(true);
        let again = pruner(&other).run(&checkpoint, &resume, &());
        assert!(matches!(again, Err(CheckpointError::OtherRun { difference: "method", .. })), "{again:?}");
        let report = pruner(&own).run(&checkpoint, &resume, &()).unwrap();
        assert_eq!(report.resumed.len(), 1);
    }
}

/// The arrays that are in memory at once, the matrix over the inputs among them, are a part of what is told. Wanda reads in pieces.
#[test]
fn the_memory_of_a_run_is_told() {
    let layer = Layer::load("small_bf16");
    let (rows, columns) = layer.weight.dim();
    let directory = tempfile::tempdir().unwrap();
    let (checkpoint, statistics) = (shards(&layer, directory.path()), statistics(&layer, 300));
    let admm = Pruner::new(AnyMethod::new(Admm::new(0.5, Arc::clone(&statistics)).unwrap()));
    let (_, bytes) = admm.working_memory(&checkpoint).unwrap().unwrap();
    let at_once = 8 * columns * columns + 2 * (8 + 2) * rows * columns;
    assert!((at_once..3 * at_once).contains(&(bytes as usize)), "{bytes} {at_once}");
    let wanda = Pruner::new(AnyMethod::new(Wanda::new(0.5, statistics).unwrap()));
    assert_eq!(wanda.working_memory(&checkpoint).unwrap(), None);
}

/// A tensor that is stored as `orig` and mask is pruned further as in memory.
#[test]
fn what_was_pruned_before_stays_pruned() {
    let layer = Layer::load("small_bf16");
    let directory = tempfile::tempdir().unwrap();
    let (input, output) = (directory.path().join("in"), directory.path().join("out"));
    let statistics = statistics(&layer, 300);
    let mut expected = store(&layer.weight.mapv(bf16::from_f64), &["a.weight"]);
    prune::l1_unstructured(&mut expected, "a.weight", 0.3).unwrap();
    prune::safetensors::save_file(&expected, &input).unwrap();
    let checkpoint = Checkpoint::open([&input]).unwrap();

    let done = prune::reconstruct(&mut expected, "a.weight", Admm::new(0.5, layer.moments.clone()).unwrap()).unwrap();
    let pruner = Pruner::new(Admm::new(0.5, statistics.clone()).unwrap()).statistics(statistics);
    let report = pruner.clone().format(Format::PyTorch).run(&checkpoint, &Output::new(&output), &()).unwrap();
    let found = prune::safetensors::load_file::<bf16>(&output).unwrap().0;
    assert_eq!(found["a.weight"].mask(), expected["a.weight"].mask());
    assert_eq!(found["a.weight"].orig(), expected["a.weight"].orig());
    let calibration = report.tensors[0].calibration.unwrap();
    assert_eq!((calibration.error, calibration.dampening), (Some(done.error), Some(done.dampening)));
    assert_eq!((calibration.dead, calibration.error_check), (Some(0), None));
    let masks = pruner.format(Format::Masks).run(&checkpoint, &Output::new(&output).force(true), &());
    assert!(matches!(masks, Err(CheckpointError::UpdateWithMasks { .. })));
}

#[test]
fn a_matrix_that_cannot_be_factored_writes_nothing() {
    let layer = Layer::load("small_bf16");
    let (input, output) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let checkpoint = shards(&layer, input.path());
    let few = statistics(&layer, 5);
    let pruner = Pruner::new(SparseGpt::new(0.5, few).unwrap().dampening(0.0));
    let path = output.path().join("new");
    let error = pruner.run(&checkpoint, &Output::new(&path), &()).unwrap_err();
    let CheckpointError::Tensor { tensor, source } = error else { panic!("{error:?}") };
    assert_eq!(tensor, "a.weight");
    let PruneError::NotPositiveDefinite { tensor: Some(tensor), channels: 64, rank: 5, .. } = source else {
        panic!("{source:?}")
    };
    assert_eq!(tensor, "a.weight");
    assert!(!path.join("a.safetensors").exists() && !path.join("b.safetensors").exists());
}

/// Statistics of a model have no meaning for a parameter in memory, which has no name.
#[test]
fn memory_takes_moments() {
    let layer = Layer::load("small_f32");
    let statistics = statistics(&layer, 300);
    let mut weight = prune::Parameter::new(layer.weight.clone());
    let error = weight.prune(Wanda::new(0.5, statistics).unwrap()).unwrap_err();
    let expected = "Wanda: statistics of a model need the name of a tensor; in memory, take the moments of the layer";
    assert_eq!(error.to_string(), expected);
}
