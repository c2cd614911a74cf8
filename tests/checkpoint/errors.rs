//! One test per way to be wrong, hostile files among them: a message, no panic, nothing written.

use std::fs;
use std::path::{Path, PathBuf};

use half::bf16;
use ndarray::array;
use prune::PruneError;
use prune::checkpoint::{Checkpoint, CheckpointError, Method, Prune, Scope, Selection};
use prune::safetensors::StateDictError;

use crate::support::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn weight() -> Raw {
    Raw::of("w", &weights::<f32>(&[4, 4], 1))
}

fn l1() -> Prune {
    Prune::new(Method::L1 { amount: 0.5.into() }).unwrap()
}

fn open(path: &Path) -> CheckpointError {
    Checkpoint::open([path]).unwrap_err()
}

fn dry(prune: &Prune, tensors: &[Raw]) -> CheckpointError {
    let folder = folder();
    let input = write(&folder.path().join("in.safetensors"), &[], tensors);
    prune.dry_run(&Checkpoint::open([&input]).unwrap(), &()).unwrap_err()
}

#[test]
fn paths() {
    let folder = folder();
    let error = Checkpoint::open(Vec::<PathBuf>::new()).unwrap_err();
    assert_eq!(error.to_string(), "paths: expected at least one file, found none");
    let index = write_sharded(folder.path(), &[&[weight()]]);
    let shard = folder.path().join("model-00001-of-00001.safetensors");
    let error = Checkpoint::open([&shard, &index]).unwrap_err();
    let expected = format!("paths: expected an index to be the only path, found `{}` among others", index.display());
    assert_eq!(error.to_string(), expected);
    let error = Checkpoint::open([&shard, &shard]).unwrap_err();
    assert!(error.to_string().starts_with("paths: expected shards of different names, found `"));
    let missing = folder.path().join("missing.safetensors");
    assert_eq!(open(&missing).to_string(), format!("file: cannot read `{}`", missing.display()));
    assert!(matches!(open(folder.path()), CheckpointError::Read { .. }));
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
        (vec![], "file has 0 bytes, but its header needs 8"),
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
        let expected = format!("file: expected `{}` to be a safetensors file, found a fault", path.display());
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
    let json =
        format!("index: expected `{at}` to be JSON with a `weight_map` from tensors to files, found something else");
    let other = |i: usize, replaced: &str| good.replace(&name(i), replaced);
    for (text, message) in [
        ("nothing".to_owned(), json.clone()),
        ("[]".to_owned(), json.clone()),
        ("{}".to_owned(), json.clone()),
        ("{\"weight_map\":{\"w\":1}}".to_owned(), json.clone()),
        ("[".repeat(100_000), json),
        (
            other(2, "../v.safetensors"),
            format!("index: expected shards in the folder of `{at}`, found `../v.safetensors`"),
        ),
        (
            other(2, "/etc/\\u001b[2Jx"),
            format!("index: expected shards in the folder of `{at}`, found `/etc/\\u{{1b}}[2Jx`"),
        ),
        (
            other(2, "v.safetensors"),
            format!(
                "index: expected the shard `{}`, which `{at}` names, found no such file",
                folder.path().join("v.safetensors").display()
            ),
        ),
        (
            good.replace("\"v\"", "\"u\""),
            format!("index: expected `u` in `{}`, found no tensor of that name there", shard(2)),
        ),
        (
            format!("{{\"weight_map\":{{\"w\":\"{}\"}}}}", name(1)).replace("\"w\"", "\"x\""),
            format!("index: expected `x` in `{}`, found no tensor of that name there", shard(1)),
        ),
        (format!("{{\"weight_map\":{{\"w\":\"{}\",\"v\":\"{}\"}}}}", name(2), name(1)), {
            format!("index: expected `v` in `{}`, found no tensor of that name there", shard(1))
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
    assert_eq!(open(&index).to_string(), format!("index: expected an entry for `x` of `{}`, found none", shard(2)));
}

#[test]
fn names_and_shapes() {
    let folder = folder();
    let [one, two] = ["one", "two"].map(|name| write(&folder.path().join(name), &[], &[weight()]));
    let error = Checkpoint::open([&one, &two]).unwrap_err();
    let expected = format!("shards: expected `w` once, found it in `{}` and in `{}`", one.display(), two.display());
    assert_eq!(error.to_string(), expected);

    let path = folder.path().join("x");
    let halves = |shape: &[usize]| {
        [Raw::of("w_orig", &weights::<f32>(&[4, 4], 1)), Raw::of("w_mask", &weights::<f32>(shape, 1))]
    };
    write(&path, &[], &[&halves(&[4, 4])[..], &[weight()]].concat());
    assert_eq!(
        open(&path).to_string(),
        "checkpoint: expected `w` or its two halves `_orig` and `_mask`, found all three"
    );
    write(&path, &[], &halves(&[2, 8]));
    assert_eq!(open(&path).to_string(), "`w_mask`: expected shape [4, 4], found [2, 8]");

    let clash = [weight(), Raw::new("w_orig", "U8", &[1], vec![0])];
    let error = dry(&l1().format(prune::checkpoint::Format::PyTorch), &clash);
    assert_eq!(error.to_string(), "output: expected each name once, found `w_orig` twice");
}

#[test]
fn selections() {
    let tensors = [weight(), Raw::new("ids", "I64", &[1, 1], vec![0; 8])];
    let select = |selection| dry(&l1().selection(selection), &tensors).to_string();
    let unmatched = |pattern| format!("selection: expected `{pattern}` to match a tensor, found none that it does");
    assert_eq!(select(Selection::new().include("x*")), unmatched("x*"));
    assert_eq!(select(Selection::new().include("ids")), unmatched("ids"));
    assert_eq!(select(Selection::new().include("w").exclude("x")), unmatched("x"));
    assert_eq!(select(Selection::new().exclude("[")), "selection: expected a glob, found `[`");
    let nothing = "selection: expected at least one tensor to prune, found none among 2";
    assert_eq!(select(Selection::new().exclude("w")), nothing);
    assert_eq!(dry(&l1(), &tensors[1..]).to_string(), nothing.replace('2', "1"));
}

#[test]
fn methods() {
    let invalid = Prune::new(Method::L1 { amount: 1.5.into() }).unwrap_err();
    assert_eq!(invalid.to_string(), "method: expected one that applies to the tensors, found that it does not");
    assert!(matches!(invalid, CheckpointError::Method { source: PruneError::InvalidFraction { found: 1.5 } }));
    let ln = |norm: f64, dim| Method::Ln { amount: 1.into(), norm: norm.into(), dim };
    let nan = Prune::new(ln(f64::NAN, 0)).unwrap_err();
    assert!(matches!(nan, CheckpointError::Method { source: PruneError::InvalidNorm { .. } }));

    let all = Selection::new().include("*");
    let tensors = [weight(), Raw::of("b", &weights::<bf16>(&[4], 1)), Raw::new("e", "F32", &[0, 3], vec![])];
    let refused =
        |method: Method, select: &Selection| dry(&Prune::new(method).unwrap().selection(select.clone()), &tensors);
    let of = |error: CheckpointError| match error {
        CheckpointError::Tensor { ref tensor, ref source } => (tensor.clone(), error.to_string(), source.clone()),
        other => panic!("{other}"),
    };
    let (tensor, message, source) = of(refused(Method::L1 { amount: 17.into() }, &Selection::new()));
    assert_eq!(tensor, "w");
    assert_eq!(message, "`w`: expected a tensor that the method applies to, found that it does not");
    assert_eq!(source, PruneError::AmountTooLarge { count: 17, available: 16, unit: "entries" });
    let (tensor, _, source) = of(refused(ln(2.0, 0), &Selection::new().include("b")));
    assert_eq!((tensor.as_str(), source), ("b", PruneError::TooFewDimensions { shape: vec![4] }));
    let (_, _, source) = of(refused(ln(2.0, 2), &Selection::new().include("w")));
    assert_eq!(source, PruneError::AxisOutOfRange { found: 2, ndim: 2 });
    let (_, _, source) = of(refused(ln(f64::INFINITY, 1), &Selection::new().include("e")));
    assert!(matches!(source, PruneError::EmptyChannels { .. }));

    let error = dry(&l1().scope(Scope::Global).selection(all.clone()), &tensors[..0]);
    assert!(matches!(error, CheckpointError::UnmatchedPattern { .. }));
    let global = Prune::new(Method::L1 { amount: 21.into() }).unwrap().scope(Scope::Global).selection(all);
    assert!(matches!(
        dry(&global, &tensors),
        CheckpointError::Method { source: PruneError::AmountTooLarge { count: 21, available: 20, .. } }
    ));
    let structured = Prune::new(ln(2.0, 0)).unwrap().scope(Scope::Global);
    let expected = "scope: expected an unstructured method for global pruning, found LnStructured";
    assert_eq!(dry(&structured, &tensors).to_string(), expected);
    let random = Method::RandomStructured { amount: 1.into(), dim: 0, seed: 1 };
    assert!(matches!(
        dry(&Prune::new(random).unwrap().scope(Scope::Global), &tensors),
        CheckpointError::NotUnstructured { method } if method == "RandomStructured"
    ));
}

/// No entries, and sizes whose product does not exist without the zero.
#[test]
fn an_impossible_shape() {
    let huge = [1 << 40, 0, 1 << 40];
    let tensors = [Raw::new("w", "F32", &[huge[1], huge[0], huge[2]], vec![])];
    for dim in [0, 1, 2] {
        let method = Method::Ln { amount: 0.into(), norm: 2.into(), dim };
        let error = dry(&Prune::new(method).unwrap(), &tensors);
        assert!(matches!(error, CheckpointError::ImpossibleShape { .. }));
        assert_eq!(
            error.to_string(),
            "`w`: expected a shape that an array can have, found [0, 1099511627776, 1099511627776]"
        );
    }
    let folder = folder();
    let input = write(&folder.path().join("in"), &[], &tensors);
    for format in [prune::checkpoint::Format::Weights, prune::checkpoint::Format::Masks] {
        let report = run(&l1().format(format), [&input], &folder.path().join(format!("{format:?}"))).unwrap();
        assert_eq!(report.pruned_after(), 0);
    }
    let checkpoint = Checkpoint::open([&input]).unwrap();
    assert!(prune::checkpoint::inspect(&checkpoint, true, &()).is_ok());
}

#[test]
fn masks_in_a_state_dict() {
    let orig = array![[1.0_f32, 2.0, 3.0]].into_dyn();
    for (value, found) in [(0.5, "0.5"), (-1.0, "-1"), (f32::NAN, "NaN"), (2.0, "2")] {
        let mask = array![[1.0_f32, 0.0, value]].into_dyn();
        let error = dry(&l1(), &[Raw::of("w_orig", &orig), Raw::of("w_mask", &mask)]);
        assert_eq!(error.to_string(), format!("`w_mask`: expected only 0 and 1, found {found} at [0, 2]"));
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
        dry(&Prune::new(Method::Masks { path: masks.clone() }).unwrap(), &[weight()])
    };
    let fault = |error: CheckpointError| match error {
        CheckpointError::MaskFile { source, .. } => source,
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
    assert_eq!(error.to_string(), "`w`: expected shape [4, 4], found [2, 8]");
    let error = with(&[shape("v", &[2, 8]), bits("v", &[1, 2])]);
    assert_eq!(error.to_string(), "masks: expected a floating-point tensor for each mask, found none for `v`");
    fs::write(&masks, "no").unwrap();
    let error = dry(&Prune::new(Method::Masks { path: masks.clone() }).unwrap(), &[weight()]);
    assert!(matches!(error, CheckpointError::Header { .. }));

    write(&masks, &[], &[shape("w", &[3, 3]), bits("w", &[255, 2])]);
    let nine = [Raw::of("w", &weights::<f32>(&[3, 3], 1))];
    let error = dry(&Prune::new(Method::Masks { path: masks }).unwrap(), &nine);
    assert_eq!(
        error.to_string(),
        "`w`: expected the bits after the last entry of its mask to be 0, found one that is 1"
    );
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
    check::<Prune>();
    check::<prune::checkpoint::PruneReport>();
}
