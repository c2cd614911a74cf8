//! Packed files.

use std::fs;

use half::{bf16, f16};
use ndarray::{ArrayD, arr2};
use prune::checkpoint::{Checkpoint, CheckpointError, DenseReason, Output, Packer, inspect, unpack};
use prune::safetensors::{
    self, PackedTensor, StateDictError, load_packed, packed_from_bytes, packed_to_bytes, save_packed,
};
use prune::{CustomFromMask, Element, L1Unstructured, ParameterStore};

use super::support::weight;
use crate::laws::runner::check_law;

fn store<A: Element>(rows: usize, columns: usize, density: f64, seed: usize) -> ParameterStore<A> {
    let conv = weight::<A>(rows, 4 * columns, density, seed + 1);
    let conv = conv.into_shape_with_order([rows, columns, 2, 2]).unwrap().into_dyn();
    let mut store = ParameterStore::from_iter([
        ("fc.weight", weight::<A>(rows, columns, density, seed).into_dyn()),
        ("conv.weight", conv),
        ("table", weight::<A>(columns, rows, density, seed + 2).into_dyn()),
    ]);
    store.insert("fc.bias", weight::<A>(1, rows, density, seed).row(0).to_owned());
    store
}

/// A saved store is loaded as it was, from memory and by `unpack`, and `nn-prune pack` writes the same bytes.
fn round_trip<A: Element>(rows: usize, columns: usize, density: f64, seed: usize) {
    let store = store::<A>(rows, columns, density, seed);
    let folder = tempfile::tempdir().unwrap();
    let [dense, packed, streamed, unpacked] =
        ["dense", "packed", "streamed", "unpacked"].map(|name| folder.path().join(name));
    save_packed(&store, &packed).unwrap();
    assert_eq!(fs::read(&packed).unwrap(), packed_to_bytes(&store).unwrap());
    let (tensors, report) = load_packed::<A>(&packed).unwrap();
    assert!(report.skipped.is_empty() && tensors.len() == store.len());
    for ((name, tensor), (expected, parameter)) in tensors.iter().zip(store.iter()) {
        assert_eq!((name.as_str(), &tensor.to_dense()), (expected, parameter.value()));
    }

    safetensors::save_file(&store, &dense).unwrap();
    let any_packed = tensors.iter().any(|(_, tensor)| matches!(tensor, PackedTensor::Packed(_)));
    match Packer::new().run(&Checkpoint::open([&dense]).unwrap(), &Output::new(&streamed), &()) {
        Ok(report) => {
            assert_eq!(fs::read(&streamed).unwrap(), fs::read(&packed).unwrap());
            let data: u64 = Checkpoint::open([&streamed]).unwrap().tensors().iter().map(|tensor| tensor.bytes).sum();
            assert_eq!(report.bytes_after(), data);
            unpack(&Checkpoint::open([&streamed]).unwrap(), &Output::new(&unpacked), &()).unwrap();
            assert_eq!(fs::read(&unpacked).unwrap(), fs::read(&dense).unwrap());
        }
        Err(error) => assert!(matches!(error, CheckpointError::NothingToPack) && !any_packed, "{error}"),
    }
}

#[test]
fn every_type_and_shape_comes_back() {
    check_law((1_usize..20, 1_usize..150, 0.0..1.0, 0..1000_usize), |(rows, columns, density, seed)| match seed % 4 {
        0 => round_trip::<f32>(rows, columns, density, seed),
        1 => round_trip::<f64>(rows, columns, density, seed),
        2 => round_trip::<f16>(rows, columns, density, seed),
        _ => round_trip::<bf16>(rows, columns, density, seed),
    });
    round_trip::<f32>(700, 1000, 0.2, 4);
}

