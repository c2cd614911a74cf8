//! One test per error, with its exact message. No error is a panic, and nothing is written.

use std::fs;
use std::path::{Path, PathBuf};

use half::bf16;
use ndarray::array;
use prune::checkpoint::{Checkpoint, CheckpointError, Format, Pruner, Scope, Selection};
use prune::safetensors::StateDictError;
use prune::torch::Generator;
use prune::{CustomFromMask, Identity, L1Unstructured, PruneError, RandomStructured, RandomUnstructured, TieBreak};

use super::support::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn weight() -> Raw {
    Raw::of("w", &weights::<f32>(&[4, 4], 1))
}

fn l1() -> Pruner {
    l1_pruner(0.5).selection(Selection::new().only("*"))
}

fn open(path: &Path) -> CheckpointError {
    Checkpoint::open([path]).unwrap_err()
}

fn dry(prune: &Pruner, tensors: &[Raw]) -> CheckpointError {
    let folder = folder();
    let input = write(&folder.path().join("in.safetensors"), &[], tensors);
    prune.dry_run(&Checkpoint::open([&input]).unwrap(), &()).unwrap_err()
}

#[test]
fn paths() {
    let folder = folder();
    let error = Checkpoint::open(Vec::<PathBuf>::new()).unwrap_err();
    assert_eq!(error.to_string(), "no input file given");
    let index = write_sharded(folder.path(), &[&[weight()]]);
    let shard = folder.path().join("model-00001-of-00001.safetensors");
    let error = Checkpoint::open([&shard, &index]).unwrap_err();
    let expected = format!("index `{}` must be the only input path", index.display());
    assert_eq!(error.to_string(), expected);
    let error = Checkpoint::open([&shard, &shard]).unwrap_err();
    let expected = format!("shards `{0}` and `{0}` have the same file name", shard.display());
    assert_eq!(error.to_string(), expected);
    let missing = folder.path().join("missing.safetensors");
    assert_eq!(open(&missing).to_string(), format!("cannot read `{}`", missing.display()));
    let error = Checkpoint::open([folder.path(), &shard]).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot read `{}`", folder.path().display()));
}

#[test]
fn headers() {
    let folder = folder();
    let path = folder.path().join("x.safetensors");
    let with = |header: &str, data: usize| {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    };
    let tensor = |shape: &str, end: &str| {
        format!("{{\"w\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[0,{end}]}}}}")
    };
    let cases = [
        (vec![], "file is empty"),
        (vec![1, 2, 3], "file has 3 bytes, but its header needs 8"),
        (u64::MAX.to_le_bytes().to_vec(), "header has 18446744073709551615 bytes, limit 100000000"),
        (50_000_000_u64.to_le_bytes().to_vec(), "file has 8 bytes, but its header needs 50000008"),
        (with("{", 0), "header is not valid safetensors JSON"),
        (with(&"[".repeat(100_000), 0), "header is not valid safetensors JSON"),
        (with(&tensor("[2]", "8"), 4), "file has 66 bytes, but its header needs 70"),
        (with(&tensor("[2]", "8"), 9), "file has 71 bytes, but its header describes only 70"),
        (with(&tensor("[3]", "8"), 8), "tensor data overlaps, leaves gaps"),
        (with(&tensor("[4294967296,4294967296,4294967296]", "8"), 8), "tensor data overlaps, leaves gaps"),
        (with(&tensor("[4611686018427387904]", "18446744073709551615"), 8), "tensor data overlaps, leaves gaps"),
    ];
    for (bytes, message) in cases {
        fs::write(&path, bytes).unwrap();
        let error = open(&path);
        let expected = format!("`{}` is not a valid safetensors file", path.display());
        assert_eq!(error.to_string(), expected);
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.starts_with(message), "{source} / {message}");
    }
}

