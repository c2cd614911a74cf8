//! The output of `prune`: tables, JSON and files.

use crate::{Folder, INDEX, Run, SHARDS, bytes_of, file_of, folder_with_model, program, write_shards};

#[test]
fn a_table_that_accounts_for_every_tensor() {
    let folder = folder_with_model();
    let printed = folder.run("prune model.safetensors -o out --method l1 --amount 0.5").ok();
    let lines: Vec<String> =
        printed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines[0], "tensor dtype shape requested pruned mask sparsity");
    assert!(lines[1].chars().all(|c| c == '-'));
    assert!(lines[7].chars().all(|c| c == '-'));
    assert_eq!(
        lines[2..7],
        [
            "encoder.0.attention.weight F32 [12, 6] 36 36 50.00 %",
            "encoder.0.conv.weight F32 [4, 3, 5] 30 30 50.00 %",
            "encoder.1.weight F32 [7, 9] 32 32 50.79 %",
            "",
            "skipped because tensors entries such as",
        ]
    );
    assert_eq!(
        lines[8..],
        [
            "an embedding 1 60 embeddings.word_embeddings.weight",
            "a vector 1 12 encoder.0.attention.bias",
            "a norm 1 6 encoder.0.norm.weight",
            "",
            "requested: 98 entries",
            "pruned: 98 of 195 entries in 3 tensors (50.26 %)",
            "skipped: 3 tensors",
            &format!("written: out, {:.2} KiB", folder.read("out").len() as f64 / 1024.0),
            "Zeros do not shrink the file; `nn-prune pack` leaves them out.",
        ]
    );
    assert!(!printed.contains("ratio"));
}

/// With `--full`, skipped tensors have rows of their own.
#[test]
fn a_table_of_every_tensor() {
    let folder = folder_with_model();
    let printed = folder.run("prune model.safetensors --dry-run --method l1 --amount 0.5 --full").ok();
    let lines: Vec<String> =
        printed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines[0], "tensor dtype shape requested pruned mask sparsity skipped because");
    assert_eq!(
        lines[2..9],
        [
            "embeddings.word_embeddings.weight F32 [10, 6] an embedding",
            "encoder.0.attention.bias F32 [12] a vector",
            "encoder.0.attention.weight F32 [12, 6] 36 36 50.00 %",
            "encoder.0.conv.weight F32 [4, 3, 5] 30 30 50.00 %",
            "encoder.0.norm.weight F32 [6] a norm",
            "encoder.1.weight F32 [7, 9] 32 32 50.79 %",
            "",
        ]
    );
}

#[test]
fn json_for_programs() {
    let folder = folder_with_model();
    let report = folder
        .run("prune model.safetensors -o out --json --method l1 --amount 0.5 --scope global --format masks")
        .json();
    assert_eq!((&report["unit"], &report["asked"]), (&"entries".into(), &98.into()));
    assert_eq!((&report["entries"], &report["pruned"], &report["pruned_before"]), (&195.into(), &98.into(), &0.into()));
    assert!(report["threshold"].as_f64().unwrap() > 0.0);
    assert_eq!(report["written"]["bytes"], folder.read("out").len());
    let tensors = report["tensors"].as_array().unwrap();
    assert_eq!(tensors.len(), 6);
    assert_eq!(tensors[0]["skipped"], "an embedding");
    assert_eq!(tensors[1]["name"], "encoder.0.attention.weight");
    assert_eq!(tensors[1]["shape"], serde_json::json!([12, 6]));
    let pruned: u64 = tensors.iter().filter_map(|tensor| tensor["pruned"].as_u64()).sum();
    assert_eq!(pruned, 98);
}

/// Names of files may be any bytes. JSON is valid, with replacements.
#[cfg(unix)]
#[test]
fn json_of_paths_that_are_not_text() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let folder = folder_with_model();
    let name = OsStr::from_bytes(b"in\xff.safetensors");
    std::fs::rename(folder.path("model.safetensors"), folder.0.path().join(name)).unwrap();
    let run = |arguments: &[&[u8]]| folder.run_with(arguments.iter().map(|argument| OsStr::from_bytes(argument)));
    let input = name.as_bytes();
    let report = run(&[b"prune", input, b"-o", b"out\xff/", b"--method", b"l1", b"--amount", b"0.5", b"--json"]).json();
    assert_eq!(report["written"]["path"], "out\u{fffd}/");
    assert_eq!(report["tensors"][0]["shard"], "in\u{fffd}.safetensors");
    assert_eq!(run(&[b"inspect", input, b"--json"]).json()["shards"][0]["path"], "in\u{fffd}.safetensors");
    assert_eq!(run(&[b"count", input, b"-o", b"\xff", b"--json"]).json()["written"], "\u{fffd}");
    let masks = run(&[b"masks", b"out\xff/", b"-o", b"masks\xff", b"--zeros", b"--json"]).json();
    assert_eq!(masks["written"], "masks\u{fffd}");
}

#[test]
fn quiet_is_quiet() {
    let folder = folder_with_model();
    assert_eq!(folder.run("prune model.safetensors -o out -q --method l1 --amount 0.5").ok(), "");
    assert_eq!(folder.run("inspect out -q").ok(), "");
    let run = folder.run("diff model.safetensors out -q");
    assert_eq!((run.code, run.out.as_str(), run.err.as_str()), (Some(3), "", ""));
}