/// A tensor with a mask is packed by it, kept zeros included, and dense tensors lose their masks.
#[test]
fn masks_decide_what_is_packed() {
    let mut store = store::<f32>(40, 60, 1.0, 3);
    let mut mask = weight::<f32>(40, 60, 0.2, 9).mapv(|x| x != 0.0);
    store["fc.weight"].update(|mut w| w[[0, 0]] = 0.0);
    mask[[0, 0]] = true;
    store["fc.weight"].prune(CustomFromMask::new(mask.clone())).unwrap();
    store["fc.bias"].prune(L1Unstructured::new(3).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let [pytorch, packed] = ["pytorch", "packed"].map(|name| folder.path().join(name));
    safetensors::save_file(&store, &pytorch).unwrap();
    let report = Packer::new().run(&Checkpoint::open([&pytorch]).unwrap(), &Output::new(&packed), &()).unwrap();
    assert_eq!(report.packed(), 1);
    assert_eq!(report.tensors[0].bytes_before, 2 * 40 * 60 * 4);
    assert_eq!(fs::read(&packed).unwrap(), packed_to_bytes(&store).unwrap());
    let (tensors, _) = load_packed::<f32>(&packed).unwrap();
    let PackedTensor::Packed(weight) = &tensors[0].1 else { panic!("it is packed") };
    assert_eq!(weight.mask(), mask);
    assert_eq!(&tensors[3].1.to_dense(), store["fc.bias"].value());
}

/// With the signs of zeros, every bit comes back: what `remove` writes for a tensor with a mask.
#[test]
fn signs_bring_every_bit_back() {
    let mut tensor = weight::<f32>(50, 70, 1.0, 5);
    (tensor[[0, 0]], tensor[[0, 1]], tensor[[0, 2]]) = (f32::INFINITY, f32::NAN, -0.0);
    let mut store = ParameterStore::from_iter([("w.weight", tensor)]);
    let mut mask = weight::<f32>(50, 70, 0.2, 9).mapv(|x| x != 0.0);
    (mask[[0, 0]], mask[[0, 2]]) = (false, true);
    store["w.weight"].prune(CustomFromMask::new(mask)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let open = |name: &str| Checkpoint::open([path(name)]).unwrap();
    safetensors::save_file(&store, path("pytorch")).unwrap();
    prune::checkpoint::remove(&open("pytorch"), &Output::new(path("removed")), &()).unwrap();
    for input in ["pytorch", "removed"] {
        let output = |name: &str| Output::new(path(name)).force(true);
        let report = Packer::new().signs(true).run(&open(input), &output("packed"), &()).unwrap();
        assert_eq!(report.packed(), 1);
        unpack(&open("packed"), &output("unpacked"), &()).unwrap();
        assert_eq!(fs::read(path("unpacked")).unwrap(), fs::read(path("removed")).unwrap());
        let (tensors, _) = load_packed::<f32>(path("packed")).unwrap();
        let bits = |array: &ArrayD<f32>| array.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&tensors[0].1.to_dense()), bits(store["w.weight"].value()));
    }
}

#[test]
fn other_dtypes_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    save_packed(&store::<f32>(20, 30, 0.2, 1), folder.path().join("f32")).unwrap();
    let (tensors, report) = load_packed::<f64>(folder.path().join("f32")).unwrap();
    assert_eq!((tensors.len(), report.skipped.len()), (0, 4));
    assert_eq!(report.skipped[0].tensor, "fc.compressed");
}