#[test]
fn indices() {
    let folder = folder();
    let index = write_sharded(folder.path(), &[&[weight()], &[Raw::of("v", &weights::<f32>(&[2, 2], 1))]]);
    let good = fs::read_to_string(&index).unwrap();
    let name = |i: usize| format!("model-0000{i}-of-00002.safetensors");
    let shard = |i: usize| folder.path().join(name(i)).display().to_string();
    let at = index.display().to_string();
    let json = format!("`{at}` is not a valid index: it must be JSON with a `weight_map` from tensors to files");
    let other = |i: usize, replaced: &str| good.replace(&name(i), replaced);
    for (text, message) in [
        ("nothing".to_owned(), json.clone()),
        ("[]".to_owned(), json.clone()),
        ("{}".to_owned(), json.clone()),
        ("{\"weight_map\":{\"w\":1}}".to_owned(), json.clone()),
        ("[".repeat(100_000), json),
        (
            other(2, "../v.safetensors"),
            format!("index `{at}` names shard `../v.safetensors`, which is not a plain path inside its directory"),
        ),
        (
            other(2, "/etc/\\u001b[2Jx"),
            format!("index `{at}` names shard `/etc/\\u{{1b}}[2Jx`, which is not a plain path inside its directory"),
        ),
        (
            other(2, "v.safetensors"),
            format!("shard `{}` does not exist (named in `{at}`)", folder.path().join("v.safetensors").display()),
        ),
        (good.replace("\"v\"", "\"u\""), format!("tensor `u` is not in `{}`, where the index places it", shard(2))),
        (
            format!("{{\"weight_map\":{{\"w\":\"{}\"}}}}", name(1)).replace("\"w\"", "\"x\""),
            format!("tensor `x` is not in `{}`, where the index places it", shard(1)),
        ),
        (format!("{{\"weight_map\":{{\"w\":\"{}\",\"v\":\"{}\"}}}}", name(2), name(1)), {
            format!("tensor `v` is not in `{}`, where the index places it", shard(1))
        }),
    ] {
        fs::write(&index, text).unwrap();
        assert_eq!(open(&index).to_string(), message);
    }
    write(
        &folder.path().join(name(2)),
        &[],
        &[Raw::of("v", &weights::<f32>(&[2, 2], 1)), Raw::new("x", "U8", &[0], vec![])],
    );
    fs::write(&index, &good).unwrap();
    assert_eq!(open(&index).to_string(), format!("tensor `x` is in `{}`, where the index does not place it", shard(2)));
}

#[test]
fn names_and_shapes() {
    let folder = folder();
    let [one, two] = ["one", "two"].map(|name| write(&folder.path().join(name), &[], &[weight()]));
    let error = Checkpoint::open([&one, &two]).unwrap_err();
    let expected = format!("tensor `w` is in two shards, `{}` and `{}`", one.display(), two.display());
    assert_eq!(error.to_string(), expected);

    let path = folder.path().join("x");
    let halves = |shape: &[usize]| {
        [Raw::of("w_orig", &weights::<f32>(&[4, 4], 1)), Raw::of("w_mask", &weights::<f32>(shape, 1))]
    };
    write(&path, &[], &[&halves(&[4, 4])[..], &[weight()]].concat());
    assert_eq!(open(&path).to_string(), "tensor `w` is stored both plain and as `_orig` and `_mask`");
    write(&path, &[], &halves(&[2, 8]));
    assert_eq!(open(&path).to_string(), "mask `w_mask` has shape [2, 8], but its tensor has shape [4, 4]");

    let clash = [weight(), Raw::new("w_orig", "U8", &[1], vec![0])];
    let error = dry(&l1().format(Format::PyTorch), &clash);
    assert_eq!(error.to_string(), "the output would contain two tensors named `w_orig`");
}

#[test]
fn selections() {
    let tensors = [weight(), Raw::new("ids", "I64", &[1, 1], vec![0; 8])];
    let select = |selection| dry(&l1().selection(selection), &tensors).to_string();
    assert_eq!(select(Selection::new().include("x*")), "pattern `x*` matches no tensor");
    assert_eq!(select(Selection::new().only("x*")), "pattern `x*` matches no tensor");
    let message = "I64 cannot be pruned: pattern `ids` matches only tensors such as `ids`";
    assert_eq!(select(Selection::new().include("ids")), message);
    assert_eq!(select(Selection::new().exclude("[")), "`[` is not a valid glob pattern");
    let nothing = "nothing to prune: 0 of 2 tensors selected (1: excluded by `w`; 1: not F32, F64, F16 or BF16)";
    assert_eq!(select(Selection::new().exclude("w")), nothing);
    let nothing = "nothing to prune: 0 of 1 tensors selected (1: not F32, F64, F16 or BF16)";
    assert_eq!(dry(&l1_pruner(0.5), &tensors[1..]).to_string(), nothing);
    assert_eq!(dry(&l1_pruner(0.5), &[]).to_string(), "nothing to prune: 0 of 0 tensors selected");
}

