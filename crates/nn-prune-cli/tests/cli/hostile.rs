//! The output for untrusted files: it contains no control characters and has a reasonable length.

use std::path::Path;

use crate::{Folder, Run, bytes_of, file_of, program};

/// Names that could control a terminal: escape sequences in 7-bit and 8-bit form, line breaks, deletions, reversed text.
const NAMES: [&str; 6] = ["\u{1b}[2J.w", "\u{9b}2J.w", "a\r\nerror: b.w", "\u{8}\u{7f}.w", "\u{202e}txt.w", "\0.w"];

/// Asserts that the output has no control characters except line feeds.
#[track_caller]
fn harmless(run: Run) -> Run {
    for text in [&run.out, &run.err] {
        let obeyed = |c: char| c != '\n' && (c.is_control() || matches!(c, '\u{202a}'..='\u{202e}'));
        assert!(!text.contains(obeyed), "{text:?}");
        assert!(!text.lines().any(|line| line.starts_with("error: b")), "{text:?}");
    }
    run
}

fn file_with_names() -> Vec<u8> {
    let four = bytes_of(&[1.0, -2.0, 3.0, -4.0]);
    file_of(&NAMES.map(|name| (name, "F32", &[2, 2][..], &four[..])))
}

#[test]
fn names_of_tensors_cannot_talk_to_a_terminal() {
    let folder = Folder::new();
    folder.write("in", file_with_names());
    folder.write("other", file_of(&[("x.w", "F32", &[2, 2], &bytes_of(&[1.0; 4]))]));
    for (code, command) in [
        (0, "inspect in"),
        (0, "inspect in --plot out.svg"),
        (0, "prune in -o pytorch --method l1 --amount 0.5 --format pytorch"),
        (0, "remove pytorch -o removed"),
        (0, "masks pytorch -o masks"),
        (3, "diff in removed"),
        (3, "diff in other"),
        (1, "prune other -o out --method mask --mask masks"),
        (1, "prune in -o out --method l1 --amount 9"),
        (1, "prune in -o out --method ln --amount 1 --dim 7"),
        (1, "inspect in pytorch in2"),
    ] {
        for json in ["", " --json"] {
            let run = harmless(folder.run(&format!("{command}{json}")));
            assert_eq!(run.code, Some(code), "{run:?}");
            if json.len() > 1 && code != 1 {
                // Parsed JSON has the original names.
                let printed = serde_json::from_str::<serde_json::Value>(&run.out).unwrap().to_string();
                let name = serde_json::to_string(NAMES[1]).unwrap();
                assert!(printed.contains(&name), "{printed}");
            }
            clear(&folder, command, json);
        }
    }
    let picture = String::from_utf8(folder.read("out.svg")).unwrap();
    assert!(!picture.contains(|c: char| c.is_control() && c != '\n'));
}

