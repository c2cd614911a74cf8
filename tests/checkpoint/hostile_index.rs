//! Untrusted indices and directories.

use std::fs;
use std::path::{Path, PathBuf};

use prune::checkpoint::{Checkpoint, CheckpointError, Output, Pruner, inspect, remove};
use serde_json::{Value, json};

use super::support::*;

const SHARD: &str = "model-00001-of-00001.safetensors";

fn l1() -> Pruner {
    l1_pruner(0.5)
}

fn weight() -> Raw {
    Raw::of("w", &weights::<f32>(&[4, 4], 1))
}

/// A directory with a shard and its index.
fn model() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let index = write_sharded(directory.path(), &[&[weight()]]);
    (directory, index)
}

/// Writes an index with this map and opens it.
fn opened(index: &Path, weight_map: Value) -> Result<Checkpoint, CheckpointError> {
    fs::write(index, json!({ "weight_map": weight_map }).to_string()).unwrap();
    Checkpoint::open([index])
}

#[test]
fn an_index_outside_its_folder_is_refused() {
    let (directory, index) = model();
    // All of these shards exist, and are valid.
    fs::create_dir(directory.path().join("sub")).unwrap();
    let inside = directory.path().join("sub/model.safetensors.index.json");
    fs::copy(directory.path().join(SHARD), directory.path().join("sub").join(SHARD)).unwrap();
    let absolute = directory.path().join(SHARD);
    for shard in [
        absolute.to_str().unwrap(),
        &format!("../{SHARD}"),
        &format!("../sub/{SHARD}"),
        &format!("./{SHARD}"),
        &format!("..\\{SHARD}"),
        &format!("C:\\{SHARD}"),
        &format!("\\\\server\\{SHARD}"),
        &format!("{SHARD}\0"),
        &format!("x/../../{SHARD}"),
        ".",
        "..",
        "/",
        "",
    ] {
        let error = opened(&inside, json!({ "w": shard })).unwrap_err();
        let CheckpointError::ShardOutsideFolder { path, shard: found } = &error else { panic!("{shard}: {error}") };
        assert_eq!((path, found.as_str()), (&inside, shard));
        assert!(!error.to_string().contains(char::is_control));
    }
    // A shard may be below the directory, but one file may not have two names.
    assert!(opened(&index, json!({ "w": format!("sub/{SHARD}") })).is_ok());
    let error = opened(&index, json!({ "w": format!("sub/{SHARD}"), "v": format!("sub//{SHARD}") })).unwrap_err();
    assert!(matches!(error, CheckpointError::SameShardName { .. }));
}

/// The owner of the directory made the link, as in the cache of Hugging Face.
#[cfg(unix)]
#[test]
fn a_shard_may_be_a_symbolic_link() {
    let (directory, index) = model();
    let (shard, blob) = (directory.path().join(SHARD), directory.path().join("blob"));
    fs::rename(&shard, &blob).unwrap();
    std::os::unix::fs::symlink("blob", &shard).unwrap();
    let output = directory.path().join("out");
    assert_eq!(run(&l1(), [&index], &output).unwrap().pruned_after(), 8);
    assert!(output.join(SHARD).symlink_metadata().unwrap().is_file());
    // A dangling link is a missing shard.
    fs::remove_file(&blob).unwrap();
    assert!(matches!(Checkpoint::open([&index]), Err(CheckpointError::MissingShard { .. })));
}