#[test]
fn methods() {
    let ln = |norm: f64, dim| ln_pruner(1, norm, dim);
    let all = Selection::new().only("*");
    let tensors = [weight(), Raw::of("b", &weights::<bf16>(&[4], 1)), Raw::new("e", "F32", &[0, 3], vec![])];
    let refused = |pruner: Pruner, select: &Selection| dry(&pruner.selection(select.clone()), &tensors);
    let of = |error: CheckpointError| match error {
        CheckpointError::Tensor { ref tensor, ref source } => (tensor.clone(), error.to_string(), source.clone()),
        other => panic!("{other}"),
    };
    let (tensor, message, source) = of(refused(l1_pruner(17), &Selection::new()));
    assert_eq!(tensor, "w");
    assert_eq!(message, "cannot prune tensor `w`");
    assert_eq!(source, PruneError::AmountTooLarge { count: 17, available: 16, unit: "entries" });
    let (tensor, _, source) = of(refused(ln(2.0, 0), &Selection::new().only("b")));
    assert_eq!((tensor.as_str(), source), ("b", PruneError::TooFewDimensions { shape: vec![4] }));
    let (_, _, source) = of(refused(ln(2.0, 2), &Selection::new().include("w")));
    assert_eq!(source, PruneError::AxisOutOfRange { found: 2, ndim: 2 });
    let (_, _, source) = of(refused(ln(f64::INFINITY, 1), &Selection::new().only("e")));
    assert!(matches!(source, PruneError::EmptyChannels { .. }));

    let error = dry(&l1().scope(Scope::Global).selection(all.clone()), &tensors[..0]);
    assert!(matches!(error, CheckpointError::UnmatchedPattern { .. }));
    let global = l1_pruner(21).scope(Scope::Global).selection(all);
    let error = dry(&global, &tensors);
    assert_eq!(error.to_string(), "cannot prune with these arguments");
    assert!(matches!(
        error,
        CheckpointError::Method { source: PruneError::AmountTooLarge { count: 21, available: 20, .. } }
    ));
    let structured = ln(2.0, 0).scope(Scope::Global);
    let expected = "method LnStructured does not support global scope";
    assert_eq!(dry(&structured, &tensors).to_string(), expected);
    let random = random_structured_pruner(1, 0, 1);
    assert!(matches!(
        dry(&random.scope(Scope::Global), &tensors),
        CheckpointError::NotUnstructured { method } if method == "RandomStructured"
    ));
}

/// Such methods need memory for every entry, or depend on the order of the tensors.
#[test]
fn methods_that_work_in_memory_only() {
    let folder = folder();
    let tensors = [weight(), Raw::of("v", &weights::<bf16>(&[4, 4], 1))];
    let input = write(&folder.path().join("in"), &[], &tensors);
    let checkpoint = Checkpoint::open([&input]).unwrap();
    let output = folder.path().join("out");
    let check = |pruner: Pruner, method: &str, what: &str| {
        let expected = format!("method {method} cannot prune files: {what} works in memory only");
        for error in [run(&pruner, [&input], &output).unwrap_err(), pruner.dry_run(&checkpoint, &()).unwrap_err()] {
            assert!(matches!(error, CheckpointError::OnlyInMemory { .. }), "{error:?}");
            assert_eq!(error.to_string(), expected);
            assert!(!output.exists());
        }
    };
    let (generator, pytorch) = (Generator::manual_seed(1), TieBreak::PyTorch);
    for scope in [Scope::Tensor, Scope::Global] {
        let random = RandomUnstructured::new(0.5, &generator).unwrap();
        check(Pruner::new(random).scope(scope), "RandomUnstructured", "torch::Generator");
    }
    let l1 = L1Unstructured::new(0.5).unwrap().tie_break(pytorch);
    check(Pruner::new(l1).scope(Scope::Global), "L1Unstructured", "global scope of TieBreak::PyTorch");
    let random = RandomStructured::new(0.5, 0, &generator).unwrap();
    check(Pruner::new(random), "RandomStructured", "torch::Generator");
    let mask = CustomFromMask::new(prune::Mask::from_elem(vec![4, 4], true));
    check(Pruner::new(mask), "CustomFromMask", "CustomFromMask");
}

/// No entries, and sizes whose product overflows without the zero: such a tensor is refused by every method if it is
/// selected, and copied otherwise.
#[test]
fn an_impossible_shape() {
    let huge = Raw::new("w", "F32", &[0, 1 << 40, 1 << 40], vec![]);
    let tensors = [huge, Raw::of("v", &weights::<f32>(&[4, 4], 1))];
    let folder = folder();
    let input = write(&folder.path().join("in"), &[], &tensors);
    let output = folder.path().join("out");
    let pruners = [0, 1, 2].map(|dim| [ln_pruner(0, 2, dim), random_structured_pruner(1, dim, 1)]).concat();
    let unstructured = [l1(), random_pruner(0, 1), Pruner::new(Identity)];
    let global = unstructured.clone().map(|pruner| pruner.scope(Scope::Global));
    let in_memory = [
        Pruner::new(L1Unstructured::new(0.5).unwrap().tie_break(TieBreak::PyTorch)),
        Pruner::new(CustomFromMask::new(prune::Mask::from_elem(vec![4, 4], true))),
    ];
    for pruner in [pruners, unstructured.to_vec(), global.to_vec(), in_memory.to_vec()].concat() {
        for format in [Format::Weights, Format::PyTorch, Format::Masks] {
            let error = run(&pruner.clone().format(format), [&input], &output).unwrap_err();
            assert_eq!(
                error.to_string(),
                "tensor `w` has an unsupported shape, [0, 1099511627776, 1099511627776]: \
                 its nonzero sizes are too large",
                "{pruner:?}"
            );
            assert!(matches!(error, CheckpointError::ImpossibleShape { .. }) && !output.exists());
        }
        assert!(matches!(dry(&pruner, &tensors), CheckpointError::ImpossibleShape { .. }));
    }
    let report = run(&l1().selection(Selection::new().only("v")), [&input], &output).unwrap();
    assert_eq!((report.pruned_after(), &read(&output)[0]), (8, &tensors[0]));
    let checkpoint = Checkpoint::open([&input]).unwrap();
    assert!(prune::checkpoint::inspect(&checkpoint, true, &()).is_ok());
}

