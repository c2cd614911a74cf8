//! Checkpoints in more shards than a process may have open files.

use std::process::Command;

use crate::{Folder, program, save_part};

const SHARDS: usize = 250;
/// Enough for the program and for the files of two checkpoints that it keeps open, and fewer than the shards.
const OPEN_FILES: usize = 200;

/// Runs the program with a limit on the number of open files.
fn limited(folder: &Folder, arguments: &str) -> crate::Run {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -n {OPEN_FILES} && exec \"$@\""), "sh"]).arg(program().get_program());
    crate::Run::of(shell.args(arguments.split_whitespace()).current_dir(folder.0.path()))
}

#[test]
fn more_shards_than_a_process_may_open() {
    let folder = Folder::new();
    let tensors = (0..SHARDS).map(|i| (format!("layers.{i}.weight"), crate::tensor(&[8, 6], i as u64 + 1)));
    let model = prune::ParameterStore::from_iter(tensors);
    let name = |i: usize| format!("model-{:05}-of-{SHARDS:05}.safetensors", i + 1);
    let mut map = serde_json::Map::new();
    for i in 0..SHARDS {
        save_part(&model, i..i + 1, &folder.path(&format!("in/{}", name(i))));
        map.insert(format!("layers.{i}.weight"), name(i).into());
    }
    folder.write("in/model.safetensors.index.json", serde_json::json!({ "weight_map": map }).to_string());
    prune::safetensors::save_file(&model, folder.path("one.safetensors")).unwrap();

    for options in
        ["--method l1 --amount 0.5", "--method l1 --amount 0.5 --scope global", "--method ln --amount 2 --dim 1"]
    {
        limited(&folder, &format!("prune in -o out --force -q {options}")).ok();
        folder.run(&format!("prune one.safetensors -o two.safetensors --force -q {options}")).ok();
        let (one, two) = (folder.path("out"), folder.path("two.safetensors"));
        let tensors = |path: &std::path::Path| {
            let bytes = std::fs::read(path).unwrap();
            let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
            file.iter().map(|(name, tensor)| (name.to_owned(), tensor.data().to_vec())).collect::<Vec<_>>()
        };
        let mut expected = tensors(&two);
        let mut found: Vec<_> = (0..SHARDS).flat_map(|i| tensors(&one.join(name(i)))).collect();
        expected.sort();
        found.sort();
        assert!(found == expected, "{options}");
    }
    limited(&folder, "inspect in -q").ok();
    limited(&folder, "diff in in -q").ok();
}
