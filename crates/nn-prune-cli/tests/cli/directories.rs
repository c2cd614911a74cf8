//! The kind of an output is what its path says; a directory holds what loaders need; options that do nothing are refused.

use crate::{Folder, INDEX, SHARDS, folder_with_model, write_shards};

const L1: &str = "--method l1 --amount 0.5";

/// A model in a directory of its own, with the files that loaders need and some that they do not.
fn folder_with_directory() -> Folder {
    let folder = folder_with_model();
    folder.write("in/model.safetensors", folder.read("model.safetensors"));
    for (name, contents) in [
        ("config.json", "{\"model_type\": \"bert\"}"),
        ("tokenizer.json", "{}"),
        ("vocab.txt", "[PAD]\n"),
        ("pytorch_model.bin", "\x1b"),
    ] {
        folder.write(&format!("in/{name}"), contents);
    }
    folder
}

#[test]
fn a_directory_is_a_model() {
    let folder = folder_with_directory();
    let printed = folder.run(&format!("prune in -o out/ {L1}")).ok();
    for line in ["copied:    config.json, tokenizer.json, vocab.txt\n", "left out:  pytorch_model.bin\n"] {
        assert!(printed.contains(line), "{printed}");
    }
    let model = ["config.json", "model.safetensors", "tokenizer.json", "vocab.txt"];
    let files = |place: &str| -> Vec<String> {
        let names = folder.files();
        names.iter().filter_map(|name| Some(name.strip_prefix(place)?.strip_prefix('/')?.to_owned())).collect()
    };
    assert_eq!(files("out"), model);
    assert_eq!(folder.read("out/config.json"), folder.read("in/config.json"));

    let report = folder.run(&format!("prune in -o json/ --json --format pytorch {L1}")).json();
    assert_eq!(report["copied"], serde_json::json!(["config.json", "tokenizer.json", "vocab.txt"]));
    assert_eq!(report["left_out"], serde_json::json!(["pytorch_model.bin"]));
    for command in ["remove", "restore"] {
        let report = folder.run(&format!("{command} json -o {command}/ --json")).json();
        assert_eq!(report["copied"].as_array().map(Vec::len), Some(3));
        assert_eq!(files(command), model);
        folder.run(&format!("{command} json -o {command}-bare/ --weights-only")).ok();
        assert_eq!(files(&format!("{command}-bare")), ["model.safetensors"]);
    }
    let report = folder.run(&format!("prune in -o bare/ --weights-only --json {L1}")).json();
    assert_eq!((files("bare"), &report["copied"]), (vec!["model.safetensors".into()], &serde_json::json!([])));
    // A file is a file.
    folder.run(&format!("prune in -o alone.safetensors {L1}")).ok();
    folder.run("diff alone.safetensors bare").ok();
    folder.run("diff restore in").ok();
}

#[test]
fn the_path_decides() {
    let folder = folder_with_directory();
    write_shards(&folder.path("shards"));
    folder.write("there", "");
    folder.write("place/x", "");
    for (rest, hint) in [
        ("shards -o new.safetensors", "shards are written to a directory: -o new/"),
        ("shards -o there", "shards are written to a directory: -o there/"),
        ("in -o there/", "there is a file at that path: -o there"),
        ("in --format masks -o place", "masks are written to one file: -o place/masks.safetensors"),
    ] {
        let before = folder.files();
        for dry in ["", " --dry-run"] {
            let run = folder.run(&format!("prune {rest} {L1}{dry}"));
            assert!(run.err.ends_with(&format!("  hint: {hint}\n")), "{}", run.err);
            run.fails(1, "error: output `");
        }
        assert_eq!(folder.files(), before);
    }
    // An existing directory is one without a separator too.
    folder.run(&format!("prune in/model.safetensors -o place {L1}")).ok();
    assert!(folder.path("place/model.safetensors").exists());
    folder.run(&format!("prune shards/{} shards/{} -o indexed {L1}", SHARDS[0], SHARDS[1])).ok();
    folder.run(&format!("prune shards -o with-index {L1}")).ok();
    folder.run(&format!("diff indexed/{INDEX} with-index/{INDEX}")).ok();
}

#[test]
fn options_that_would_be_ignored_are_refused() {
    let folder = folder_with_directory();
    let before = folder.files();
    for (arguments, message) in [
        (format!("prune in -o - {L1}"), "error: invalid value '-' for '--output <OUT>': results are files"),
        ("remove in -o -".into(), "error: invalid value '-'"),
        ("restore in -o -".into(), "error: invalid value '-'"),
        ("masks in -o -".into(), "error: invalid value '-'"),
        (
            format!("prune in -o out --dry-run --resume {L1}"),
            "error: the argument '--dry-run' cannot be used with '--resume'",
        ),
        (
            format!("prune in -o out --dry-run --force {L1}"),
            "error: the argument '--dry-run' cannot be used with '--force'",
        ),
        ("pack in -o out --dry-run --force".into(), "error: the argument '--dry-run' cannot be used with '--force'"),
        (
            "permute in -o out --pattern 2:4 --dry-run --force".into(),
            "error: the argument '--dry-run' cannot be used with '--force'",
        ),
        (
            "compact in -o out --ffn 0.5 --dry-run --force".into(),
            "error: the argument '--dry-run' cannot be used with '--force'",
        ),
        (
            format!("prune in --dry-run --weights-only {L1}"),
            "error: the argument '--dry-run' cannot be used with '--weights-only'",
        ),
        (
            format!("prune in -o out.safetensors --resume {L1}"),
            "error: --resume applies to an output directory, but `out.safetensors` is a file\n",
        ),
        (
            format!("prune in -o out.safetensors --weights-only {L1}"),
            "error: --weights-only applies to an output directory, but `out.safetensors` is a file\n",
        ),
        (
            format!("prune in/model.safetensors -o out --ignore-index {L1}"),
            "error: --ignore-index needs an index, or a directory with one, as the only input\n",
        ),
    ] {
        folder.run(&arguments).fails(2, message);
    }
    folder
        .run(&format!("prune in -o out/ --ignore-index {L1}"))
        .fails(2, "error: --ignore-index does not apply: no index to ignore in `in`\n");
    assert_eq!(folder.files(), before);
}
