//! `count`, `cut` and `prune --cut`: shards that are pruned one by one, against one run over all of them.

use std::fs;

use crate::{Folder, bytes_of, file_of, numbers};

const SHARDS: [&str; 3] =
    ["model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors", "model-00003-of-00003.safetensors"];

/// Three shards without an index. Many magnitudes are equal.
fn folder_with_shards(dtype: &str) -> Folder {
    let folder = Folder::new();
    for (number, name) in SHARDS.iter().enumerate() {
        let tensor = |rows: usize, seed: u64| -> Vec<u8> {
            let numbers = numbers(rows * 16, seed);
            match dtype {
                "F32" => bytes_of(&numbers),
                "F64" => numbers.iter().flat_map(|&x| (f64::from(x) / 3.0).to_le_bytes()).collect(),
                // Truncated to the upper half.
                "BF16" => numbers.iter().flat_map(|x| ((x.to_bits() >> 16) as u16).to_le_bytes()).collect(),
                other => panic!("{other}"),
            }
        };
        let names = [format!("layers.{number}.fc.weight"), format!("layers.{number}.fc.bias")];
        let seed = number as u64 * 2 + 1;
        let (weight, bias) = (tensor(30 + number, seed), tensor(1, seed + 1));
        let shapes: [&[usize]; 2] = [&[30 + number, 16], &[16]];
        let file = file_of(&[(&names[0], dtype, shapes[0], &weight), (&names[1], dtype, shapes[1], &bias)]);
        folder.write(&format!("in/{name}"), file);
    }
    folder
}

/// Counts and cuts until the cut is exact; returns the number of rounds.
fn count_and_cut(folder: &Folder, amount: &str, options: &str) -> usize {
    let mut within = String::new();
    for round in 1..=6 {
        for (number, shard) in SHARDS.iter().enumerate() {
            let options = if round == 1 { options } else { "" };
            folder.run(&format!("count in/{shard} -o part-{number}.json --force -q {within} {options}")).ok();
        }
        let amount = if round == 1 { amount } else { "" };
        let parts = "part-2.json part-0.json part-1.json";
        let found = folder.run(&format!("cut {parts} {amount} -o cut.json --force --json")).json();
        assert_eq!((&found["written"], &found["shards"]), (&"cut.json".into(), &3.into()));
        if found["exact"] == true {
            return round;
        }
        within = "--within cut.json".into();
    }
    panic!("not exact after six rounds");
}

fn prune_each(folder: &Folder, options: &str) {
    fs::create_dir_all(folder.path("each")).unwrap();
    for shard in SHARDS {
        folder.run(&format!("prune in/{shard} --cut cut.json -o each/{shard} -q --force {options}")).ok();
    }
}

#[test]
fn shards_are_those_of_one_run() {
    for (dtype, rounds) in [("BF16", 1), ("F32", 2), ("F64", 4)] {
        let folder = folder_with_shards(dtype);
        for (amount, options, format) in [
            ("--amount 0.8", "", ""),
            ("--amount 701", "", "--format pytorch"),
            ("--sparsity 0.3", "--exclude *.1.*", ""),
            ("--amount 5", "--all", ""),
            ("--amount 0", "", ""),
        ] {
            let found = count_and_cut(&folder, amount, options);
            assert!(found == rounds || amount.ends_with(" 0") && found == 1, "{dtype} {found}");
            prune_each(&folder, format);
            let run = format!("prune in -o whole --method l1 --scope global -q --force {amount} {options} {format}");
            folder.run(&run).ok();
            for shard in SHARDS {
                assert!(folder.read(&format!("each/{shard}")) == folder.read(&format!("whole/{shard}")), "{run}");
            }
            // All shards together, with the index that one run writes.
            folder.run(&format!("prune in --cut cut.json -o again -q --force {format}")).ok();
            let index = "model.safetensors.index.json";
            assert!(folder.read(&format!("again/{index}")) == folder.read(&format!("whole/{index}")));
        }
    }
}

/// With 256 magnitudes there are ties at every threshold, in all shards.
#[test]
fn ties_are_pruned_in_the_order_of_the_shards() {
    let folder = folder_with_shards("F32");
    count_and_cut(&folder, "--amount 0.5", "");
    let cut: serde_json::Value = serde_json::from_slice(&folder.read("cut.json")).unwrap();
    let of = |key: &str| (0..3).map(|i| cut["shards"][i][key].as_u64().unwrap()).collect::<Vec<_>>();
    let (ties, pruned) = (of("ties"), of("pruned_ties"));
    assert!(ties.iter().all(|&ties| ties > 0));
    let left = cut["count"].as_u64().unwrap() - of("below").iter().sum::<u64>();
    assert_eq!(pruned[0], ties[0].min(left));
    assert_eq!(pruned.iter().sum::<u64>(), left);
    assert!(pruned.windows(2).zip(&ties).all(|(pruned, &ties)| pruned[1] == 0 || pruned[0] == ties));
}