/// Only one of two tensors gets the names of parts, and tensors named like parts are left alone.
#[test]
fn names_that_clash() {
    let sparse = || weight::<f32>(20, 30, 0.1, 1).into_dyn();
    let store = ParameterStore::from_iter([
        ("a.weight", sparse()),
        ("a", sparse()),
        ("b.weight", sparse()),
        ("b.shape", sparse()),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let [dense, packed, unpacked] = ["dense", "packed", "unpacked"].map(|name| folder.path().join(name));
    safetensors::save_file(&store, &dense).unwrap();
    let report = Packer::new().run(&Checkpoint::open([&dense]).unwrap(), &Output::new(&packed), &()).unwrap();
    let reasons: Vec<_> = report.tensors.iter().map(|tensor| tensor.dense).collect();
    assert_eq!(reasons, [None, Some(DenseReason::NameClash), Some(DenseReason::NameClash), None]);
    unpack(&Checkpoint::open([&packed]).unwrap(), &Output::new(&unpacked), &()).unwrap();
    assert_eq!(fs::read(&unpacked).unwrap(), fs::read(&dense).unwrap());
    assert!(matches!(packed_to_bytes(&store), Err(StateDictError::NameClash { .. })));
}

#[test]
fn inspection_joins_the_parts() {
    let store = store::<f32>(30, 40, 0.2, 2);
    let folder = tempfile::tempdir().unwrap();
    let [dense, packed] = ["dense", "packed"].map(|name| folder.path().join(name));
    safetensors::save_file(&store, &dense).unwrap();
    save_packed(&store, &packed).unwrap();
    let [dense, packed] = [dense, packed].map(|path| inspect(&Checkpoint::open([path]).unwrap(), true, &()).unwrap());
    for (dense, packed) in dense.tensors.into_iter().zip(packed.tensors) {
        assert_eq!(packed.is_packed, packed.bytes < dense.bytes);
        let (bytes, is_packed) = (dense.bytes, dense.is_packed);
        assert_eq!(dense, prune::checkpoint::TensorInspection { bytes, is_packed, ..packed });
    }
}

/// Every part is checked against the others, in memory and on files.
#[test]
fn invalid_parts() {
    type Parts = (Vec<i64>, Vec<i64>, Vec<f32>, (Vec<usize>, Vec<u8>));
    let good: Parts = (vec![2, 9], vec![0, 1], vec![1.0, 2.0], (vec![2, 2], vec![1, 0, 0, 1]));
    let file = |(shape, offsets, values, (bits_shape, bits)): Parts| {
        let mut data = Vec::new();
        let mut header = serde_json::Map::new();
        let mut add = |name: &str, dtype: &str, shape: &[usize], bytes: Vec<u8>| {
            let range = [data.len(), data.len() + bytes.len()];
            header.insert(name.into(), serde_json::json!({ "dtype": dtype, "shape": shape, "data_offsets": range }));
            data.extend(bytes);
        };
        let integers = |numbers: &[i64]| numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>();
        add("l.shape", "I64", &[shape.len()], integers(&shape));
        add("l.row_offsets", "I64", &[offsets.len()], integers(&offsets));
        add("l.compressed", "F32", &[values.len()], values.iter().flat_map(|x| x.to_le_bytes()).collect());
        add("l.bitmask", "U8", &bits_shape, bits);
        let json = serde_json::Value::from(header).to_string();
        [&(json.len() as u64).to_le_bytes(), json.as_bytes(), &data].concat()
    };
    let folder = tempfile::tempdir().unwrap();
    let result = |parts: Parts| {
        let bytes = file(parts);
        let path = folder.path().join("file");
        fs::write(&path, &bytes).unwrap();
        let output = folder.path().join("output");
        let streamed = unpack(&Checkpoint::open([&path]).unwrap(), &Output::new(&output).force(true), &());
        let loaded = packed_from_bytes::<f32>(&bytes);
        assert_eq!(loaded.is_ok(), streamed.is_ok());
        if let Err(CheckpointError::Packed { source, .. }) = streamed {
            let loaded = loaded.as_ref().err().map(ToString::to_string);
            assert_eq!(loaded, Some(source.to_string()));
        }
        loaded.map(|(tensors, _)| tensors[0].1.to_dense())
    };
    let mut expected = ndarray::Array2::<f32>::zeros((2, 9));
    (expected[[0, 0]], expected[[1, 8]]) = (1.0, 2.0);
    assert_eq!(result(good.clone()).unwrap(), expected.into_dyn());

    use StateDictError as E;
    let changed = |change: fn(&mut Parts)| {
        let mut parts = good.clone();
        change(&mut parts);
        result(parts).unwrap_err()
    };
    assert!(matches!(changed(|parts| parts.0 = vec![3, 9]), E::PackedLayout { .. }));
    assert!(matches!(changed(|parts| parts.0 = vec![2, 17]), E::PackedLayout { .. }));
    assert!(matches!(changed(|parts| parts.0 = vec![18]), E::PackedLayout { .. }));
    assert!(matches!(changed(|parts| parts.3.0 = vec![4]), E::PackedLayout { .. }));
    assert!(matches!(changed(|parts| parts.1 = vec![0]), E::PackedLayout { .. }));
    assert!(matches!(changed(|parts| parts.0 = vec![-2, 9]), E::ImpossibleShape { .. }));
    assert!(matches!(changed(|parts| parts.0 = vec![i64::MAX, 9]), E::ImpossibleShape { .. }));
    assert!(matches!(changed(|parts| parts.1 = vec![0, 2]), E::PackedOffset { row: 1, expected: 1, found: 2, .. }));
    assert!(matches!(changed(|parts| parts.1 = vec![-1, 1]), E::PackedOffset { row: 0, expected: 0, found: -1, .. }));
    assert!(matches!(changed(|parts| parts.2 = vec![1.0]), E::PackedValues { bits: 2, values: 1, .. }));
    assert!(matches!(changed(|parts| parts.2 = vec![1.0; 3]), E::PackedValues { bits: 2, values: 3, .. }));
    assert!(matches!(changed(|parts| parts.2 = vec![1.0; 19]), E::PackedLayout { .. }));
    assert!(matches!(changed(|parts| parts.3.1 = vec![1, 2, 0, 1]), E::MaskPadding { .. }));
}

/// A packed checkpoint is not pruned by its parts.
#[test]
fn packed_tensors_are_not_pruned() {
    let folder = tempfile::tempdir().unwrap();
    let [packed, output] = ["packed", "output"].map(|name| folder.path().join(name));
    let store = ParameterStore::from_iter([("w.weight", weight::<f32>(20, 30, 0.1, 1))]);
    save_packed(&store, &packed).unwrap();
    let pruner = prune::checkpoint::Pruner::new(L1Unstructured::new(0.5).unwrap());
    let error = pruner.run(&Checkpoint::open([&packed]).unwrap(), &Output::new(&output), &()).unwrap_err();
    assert!(matches!(error, CheckpointError::NothingSelected { .. }), "{error}");
    let dense = ParameterStore::from_iter([("v.weight", arr2(&[[1.0_f32, 2.0]])), ("b", arr2(&[[1.0]]))]);
    assert_eq!(packed_from_bytes::<f32>(&packed_to_bytes(&dense).unwrap()).unwrap().0.len(), 2);
}
