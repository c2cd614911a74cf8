//! The tables of `prune`, `inspect` and `diff` for large models: their order, their groups and their width.

use crate::{Folder, Run, bytes_of, file_of, folder_with_model, numbers, program};

const KINDS: [&str; 3] = ["self_attn.q_proj.weight", "mlp.down_proj.weight", "input_layernorm.weight"];

/// Returns a directory with a model in `in`: this many layers, in the order of strings, an embedding and a head.
fn folder_with_layers(layers: usize) -> Folder {
    let mut names: Vec<String> =
        (0..layers).flat_map(|layer| KINDS.map(|kind| format!("model.layers.{layer}.{kind}"))).collect();
    names.extend(["classifier.dense.weight".into(), "model.embed_tokens.weight".into()]);
    names.sort();
    let data: Vec<Vec<u8>> = (0..names.len()).map(|i| bytes_of(&numbers(24, i as u64))).collect();
    let shape = |name: &str| -> &[usize] { if name.contains("norm") { &[24] } else { &[4, 6] } };
    let tensors: Vec<(&str, &str, &[usize], &[u8])> =
        names.iter().zip(&data).map(|(name, data)| (name.as_str(), "F32", shape(name), data.as_slice())).collect();
    let folder = Folder::new();
    folder.write("in", file_of(&tensors));
    folder
}

