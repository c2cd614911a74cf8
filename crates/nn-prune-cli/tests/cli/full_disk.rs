//! Outputs that cannot be written: on a full disk, and in a directory without write permission.
//!
//! A limit on the length of files (`ulimit -f`, which needs no privilege) stands for a full disk. One test also mounts a
//! small file system if that is possible.

use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

use crate::{Folder, INDEX, SHARDS, numbers, program};

/// The limit on the length of files, in blocks of 512 or 1024 bytes, depending on the shell.
const BLOCKS: usize = 2000;
/// The entries of a tensor below the limit.
const SMALL: usize = 100_000;
/// The entries of a tensor above the limit, for either size of a block.
const LARGE: usize = 600_000;

const WRITE: &str = "error: cannot write `";

/// Runs the program with the limit on the length of files.
fn limited(folder: &Folder, arguments: &str) -> crate::Run {
    // If the signal is ignored, the write fails instead, as it does on a full disk.
    let script = format!("ulimit -f {BLOCKS} && trap '' XFSZ && exec \"$@\"");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script, "sh"]).arg(program().get_program()).args(arguments.split_whitespace());
    crate::Run::of(shell.current_dir(folder.0.path()))
}

fn write_tensor(path: &Path, name: &str, entries: usize, seed: u64) {
    let tensor = ndarray::Array::from_shape_vec((10, entries / 10), numbers(entries, seed)).unwrap();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    prune::safetensors::save_file(&prune::ParameterStore::from_iter([(name, tensor)]), path).unwrap();
}

/// Writes two shards with an index. The second shard is above the limit.
fn write_model(folder: &Folder) {
    write_tensor(&folder.path(&format!("in/{}", SHARDS[0])), "a.weight", SMALL, 1);
    write_tensor(&folder.path(&format!("in/{}", SHARDS[1])), "b.weight", LARGE, 2);
    let map = serde_json::json!({ "weight_map": { "a.weight": SHARDS[0], "b.weight": SHARDS[1] } });
    folder.write(&format!("in/{INDEX}"), map.to_string());
}

const L1: &str = "--method l1 --amount 0.5";

