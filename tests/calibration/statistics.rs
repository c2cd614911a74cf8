//! Statistics files: what is saved is loaded, merged files are exact, and what is invalid is refused.

use std::fs;
use std::path::{Path, PathBuf};

use ndarray::{Array2, Axis, arr2};
use prune::calibration::{GradientSquares, Moments, Statistics, StatisticsError};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize_to_file};

use super::layer::Layer;

fn directory() -> (tempfile::TempDir, impl Fn(&str) -> PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    (directory, move |name: &str| path.join(name))
}

fn of(inputs: ndarray::ArrayView2<'_, f32>) -> Moments {
    let mut moments = Moments::with_gram(inputs.ncols());
    moments.push(inputs).unwrap();
    moments
}

/// Statistics of two inputs: one with three weights and a Gram matrix, one without.
fn statistics(inputs: ndarray::ArrayView2<'_, f32>) -> Statistics {
    let mut statistics = Statistics::new();
    statistics.input("attention", &["q.weight", "k.weight", "v.weight"], of(inputs));
    let mut plain = Moments::new(inputs.ncols());
    plain.push(inputs).unwrap();
    statistics.input("mlp", &["up.weight"], plain);
    let mut gradients = GradientSquares::new(&[2, 2]);
    gradients.push(arr2(&[[1.0_f32, 0.1], [0.0, 3.0]]).view()).unwrap();
    statistics.gradients("q.weight", gradients);
    statistics
}

#[test]
fn what_is_saved_is_opened_and_loaded() {
    let (_directory, path) = directory();
    let layer = Layer::load("small_f32");
    let saved = statistics(layer.inputs.view());
    saved.save(path("s")).unwrap();
    for found in [Statistics::open(path("s")).unwrap(), Statistics::load(path("s")).unwrap()] {
        assert_eq!(found, saved);
        assert!(found.weights().eq(["k.weight", "q.weight", "up.weight", "v.weight"]));
        assert!(found.inputs().map(|(name, moments)| (name, moments.channels())).eq([("attention", 64), ("mlp", 64)]));
        assert_eq!(found.moments("v.weight").unwrap().as_ref(), Some(&*layer.moments));
        assert_eq!(found.moments("up.weight").unwrap().unwrap().sum_squares(), layer.moments.sum_squares());
        assert!(found.has_gram("k.weight") && !found.has_gram("up.weight") && !found.has_gram("none"));
        assert_eq!(found.moments("none").unwrap(), None);
        assert_eq!((found.input_of("k.weight"), found.input_of("none")), (Some("attention"), None));
        assert_eq!(found.gradient_squares("q.weight"), saved.gradient_squares("q.weight"));
        found.save(path("again")).unwrap();
        assert_eq!(fs::read(path("again")).unwrap(), fs::read(path("s")).unwrap());
    }
    // A loaded file may be deleted or changed.
    let loaded = Statistics::load(path("s")).unwrap();
    fs::remove_file(path("s")).unwrap();
    assert_eq!(loaded.moments("q.weight").unwrap().as_ref(), Some(&*layer.moments));
}

/// Merging files gives the bits of merging in memory, in the order of the merges.
#[test]
fn merged_files_are_exact() {
    let (_directory, path) = directory();
    let layer = Layer::load("outliers_bf16");
    let parts: Vec<_> = layer.inputs.axis_chunks_iter(Axis(0), 90).collect();
    let mut in_memory = of(parts[0]);
    parts[1..].iter().for_each(|part| in_memory.merge(&of(*part)).unwrap());
    let mut merged = Statistics::new();
    for (number, part) in parts.iter().enumerate() {
        let part_path = path(&number.to_string());
        statistics(*part).save(&part_path).unwrap();
        merged.merge(Statistics::open(&part_path).unwrap()).unwrap();
    }
    assert_eq!(merged.moments("k.weight").unwrap().as_ref(), Some(&in_memory));
    assert_eq!(merged.gradient_squares("q.weight").unwrap().pushes(), parts.len() as u64);
    merged.save(path("merged")).unwrap();
    let opened = Statistics::open(path("merged")).unwrap();
    assert_eq!(opened.moments("v.weight").unwrap(), Some(in_memory));
}

/// Sums with a Gram matrix and sums without one are sums without one, whichever come first.
#[test]
fn a_gram_matrix_on_one_side_is_dropped() {
    let inputs = arr2(&[[1.0_f32, 2.0]]);
    let mut plain = Statistics::new();
    let mut moments = Moments::new(2);
    moments.push(inputs.view()).unwrap();
    plain.input("attention", &["q.weight"], moments);
    for (mut first, second) in [(statistics(inputs.view()), plain.clone()), (plain, statistics(inputs.view()))] {
        first.merge(second).unwrap();
        let merged = first.moments("q.weight").unwrap().unwrap();
        assert_eq!((merged.count(), merged.has_gram()), (2, false));
        assert!(!first.has_gram("q.weight"));
    }
}

#[test]
fn what_cannot_be_merged_changes_nothing() {
    let before = statistics(arr2(&[[1.0_f32, 2.0]]).view());
    let mut merged = before.clone();
    let other = statistics(arr2(&[[1.0_f32, 2.0, 3.0]]).view());
    let error = merged.merge(other).unwrap_err();
    assert_eq!(error.to_string(), "the sums of `attention` cannot be merged");
    assert_eq!(merged, before);
    let mut other = Statistics::new();
    other.input("elsewhere", &["q.weight"], Moments::new(2));
    let error = merged.merge(other).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the input of `q.weight` is `attention` in one of the statistics and `elsewhere` in the other"
    );
    assert_eq!(merged, before);
}

