//! ONNX models: pruned in place, and every other byte kept.

use std::fs;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use ndarray::ArrayD;
use prune::checkpoint::{
    AxisReason, Checkpoint, CheckpointError, Format, MaskSource, Outcome, Output, PruneReport, Pruner, Scope,
    Selection, SkipReason, diff, extract_masks, verify,
};
use prune::{L1Unstructured, LnStructured, Mask, NM, Parameter, PruningMethod};

use super::onnx_file::*;
use super::support::*;

/// A model of each kind of layer, in each dtype that is pruned.
struct Layers {
    gemm: ArrayD<f32>,
    matmul: ArrayD<f16>,
    conv: ArrayD<bf16>,
    transposed: ArrayD<f64>,
}

impl Layers {
    fn new() -> Self {
        Self {
            gemm: weights(&[8, 6], 1),
            matmul: weights(&[8, 10], 2),
            conv: weights(&[4, 3, 3, 3], 3),
            transposed: weights(&[4, 6, 2], 4),
        }
    }

    fn nodes() -> Vec<Message> {
        vec![
            node("Conv", "x onnx::Conv_7 conv_bias", "c"),
            node("ConvTranspose", "c up", "t"),
            node("Gemm", "t fc.weight fc.bias", "y").with("transB", 1),
            node("Relu", "y", "r"),
            node("MatMul", "r onnx::MatMul_12", "z"),
        ]
    }

    /// The names of the weights, the axes of their output channels, and the operators.
    const AXES: [(&str, usize, &str); 4] = [
        ("fc.weight", 0, "Gemm"),
        ("onnx::MatMul_12", 1, "MatMul"),
        ("onnx::Conv_7", 0, "Conv"),
        ("up", 1, "ConvTranspose"),
    ];

    fn inside(&self) -> Vec<u8> {
        let initializers = [
            raw("fc.weight", FLOAT, &[8, 6], bits(&self.gemm)),
            raw("fc.bias", FLOAT, &[8], bits(&weights::<f32>(&[8], 5))),
            raw("onnx::MatMul_12", FLOAT16, &[8, 10], bits(&self.matmul)),
            raw("onnx::Conv_7", BFLOAT16, &[4, 3, 3, 3], bits(&self.conv)),
            raw("conv_bias", BFLOAT16, &[4], bits(&weights::<bf16>(&[4], 6))),
            tensor("up", DOUBLE, &[4, 6, 2]).field(10, bits(&self.transposed)),
        ];
        model(&graph(&Self::nodes(), &initializers, "z"))
    }

    /// The same with data in two files, and bytes there that belong to no tensor.
    fn outside(&self, folder: &Path) -> PathBuf {
        let place = |offset: &str, length: &str| {
            [("location", "model.onnx.data"), ("offset", offset), ("length", length)]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
        };
        let at = |name: &str, data_type, dims: &[i64], offset: &str, length: &str| {
            let entries = place(offset, length);
            let entries: Vec<_> = entries.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            external(name, data_type, dims, &entries)
        };
        let initializers = [
            at("fc.weight", FLOAT, &[8, 6], "3", "192"),
            raw("fc.bias", FLOAT, &[8], bits(&weights::<f32>(&[8], 5))),
            at("onnx::MatMul_12", FLOAT16, &[8, 10], "200", "160"),
            external("onnx::Conv_7", BFLOAT16, &[4, 3, 3, 3], &[("location", "./more/conv")]),
            external("conv_bias", BFLOAT16, &[4], &[("location", "more/conv"), ("offset", "300")]),
            tensor("up", DOUBLE, &[4, 6, 2]).field(10, bits(&self.transposed)),
        ];
        let mut data = b"abc".to_vec();
        data.extend(bits(&self.gemm));
        data.extend(b"defgh");
        data.extend(bits(&self.matmul));
        data.extend(b"ij");
        fs::create_dir_all(folder.join("more")).unwrap();
        fs::write(folder.join("model.onnx.data"), data).unwrap();
        let mut data = bits(&self.conv);
        data.resize(300, 7);
        data.extend(bits(&weights::<bf16>(&[4], 6)));
        fs::write(folder.join("more/conv"), data).unwrap();
        let path = folder.join("model.onnx");
        fs::write(&path, model(&graph(&Self::nodes(), &initializers, "z"))).unwrap();
        path
    }