/// Returns the lines, with single spaces.
fn lines(printed: &str) -> Vec<String> {
    printed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn run_in_columns(folder: &Folder, columns: &str, arguments: &str) -> Run {
    Run::of(program().args(arguments.split(' ')).env("COLUMNS", columns).current_dir(folder.path("")))
}

#[test]
fn layers_are_in_natural_order() {
    let folder = folder_with_layers(12);
    folder.run("prune in -o out --method l1 --amount 0.5").ok();
    for (command, code) in [
        ("prune in --dry-run --method l1 --amount 0.5", 0),
        ("prune in --dry-run --method l1 --amount 0.5 --full", 0),
        ("inspect in --full", 0),
        ("inspect in", 0),
        ("diff in out", 3),
    ] {
        let run = folder.run(command);
        assert_eq!(run.code, Some(code));
        let layers: Vec<usize> = run
            .out
            .lines()
            .filter_map(|line| line.strip_prefix("model.layers.")?.split_once(".mlp.")?.0.parse().ok())
            .collect();
        assert_eq!(layers, (0..12).collect::<Vec<_>>(), "{command}\n{}", run.out);
    }
}

#[test]
fn many_equal_layers_are_one_row() {
    let folder = folder_with_layers(32);
    let printed = folder.run("prune in -o out --method l1 --amount 0.5 --scope global").ok();
    let found = lines(&printed);
    assert_eq!(found[0], "tensors count dtype shape pruned min sparsity mean max");
    let rows: Vec<Vec<&str>> = found[2..5].iter().map(|row| row.split(' ').collect()).collect();
    let head: Vec<_> = rows.iter().map(|row| row[..5].join(" ")).collect();
    assert_eq!(
        head,
        [
            "classifier.dense.weight 1 F32 [4, 6]",
            "model.layers.{0..31}.mlp.down_proj.weight 32 F32 [4, 6]",
            "model.layers.{0..31}.self_attn.q_proj.weight 32 F32 [4, 6]",
        ]
    );
    assert_eq!(
        found[8..10],
        ["a norm 32 768 model.layers.0.input_layernorm.weight", "an embedding 1 24 model.embed_tokens.weight"]
    );

    // The numbers of each row are those of its tensors.
    let report = folder.run("prune in --dry-run --method l1 --amount 0.5 --scope global --json").json();
    let tensors = report["tensors"].as_array().unwrap();
    assert_eq!(tensors.len(), 98);
    for (row, kind) in rows.iter().zip(["classifier", "mlp.down_proj", "q_proj"]) {
        let of_kind = tensors.iter().filter(|tensor| tensor["name"].as_str().unwrap().contains(kind));
        let pruned: Vec<u64> = of_kind.map(|tensor| tensor["pruned"].as_u64().unwrap()).collect();
        let percent = |pruned: f64| format!("{:.2}", 100.0 * pruned / 24.0);
        let sum = pruned.iter().sum::<u64>();
        assert_eq!(row[5], sum.to_string());
        assert_eq!(row[6], percent(*pruned.iter().min().unwrap() as f64));
        assert_eq!(row[8], percent(sum as f64 / pruned.len() as f64));
        assert_eq!(row[10], percent(*pruned.iter().max().unwrap() as f64));
    }

    let found = lines(&folder.run("inspect out").ok());
    assert_eq!(found[0], "tensors count dtype shape entries zeros min sparsity mean max pruned");
    assert!(found[3].starts_with("model.layers.{0..31}.mlp.down_proj.weight 32 F32 [4, 6] 768 "), "{found:?}");
    assert!(found[3].ends_with(" no mask"));
    let unlisted =
        ["without zeros, not prunable tensors entries such as", "a norm 32 768 model.layers.0.input_layernorm.weight"];
    for line in unlisted {
        assert!(found.iter().any(|found| found == line), "{line}\n{found:?}");
    }

    let run = folder.run("diff in out");
    let found = lines(&run.out);
    assert_eq!(found[0], "tensors count A and B differing min mean max became zero became nonzero zeros");
    assert!(found[3].starts_with("model.layers.{0..31}.mlp.down_proj.weight 32 F32 [4, 6] "), "{found:?}");
    assert!(found[3].ends_with(" B includes A's"));
    assert_eq!(found[6], "33 tensors equal, 65 different, 0 only in A, 0 only in B");
    let everything = folder.run("diff in out --full");
    assert_eq!(everything.out.lines().filter(|line| line.contains("model.layers.")).count(), 96);
}

/// Other numbers than those of layers, and layers that are missing.
#[test]
fn groups_of_names_that_only_one_model_has() {
    let folder = folder_with_layers(32);
    folder.write("other", file_of(&[("classifier.dense.weight", "F32", &[6, 4], &bytes_of(&numbers(24, 1)))]));
    let found = lines(&folder.run("diff in other").out);
    assert_eq!(
        found[2..],
        [
            "classifier.dense.weight F32 [4, 6] F32 [6, 4] ? ? ? ?",
            "",
            "only in A: model.embed_tokens.weight",
            "only in A: model.layers.{0..31}.input_layernorm.weight (32 tensors)",
            "only in A: model.layers.{0..31}.mlp.down_proj.weight (32 tensors)",
            "only in A: model.layers.{0..31}.self_attn.q_proj.weight (32 tensors)",
            "0 tensors equal, 1 different, 97 only in A, 0 only in B",
        ]
    );
    let found = lines(&folder.run("diff other in --full").out);
    assert!(found.contains(&"only in B: model.layers.10.mlp.down_proj.weight".to_owned()));
    folder.run("prune in -o pruned --method l1 --amount 0.5 --format pytorch").ok();
    let found = folder.run("remove pruned -o removed").ok();
    assert!(
        found.contains("model.layers.{0..31}.mlp.down_proj.weight (32 tensors): pruning made permanent\n"),
        "{found}"
    );
    let found = folder.run("masks pruned -o masks --full").ok();
    assert_eq!(found.lines().count(), 66);
}

#[test]
fn what_was_not_included_is_one_line() {
    let folder = folder_with_layers(12);
    let printed = folder.run("prune in --dry-run --method l1 --amount 0.5 --include *.mlp.*").ok();
    let found = lines(&printed);
    assert_eq!(
        found[15..19],
        [
            "skipped because tensors entries such as",
            &"-".repeat(found[16].len()),
            "not included 26 624 classifier.dense.weight",
            ""
        ]
    );
    assert_eq!(found[2], "model.layers.0.mlp.down_proj.weight F32 [4, 6] 12 12 50.00 %");
}

#[test]
fn totals_only() {
    let folder = folder_with_model();
    let prune = "prune model.safetensors -o out --force --method l1 --amount 0.5";
    let all = folder.run(prune).ok();
    let summary = folder.run(&format!("{prune} --summary")).ok();
    assert!(summary.starts_with("requested: 98 entries\n") && all.ends_with(&summary), "{summary}");
    let line = "pruned:    98 of 195 entries in 3 tensors (50.26 %)\n";
    assert_eq!(folder.run(&format!("{prune} --quiet --summary")).ok(), line);
    assert!(summary.contains(line));

    let all = folder.run("inspect out").ok();
    let summary = folder.run("inspect out --summary").ok();
    assert!(summary.starts_with("dtype     tensors") && all.contains(&summary), "{summary}");
    let line = "6 tensors, 98 of 273 entries zero (35.90 %); prunable: 3 tensors, 98 of 195 entries zero (50.26 %)\n";
    assert_eq!(folder.run("inspect out -q --summary").ok(), line);

    let all = folder.run("diff model.safetensors out");
    let summary = folder.run("diff model.safetensors out --summary");
    let line = "3 tensors equal, 3 different, 0 only in A, 0 only in B\n";
    assert_eq!(summary.out, format!("{line}zeros of all tensors: B includes A's\n"));
    assert!(all.out.ends_with(&summary.out) && summary.code == Some(3));
    assert_eq!(folder.run("diff model.safetensors out -q --summary").out, line);

    let line = "wrote 3 masks to masks\n";
    for options in ["--summary", "-q --summary"] {
        assert_eq!(folder.run(&format!("masks out -o masks --force --zeros {options}")).ok(), line);
    }
}

/// No line is wider than the terminal, numbers are whole, and names stay distinct.
#[test]
fn tables_fit_the_terminal() {
    for layers in [12, 32] {
        let folder = folder_with_layers(layers);
        folder.run("prune in -o out --method l1 --amount 0.5 --scope global").ok();
        for command in [
            "prune in --dry-run --method l1 --amount 0.5",
            "prune in --dry-run --method l1 --amount 0.5 --full",
            "prune in --dry-run --method l1 --amount 0.5 --include *.mlp.*",
            "inspect out",
            "inspect out --full",
            "inspect out --summary",
            "diff in out",
            "diff in out --full",
        ] {
            let wide = folder.run(command).out;
            assert_eq!(run_in_columns(&folder, "200", command).out, wide);
            assert_eq!(run_in_columns(&folder, "0", command).out, wide);
            assert!(!wide.contains('…'));
            for columns in [80, 100] {
                let narrow = run_in_columns(&folder, &columns.to_string(), command).out;
                let tables = narrow.split("\nrequested: ").next().unwrap();
                let longest = tables.lines().map(|line| line.chars().count()).max().unwrap();
                assert!(longest <= columns, "{command}\n{narrow}");
                assert!(narrow.lines().count() >= wide.lines().count());
                let numbers = |text: &str| -> Vec<String> {
                    let words =
                        text.split_whitespace().filter(|word| word.chars().all(|c| c.is_ascii_digit() || c == ','));
                    words.map(str::to_owned).collect()
                };
                // Each number that is shown is one of the wide table.
                let wide = numbers(&wide);
                assert!(numbers(&narrow).iter().all(|number| wide.contains(number)), "{command}\n{narrow}");
            }
        }
    }
}
