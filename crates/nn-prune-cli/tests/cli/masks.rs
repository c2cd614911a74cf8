//! The command line prunes the same entries as the library in memory.

use prune::{
    L1Unstructured, ParameterStore, PruneError, RandomUnstructured, checkpoint::tensor_seed, global_unstructured,
    parameters_mut, safetensors,
};

use crate::{Folder, INDEX, SHARDS, WEIGHTS, folder_with_model, model, write_shards};

type InMemory = fn(&mut ParameterStore<f32>) -> Result<(), PruneError>;

fn each(
    model: &mut ParameterStore<f32>,
    prune: impl Fn(&mut ParameterStore<f32>, &str) -> Result<(), PruneError>,
) -> Result<(), PruneError> {
    WEIGHTS.iter().try_for_each(|name| prune(model, name))
}

/// Options of the command line, and the same call in memory.
const CASES: [(&str, InMemory); 12] = [
    ("--method l1 --amount 0.5", |m| each(m, |m, name| prune::l1_unstructured(m, name, 0.5))),
    ("--method l1 --amount 1", |m| each(m, |m, name| prune::l1_unstructured(m, name, 1))),
    ("--method l1 --amount 1.0 --scope tensor", |m| each(m, |m, name| prune::l1_unstructured(m, name, 1.0))),
    ("--method l1 --amount 0", |m| each(m, |m, name| prune::l1_unstructured(m, name, 0))),
    ("--method l1 --amount 0.3 --scope global", |m| {
        global_unstructured(parameters_mut(m, &WEIGHTS)?, L1Unstructured::new(0.3)?)
    }),
    ("--method l1 --amount 77 --scope global", |m| {
        global_unstructured(parameters_mut(m, &WEIGHTS)?, L1Unstructured::new(77)?)
    }),
    ("--method random --amount 0.5 --seed 9", |m| {
        each(m, |m, name| prune::random_unstructured(m, name, 0.5, tensor_seed(9, name)))
    }),
    ("--method random --amount 0.7 --scope global", |m| {
        global_unstructured(parameters_mut(m, &WEIGHTS)?, RandomUnstructured::new(0.7, 0)?)
    }),
    ("--method ln --amount 2", |m| each(m, |m, name| prune::ln_structured(m, name, 2, 2, 0))),
    ("--method ln --amount 0.4 --dim -1 --norm 1", |m| each(m, |m, name| prune::ln_structured(m, name, 0.4, 1, -1))),
    ("--method ln --amount 1 --dim 1 --norm -inf", |m| {
        each(m, |m, name| prune::ln_structured(m, name, 1, f64::NEG_INFINITY, 1))
    }),
    ("--method random-structured --amount 0.5 --dim 1 --seed 3", |m| {
        each(m, |m, name| prune::random_structured(m, name, 0.5, 1, tensor_seed(3, name)))
    }),
];

fn pruned(in_memory: InMemory) -> ParameterStore<f32> {
    let mut model = model();
    in_memory(&mut model).unwrap();
    model
}

#[test]
fn of_one_file() {
    let folder = folder_with_model();
    let input = folder.read("model.safetensors");
    for (options, in_memory) in CASES {
        let mut expected = pruned(in_memory);
        let run =
            |format| folder.run(&format!("prune model.safetensors -o out --force --format {format} {options}")).ok();

        run("masks");
        assert_eq!(folder.read("out"), safetensors::masks_to_bytes(&expected).unwrap(), "{options}");
        run("pytorch");
        let (found, _) = safetensors::load_file::<f32>(folder.path("out")).unwrap();
        same(&found, &expected, options);
        run("weights");
        let (found, _) = safetensors::load_file::<f32>(folder.path("out")).unwrap();
        WEIGHTS.iter().for_each(|name| prune::remove(&mut expected, name).unwrap());
        same(&found, &expected, options);
    }
    assert_eq!(folder.read("model.safetensors"), input);
}

#[test]
fn of_two_shards_with_an_index() {
    let folder = Folder::new();
    write_shards(&folder.path("in"));
    let index: serde_json::Value = serde_json::from_slice(&folder.read(&format!("in/{INDEX}"))).unwrap();
    for (options, in_memory) in CASES {
        let mut expected = pruned(in_memory);
        folder.run(&format!("prune in/{INDEX} -o masks --force --format masks {options}")).ok();
        assert_eq!(folder.read("masks"), safetensors::masks_to_bytes(&expected).unwrap(), "{options}");

        // A directory stands for its index.
        folder.run(&format!("prune in -o out --force --format weights {options}")).ok();
        WEIGHTS.iter().for_each(|name| prune::remove(&mut expected, name).unwrap());
        same(&read_shards(&folder, "out"), &expected, options);
        let found: serde_json::Value = serde_json::from_slice(&folder.read(&format!("out/{INDEX}"))).unwrap();
        assert_eq!(found, index);
    }
    let files = folder.files();
    let expected = ["in", "out"].map(|place| [SHARDS[0], SHARDS[1], INDEX].map(|name| format!("{place}/{name}")));
    assert_eq!(files, [expected[0].to_vec(), vec!["masks".into()], expected[1].to_vec()].concat());
}