    /// The bits of the weights before and after a method prunes each in memory.
    fn pruned(&self, method: impl Fn(&str) -> L1Unstructured) -> Vec<(Vec<u8>, Vec<u8>)> {
        fn one<A: Stored>(array: &ArrayD<A>, method: L1Unstructured) -> (Vec<u8>, Vec<u8>)
        where
            L1Unstructured: PruningMethod<A>,
        {
            let mut parameter = Parameter::new(array.clone());
            parameter.prune(method).unwrap();
            (bits(array), bits(parameter.value()))
        }
        vec![
            one(&self.gemm, method("fc.weight")),
            one(&self.matmul, method("onnx::MatMul_12")),
            one(&self.conv, method("onnx::Conv_7")),
            one(&self.transposed, method("up")),
        ]
    }
}

/// Bytes with the first occurrence of each of some bytes replaced by others of the same length.
fn replaced(bytes: &[u8], by: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (from, to) in by {
        if let Some(at) = bytes.windows(from.len()).position(|window| window == from) {
            bytes[at..at + from.len()].copy_from_slice(to);
        }
    }
    bytes
}

pub fn half() -> L1Unstructured {
    L1Unstructured::new(0.5).unwrap()
}

pub fn written(folder: &Path, bytes: &[u8]) -> PathBuf {
    let path = folder.join("model.onnx");
    fs::write(&path, bytes).unwrap();
    path
}

/// Opens a model of these nodes and initializers.
pub fn opened(folder: &Path, nodes: &[Message], initializers: &[Message]) -> Checkpoint {
    Checkpoint::open([written(folder, &model(&graph(nodes, initializers, "y")))]).unwrap()
}

fn reason_of(outcome: &Outcome) -> Option<&SkipReason> {
    match outcome {
        Outcome::Skipped(reason) => Some(reason),
        _ => None,
    }
}

pub fn skipped(report: &PruneReport) -> Vec<(&str, Option<&SkipReason>)> {
    report.tensors.iter().map(|tensor| (tensor.name.as_str(), reason_of(&tensor.outcome))).collect()
}

/// The reasons why tensors of a model are left out by default, by their names.
pub fn reasons(checkpoint: &Checkpoint) -> Vec<(&str, Option<SkipReason>)> {
    let reasons = Selection::new().skipped(checkpoint).unwrap();
    checkpoint.tensors().iter().map(|tensor| tensor.name.as_str()).zip(reasons).collect()
}

#[test]
fn weights_are_pruned_in_place_and_every_other_byte_is_kept() {
    let (folder, layers) = (tempfile::tempdir().unwrap(), Layers::new());
    let before = layers.inside();
    let (input, output) = (written(folder.path(), &before), folder.path().join("pruned.onnx"));
    let report = run(&Pruner::new(half()), [&input], &output).unwrap();
    let pruned = [("fc.weight", 24), ("onnx::MatMul_12", 40), ("onnx::Conv_7", 54), ("up", 24)];
    for (name, expected) in pruned {
        assert_eq!(after(&report, name), expected, "{name}");
    }
    let vectors = skipped(&report).into_iter().filter_map(|(name, reason)| Some((name, reason?)));
    assert!(vectors.eq([("fc.bias", &SkipReason::Vector), ("conv_bias", &SkipReason::Vector)]));

    let changed = layers.pruned(|_| half());
    let expected = replaced(&before, &changed);
    assert_ne!(expected, before);
    assert_eq!(fs::read(&output).unwrap(), expected);
    assert_eq!(fs::read(&input).unwrap(), before);
    let found = diff(&Checkpoint::open([&input]).unwrap(), &Checkpoint::open([&output]).unwrap(), &()).unwrap();
    assert_eq!(found.common.iter().filter(|tensor| !tensor.is_equal()).count(), 4);
    // A second run finds the zeros of the first.
    let again = run(&Pruner::new(half()), [&output], &folder.path().join("again.onnx")).unwrap();
    assert_eq!(again.pruned_before(), report.pruned_after());
    assert_eq!(fs::read(folder.path().join("again.onnx")).unwrap(), expected);
}