#[test]
fn keys_that_are_there_twice_are_refused() {
    let (_folder, index) = model();
    let map = format!(r#"{{"w":"{SHARD}"}}"#);
    for (text, key) in [
        (format!(r#"{{"weight_map":{{"w":"{SHARD}","w":"{SHARD}"}}}}"#), "w"),
        (format!(r#"{{"weight_map":{{"w":"other","\u0077":"{SHARD}"}}}}"#), "w"),
        (format!(r#"{{"weight_map":{map},"weight_map":{map}}}"#), "weight_map"),
        (format!(r#"{{"metadata":{{}},"weight_map":{map},"metadata":{{}}}}"#), "metadata"),
        (format!(r#"{{"\u001b[2J":1,"\u001b[2J":1,"weight_map":{map}}}"#), r"\u{1b}[2J"),
    ] {
        fs::write(&index, &text).unwrap();
        let error = Checkpoint::open([&index]).unwrap_err();
        let CheckpointError::InvalidIndex { source, .. } = &error else { panic!("{error}") };
        assert!(source.to_string().starts_with(&format!("`{key}` occurs twice at line 1")), "{source}");
    }
}

#[test]
fn what_was_found_in_place_of_an_object() {
    let (_folder, index) = model();
    for (text, expected) in [
        ("[]", "invalid type: sequence, expected an object with a `weight_map` at line 1 column 0"),
        ("{}", "missing field `weight_map` at line 1 column 2"),
        (
            r#"{"weight_map":1}"#,
            "invalid type: integer `1`, expected an object with a shard for each tensor at line 1 column 15",
        ),
    ] {
        fs::write(&index, text).unwrap();
        let error = Checkpoint::open([&index]).unwrap_err();
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), expected);
    }
}

#[test]
fn json_of_other_types() {
    let (_folder, index) = model();
    let deep = |depth| "[".repeat(depth) + &"]".repeat(depth);
    let mut texts: Vec<Vec<u8>> =
        ["", " ", "null", "1", "\"\"", "[]", "{}", "{} {}", "{\"weight_map\":{}", "\u{feff}{}"]
            .map(|text| text.as_bytes().to_vec())
            .into();
    for map in ["null", "1", "[]", "\"x\"", r#"{"w":null}"#, r#"{"w":1}"#, r#"{"w":["x"]}"#, r#"{"w":{}}"#, "{1:2}"] {
        texts.push(format!(r#"{{"weight_map":{map}}}"#).into());
    }
    for depth in [128, 1_000_000] {
        texts.push(deep(depth).into());
        texts.push(format!(r#"{{"weight_map":{{}},"metadata":{}}}"#, deep(depth)).into());
        texts.push(format!(r#"{{"weight_map":{{"w":{}}}}}"#, deep(depth)).into());
    }
    texts.push(b"{\"weight_map\":{\"\xff\":\"x\"}}".to_vec());
    texts.push(br#"{"weight_map":{"w":"\ud800"}}"#.to_vec());
    texts.push(" ".repeat(1_000_000).into());
    for text in texts {
        fs::write(&index, &text).unwrap();
        let error = Checkpoint::open([&index]).unwrap_err();
        assert!(matches!(error, CheckpointError::InvalidIndex { .. }), "{}", String::from_utf8_lossy(&text));
    }
}

#[test]
fn an_index_that_is_too_long_is_not_read() {
    let (_folder, index) = model();
    // A sparse file.
    fs::File::create(&index).unwrap().set_len(100_000_001).unwrap();
    let error = Checkpoint::open([&index]).unwrap_err();
    assert!(matches!(&error, CheckpointError::IndexTooLarge { limit: 100_000_000, found: 100_000_001, .. }));
    let expected = format!("index `{}` is too large: 100000001 bytes, limit 100000000", index.display());
    assert_eq!(error.to_string(), expected);

    fs::File::create(&index).unwrap().set_len(100_000_000).unwrap();
    let error = Checkpoint::open([&index]).unwrap_err();
    assert!(matches!(&error, CheckpointError::InvalidIndex { .. }), "{error}");
}

#[test]
fn an_empty_index_has_no_tensors() {
    let (directory, index) = model();
    let checkpoint = opened(&index, json!({})).unwrap();
    assert_eq!((checkpoint.shards().len(), checkpoint.tensors().len()), (0, 0));
    assert!(inspect(&checkpoint, true, &()).unwrap().tensors.is_empty());
    let output = Output::new(directory.path().join("out"));
    assert!(
        matches!(l1().run(&checkpoint, &output, &()), Err(CheckpointError::NothingSelected { reasons }) if reasons.is_empty())
    );
    assert!(matches!(remove(&checkpoint, &output, &()), Err(CheckpointError::NothingPruned)));
    assert!(!output.path().exists());
}

#[test]
fn shards_that_tell_something_else() {
    let directory = tempfile::tempdir().unwrap();
    let v = || Raw::of("v", &weights::<f32>(&[2, 2], 1));
    let index = write_sharded(directory.path(), &[&[weight()], &[v()]]);
    let [one, two] = [1, 2].map(|i| format!("model-0000{i}-of-00002.safetensors"));
    // A missing tensor, one in another shard, and one that the index lacks.
    let error = opened(&index, json!({ "w": one, "v": two, "x": two })).unwrap_err();
    assert!(matches!(error, CheckpointError::MissingTensor { tensor, .. } if tensor == "x"));
    let error = opened(&index, json!({ "w": one, "v": one, "x": two })).unwrap_err();
    assert!(matches!(error, CheckpointError::MissingTensor { tensor, .. } if tensor == "v"));
    write(&directory.path().join(&two), &[], &[v(), Raw::new("u", "U8", &[0], vec![])]);
    let error = opened(&index, json!({ "w": one, "v": two })).unwrap_err();
    assert!(matches!(error, CheckpointError::UnindexedTensor { tensor, .. } if tensor == "u"));
    let error = opened(&index, json!({ "w": one, "v": "none" })).unwrap_err();
    assert!(matches!(error, CheckpointError::MissingShard { shard, .. } if shard == directory.path().join("none")));
    // A tensor in two shards.
    write(&directory.path().join(&two), &[], &[weight(), v()]);
    let error = opened(&index, json!({ "w": one, "v": two })).unwrap_err();
    assert!(matches!(error, CheckpointError::DuplicateTensor { tensor, .. } if tensor == "w"));
}

/// A shard of such a name would be overwritten by the run file, or removed as a temporary file.
#[test]
fn names_of_what_a_run_keeps_in_its_folder_are_reserved() {
    let (directory, index) = model();
    let output = directory.path().join("out");
    for name in [".nn-prune-run.json", ".nn-prune-x.tmp", "sub/.nn-prune-x.tmp"] {
        let shard = directory.path().join(name);
        fs::create_dir_all(shard.parent().unwrap()).unwrap();
        fs::copy(directory.path().join(SHARD), &shard).unwrap();
        let checkpoint = opened(&index, json!({ "w": name })).unwrap();
        let error = l1().run(&checkpoint, &Output::new(&output).force(true), &()).unwrap_err();
        let expected = format!("input file `{name}` has a reserved name (`.nn-prune-*`)");
        assert_eq!(error.to_string(), expected);
        assert!(matches!(error, CheckpointError::ReservedName { .. }));
        assert!(!output.exists());
        assert_eq!(inspect(&checkpoint, false, &()).unwrap().tensors.len(), 1);
    }
    // The index,
    let other = directory.path().join(".nn-prune-run.json");
    let error = l1().run(&opened(&other, json!({ "w": SHARD })).unwrap(), &Output::new(&output), &()).unwrap_err();
    assert!(matches!(error, CheckpointError::ReservedName { path } if path == other));
    // and a mask file at the path of the run file.
    fs::create_dir(&output).unwrap();
    let checkpoint = opened(&index, json!({ "w": SHARD })).unwrap();
    let masks = output.join(".nn-prune-run.json");
    let all_masks = l1().format(prune::checkpoint::Format::Masks);
    drop(all_masks.run(&checkpoint, &Output::new(&masks), &()).unwrap());
    let before = fs::read(&masks).unwrap();
    let prune = Pruner::masks(masks.clone());
    let error = prune.run(&checkpoint, &Output::new(&output).force(true), &()).unwrap_err();
    assert!(matches!(error, CheckpointError::ReservedName { .. }), "{error}");
    assert_eq!(fs::read(&masks).unwrap(), before);
}

#[test]
fn a_shard_that_is_a_folder() {
    let (directory, index) = model();
    fs::create_dir(directory.path().join("directory")).unwrap();
    let error = opened(&index, json!({ "w": "directory" })).unwrap_err();
    assert!(matches!(&error, CheckpointError::Read { path, .. } if *path == directory.path().join("directory")));
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "not a regular file");
}

/// Opening a pipe waits for a writer.
#[cfg(unix)]
#[test]
fn pipes_and_devices_are_refused_at_once() {
    let (directory, index) = model();
    let pipe = |name: &str| {
        let pipe = directory.path().join(name);
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        pipe
    };
    let refused = |result: Result<Checkpoint, CheckpointError>| {
        let CheckpointError::Read { source, .. } = result.unwrap_err() else { panic!() };
        assert_eq!(source.to_string(), "not a regular file");
    };
    refused(Checkpoint::open([pipe("pipe.safetensors")]));
    refused(Checkpoint::open([pipe("pipe.safetensors.index.json")]));
    refused(Checkpoint::open(["/dev/zero"]));
    refused(opened(&index, json!({ "w": "pipe.safetensors" })));
    let checkpoint = opened(&index, json!({ "w": SHARD })).unwrap();
    let masks = Pruner::masks(directory.path().join("pipe.safetensors"));
    assert!(matches!(masks.dry_run(&checkpoint, &()), Err(CheckpointError::Read { .. })));

    // In the output directory: at the path of the run file, and of a shard.
    let out = directory.path().join("out");
    fs::create_dir(&out).unwrap();
    pipe("out/.nn-prune-run.json");
    for output in [Output::new(&out), Output::new(&out).force(true), Output::new(&out).resume(true)] {
        assert!(matches!(l1().run(&checkpoint, &output, &()), Err(CheckpointError::Read { .. })));
    }
    fs::remove_file(out.join(".nn-prune-run.json")).unwrap();
    pipe(&format!("out/{SHARD}"));
    assert!(matches!(l1().run(&checkpoint, &Output::new(&out), &()), Err(CheckpointError::OutputExists { .. })));
    let error = l1().run(&checkpoint, &Output::new(&out).force(true), &()).unwrap_err();
    assert!(matches!(error, CheckpointError::Write { .. }), "{error}");
}

/// A run that was killed before its first shard leaves an empty run file and a temporary file.
#[test]
fn a_run_that_had_only_just_begun_is_resumed() {
    let (directory, index) = model();
    let (whole, part) = (directory.path().join("whole"), directory.path().join("part"));
    drop(run(&l1(), [&index], &whole).unwrap());
    for resume in [false, true] {
        fs::create_dir(&part).unwrap();
        fs::write(part.join(".nn-prune-run.json"), "").unwrap();
        fs::write(part.join(".nn-prune-abc.tmp"), "half").unwrap();
        let output = Output::new(&part).resume(resume);
        drop(l1().run(&Checkpoint::open([&index]).unwrap(), &output, &()).unwrap());
        let names = |directory: &Path| {
            let mut names: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&part), names(&whole));
        assert_eq!(fs::read(part.join(SHARD)).unwrap(), fs::read(whole.join(SHARD)).unwrap());
        fs::remove_dir_all(&part).unwrap();
    }
}
