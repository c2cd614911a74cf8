//! No file that a command reads is written by it, and no file is written twice.

use std::fs;

use crate::compact::fixture;
use crate::{Folder, SHARDS, folder_with_model, write_shards};

const L1: &str = "--method l1 --amount 0.5";

/// Runs commands that would write to a file they read, or write one file twice, and asserts that no file changes.
#[track_caller]
fn refused(folder: &Folder, cases: &[(&str, &str)]) {
    let contents = || folder.files().into_iter().map(|name| (folder.read(&name), name)).collect::<Vec<_>>();
    let before = contents();
    for (arguments, message) in cases {
        folder.run(arguments).fails(1, &format!("error: {message}\n"));
        assert!(contents() == before, "{arguments}");
    }
}

#[test]
fn counts_and_cuts() {
    let folder = Folder::new();
    write_shards(&folder.path("."));
    let [first, second] = SHARDS;
    folder.run(&format!("count {first} -o a.json")).ok();
    folder.run(&format!("count {second} -o b.json")).ok();
    folder.run("cut a.json b.json --amount 0.5 -o cut.json").ok();
    let input = format!("output `{first}` would overwrite the input");
    refused(
        &folder,
        &[
            (&format!("count {first} -o {first} --force"), &input),
            (&format!("count . -o {first} --force"), &input),
            (
                "count . -o model.safetensors.index.json --force",
                "output `model.safetensors.index.json` would overwrite the input",
            ),
            (
                &format!("count {first} --within cut.json -o ./cut.json --force"),
                "output `./cut.json` would overwrite the input",
            ),
            ("cut a.json b.json --amount 0.5 -o b.json --force", "output `b.json` would overwrite the input"),
        ],
    );
    folder.run(&format!("count {first} -o b.json")).fails(1, "error: output `b.json` already exists\n  hint: --force");
    // The cut of a round may take the place of the one before.
    for (shard, part) in [(first, "a.json"), (second, "b.json")] {
        folder.run(&format!("count {shard} --within cut.json -o {part} --force")).ok();
    }
    folder.run("cut a.json b.json -o cut.json --force").ok();
    // Of the cut, the output may not take the place either.
    refused(
        &folder,
        &[(
            &format!("prune {first} --cut cut.json -o cut.json --force"),
            "output `cut.json` would overwrite the input",
        )],
    );
}

#[test]
fn recipes() {
    let folder = folder_with_model();
    folder.run(&format!("prune model.safetensors --dry-run -q {L1} --save-recipe there.toml")).ok();
    refused(
        &folder,
        &[
            (
                &format!("prune model.safetensors --dry-run {L1} --save-recipe model.safetensors"),
                "recipe `model.safetensors` would overwrite the input",
            ),
            (
                &format!("prune model.safetensors -o out {L1} --save-recipe model.safetensors --force"),
                "recipe `model.safetensors` would overwrite the input",
            ),
            (
                &format!("prune model.safetensors -o out {L1} --save-recipe out"),
                "recipe and output have the same path, `out`",
            ),
            (
                &format!("prune model.safetensors -o out {L1} --save-recipe there.toml"),
                "recipe `there.toml` already exists\n  hint: --force replaces it",
            ),
            (
                &format!("prune model.safetensors --dry-run {L1} --save-recipe there.toml"),
                "recipe `there.toml` already exists",
            ),
            (
                &format!("prune model.safetensors -o out {L1} --save-recipe none/recipe"),
                "cannot write `none/recipe`\n  caused by: there is no directory `none`",
            ),
            (
                "prune model.safetensors -o there.toml --recipe there.toml --force",
                "output `there.toml` would overwrite the input",
            ),
        ],
    );
    folder.run(&format!("prune model.safetensors -o out -q {L1} --save-recipe there.toml --force")).ok();
    // Into the directory that the run makes.
    folder.run(&format!("prune model.safetensors -o new/ -q {L1} --save-recipe new/recipe.toml")).ok();
    assert_eq!(folder.read("new/recipe.toml"), folder.read("there.toml"));
}

#[test]
fn statistics() {
    let folder = crate::calibrated::folder();
    let message = |name: &str| format!("output `{name}` would overwrite the input");
    let wanda = "prune model.safetensors --method wanda --amount 0.5 --force";
    refused(
        &folder,
        &[
            (&format!("{wanda} --statistics s -o s"), &message("s")),
            (&format!("{wanda} --statistics s --check other -o other"), &message("other")),
        ],
    );
}

#[test]
fn plans() {
    let folder = Folder::new();
    let dense = fixture("llama-ffn").join("dense");
    for name in ["config.json", "model.safetensors"] {
        folder.write(&format!("in/{name}"), fs::read(dense.join(name)).unwrap());
    }
    folder.write("old/config.json", "mine");
    folder.run("compact in --dry-run -q --ffn 0.5 --save-plan plan.json").ok();
    let message = |name: &str| format!("output `{name}` would overwrite the input");
    refused(
        &folder,
        &[
            ("compact in -o out --ffn 0.5 --save-plan in/model.safetensors --force", &message("in/model.safetensors")),
            ("compact in -o out --ffn 0.5 --save-plan in/config.json --force", &message("in/config.json")),
            ("compact in -o out --keep plan.json --save-plan plan.json --force", &message("plan.json")),
            // A run that fails leaves no plan.
            (
                "compact in -o old --ffn 0.5 --save-plan new.json",
                "output `old/config.json` already exists\n  hint: --force replaces it",
            ),
        ],
    );
    // Into the directory that the run makes.
    folder.run("compact in -o out/ -q --ffn 0.5 --save-plan out/plan.json").ok();
    assert_eq!(folder.read("out/plan.json"), folder.read("plan.json"));
    let coupling = "{\"dimensions\": [{\"name\": \"h\", \"open\": true, \"uses\": [{\"tensor\": \"a.weight\", \"axis\": 0, \"role\": \"out\"}]}]}";
    folder.write("coupling.json", coupling);
    let a = prune::ParameterStore::from_iter([("a.weight", crate::tensor(&[4, 3], 1))]);
    prune::safetensors::save_file(&a, folder.path("a.safetensors")).unwrap();
    folder.write("keep.json", "{\"keep\": {\"h\": [0, 2]}}");
    let compact = "compact a.safetensors --coupling coupling.json --keep keep.json";
    refused(
        &folder,
        &[
            (&format!("{compact} -o coupling.json --force"), &message("coupling.json")),
            (&format!("{compact} -o keep.json --force"), &message("keep.json")),
            (&format!("{compact} -o small --save-plan small"), "plan and output have the same path, `small`"),
        ],
    );
    folder.run(&format!("{compact} -o small -q")).ok();
}