#[test]
fn external_data_is_pruned_in_files_of_the_same_names() {
    let (folder, layers) = (tempfile::tempdir().unwrap(), Layers::new());
    let input = layers.outside(folder.path());
    let checkpoint = Checkpoint::open([&input]).unwrap();
    let names = ["model.onnx", "model.onnx.data", "more/conv"];
    assert!(checkpoint.shards().iter().map(|shard| shard.name().to_str().unwrap()).eq(names));
    let output = folder.path().join("out");
    let report = Pruner::new(half()).run(&checkpoint, &Output::new(&output), &()).unwrap();
    assert_eq!(report.pruned_after(), 24 + 40 + 54 + 24);
    let changed = layers.pruned(|_| half());
    for name in names {
        let before = fs::read(folder.path().join(name)).unwrap();
        assert_eq!(fs::read(output.join(name)).unwrap(), replaced(&before, &changed), "{name}");
    }
    let files = |path: &Path| fs::read_dir(path).unwrap().count();
    assert_eq!((files(&output), files(&output.join("more"))), (3, 1));
    assert!(Checkpoint::open([output.join("model.onnx")]).is_ok());

    // One file has no room for three, and the directory of the input has them already.
    let run = |output: &Path| Pruner::new(half()).run(&checkpoint, &Output::new(output).force(true), &());
    let error = run(&folder.path().join("pruned.onnx")).unwrap_err();
    assert!(matches!(error, CheckpointError::OutputKind { expected: "a directory", .. }), "{error}");
    let error = run(folder.path()).unwrap_err();
    assert!(matches!(error, CheckpointError::OutputIsInput { .. }), "{error}");
    let error = Pruner::new(half()).run(&checkpoint, &Output::new(&output), &()).unwrap_err();
    assert!(matches!(error, CheckpointError::OutputExists { .. }), "{error}");
}

#[test]
fn a_run_into_a_directory_is_resumed() {
    let (folder, layers) = (tempfile::tempdir().unwrap(), Layers::new());
    let checkpoint = Checkpoint::open([layers.outside(folder.path())]).unwrap();
    let [whole, parts] = ["whole", "parts"].map(|name| folder.path().join(name));
    let _ = Pruner::new(half()).run(&checkpoint, &Output::new(&whole), &()).unwrap();
    // A directory in the place of a file stops the run there.
    fs::create_dir_all(parts.join("more/conv")).unwrap();
    Pruner::new(half()).run(&checkpoint, &Output::new(&parts).force(true), &()).unwrap_err();
    assert!(parts.join("model.onnx.data").exists() && parts.join(".nn-prune-run.json").exists());
    fs::remove_dir(parts.join("more/conv")).unwrap();
    let report = Pruner::new(half()).run(&checkpoint, &Output::new(&parts).resume(true), &()).unwrap();
    assert_eq!(report.resumed, [parts.join("model.onnx"), parts.join("model.onnx.data")]);
    for name in ["model.onnx", "model.onnx.data", "more/conv"] {
        assert_eq!(fs::read(parts.join(name)).unwrap(), fs::read(whole.join(name)).unwrap(), "{name}");
    }
}