#[test]
fn masks_in_a_state_dict() {
    let orig = array![[1.0_f32, 2.0, 3.0]].into_dyn();
    for (value, found) in [(0.5, "0.5"), (-1.0, "-1"), (f32::NAN, "NaN"), (2.0, "2")] {
        let mask = array![[1.0_f32, 0.0, value]].into_dyn();
        let error = dry(&l1(), &[Raw::of("w_orig", &orig), Raw::of("w_mask", &mask)]);
        assert_eq!(error.to_string(), format!("mask `w_mask` holds {found} at [0, 2]; only 0 and 1 are allowed"));
    }
}

#[test]
fn mask_files() {
    let folder = folder();
    let masks = folder.path().join("masks");
    let bits = |name: &str, bits: &[u8]| Raw::new(&format!("{name}_mask_bits"), "U8", &[bits.len()], bits.to_vec());
    let shape = |name: &str, sizes: &[i64]| {
        let data = sizes.iter().flat_map(|size| size.to_le_bytes()).collect();
        Raw::new(&format!("{name}_mask_shape"), "I64", &[sizes.len()], data)
    };
    let with = |tensors: &[Raw]| {
        write(&masks, &[], tensors);
        dry(&Pruner::masks(masks.clone()), &[weight()])
    };
    let fault = |error: CheckpointError| match error {
        CheckpointError::MaskFile { ref path, source } => {
            assert_eq!(*path, masks);
            source
        }
        other => panic!("{other}"),
    };
    assert!(matches!(fault(with(&[weight()])), StateDictError::NotMasks { .. }));
    assert!(matches!(fault(with(&[bits("w", &[1, 2])])), StateDictError::NotMasks { .. }));
    assert!(matches!(
        fault(with(&[shape("w", &[4, 4]), bits("w", &[1])])),
        StateDictError::MaskLength { expected: 2, found: 1, .. }
    ));
    assert!(matches!(fault(with(&[shape("w", &[-4, 4]), bits("w", &[1])])), StateDictError::ImpossibleShape { .. }));
    assert!(matches!(
        fault(with(&[shape("w", &[1 << 62, 4]), bits("w", &[1])])),
        StateDictError::ImpossibleShape { .. }
    ));
    let wrong = Raw::new("w_mask_bits", "I8", &[2], vec![0, 0]);
    assert!(matches!(fault(with(&[shape("w", &[4, 4]), wrong])), StateDictError::MaskLayout { .. }));

    let error = with(&[shape("w", &[2, 8]), bits("w", &[1, 2])]);
    assert_eq!(error.to_string(), "mask `w` has shape [2, 8], but its tensor has shape [4, 4]");
    let error = with(&[shape("v", &[2, 8]), bits("v", &[1, 2])]);
    assert_eq!(error.to_string(), "mask for `v` has no floating-point tensor in the checkpoint");
    fs::write(&masks, "no").unwrap();
    let error = dry(&Pruner::masks(masks.clone()), &[weight()]);
    assert!(matches!(error, CheckpointError::Header { .. }));

    write(&masks, &[], &[shape("w", &[3, 3]), bits("w", &[255, 2])]);
    let nine = [Raw::of("w", &weights::<f32>(&[3, 3], 1))];
    let error = dry(&Pruner::masks(masks), &nine);
    assert_eq!(error.to_string(), "mask of `w` is corrupt: a padding bit after the last entry is 1");
}

#[test]
fn many_tensors() {
    let tensors: Vec<_> =
        (0..20_000).map(|i| Raw::new(&format!("t{i}.weight"), "F32", &[1, 1], vec![0, 0, 128, 63])).collect();
    let folder = folder();
    let input = write(&folder.path().join("in"), &[], &tensors);
    let report = run(&l1().scope(Scope::Global), [&input], &folder.path().join("out")).unwrap();
    assert_eq!((report.tensors.len(), report.pruned_after()), (20_000, 10_000));
}

#[test]
fn errors_are_send_and_sync() {
    fn check<T: Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe + 'static>() {}
    check::<CheckpointError>();
    check::<Checkpoint>();
    check::<Pruner>();
    check::<prune::checkpoint::PruneReport>();
}
