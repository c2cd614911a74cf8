//! Invalid files, and commands that do not apply to the tensors: exit code 1, one line `error: `, and its causes.

use serde_json::json;

use crate::{Folder, INDEX, SHARDS, bytes_of, file_of, folder_with_model, write_shards};

const L1: &str = "--method l1 --amount 0.5";

/// Asserts that `prune` fails with this message and leaves no file behind.
#[track_caller]
fn refuses(folder: &Folder, rest: &str, message: &str) {
    let before = folder.files();
    folder.run(&format!("prune {rest}")).fails(1, message);
    assert_eq!(folder.files(), before);
}

#[test]
fn files_that_are_not_checkpoints() {
    let folder = folder_with_model();
    let whole = folder.read("model.safetensors");
    folder.write("cut.safetensors", &whole[..whole.len() - 1]);
    folder.write("short.safetensors", &whole[..5]);
    folder.write("text.safetensors", "this is not a checkpoint, it is a line of text");
    folder.write("empty.safetensors", "");
    folder.write("empty-folder/readme.txt", "");
    for (input, fault) in [
        ("cut.safetensors", true),
        ("short.safetensors", true),
        ("text.safetensors", true),
        ("empty.safetensors", true),
        ("missing.safetensors", false),
    ] {
        let message = match fault {
            true => format!("error: `{input}` is not a valid safetensors file\n  caused by: "),
            false => format!("error: cannot read `{input}`\n  caused by: "),
        };
        refuses(&folder, &format!("{input} -o out {L1}"), &message);
        for command in ["inspect", "remove -o out", "masks -o out"] {
            folder.run(&format!("{command} {input}")).fails(1, &message);
        }
        folder.run(&format!("diff model.safetensors {input}")).fails(1, &message);
    }
    let message = "error: no .safetensors, .bin, .pt or .pth file in `empty-folder`\n";
    refuses(&folder, &format!("empty-folder -o out {L1}"), message);
}

#[test]
fn indices_that_are_wrong() {
    let folder = Folder::new();
    write_shards(&folder.path("in"));
    let index: serde_json::Value = serde_json::from_slice(&folder.read(&format!("in/{INDEX}"))).unwrap();
    let changed = |change: fn(&mut serde_json::Value)| {
        let mut index = index.clone();
        change(&mut index["weight_map"]);
        index.to_string()
    };
    for (contents, message) in [
        ("{".to_owned(), "error: `in/model.safetensors.index.json` is not a valid index: it must be JSON"),
        ("{}".to_owned(), "error: `in/model.safetensors.index.json` is not a valid index: it must be JSON"),
        (
            changed(|map| map["x"] = json!("other.safetensors")),
            "error: shard `in/other.safetensors` does not exist (named in `in/model.safetensors.index.json`)\n",
        ),
        (
            changed(|map| map["x"] = json!("../x.safetensors")),
            "error: index `in/model.safetensors.index.json` names shard",
        ),
        (changed(|map| map["x"] = json!(SHARDS[0])), "error: tensor `x` is not in `in/model-00001"),
        (
            changed(|map| drop(map.as_object_mut().unwrap().remove("encoder.1.weight"))),
            "error: tensor `encoder.1.weight` is in `in/model-0000",
        ),
    ] {
        folder.write(&format!("in/{INDEX}"), contents);
        refuses(&folder, &format!("in/{INDEX} -o out {L1}"), message);
    }
    folder.write("in/other.safetensors.index.json", index.to_string());
    refuses(
        &folder,
        &format!("in -o out {L1}"),
        "error: more than one .safetensors.index.json in `in` (2): name one of them\n",
    );
}

#[test]
fn tensors_that_are_wrong() {
    let folder = folder_with_model();
    let (four, two) = (bytes_of(&[1.0, -2.0, 3.0, -4.0]), bytes_of(&[0.0, 1.0]));
    let weight: (&str, &str, &[usize], &[u8]) = ("w", "F32", &[2, 2], &four);
    let orig: (&str, &str, &[usize], &[u8]) = ("w_orig", "F32", &[2, 2], &four);
    folder.write("a.safetensors", file_of(&[weight]));
    folder.write("three.safetensors", file_of(&[weight, orig, ("w_mask", "F32", &[2, 2], &four)]));
    folder.write("shape.safetensors", file_of(&[orig, ("w_mask", "F32", &[2], &two)]));
    folder.write("mask.safetensors", file_of(&[orig, ("w_mask", "F32", &[2, 2], &four)]));
    for (input, message) in [
        (
            "a.safetensors three.safetensors",
            "error: tensor `w` is in two shards, `a.safetensors` and `three.safetensors`\n",
        ),
        ("three.safetensors", "error: tensor `w` is stored both plain and as `_orig` and `_mask`\n"),
        ("shape.safetensors", "error: mask `w_mask` has shape [2], but its tensor has shape [2, 2]\n"),
        ("mask.safetensors", "error: mask `w_mask` holds -2 at [0, 1]; only 0 and 1 are allowed\n"),
    ] {
        refuses(&folder, &format!("{input} -o out {L1}"), message);
    }
}