#[test]
fn the_next_command_is_named() {
    let folder = folder_with_shards("F32");
    for (number, shard) in SHARDS.iter().enumerate() {
        let text = folder.run(&format!("count in/{shard} -o part-{number}.json")).ok();
        let entries = (30 + number) * 16;
        assert_eq!(text, format!("counted:   {entries} entries of 1 shard\nwritten:   part-{number}.json\n"));
    }
    let parts = "part-0.json part-1.json part-2.json";
    let text = folder.run(&format!("cut {parts} --amount 50% -o cut.json")).ok();
    assert!(text.starts_with("requested: 744 of 1,488 entries of 3 shards\nthreshold: between "), "{text}");
    let next = "next:      nn-prune count SHARD... --within cut.json -o PART, for all shards, then nn-prune cut\n";
    assert!(text.ends_with(next), "{text}");
    let early = folder.run(&format!("prune in/{} --cut cut.json -o out.safetensors", SHARDS[0]));
    assert!(early.err.ends_with(
        "  hint: run `nn-prune count SHARD... --within CUT -o PART` for all shards, then `nn-prune cut PART...`\n"
    ));
    early.fails(1, "error: the cut is not exact yet: the magnitude is between 0.");
    for (number, shard) in SHARDS.iter().enumerate() {
        folder.run(&format!("count in/{shard} -o again-{number}.json --within cut.json")).ok();
    }
    let text = folder.run("cut again-0.json again-1.json again-2.json -o exact.json").ok();
    assert!(text.ends_with(", exactly\nwritten:   exact.json\nnext:      nn-prune prune SHARD --cut exact.json -o OUT, for each shard\n"), "{text}");
    let line = folder.run("cut again-0.json again-1.json again-2.json -o exact.json --force -q --summary").ok();
    assert!(line.starts_with("threshold: magnitudes up to ") && line.lines().count() == 1);
    let text = folder.run(&format!("prune in/{} --cut exact.json -o out.safetensors", SHARDS[2])).ok();
    assert!(text.contains("threshold: magnitudes up to "), "{text}");

    // Parts of two rounds, missing parts, and files in the way.
    let mixed = folder.run("cut again-0.json part-1.json again-2.json -o no.json");
    mixed
        .fails(1, &format!("error: shards `{}` and `{}` were not counted within the same cut\n", SHARDS[0], SHARDS[1]));
    let missing = folder.run("cut part-0.json part-2.json -o no.json --amount 0.5");
    missing.fails(1, &format!("error: the counts of shard `{}` are missing\n", SHARDS[1]));
    let twice = folder.run("cut part-0.json part-0.json part-1.json part-2.json -o no.json --amount 0.5");
    twice.fails(1, &format!("error: shard `{}` was counted twice\n", SHARDS[0]));
    let no_amount = folder.run(&format!("cut {parts} -o no.json"));
    no_amount.fails(1, "error: the amount is missing: these are the first counts, so no cut knows it yet\n");
    let other = folder.run("cut again-0.json again-1.json again-2.json --amount 0.6 -o no.json");
    other.fails(1, "error: the amount is 893 entries, but the shards were counted within a cut of 744\n");
    folder
        .run(&format!("count in/{} -o part-0.json", SHARDS[0]))
        .fails(1, "error: output `part-0.json` already exists\n");
    folder.run(&format!("cut {parts} --amount 1 -o cut.json")).fails(1, "error: output `cut.json` already exists\n");
    assert!(!folder.path("no.json").exists());
}

#[test]
fn options_that_do_not_go_together() {
    let folder = folder_with_shards("F32");
    for arguments in [
        "prune in --cut cut.json -o out/ --method l1",
        "prune in --cut cut.json -o out/ --amount 0.5",
        "prune in --cut cut.json -o out/ --include *",
        "prune in --cut cut.json -o out/ --recipe x",
        "count in --within cut.json -o part.json --include *",
        "cut part.json --amount 0.5 --sparsity 0.5 -o cut.json",
        "cut part.json --amount *=0.5 -o cut.json",
        "cut -o cut.json --amount 0.5",
        "count in",
    ] {
        folder.run(arguments).fails(2, "error: ");
    }
    folder.run("prune in --cut cut.json -o out/").fails(1, "error: cannot read `cut.json`\n");
    folder.run("count in -o part.json").ok();
    folder
        .run("prune in --cut part.json -o out/")
        .fails(1, "error: `part.json` is not a cut: its format is not `nn-prune-cut`\n");
    folder.run("cut part.json --amount 99999 -o cut.json").fails(1, "error: cannot prune with these arguments\n");
    let files: Vec<_> = folder.files().into_iter().filter(|name| !name.starts_with("in/")).collect();
    assert_eq!(files, ["part.json"]);
}

/// A weight that has changed since the count is noticed before the output appears.
#[test]
fn weights_that_have_changed() {
    let folder = folder_with_shards("F32");
    count_and_cut(&folder, "--amount 0.5", "");
    let path = format!("in/{}", SHARDS[1]);
    let mut bytes = folder.read(&path);
    let weight = bytes.len() - 16 * 4 - 31 * 16 * 4;
    for entry in bytes[weight..weight + 40].chunks_mut(4) {
        entry.copy_from_slice(&0.001_f32.to_le_bytes());
    }
    folder.write(&path, bytes);
    let run = folder.run(&format!("prune {path} --cut cut.json -o out.safetensors"));
    assert!(run.err.ends_with("  hint: count all shards again, without --within\n"), "{}", run.err);
    run.fails(1, &format!("error: weights of shard `{}` have changed since they were counted: ", SHARDS[1]));
    assert!(!folder.path("out.safetensors").exists());
}
