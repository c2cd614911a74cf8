//! The same input and options give the same bytes for any number of threads.

use std::fs;

use prune::ParameterStore;

use crate::{Folder, Run, program, tensor};

/// Writes a model that is large enough for several threads and has many equal entries.
fn write_model(folder: &Folder) {
    fs::create_dir(folder.path("in")).unwrap();
    for shard in 0..2 {
        let names = [format!("{shard}.a.weight"), format!("{shard}.b.weight"), format!("{shard}.bias")];
        let tensors = [tensor(&[500, 600], shard), tensor(&[64, 32, 3, 3], shard + 9), tensor(&[500], 3)];
        let path = folder.path(&format!("in/{shard}.safetensors"));
        prune::safetensors::save_file(&ParameterStore::from_iter(names.into_iter().zip(tensors)), path).unwrap();
    }
}

fn run(folder: &Folder, threads: Option<&str>, arguments: &str) -> Run {
    let mut program = program();
    if let Some(threads) = threads {
        program.env("RAYON_NUM_THREADS", threads);
    }
    Run::of(program.args(arguments.split_whitespace()).current_dir(folder.0.path()))
}

/// Returns everything that some commands print and write. Each command has its own output below `out`.
fn all_of(folder: &Folder, threads: Option<&str>, commands: &[String]) -> Vec<(String, Vec<u8>)> {
    fs::create_dir(folder.path("out")).unwrap();
    let mut all = Vec::new();
    for command in commands {
        let run = run(folder, threads, command);
        assert!(matches!(run.code, Some(0 | 3)), "{command}: {run:?}");
        all.push((command.clone(), run.out.into_bytes()));
    }
    for file in folder.files().into_iter().filter(|file| file.starts_with("out/")) {
        let bytes = folder.read(&file);
        all.push((file, bytes));
    }
    fs::remove_dir_all(folder.path("out")).unwrap();
    all
}

#[test]
fn files_and_reports_do_not_depend_on_the_run_or_the_threads() {
    let folder = Folder::new();
    write_model(&folder);
    let mut commands = Vec::new();
    for (number, method) in [
        "l1 --amount 0.5",
        "l1 --amount 0.5 --scope global",
        "random --amount 0.5",
        "random --amount 0.5 --scope global --seed 7",
        "ln --amount 0.5 --norm 1 --dim 1",
        "ln --amount 0.5",
        "random-structured --amount 0.5 --dim -1",
    ]
    .into_iter()
    .enumerate()
    {
        for format in ["weights", "pytorch", "masks"] {
            // Alternate between tables and JSON.
            let json = if number % 2 == 0 { "--json" } else { "" };
            commands.push(format!("prune in -o out/{number}-{format} --format {format} --method {method} {json}"));
        }
    }
    commands.extend(
        [
            "prune in -o out/mask --method mask --mask out/0-masks --json",
            "remove out/0-pytorch -o out/removed --json",
            "masks out/0-pytorch -o out/extracted --json",
            "masks out/0-weights -o out/zeros --zeros",
            "inspect out/1-weights --json --plot out/picture.svg",
            "inspect out/1-pytorch",
            "diff in out/2-weights --json",
            "diff out/0-weights out/removed",
        ]
        .map(str::to_owned),
    );
    let first = all_of(&folder, None, &commands);
    // Each `prune` writes two shards and an index, or one mask file.
    assert_eq!(first.len(), commands.len() + 7 * (3 + 3 + 1) + 3 + 3 + 1 + 1 + 1);
    for threads in [None, Some("1"), Some("2"), Some("7")] {
        let again = all_of(&folder, threads, &commands);
        assert_eq!(again.len(), first.len());
        for ((name, bytes), (_, expected)) in again.iter().zip(&first) {
            assert!(bytes == expected, "{name} with {threads:?} threads");
        }
    }
}