#[test]
fn what_cannot_be_asked_of_the_tensors() {
    let folder = folder_with_model();
    folder.write("bias.safetensors", file_of(&[("bias", "F32", &[2], &bytes_of(&[1.0, 2.0]))]));
    folder.write("scalar.safetensors", file_of(&[("scale", "F32", &[], &bytes_of(&[1.0]))]));
    for (rest, message) in [
        (
            "bias.safetensors --method l1 --amount 0.5",
            "error: nothing to prune: 0 of 1 tensors selected (1: a vector)\n",
        ),
        (
            "model.safetensors --method l1 --amount 0.5 --include decoder.*",
            "error: pattern `decoder.*` matches no tensor\n",
        ),
        (
            "model.safetensors --method l1 --amount 0.5 --only decoder.*",
            "error: pattern `decoder.*` matches no tensor\n",
        ),
        ("model.safetensors --method l1 --amount 61", "error: cannot prune tensor `encoder.0.conv.weight`\n"),
        ("model.safetensors --method l1 --amount 1000 --scope global", "error: cannot prune with these arguments\n"),
        (
            "model.safetensors --method ln --amount 1 --dim 2",
            "error: cannot prune tensor `encoder.0.attention.weight`\n",
        ),
        (
            "scalar.safetensors --all --method block --block 2x2 --amount 0.5",
            "error: cannot prune tensor `scale`\n  caused by: axis 1 is out of range for 0 dimensions\n",
        ),
        ("model.safetensors --method mask --mask none", "error: cannot read `none`"),
        (
            "model.safetensors --method mask --mask model.safetensors",
            "error: `model.safetensors` is not a valid mask file\n",
        ),
    ] {
        refuses(&folder, &format!("{rest} -o out"), message);
        // A dry run gives the same error.
        refuses(&folder, &format!("{rest} --dry-run"), message);
    }
    for command in ["remove", "masks"] {
        let message = "error: the checkpoint has no masks: no tensor is stored as `_orig` and `_mask`\n";
        folder.run(&format!("{command} model.safetensors -o out")).fails(1, message);
    }
}

#[test]
fn mask_files_of_other_models() {
    let folder = folder_with_model();
    let masks = |name: &'static str, shape: &[usize]| {
        let mut other = prune::ParameterStore::from_iter([(name, crate::tensor(shape, 1))]);
        prune::l1_unstructured(&mut other, name, 1).unwrap();
        prune::safetensors::masks_to_bytes(&other).unwrap()
    };
    folder.write("name", masks("decoder", &[7, 9]));
    folder.write("near", masks("encoder.1.wieght", &[7, 9]));
    folder.write("shape", masks("encoder.1.weight", &[9, 7]));
    let message = "error: mask for `decoder` has no floating-point tensor in the checkpoint\n";
    refuses(&folder, "model.safetensors -o out --method mask --mask name", message);
    let message =
        "error: mask for `encoder.1.wieght` has no floating-point tensor in the checkpoint\n  hint: near name";
    refuses(&folder, "model.safetensors -o out --method mask --mask near", message);
    let message = "error: mask `encoder.1.weight` has shape [9, 7], but its tensor has shape [7, 9]\n";
    refuses(&folder, "model.safetensors -o out --method mask --mask shape", message);
}

#[test]
fn outputs_that_are_in_the_way() {
    let folder = folder_with_model();
    write_shards(&folder.path("in"));
    folder.write("taken", "something");
    folder.write("folder/file", "something");
    let model = folder.read("model.safetensors");
    for (rest, message) in [
        ("model.safetensors -o taken", "error: output `taken` already exists\n  hint: --force replaces it\n"),
        ("model.safetensors -o model.safetensors", "error: output `model.safetensors` would overwrite the input\n"),
        (
            "model.safetensors -o model.safetensors --force",
            "error: output `model.safetensors` would overwrite the input\n",
        ),
        (
            "model.safetensors -o none/out",
            "error: cannot write `none/out`\n  caused by: there is no directory `none`\n",
        ),
        ("model.safetensors -o folder --format masks --force", "error: output `folder` is not a file\n"),
        ("in -o taken --force", "error: output `taken` is not a directory\n"),
        ("in -o in --force", "error: output `in/"),
    ] {
        refuses(&folder, &format!("{rest} {L1}"), message);
    }
    assert_eq!(folder.read("taken"), b"something");
    assert_eq!(folder.read("model.safetensors"), model);

    folder.run(&format!("prune model.safetensors -o taken --force {L1}")).ok();
    assert_eq!(folder.read("taken").len(), model.len());
}

#[test]
fn messages_cannot_talk_to_the_terminal() {
    let folder = Folder::new();
    let name = "\u{1b}[2J.weight\n";
    folder.write("in", file_of(&[(name, "F32", &[1, 2], &bytes_of(&[1.0, 2.0]))]));
    let failed = folder.run("prune in -o out --all --method l1 --amount 3");
    let passed = folder.run("inspect in").ok();
    for text in [failed.err, passed] {
        assert!(!text.contains('\u{1b}') && text.contains("[2J.weight\\n"), "{text}");
    }
}