#[test]
fn a_file_that_changes_is_noticed() {
    let (_directory, path) = directory();
    statistics(arr2(&[[1.0_f32, 2.0]]).view()).save(path("s")).unwrap();
    let opened = Statistics::open(path("s")).unwrap();
    let mut bytes = fs::read(path("s")).unwrap();
    bytes.push(0);
    fs::write(path("s"), bytes).unwrap();
    assert!(matches!(opened.moments("q.weight"), Err(StatisticsError::Changed { .. })));
}

/// Writes a file as another program would: F32, in any order.
fn write(path: &Path, metadata: &[(&str, &str)], tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)]) {
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, data)| (name.to_string(), TensorView::new(*dtype, shape.clone(), data).unwrap()));
    let metadata = metadata.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    serialize_to_file(views, Some(metadata), path).unwrap();
}

fn f32s(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

type Tensor = (&'static str, Dtype, Vec<usize>, Vec<u8>);

fn valid() -> Vec<Tensor> {
    vec![
        ("fc.count", Dtype::I64, vec![1], 3_i64.to_le_bytes().to_vec()),
        ("fc.sum_squares", Dtype::F32, vec![2], f32s(&[10.0, 5.0])),
        ("fc.gram", Dtype::F32, vec![3], f32s(&[10.0, 2.0, 5.0])),
    ]
}

const FORMAT: (&str, &str) = ("format", "nn-prune-statistics 1");
const WEIGHTS: (&str, &str) = ("weights", r#"{"fc.weight": "fc"}"#);

#[test]
fn files_of_other_programs() {
    let (_directory, path) = directory();
    write(&path("s"), &[FORMAT, WEIGHTS], &valid());
    let moments = Statistics::open(path("s")).unwrap().moments("fc.weight").unwrap().unwrap();
    assert_eq!(moments.count(), 3);
    assert_eq!(moments.gram(), Some(arr2(&[[10.0, 2.0], [2.0, 5.0]])));
}

#[test]
fn invalid_files() {
    let (_directory, path) = directory();
    let reason = |metadata: &[(&str, &str)], change: &dyn Fn(&mut Vec<Tensor>)| {
        let mut tensors = valid();
        change(&mut tensors);
        write(&path("s"), metadata, &tensors);
        let found = Statistics::open(path("s")).and_then(|statistics| statistics.moments("fc.weight"));
        match found.unwrap_err() {
            StatisticsError::Format { reason, .. } => reason,
            other => panic!("{other:?}"),
        }
    };
    let none = |_: &mut Vec<Tensor>| {};
    assert_eq!(reason(&[WEIGHTS], &none), "its metadata have no `format`, which is `nn-prune-statistics 1`");
    assert_eq!(reason(&[("format", "pt"), WEIGHTS], &none), "its format is `pt`, not `nn-prune-statistics 1`");
    assert_eq!(reason(&[FORMAT], &none), "its metadata have no `weights`, an object with the input of each weight");
    assert!(reason(&[FORMAT, ("weights", "[]")], &none).starts_with("`weights` is not an object of names"));
    assert_eq!(reason(&[FORMAT, ("weights", r#"{"a": "b"}"#)], &none), "the input `b` of `a` is missing");
    let both = [FORMAT, WEIGHTS];
    assert_eq!(reason(&both, &|tensors| drop(tensors.remove(0))), "it has no tensor `fc.count`");
    assert_eq!(reason(&both, &|tensors| tensors[0].3 = (-1_i64).to_le_bytes().to_vec()), "`fc.count` is negative");
    assert_eq!(reason(&both, &|tensors| tensors[0].1 = Dtype::U64), "`fc.count` is not one number of dtype I64");
    assert_eq!(reason(&both, &|tensors| drop(tensors.remove(1))), "tensor `fc.count` belongs to no sums");
    assert_eq!(reason(&both, &|tensors| tensors[1].2 = vec![1, 2]), "`fc.sum_squares` has shape [1, 2], not one axis");
    assert_eq!(reason(&both, &|tensors| tensors[1].1 = Dtype::I32), "`fc.sum_squares` is I32, not F32 or F64");
    assert_eq!(reason(&both, &|tensors| tensors[1].3 = f32s(&[1.0, -1.0])), "`fc.sum_squares` has a negative entry");
    assert_eq!(
        reason(&both, &|tensors| tensors[1].3 = f32s(&[1.0, f32::NAN])),
        "`fc.sum_squares` has an entry that is NaN or infinite"
    );
    let short: &dyn Fn(&mut Vec<Tensor>) = &|tensors| tensors[2] = ("fc.gram", Dtype::F32, vec![4], f32s(&[0.0; 4]));
    assert_eq!(reason(&both, short), "`fc.gram` has shape [4], not [3] for 2 channels");
    let nan: &dyn Fn(&mut Vec<Tensor>) = &|tensors| tensors[2].3 = f32s(&[f32::INFINITY, 0.0, 0.0]);
    assert_eq!(reason(&both, nan), "`fc.gram` has an entry that is NaN or infinite");
    let other: &dyn Fn(&mut Vec<Tensor>) = &|tensors| tensors[2].0 = "fc.other";
    assert_eq!(reason(&both, other), "tensor `fc.other` belongs to no sums");

    fs::write(path("s"), "no file of tensors").unwrap();
    assert!(matches!(Statistics::open(path("s")), Err(StatisticsError::Header { .. })));
    assert!(matches!(Statistics::open(path("none")), Err(StatisticsError::Read { .. })));
    let saved = statistics(Array2::zeros((1, 2)).view()).save(path("none/s"));
    assert!(matches!(saved, Err(StatisticsError::Write { .. })));
}
