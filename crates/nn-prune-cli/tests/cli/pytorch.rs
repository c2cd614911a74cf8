//! Files of PyTorch, which the tests of the library keep.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::Folder;

const L1: &str = "--method l1 --amount 0.5";
const NOTE: &str =
    "note: training.pt: the tensors under `model` are read, not those under `loss`, `optimizer`, `callbacks`\n";

/// Returns a directory with these files.
fn folder_with(names: &[&str]) -> Folder {
    let folder = Folder::new();
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/pytorch/files");
    for name in names {
        fs::copy(files.join(name), folder.path(name)).unwrap();
    }
    folder
}

#[test]
fn every_command_reads_them() {
    let folder = folder_with(&["training.pt", "training.pt.safetensors", "pruned.pt", "views.pt"]);
    let run = folder.run(&format!("prune training.pt -o half.safetensors {L1}"));
    assert_eq!((run.code, run.err.as_str()), (Some(0), NOTE));
    assert!(run.out.contains("fc.weight"), "{}", run.out);
    // The same as from the safetensors file.
    folder.run(&format!("prune training.pt.safetensors -o other.safetensors -q {L1}")).ok();
    folder.run("diff half.safetensors other.safetensors -q").ok();
    folder.run("diff training.pt training.pt.safetensors -q").ok();
    folder.run("diff training.pt training.pt.safetensors -q --key model").ok();
    folder.run("diff half.safetensors other.safetensors -q --key model").fails(2, "error: --key applies to files");

    let inspection = folder.run("inspect training.pt -q --json").json();
    assert_eq!(inspection["tensors"].as_array().unwrap().len(), 7);
    assert_eq!(folder.run("verify training.pt -q --pattern 2:4").code, Some(3));
    folder.run("remove pruned.pt -o removed.safetensors -q").ok();
    folder.run("restore pruned.pt -o restored.safetensors -q").ok();
    folder.run("masks pruned.pt -o masks.safetensors -q").ok();
    folder.run("prune restored.safetensors -o again.safetensors -q --method mask --mask masks.safetensors").ok();
    folder.run("diff removed.safetensors again.safetensors -q").ok();
    let message = "error: no tensor would be smaller if it were packed\n"; // it was read
    folder.run("pack pruned.pt -o packed.safetensors -q").fails(1, message);
    folder.run(&format!("prune views.pt -q --dry-run --all {L1}")).ok();
}

#[test]
fn the_output_is_a_safetensors_file() {
    let folder = folder_with(&["training.pt"]);
    let message = "error: output `half.pth` is a safetensors file, but has the name of a file of PyTorch\n  hint: -o half.safetensors\n";
    folder.run(&format!("prune training.pt -o half.pth -q {L1}")).fails(1, message);
    folder.run(&format!("prune training.pt -o out/ -q {L1}")).ok();
    assert_eq!(folder.files(), ["out/training.safetensors", "training.pt"]);
    folder.run(&format!("prune training.pt -o out/ -q {L1}")).fails(1, "error: ");
    folder.run(&format!("prune training.pt -o out/ -q --force {L1}")).ok();
}

#[test]
fn keys_are_found_named_or_listed() {
    let folder = folder_with(&["several.pt", "training.pt"]);
    let message = "error: cannot read `several.pt` as a file of PyTorch\n  \
                   caused by: tensors are under several keys: `model`, `ema.model`\n  \
                   hint: --key KEY names one, --key '' reads the tensors under all of them\n";
    folder.run("inspect several.pt").fails(1, message);
    let run = folder.run("inspect several.pt --key ema.model");
    assert_eq!(run.err, "note: several.pt: the tensors under `ema.model` are read, not those under `model`\n");
    assert!(run.out.contains("weight"));
    let all = folder.run_with(["inspect", "several.pt", "--key", "", "--json"]).json();
    assert_eq!(all["tensors"].as_array().unwrap().len(), 4);
    folder.run("inspect training.pt --key weights").fails(
        1,
        "error: cannot read `training.pt` as a file of PyTorch\n  caused by: no tensors are under the key `weights`",
    );
    folder.run(&format!("prune training.pt -o a.safetensors -q {L1}")).ok();
    folder
        .run("inspect a.safetensors --key model")
        .fails(1, "error: `a.safetensors` is not a file of PyTorch, and has no keys\n");
}

#[test]
fn directories_of_hugging_face_and_of_trainers() {
    const SHARDS: [&str; 2] = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"];
    let folder = folder_with(&SHARDS);
    for shard in SHARDS {
        folder.write(&format!("in/{shard}"), folder.read(shard));
        folder.write(&format!("numbered/{shard}"), folder.read(shard));
    }
    let map = json!({ "a.weight": SHARDS[0], "b.weight": SHARDS[1], "b.bias": SHARDS[1] });
    folder.write("in/pytorch_model.bin.index.json", json!({ "weight_map": map }).to_string());
    for name in ["config.json", "optimizer.pt", "training_args.bin", "rng_state_0.pth"] {
        folder.write(&format!("in/{name}"), "{}");
    }
    let report = folder.run(&format!("prune in -o out --json {L1}")).json();
    assert_eq!(report["copied"], json!(["config.json"]));
    assert_eq!(report["left_out"], json!(["optimizer.pt", "rng_state_0.pth", "training_args.bin"]));
    let outputs = [
        "out/model-00001-of-00002.safetensors",
        "out/model-00002-of-00002.safetensors",
        "out/model.safetensors.index.json",
    ];
    assert!(outputs.iter().all(|name| folder.path(name).exists()), "{:?}", folder.files());
    folder.run("diff out out -q").ok();
    // Without an index, in the order of their numbers.
    folder.run(&format!("prune numbered -o again -q {L1}")).ok();
    folder.run("diff out again -q").ok();
    folder.run(&format!("prune in -o third -q --ignore-index {L1}")).ok();
    folder.run("diff out third -q").ok();
    assert!(folder.path("third/model.safetensors.index.json").exists());

    // Safetensors files come first, and of several files one has to be named.
    folder.write("both/pytorch_model.bin", "not read");
    folder.write("both/model.safetensors", folder.read("out/model-00001-of-00002.safetensors"));
    folder.run("inspect both -q").ok();
    folder.write("two/a.pt", folder.read(SHARDS[0]));
    folder.write("two/b.pt", folder.read(SHARDS[1]));
    folder.run("inspect two").fails(1, "error: more than one file of PyTorch in `two` (2): name one of them\n");
    folder.run("inspect two/a.pt two/b.pt -q").ok();
}
