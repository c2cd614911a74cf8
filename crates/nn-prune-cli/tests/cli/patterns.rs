//! `prune --method nm`, `--method block` and `--allocation`, and `verify`.

use prune::checkpoint::Checkpoint;
use prune::training::{Allocation, Bounds};
use prune::{Block, L1Unstructured, NM, PruningMethod};

use crate::{Folder, WEIGHTS, folder_with_model, model};

/// The weights of a file that the program wrote are those that the method leaves in memory.
fn assert_pruned(folder: &Folder, file: &str, method: impl PruningMethod<f32> + Clone + 'static) {
    let (found, _) = prune::safetensors::load_file::<f32>(folder.path(file)).unwrap();
    let mut expected = model();
    for name in WEIGHTS {
        expected[name].prune(method.clone()).unwrap();
        assert_eq!(found[name].value(), expected[name].value(), "{name}");
    }
}

#[test]
fn a_pattern_is_pruned_and_verified() {
    let folder = folder_with_model();
    let broken = folder.run("verify model.safetensors --pattern 2:4");
    assert_eq!((broken.code, broken.err.as_str()), (Some(3), ""));
    assert!(broken.out.contains("encoder.1.weight: groups that begin at\n  [0, 0] keep 4, not 2\n"), "{}", broken.out);
    let last = "the pattern is broken in 38 of 69 groups, in 3 of 3 tensors\n";
    assert!(broken.out.ends_with(last), "{}", broken.out);

    folder.run("prune model.safetensors -o nm.safetensors --method nm --pattern 2:4").ok();
    assert_pruned(&folder, "nm.safetensors", NM::new(2, 4, -1).unwrap());
    let holds = folder.run("verify nm.safetensors --pattern 2:4 --summary").ok();
    assert_eq!(holds, "the pattern holds in all 69 groups of 3 tensors\n");
    assert_eq!(folder.run("verify nm.safetensors --pattern 2:4 --dim 0 --quiet").code, Some(3));

    folder.run("prune model.safetensors -o half.safetensors --method nm --pattern 1:2 --dim 0 --amount 50%").ok();
    assert_pruned(&folder, "half.safetensors", NM::new(1, 2, 0).unwrap().amount(0.5).unwrap());
}

#[test]
fn the_result_of_verify_as_json() {
    let folder = folder_with_model();
    let run = folder.run("verify model.safetensors --pattern 2:4 --json");
    assert_eq!(run.code, Some(3));
    let json: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!((&json["holds"], &json["violations"]), (&false.into(), &38.into()));
    let tensor = |name: &str| json["tensors"].as_array().unwrap().iter().find(|tensor| tensor["name"] == name).unwrap();
    let weight = tensor("encoder.1.weight");
    assert_eq!((&weight["groups"], &weight["violations"]), (&21.into(), &14.into()));
    assert_eq!(weight["first"][0], serde_json::json!({ "at": [0, 0], "kept": 4, "allowed": 2 }));
    let bias = tensor("encoder.0.attention.bias");
    assert_eq!((&bias["violations"], &bias["reason"]["code"]), (&serde_json::Value::Null, &"vector".into()));
}

#[test]
fn blocks_are_pruned_and_verified() {
    let folder = folder_with_model();
    let out = folder
        .run("prune model.safetensors -o block.safetensors --method block --block 2x3 --norm 1 --amount 0.5")
        .ok();
    assert_pruned(&folder, "block.safetensors", Block::new(0.5, &[2, 3], 1).unwrap());
    assert!(out.contains("requested: 13 groups\n"), "{out}");
    folder.run("verify block.safetensors --block 2x3 --quiet").ok();
    folder.run("prune model.safetensors -o l1.safetensors --method l1 --amount 0.5").ok();
    assert_eq!(folder.run("verify l1.safetensors --block 2x3 --quiet").code, Some(3));
}