#[test]
fn of_shards_without_an_index() {
    let folder = Folder::new();
    write_shards(&folder.path("in"));
    std::fs::remove_file(folder.path(&format!("in/{INDEX}"))).unwrap();
    let expected = pruned(|m| global_unstructured(parameters_mut(m, &WEIGHTS)?, L1Unstructured::new(0.5)?));
    let options = "--method l1 --amount 0.5 --scope global --format pytorch";
    folder.run(&format!("prune in/{} in/{} -o out {options}", SHARDS[0], SHARDS[1])).ok();
    same(&read_shards(&folder, "out"), &expected, options);
    assert!(folder.path(&format!("out/{INDEX}")).exists());
}

/// A second round prunes the remaining entries, as in memory.
#[test]
fn of_what_is_pruned_already() {
    let folder = folder_with_model();
    let mut expected = model();
    let mut input = "model.safetensors".to_owned();
    for round in 1..=3 {
        let output = format!("round-{round}");
        folder.run(&format!("prune {input} -o {output} --method l1 --amount 0.5 --format pytorch")).ok();
        each(&mut expected, |model, name| prune::l1_unstructured(model, name, 0.5)).unwrap();
        let (found, _) = safetensors::load_file::<f32>(folder.path(&output)).unwrap();
        same(&found, &expected, &output);
        input = output;
    }
}

#[test]
fn from_a_mask_file() {
    let folder = folder_with_model();
    let mut expected = model();
    prune::l1_unstructured(&mut expected, "encoder.1.weight", 0.5).unwrap();
    // A bias is pruned if the mask file has a mask for it.
    prune::l1_unstructured(&mut expected, "encoder.0.attention.bias", 3).unwrap();
    safetensors::save_masks(&expected, folder.path("some.masks")).unwrap();
    folder.run("prune model.safetensors -o out --method mask --mask some.masks --format pytorch").ok();
    let (found, _) = safetensors::load_file::<f32>(folder.path("out")).unwrap();
    same(&found, &expected, "mask");
}

#[test]
fn of_what_patterns_select() {
    let folder = folder_with_model();
    for (patterns, selected) in [
        ("--all", &["embeddings.word_embeddings.weight", "encoder.0.norm.weight", "encoder.0.attention.bias"][..]),
        ("--include *.weight --exclude *norm* --exclude emb*", &WEIGHTS[..]),
        ("--include encoder.[01].weight", &["encoder.1.weight"][..]),
        ("--exclude *conv*", &[WEIGHTS[0], WEIGHTS[2]][..]),
    ] {
        let arguments = format!("prune model.safetensors --dry-run --json --method l1 --amount 0.5 {patterns}");
        let report = folder.run(&arguments).json();
        let pruned = |name: &str| {
            let tensors = report["tensors"].as_array().unwrap();
            tensors.iter().find(|tensor| tensor["name"] == name).unwrap()["pruned"].is_u64()
        };
        assert!(selected.iter().all(|name| pruned(name)), "{patterns}");
        if patterns != "--all" {
            let count = model().iter().filter(|(name, _)| pruned(name)).count();
            assert_eq!(count, selected.len(), "{patterns}");
        }
    }
}

fn read_shards(folder: &Folder, place: &str) -> ParameterStore<f32> {
    let mut all = ParameterStore::new();
    for shard in SHARDS {
        let (mut part, _) = safetensors::load_file::<f32>(folder.path(&format!("{place}/{shard}"))).unwrap();
        let names: Vec<String> = part.iter().map(|(name, _)| name.to_owned()).collect();
        for name in names {
            let parameter = part.take(&name).unwrap();
            all.insert(name, parameter);
        }
    }
    all
}

/// Asserts that names, originals, masks and values are equal, bit for bit.
#[track_caller]
fn same(found: &ParameterStore<f32>, expected: &ParameterStore<f32>, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (name, expected) in expected.iter() {
        let found = &found[name];
        let bits = |array: &ndarray::ArrayD<f32>| array.mapv(f32::to_bits);
        assert_eq!(found.mask(), expected.mask(), "{what}: {name}");
        assert_eq!(bits(found.value()), bits(expected.value()), "{what}: {name}");
        assert_eq!(bits(found.orig()), bits(expected.orig()), "{what}: {name}");
    }
}