/// Removes the output of the first of two equal commands.
fn clear(folder: &Folder, command: &str, json: &str) {
    let words: Vec<&str> = command.split(' ').collect();
    let output = words.iter().position(|word| matches!(*word, "-o" | "--plot")).map(|place| words[place + 1]);
    if let Some(path) = output.map(|output| folder.path(output)).filter(|path| json.is_empty() && path.exists()) {
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn headers_and_indices_cannot_talk_to_a_terminal() {
    let folder = Folder::new();
    let header = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let tensor = |dtype: &str, offsets| format!(r#"{{"dtype":"{dtype}","shape":[1],"data_offsets":{offsets}}}"#);
    let escape = r"\u001b[2J\u009b\nerror: b";
    folder.write("dtype", header(&format!(r#"{{"w":{}}}"#, tensor(escape, "[0,4]"))));
    folder.write("offsets", header(&format!(r#"{{"{escape}":{}}}"#, tensor("F32", "[4,0]"))));
    let twice = format!(r#""{escape}":{}"#, tensor("F32", "[0,4]"));
    folder.write("twice", header(&format!("{{{twice},{twice}}}")));
    folder.write("outside.json", format!(r#"{{"weight_map":{{"w":"/{escape}"}}}}"#));
    folder.write("missing.json", format!(r#"{{"weight_map":{{"w":"{escape}"}}}}"#));
    folder.write("keys.json", format!(r#"{{"weight_map":{{"{escape}":"a","{escape}":"a"}}}}"#));
    for input in ["dtype", "offsets", "twice", "outside.json", "missing.json", "keys.json"] {
        let run = harmless(folder.run(&format!("inspect {input}")));
        assert!(run.err.contains(r"\u{1b}[2J") && run.err.contains(r"\n"), "{}", run.err);
        run.fails(1, "error: ");
    }
}

/// A shell expands names of files to arguments, as in `nn-prune inspect *`.
#[cfg(unix)]
#[test]
fn names_of_files_cannot_talk_to_a_terminal() {
    let folder = Folder::new();
    for name in ["\u{1b}[2J\u{9b}\nerror: b", "-\u{1b}[2J\u{9b}\nerror: b"] {
        folder.write(name, "no");
        for run in [
            folder.run_with(["inspect", name]),
            folder.run_with(["inspect", "./x", name]),
            folder.run_with(["diff", name, "none"]),
            folder.run_with(["inspect", "none", "--plot", name]),
            folder.run_with(["inspect", "none", "--plot", &format!("{name}.svg")]),
            folder.run_with([name]),
        ] {
            assert!(matches!(harmless(run).code, Some(1 | 2)));
        }
    }
    let shard = "\u{1b}[2J\u{9b}\nerror: b.safetensors";
    let good = file_of(&[("x.w", "F32", &[2, 2], &bytes_of(&[1.0; 4]))]);
    folder.write(&format!("in/{shard}"), &good);
    folder.write("in/y.safetensors", file_of(&[("y.w", "F32", &[2, 2], &bytes_of(&[1.0; 4]))]));
    for json in ["", "--json"] {
        assert_eq!(harmless(folder.run(&format!("inspect in {json}"))).code, Some(0));
        let out = format!("\u{1b}[2J{json}");
        let options = ["prune", "in", "-o", &out, "--method", "l1", "--amount", "0.5"];
        let run = harmless(folder.run_with(options.iter().chain(Some(&json).filter(|json| !json.is_empty()))));
        assert_eq!(run.code, Some(0));
    }
    assert_eq!(folder.read(&format!("\u{1b}[2J/{shard}")).len(), good.len());
}

#[test]
fn a_picture_holds_no_code() {
    let folder = Folder::new();
    let name = "</text><script>alert(1)</script><!-- & \" '.w";
    folder.write("in", file_of(&[(name, "F32", &[2, 2], &bytes_of(&[1.0, f32::NAN, f32::INFINITY, 1e-45]))]));
    folder.run("inspect in --plot out.svg -q").ok();
    let picture = String::from_utf8(folder.read("out.svg")).unwrap();
    assert!(picture.contains("&lt;script&gt;") && !picture.contains("<script"), "{picture}");
}

/// A table pads each row to the widest one.
#[test]
fn one_long_name_among_many_tensors() {
    let folder = Folder::new();
    let long = format!("{}.end.weight", "x".repeat(200_000));
    let names: Vec<String> = (0..2000).map(|i| format!("t{i}.weight")).chain([long.clone()]).collect();
    let data = bytes_of(&[1.0; 4]);
    let tensors: Vec<(&str, &str, &[usize], &[u8])> =
        names.iter().map(|name| (name.as_str(), "F32", &[2, 2][..], &data[..])).collect();
    folder.write("in", file_of(&tensors));
    let length = folder.read("in").len();
    for command in ["inspect in --full", "prune in --dry-run --method l1 --amount 1.0 --full"] {
        let printed = folder.run(command).ok();
        assert!(printed.len() < 3 * length && printed.contains("…") && printed.contains("x.end.weight"));
    }
    let report = folder.run("inspect in --json").json();
    assert!(report["tensors"].as_array().unwrap().iter().any(|tensor| tensor["name"] == long.as_str()));
}

#[test]
fn a_hundred_thousand_tensors() {
    let folder = Folder::new();
    let names: Vec<String> = (0..100_000).map(|i| format!("t{i}.weight")).collect();
    let data = bytes_of(&[1.0; 4]);
    let tensors: Vec<(&str, &str, &[usize], &[u8])> =
        names.iter().map(|name| (name.as_str(), "F32", &[2, 2][..], &data[..])).collect();
    folder.write("in", file_of(&tensors));
    assert!(folder.run("inspect in --full").ok().lines().count() > 100_000);
    let printed = folder.run("inspect in").ok();
    assert!(printed.lines().count() < 20 && printed.contains("t{0..99999}.weight  100,000"), "{printed}");
    assert_eq!(folder.run("inspect in --json --plot out.svg").json()["total"]["weights"], 400_000);
    let printed = folder.run("prune in -o out --method l1 --amount 0.5 --scope global").ok();
    assert!(printed.contains("pruned:    200,000 of 400,000 entries in 100,000 tensors"));
    let run = folder.run("diff in out");
    assert!(run.code == Some(3) && run.out.contains("50,000 tensors equal, 50,000 different"));
}

/// A tensor without entries can have any number of rows.
#[test]
fn sums_over_tensors_without_entries() {
    let folder = Folder::new();
    let shape: &[usize] = &[usize::MAX, 0];
    folder.write("in", file_of(&[("a", "F32", shape, &[]), ("b", "F32", shape, &[]), ("c", "F16", shape, &[])]));
    assert!(folder.run("inspect in").ok().contains("EiB"));
    let report = folder.run("inspect in --json --plot out.svg").json();
    assert_eq!((&report["total"]["csr"], &report["total"]["smallest"]), (&u64::MAX.into(), &0.into()));
    folder.run("prune in -o out --all --method l1 --amount 0.5 --scope global").ok();
    folder.run("diff in out").ok();
}

/// The program does not wait for a pipe, and a plot never replaces a pipe or a device.
#[cfg(unix)]
#[test]
fn pipes_are_neither_read_nor_replaced() {
    use std::os::unix::fs::FileTypeExt;
    let folder = Folder::new();
    let pipe = |name: &str| {
        std::fs::create_dir_all(folder.path(name).parent().unwrap()).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(folder.path(name)).status().unwrap().success());
    };
    let is_pipe = |path: &Path| path.symlink_metadata().unwrap().file_type().is_fifo();
    folder.write("good", file_of(&[("x.w", "F32", &[2, 2], &bytes_of(&[1.0; 4]))]));
    pipe("pipe.safetensors");
    pipe("pipe.safetensors.index.json");
    pipe("folder/pipe.safetensors");
    pipe("pipe.svg");
    for input in ["pipe.safetensors", "pipe.safetensors.index.json", "folder", "/dev/zero"] {
        let message = "error: cannot read `";
        folder.run(&format!("inspect {input}")).fails(1, message);
        folder.run(&format!("prune good -o out --method mask --mask {input}")).fails(1, message);
    }
    let prune = "prune good --method l1 --amount 0.5 --force -o";
    folder.run(&format!("{prune} pipe.safetensors")).fails(1, "error: cannot write `pipe.safetensors`");
    let message = "error: plot `pipe.svg` is not a regular file\n";
    folder.run("inspect good --force --plot pipe.svg").fails(1, message);
    assert!(is_pipe(&folder.path("pipe.safetensors")) && is_pipe(&folder.path("pipe.svg")));
    // Output to a closed pipe is not an error.
    let mut child = program()
        .args(["inspect", "good"])
        .current_dir(folder.0.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}