#[test]
fn an_allocation_divides_the_amount() {
    let folder = folder_with_model();
    let model = model();
    let values: Vec<_> = WEIGHTS.iter().map(|name| model[*name].value().view()).collect();
    for (name, allocation) in [("erk", Allocation::Erk), ("lamp", Allocation::Lamp), ("global", Allocation::Global)] {
        let command = format!("prune model.safetensors -o {name}.safetensors --method l1 --amount 0.6");
        folder.run(&format!("{command} --allocation {name} --min-sparsity 0.2 --max-sparsity 0.9")).ok();
        let counts = allocation.counts_of(&values, 0.6, Bounds { min: 0.2, max: 0.9 }).unwrap();
        let (found, _) = prune::safetensors::load_file::<f32>(folder.path(&format!("{name}.safetensors"))).unwrap();
        for (name, count) in WEIGHTS.iter().zip(counts) {
            let mut expected = model[*name].clone();
            expected.prune(L1Unstructured::new(count).unwrap()).unwrap();
            assert_eq!(found[*name].value(), expected.value(), "{name}");
        }
    }
}

/// Recipes keep all of these options, in TOML and in JSON.
#[test]
fn recipes_of_patterns_blocks_and_allocations() {
    let folder = folder_with_model();
    for (number, options) in [
        "--method nm --pattern 1:4 --dim 0 --amount 0.5",
        "--method block --block 2x3 --norm inf --amount 0.5",
        "--method l1 --amount 0.5 --allocation erdos-renyi --max-sparsity 0.8",
    ]
    .into_iter()
    .enumerate()
    {
        for recipe in [format!("{number}.toml"), format!("{number}.json")] {
            let (first, again) = (format!("{recipe}.first.safetensors"), format!("{recipe}.again.safetensors"));
            folder.run(&format!("prune model.safetensors -o {first} {options} --save-recipe {recipe}")).ok();
            folder.run(&format!("prune model.safetensors -o {again} --recipe {recipe}")).ok();
            assert!(folder.read(&first) == folder.read(&again), "{options}");
        }
    }
    folder.write("bad.toml", "method = \"nm\"\npattern = \"5:4\"\n");
    let run = folder.run("prune model.safetensors -o out --recipe bad.toml");
    run.fails(1, "error: `bad.toml` is not a valid recipe\n  caused by: 5:4 is not a pattern");
    folder.write("alone.toml", "method = \"l1\"\namount = 0.5\nmax_sparsity = 0.9\n");
    folder
        .run("prune model.safetensors -o out --recipe alone.toml")
        .fails(2, "error: --min-sparsity and --max-sparsity need --allocation\n");
}

#[test]
fn command_lines_that_are_wrong() {
    let folder = folder_with_model();
    for (arguments, message) in [
        ("prune model.safetensors -o out --method nm", "error: --method nm needs --pattern N:M\n"),
        ("prune model.safetensors -o out --method block --amount 1", "error: --method block needs --block AxB\n"),
        ("prune model.safetensors -o out --method block --block 4x4", "error: --method block needs --amount AMOUNT\n"),
        ("prune model.safetensors -o out --method nm --pattern 5:4", "error: invalid value '5:4' for '--pattern"),
        (
            "prune model.safetensors -o out --method block --amount 1 --block 0x4",
            "error: invalid value '0x4' for '--block",
        ),
        (
            "prune model.safetensors -o out --method l1 --amount 1 --pattern 2:4",
            "error: --pattern does not apply to --method l1, which takes ",
        ),
        (
            "prune model.safetensors -o out --method nm --pattern 2:4 --sparsity 0.5",
            "error: --sparsity does not apply to --method nm, which takes --amount, --dim, --pattern, --ties\n",
        ),
        (
            "prune model.safetensors -o out --method l1 --amount 0.5 --allocation erk --scope global",
            "error: --allocation does not apply to --scope global\n",
        ),
        ("prune model.safetensors -o out --method l1 --amount 0.5 --max-sparsity 0.9", "error: the following required"),
        ("verify model.safetensors", "error: the following required arguments were not provided:"),
        ("verify model.safetensors --block 4x4 --dim 0", "error: the argument '--"),
    ] {
        folder.run(arguments).fails(2, message);
    }
    folder
        .run("prune model.safetensors -o out --method l1 --amount 0.95 --allocation erk --max-sparsity 0.9")
        .fails(1, "error: ");
    folder.run("prune model.safetensors -o out --method block --norm 3 --block 4x4 --amount 1").fails(1, "error: ");
    assert_eq!(folder.files(), ["model.safetensors"]);
    assert!(Checkpoint::open([folder.path("model.safetensors")]).is_ok());
}
