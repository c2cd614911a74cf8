//! Inputs that are something else, and indices that do not fit their shards: the error says what to do.

use crate::{Folder, INDEX, SHARDS, folder_with_model, write_shards};

const L1: &str = "--method l1 --amount 0.5";

#[test]
fn other_formats_are_named() {
    let folder = folder_with_model();
    for (name, contents, found, remedy) in [
        ("empty", &b""[..], "empty", "download or write the file again"),
        (
            "lfs",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            "a Git LFS pointer",
            "`git lfs pull`",
        ),
        ("zip", b"PK\x03\x04\0\0\x08\x08\0\0\0\0\0\0weights.npy", "a zip archive", "unpack it"),
        ("gguf", b"GGUF\x03\0\0\0\0\0\0\0", "a GGUF file", "prune the safetensors checkpoint"),
        ("hdf5", b"\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08", "an HDF5 file", "load it in Python"),
        ("html", b"<!doctype html><title>404</title>", "a web page", "the download failed"),
    ] {
        folder.write(name, contents);
        for command in
            [format!("prune -o out {L1}"), "inspect".into(), "remove -o out".into(), "diff model.safetensors".into()]
        {
            let run = folder.run(&format!("{command} {name}"));
            let cause = format!("error: `{name}` is not a valid safetensors file\n  caused by: file is {found}");
            assert!(run.err.contains(&format!("\n  hint: {remedy}")), "{}", run.err);
            run.fails(1, &cause);
        }
    }
    folder.write(INDEX, "version https://git-lfs.github.com/spec/v1\n");
    let run = folder.run(&format!("inspect {INDEX}"));
    assert!(run.err.contains("  caused by: file is a Git LFS pointer\n  hint: `git lfs pull`"), "{}", run.err);
}

#[test]
fn a_stale_index_is_ignored_on_request() {
    let folder = Folder::new();
    write_shards(&folder.path("in"));
    let right: serde_json::Value = serde_json::from_slice(&folder.read(&format!("in/{INDEX}"))).unwrap();
    folder.run(&format!("prune in -o right {L1}")).ok();
    let renamed = INDEX.replace("model.", "unet.");
    for (tensor, shard) in
        [("old.weight", Some(SHARDS[0])), ("encoder.1.weight", None), ("x", Some("gone.safetensors"))]
    {
        let mut stale = right.clone();
        let map = stale["weight_map"].as_object_mut().unwrap();
        match shard {
            Some(shard) => drop(map.insert(tensor.into(), shard.into())),
            None => drop(map.remove(tensor)),
        }
        folder.write(&format!("in/{INDEX}"), stale.to_string());
        let run = folder.run(&format!("prune in -o out {L1}"));
        assert!(run.err.ends_with(
            "  hint: --ignore-index takes the shards in the directory as they are, and writes a right index\n"
        ));
        run.fails(1, "error: ");
        for input in ["in".to_owned(), format!("in/{INDEX}")] {
            folder.run(&format!("prune {input} -o out --ignore-index --force {L1}")).ok();
            folder.run("diff out right").ok();
            let index: serde_json::Value = serde_json::from_slice(&folder.read(&format!("out/{INDEX}"))).unwrap();
            assert_eq!(index["weight_map"], right["weight_map"]);
        }
        folder.run("inspect in --ignore-index -q").ok();
    }
    // The name of the index is kept, and one shard alone keeps its index.
    let one = Folder::new();
    one.write(&format!("in/{}", SHARDS[0]), folder.read(&format!("in/{}", SHARDS[0])));
    one.write(&format!("in/{renamed}"), "not even JSON");
    one.run(&format!("prune in -o out --ignore-index {L1}")).ok();
    one.run("diff out out").ok();
    assert!(one.path(&format!("out/{renamed}")).exists());
}

#[test]
fn typos_are_answered_with_what_is_near() {
    let folder = folder_with_model();
    for (rest, hint) in [
        ("--include encoder.0.atention.weight", Some("near name: `encoder.0.attention.weight`")),
        (
            "--include encodr.*.weight",
            Some("near names: `encoder.0.attention.weight`, `encoder.0.conv.weight`, `encoder.0.norm.weight`"),
        ),
        ("--include quantum.*", None),
    ] {
        let run = folder.run(&format!("prune model.safetensors -o out {L1} {rest}"));
        assert_eq!(run.err.lines().find_map(|line| line.strip_prefix("  hint: ")), hint);
        run.fails(1, "error: pattern `");
    }
    for (option, value) in [("--scope globl", "global"), ("--method randon", "random"), ("--format weigths", "weights")]
    {
        let run = folder.run(&format!("prune model.safetensors -o out --method l1 --amount 1 {option}"));
        let run = if option.starts_with("--method") {
            folder.run(&format!("prune model.safetensors -o out --amount 1 {option}"))
        } else {
            run
        };
        assert!(run.err.contains(&format!("  tip: a similar value exists: '{value}'")), "{}", run.err);
        run.fails(2, "error: invalid value '");
    }
}

/// A name with characters that are special in a pattern.
#[test]
fn a_name_that_is_no_pattern_of_itself() {
    let folder = Folder::new();
    let model = prune::ParameterStore::from_iter([("a[0].{q}.weight", crate::tensor(&[4, 3], 1))]);
    prune::safetensors::save_file(&model, folder.path("model.safetensors")).unwrap();
    let run = |pattern: &str| folder.run(&format!("prune model.safetensors --dry-run -q {L1} --only {pattern}"));
    run("a[0].{q}.weight").fails(
        1,
        "error: pattern `a[0].{q}.weight` matches no tensor\n  hint: a tensor has this name, but `*?[]{}` are special in a \
         pattern: write `a[[]0].[{]q[}].weight`\n",
    );
    run("a[[]0].[{]q[}].weight").ok();
}

#[test]
fn an_adapter_is_no_shard() {
    let folder = folder_with_model();
    folder.write("in/model.safetensors", folder.read("model.safetensors"));
    folder.write("in/adapter_model.safetensors", "whatever it is");
    folder.write("in/adapter_config.json", "{}");
    let report = folder.run(&format!("prune in -o out/ --json {L1}")).json();
    assert_eq!(report["left_out"], serde_json::json!(["adapter_config.json", "adapter_model.safetensors"]));
    let tensors = |input: &str| folder.run(&format!("inspect {input} --json")).json()["tensors"].take();
    assert_eq!(tensors("in"), tensors("model.safetensors"));
    // Alone, it is the model.
    folder.write("alone/adapter_model.safetensors", folder.read("model.safetensors"));
    folder.run("inspect alone -q").ok();
}