#[test]
fn on_a_full_disk_a_file_is_as_it_was() {
    let folder = Folder::new();
    write_tensor(&folder.path("in"), "w", LARGE, 1);
    folder.run(&format!("prune in -o pruned --format pytorch {L1}")).ok();
    // One row of ten goes: the output is above the limit still.
    let rows =
        serde_json::json!({ "name": "rows", "open": true, "uses": [{ "tensor": "w", "axis": 0, "role": "out" }] });
    folder.write("net.json", serde_json::json!({ "dimensions": [rows] }).to_string());
    folder.write("plan.json", r#"{ "keep": { "rows": [0, 1, 2, 3, 4, 5, 6, 7, 8] } }"#);
    let before = folder.files();
    for command in [
        format!("prune in -o out {L1}"),
        format!("prune in -o out {L1} --scope global --format pytorch"),
        "remove pruned -o out".to_owned(),
        "compact in -o out --coupling net.json --keep plan.json".to_owned(),
    ] {
        limited(&folder, &command).fails(1, &format!("{WRITE}out`\n  caused by: "));
        assert_eq!(folder.files(), before);
        folder.write("out", "old");
        limited(&folder, &format!("{command} --force")).fails(1, &format!("{WRITE}out`\n  caused by: "));
        assert_eq!(folder.read("out"), b"old");
        std::fs::remove_file(folder.path("out")).unwrap();
        assert_eq!(folder.files(), before);
    }
    // The mask file is below the limit.
    limited(&folder, "masks pruned -o out -q").ok();
}

#[test]
fn on_a_full_disk_whole_shards_stay_and_the_run_can_be_resumed() {
    let folder = Folder::new();
    write_model(&folder);
    folder.run(&format!("prune in -o whole {L1}")).ok();
    let before = folder.files();
    let run = format!("prune in -o out {L1}");
    limited(&folder, &run).fails(1, &format!("{WRITE}out/{}`\n  caused by: ", SHARDS[1]));
    let left = [".nn-prune-run.json", SHARDS[0]].map(|name| format!("out/{name}"));
    let left: Vec<String> = folder.files().into_iter().filter(|file| left.contains(file)).collect();
    assert_eq!(left.len(), 2);
    assert_eq!(folder.files().len(), before.len() + 2);
    same(&folder, &[SHARDS[0]]);
    // The disk is still full.
    limited(&folder, &format!("{run} --resume")).fails(1, WRITE);
    folder.run(&format!("{run} --resume")).ok();
    same(&folder, &[SHARDS[0], SHARDS[1], INDEX]);
    assert_eq!(folder.files().len(), before.len() + 3);
}

#[track_caller]
fn same(folder: &Folder, names: &[&str]) {
    for name in names {
        assert!(folder.read(&format!("out/{name}")) == folder.read(&format!("whole/{name}")), "{name}");
    }
}

/// The program sets the length of a file first. On a real file system, the blocks then run out while they are written.
#[cfg(target_os = "linux")]
#[test]
fn on_a_small_file_system() {
    let folder = Folder::new();
    write_model(&folder);
    folder.run(&format!("prune in -o whole {L1}")).ok();
    std::fs::create_dir(folder.path("disk")).unwrap();
    // One script, because only its processes see the mounted file system. Exit codes other than 0 are failures of the test.
    let script = r#"
        mount -t tmpfs -o size=4m tmpfs disk || exit 77
        head -c 2500000 /dev/zero >disk/others || exit 5
        "$@" -o disk/out 2>errors; [ $? = 1 ] || exit 2
        ls -A disk/out >left
        cp disk/out/*.safetensors . || exit 3
        "$@" -o disk/out --resume 2>>errors; [ $? = 1 ] || exit 4
        rm disk/others
        "$@" -o disk/out --resume -q || exit 6
        cp -r disk/out out || exit 7
    "#;
    let mut command = Command::new("sh");
    command.args(["-c", "exec unshare -rm sh \"$@\"", "sh", "-c", script, "sh"]);
    command.arg(program().get_program()).args(["prune", "in"]).args(L1.split(' '));
    let run = crate::Run::of(command.current_dir(folder.0.path()));
    if run.code == Some(77) || run.err.contains("unshare") {
        // Not `eprintln`, whose output is hidden if the test passes.
        let message = format!("NOT TESTED: no file system can be mounted here; `ulimit` alone was. {}", run.err.trim());
        writeln!(io::stderr(), "{message}").unwrap();
        return on_a_full_disk_whole_shards_stay_and_the_run_can_be_resumed();
    }
    assert_eq!(run.code, Some(0), "{run:?}");
    let errors = String::from_utf8(folder.read("errors")).unwrap();
    assert!(errors.starts_with(&format!("{WRITE}disk/out/{}`\n  caused by: No space left", SHARDS[1])), "{errors}");
    assert_eq!(folder.read("left"), format!(".nn-prune-run.json\n{}\n", SHARDS[0]).as_bytes());
    assert!(folder.read(SHARDS[0]) == folder.read(&format!("whole/{}", SHARDS[0])));
    same(&folder, &[SHARDS[0], SHARDS[1], INDEX]);
    assert_eq!(std::fs::read_dir(folder.path("out")).unwrap().count(), 3);
}

#[test]
fn in_a_folder_without_write_permission() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    use std::os::unix::process::CommandExt;
    let folder = Folder::new();
    write_model(&folder);
    folder.write("locked/old", "old");
    // Copy the program to a place where any user can run it. If this process wrote the copy, its other children could hold
    // it open for writing for a moment, and then it could not be run.
    let copied = Command::new("cp").arg(program().get_program()).arg(folder.path("program")).status();
    assert!(copied.unwrap().success());
    let mode = |name: &str, mode| {
        std::fs::set_permissions(folder.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("locked", 0o555);
    mode("", 0o755);
    // Root may write to any directory. In that case the program runs as a user who owns only the directory `own`.
    let is_root = std::fs::write(folder.path("locked/probe"), "").is_ok();
    if is_root {
        std::fs::remove_file(folder.path("locked/probe")).unwrap();
        std::fs::create_dir(folder.path("own")).unwrap();
        chown(folder.path("own"), Some(65534), Some(65534)).unwrap();
        assert_eq!(folder.path("own").metadata().unwrap().uid(), 65534);
    }
    let before = folder.files();
    let run = |arguments: &str| {
        let mut command = Command::new(folder.path("program"));
        if is_root {
            command.uid(65534).gid(65534);
        }
        crate::Run::of(command.args(arguments.split_whitespace()).current_dir(folder.0.path()))
    };
    let single = format!("in/{}", SHARDS[0]);
    for (arguments, at) in [
        (format!("prune {single} -o locked/out {L1}"), "locked/out"),
        (format!("prune {single} -o locked/old --force {L1}"), "locked/old"),
        (format!("prune in -o locked {L1}"), "locked/.nn-prune-run.json"),
        (format!("prune in -o locked/out {L1}"), "locked/out"),
        (format!("prune in -o locked/masks --format masks {L1}"), "locked/masks"),
    ] {
        run(&arguments).fails(1, &format!("{WRITE}{at}`\n  caused by: Permission denied"));
        assert_eq!(folder.files(), before);
    }
    let message = "error: cannot write `locked/picture.svg`\n  caused by: ";
    run(&format!("inspect {single} --plot locked/picture.svg")).fails(1, message);
    assert_eq!(folder.files(), before);
    assert_eq!(folder.read("locked/old"), b"old");
    // The directory is the reason: elsewhere the same command succeeds.
    run(&format!("prune {single} -o {}out -q {L1}", if is_root { "own/" } else { "" })).ok();
}