#[test]
fn channels_lie_where_the_operator_has_them() {
    let (folder, layers) = (tempfile::tempdir().unwrap(), Layers::new());
    let checkpoint = Checkpoint::open([written(folder.path(), &layers.inside())]).unwrap();
    let method = LnStructured::new(1, 2, 0).unwrap();
    let report = Pruner::new(method).output_axis(true).dry_run(&checkpoint, &()).unwrap();
    for (name, axis, operator) in Layers::AXES {
        let tensor = report.tensors.iter().find(|tensor| tensor.name == name).unwrap();
        if name == "onnx::MatMul_12" {
            assert_eq!(tensor.outcome, Outcome::Skipped(SkipReason::LastLayer));
            continue;
        }
        let found = tensor.axis.unwrap();
        assert_eq!((found.axis, found.reason), (axis, AxisReason::Operator { name: operator }), "{name}");
        assert_eq!(found.to_string(), format!("axis {axis}: output channels of {operator}"));
        let size = tensor.shape[axis];
        assert_eq!(after(&report, name), tensor.entries / size, "{name}");
    }
    // A named axis is the same everywhere.
    let report = Pruner::new(method).dry_run(&checkpoint, &()).unwrap();
    assert!(report.tensors.iter().filter_map(|tensor| tensor.axis).all(|axis| axis.reason == AxisReason::Given));
}

#[test]
fn global_scope_masks_and_patterns_work_as_on_other_files() {
    let (folder, layers) = (tempfile::tempdir().unwrap(), Layers::new());
    let checkpoint = Checkpoint::open([layers.outside(folder.path())]).unwrap();
    let path = |name: &str| folder.path().join(name);
    let global = Pruner::new(L1Unstructured::new(0.25).unwrap()).scope(Scope::Global);
    let report = global.run(&checkpoint, &Output::new(path("global")), &()).unwrap();
    assert_eq!(report.pruned_after(), (48 + 80 + 108 + 48) / 4);
    assert_eq!(global.dry_run(&checkpoint, &()).unwrap().tensors, report.tensors);

    // The masks of one run give the same bytes in another.
    let _ = global.format(Format::Masks).run(&checkpoint, &Output::new(path("masks.safetensors")), &()).unwrap();
    let masks = Pruner::masks(path("masks.safetensors"));
    let _ = masks.run(&checkpoint, &Output::new(path("by masks")), &()).unwrap();
    for name in ["model.onnx", "model.onnx.data", "more/conv"] {
        assert_eq!(fs::read(path("global").join(name)).unwrap(), fs::read(path("by masks").join(name)).unwrap());
    }
    let pruned = Checkpoint::open([path("global/model.onnx")]).unwrap();
    let zeros = MaskSource::Zeros(Selection::new());
    let names = extract_masks(&pruned, &zeros, &Output::new(path("zeros.safetensors")), &()).unwrap();
    assert_eq!(names.len(), 4);
    let of_matmul = |file: &str| {
        let masks = prune::safetensors::load_masks(path(file)).unwrap();
        masks.into_iter().find_map(|(name, mask)| (name == "onnx::MatMul_12").then_some(mask)).unwrap()
    };
    let (a, b): (Mask, Mask) = (of_matmul("masks.safetensors"), of_matmul("zeros.safetensors"));
    // Stored zeros are among those of the second.
    assert!(a.iter().zip(b.iter()).all(|(a, b)| a >= b));

    // The operator knows the axis, but a pattern has the one that it is given.
    let pattern = NM::new(2, 4, 0).unwrap();
    let selection = Selection::new().include("*MatMul*");
    let _ =
        Pruner::new(pattern).selection(selection.clone()).run(&checkpoint, &Output::new(path("2of4")), &()).unwrap();
    let pruned = Checkpoint::open([path("2of4/model.onnx")]).unwrap();
    assert!(verify(&pruned, &selection, pattern, &()).unwrap().holds());
    assert!(!verify(&checkpoint, &selection, pattern, &()).unwrap().holds());
}