#[test]
fn a_dry_run_writes_nothing_and_reports_the_same() {
    let folder = folder_with_model();
    let options = "model.safetensors -o out --json --method random --amount 5 --seed 1";
    let mut dry = folder.run(&format!("prune {options} --dry-run")).json();
    assert_eq!(folder.files(), ["model.safetensors"]);
    let mut wet = folder.run(&format!("prune {options}")).json();
    assert!(dry["written"].is_null() && wet["written"].is_object());
    for report in [&mut dry, &mut wet] {
        report["written"].take();
    }
    assert_eq!(dry, wet);
}

/// Unselected tensors are copied, integers and 8-bit floats too. Each selected tensor is pruned in its own dtype.
#[test]
fn what_is_not_selected_passes_through() {
    let folder = Folder::new();
    let half: Vec<u8> = [0x3c00_u16, 0xc000, 0x4200, 0xc400].iter().flat_map(|bits| bits.to_le_bytes()).collect();
    let brain: Vec<u8> = [0x3f80_u16, 0xc000, 0x4040, 0xc080].iter().flat_map(|bits| bits.to_le_bytes()).collect();
    let double: Vec<u8> = [1.0_f64, -2.0, 3.0, -4.0].iter().flat_map(|number| number.to_le_bytes()).collect();
    let file = file_of(&[
        ("a.weight", "F64", &[2, 2], &double),
        ("b.ids", "I64", &[1, 2], &[7; 16]),
        ("c.weight", "F32", &[2, 2], &bytes_of(&[1.0, -2.0, 3.0, -4.0])),
        ("d.weight", "F16", &[2, 2], &half),
        ("e.weight", "BF16", &[2, 2], &brain),
        ("f.weight", "F8_E4M3", &[2, 2], &[1, 2, 3, 4]),
        ("g.flags", "BOOL", &[2], &[0, 1]),
    ]);
    folder.write("in", &file);
    folder.run("prune in -o out --method l1 --amount 0.5 --scope global").ok();
    let found = folder.read("out");
    assert_eq!(found.len(), file.len());
    let parsed = safetensors::SafeTensors::deserialize(&found).unwrap();
    let data = |name: &str| parsed.tensor(name).unwrap().data().to_vec();
    // 1 and -2 of each tensor are pruned, to 0 and -0.
    let zeroed = |before: &[u8]| {
        let size = before.len() / 4;
        let mut after = before.to_vec();
        after[..2 * size].fill(0);
        after[2 * size - 1] = 0x80;
        after
    };
    assert_eq!(data("a.weight"), zeroed(&double));
    assert_eq!(data("b.ids"), [7; 16]);
    assert_eq!(data("c.weight"), zeroed(&bytes_of(&[1.0, -2.0, 3.0, -4.0])));
    assert_eq!(data("d.weight"), zeroed(&half));
    assert_eq!(data("e.weight"), zeroed(&brain));
    assert_eq!(data("f.weight"), [1, 2, 3, 4]);
    assert_eq!(data("g.flags"), [0, 1]);
}

#[test]
fn a_finished_run_can_be_run_again() {
    let folder = Folder::new();
    write_shards(&folder.path("in"));
    let options = "prune in -o out --method l1 --amount 0.5";
    folder.run(options).ok();
    let first = SHARDS.map(|shard| folder.read(&format!("out/{shard}")));
    let files = folder.files();
    folder.run(options).fails(1, "error: output `out/");
    folder.run(&format!("{options} --force")).ok();
    assert_eq!(SHARDS.map(|shard| folder.read(&format!("out/{shard}"))), first);
    assert_eq!(folder.files(), files);
    assert!(files.contains(&format!("out/{INDEX}")));
}

#[test]
fn errors_say_which_option_helps() {
    let folder = folder_with_model();
    write_shards(&folder.path("in"));
    folder.write("out/.nn-prune-run.json", "{}");
    let vector = file_of(&[("bias", "F32", &[2], &bytes_of(&[1.0, 2.0]))]);
    folder.write("vector", vector);
    for (arguments, hint) in [
        ("in -o out", "--resume continues the run, --force starts again"),
        ("in -o out --resume", "use --force instead of --resume to start again"),
        (
            "vector -o none",
            "--only GLOB prunes tensors by name, whatever they are; --all prunes every floating-point tensor",
        ),
        ("model.safetensors -o none --only nobody", ""),
    ] {
        let run = folder.run(&format!("prune {arguments} --method l1 --amount 1"));
        assert_eq!(run.code, Some(1), "{arguments}");
        let found = run.err.lines().find_map(|line| line.strip_prefix("  hint: "));
        assert_eq!(found.unwrap_or_default(), hint, "{}", run.err);
    }
}

#[test]
fn nobody_has_to_read_to_the_end() {
    let folder = folder_with_model();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let run = Run::of(program().args(["inspect", "model.safetensors"]).current_dir(folder.path("")).stdout(writer));
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
}

#[test]
#[cfg(target_os = "linux")]
fn output_that_cannot_be_written_is_an_error() {
    let folder = folder_with_model();
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for arguments in ["inspect model.safetensors", "diff model.safetensors model.safetensors --json"] {
        let run = Run::of(program().args(arguments.split(' ')).current_dir(folder.path("")).stdout(full()));
        assert_eq!(run.code, Some(1));
        assert!(run.err.starts_with("error: cannot write to standard output\n  caused by: "), "{}", run.err);
    }
}
