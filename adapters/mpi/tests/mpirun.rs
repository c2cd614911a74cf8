//! Runs of `mpirun` with one to four ranks, against one process.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use prune::checkpoint::{Checkpoint, Format, Output, PruneReport, Pruner, Scope};
use prune::{L1Unstructured, RandomUnstructured};

#[path = "../examples/shards.rs"]
#[allow(dead_code, reason = "the tests need no main function")]
mod shards;

use shards::write_model;

fn mpirun(ranks: usize, arguments: &str, folder: &Path) -> Command {
    let mut command = Command::new("mpirun");
    // More ranks than cores, and the containers of most checks are root's.
    command.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", &ranks.to_string()]);
    command.arg(env!("CARGO_BIN_EXE_nn-prune-mpi")).args(arguments.split_whitespace());
    command.current_dir(folder).env("RAYON_NUM_THREADS", "2");
    command
}

fn run(ranks: usize, arguments: &str, folder: &Path) -> (bool, String) {
    let output = mpirun(ranks, arguments, folder).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> =
        entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect();
    files.sort();
    files
}

/// Prunes with one process, without MPI.
fn in_one_process(pruner: &Pruner, output: &Output, folder: &Path) -> PruneReport {
    pruner.run(&Checkpoint::open([folder.join("in")]).unwrap(), output, &()).unwrap()
}

/// The files that one process writes.
fn expected(pruner: &Pruner, folder: &Path) -> Vec<(String, Vec<u8>)> {
    let output = folder.join("expected");
    drop(in_one_process(pruner, &Output::new(&output), folder));
    let files = contents(&output);
    fs::remove_dir_all(&output).unwrap();
    files
}

#[test]
fn ranks_write_what_one_process_does() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_model(&folder.join("in"), 3, 300);
    let l1 = || Pruner::new(L1Unstructured::new(0.6).unwrap());
    let random = || Pruner::new(RandomUnstructured::new(0.6, 7).unwrap());
    for (options, pruner) in [
        ("--method l1", l1()),
        ("--method l1 --scope global", l1().scope(Scope::Global)),
        ("--method l1 --scope global --format pytorch", l1().scope(Scope::Global).format(Format::PyTorch)),
        ("--method random --seed 7", random()),
        ("--method random --seed 7 --scope global", random().scope(Scope::Global)),
    ] {
        let files = expected(&pruner, folder);
        for ranks in 1..=4 {
            let (success, text) = run(ranks, &format!("prune in -o out --amount 0.6 {options}"), folder);
            assert!(success, "{text}");
            assert!(contents(&folder.join("out")) == files, "{ranks} ranks, {options}");
            fs::remove_dir_all(folder.join("out")).unwrap();
        }
    }
}

/// Masks are pruned further: amounts and random numbers are of what they keep.
#[test]
fn masks_are_pruned_further() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_model(&folder.join("plain"), 3, 200);
    let first = run(2, "prune plain -o in --method random --seed 3 --amount 0.4 --format pytorch", folder);
    assert!(first.0, "{}", first.1);
    for (options, pruner) in [
        ("--method l1", Pruner::new(L1Unstructured::new(1000).unwrap())),
        ("--method random", Pruner::new(RandomUnstructured::new(1000, 0).unwrap())),
    ] {
        let files = expected(&pruner.scope(Scope::Global), folder);
        let (success, text) = run(3, &format!("prune in -o out --amount 1000 --scope global {options}"), folder);
        assert!(success, "{text}");
        assert!(contents(&folder.join("out")) == files, "{options}");
        fs::remove_dir_all(folder.join("out")).unwrap();
    }
}

/// The processes that `mpirun` has started here.
fn ranks_of(mpirun: u32) -> Vec<i32> {
    let children = fs::read_to_string(format!("/proc/{mpirun}/task/{mpirun}/children")).unwrap_or_default();
    children.split_whitespace().map(|id| id.parse().unwrap()).collect()
}

/// A rank is killed once the run has begun, before it has ended. The rest is written by another number of ranks.
#[test]
fn a_killed_rank_leaves_a_run_that_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_model(&folder.join("in"), 8, 12_000);
    // With channels as in `nn-prune`: a part of what a run is resumed by.
    let pruner = Pruner::new(L1Unstructured::new(0.5).unwrap()).scope(Scope::Global).output_axis(true);
    let files = expected(&pruner, folder);
    let options = "prune in -o out --method l1 --amount 0.5 --scope global -q";
    let (out, run_file) = (folder.join("out"), folder.join("out/.nn-prune-run.json"));
    let mut in_the_middle = 0;
    for attempt in 0..30 {
        let mut child = mpirun(3, options, folder).stderr(Stdio::null()).spawn().unwrap();
        while !run_file.exists() && child.try_wait().unwrap().is_none() {
            sleep(Duration::from_millis(1));
        }
        sleep(Duration::from_millis(attempt % 4 * 3));
        if let Some(rank) = ranks_of(child.id()).get(attempt as usize % 3) {
            // SIGKILL, to a process of this test only.
            let _ = Command::new("kill").args(["-9", &rank.to_string()]).stderr(Stdio::null()).status();
        }
        let success = child.wait().unwrap().success();
        if success {
            assert!(contents(&out) == files);
        } else {
            for (name, bytes) in contents(&out).iter().filter(|(name, _)| !name.starts_with(".nn-prune-")) {
                assert!(files.iter().any(|file| file == &(name.clone(), bytes.clone())), "{name} is incomplete");
            }
            // By as many ranks, fewer or more, or by one process without MPI.
            match in_the_middle {
                3 => drop(in_one_process(&pruner, &Output::new(&out).resume(true), folder)),
                _ => {
                    let (success, text) = run([1, 3, 4][in_the_middle], &format!("{options} --resume"), folder);
                    assert!(success, "{text}");
                }
            }
            assert!(contents(&out) == files);
            in_the_middle += 1;
        }
        fs::remove_dir_all(&out).unwrap();
        if in_the_middle == 4 {
            return;
        }
    }
    panic!("only {in_the_middle} kills landed in the middle of a run");
}

#[test]
fn errors_are_told_once_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_model(&folder.join("in"), 3, 20);
    for (arguments, message) in [
        ("prune missing -o out --method l1 --amount 0.5", "error: cannot read `missing`"),
        ("prune in -o out --method l1 --amount 0.5 --include nothing", "error: pattern `nothing` matches no tensor"),
        ("prune in -o out --method l1 --amount 99999999 --scope global", "error: cannot prune with these arguments"),
        ("prune in -o out --method ln --amount 1", "error: invalid value 'ln'"),
        ("prune in -o in --method l1 --amount 0.5", "error: output `in/"),
    ] {
        let before = contents(&folder.join("in"));
        let (success, text) = run(3, arguments, folder);
        assert!(!success, "{text}");
        assert_eq!(text.matches("error: ").count(), 1, "{text}");
        assert!(text.contains(message), "{text}");
        assert!(!folder.join("out").exists() && contents(&folder.join("in")) == before);
    }
}

/// One rank alone cannot read its shard: the others, which wait for its counts or its shards, end as well.
#[test]
fn a_rank_that_fails_does_not_leave_the_others_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_model(&folder.join("plain"), 4, 200);
    let first = run(1, "prune plain -o in --method l1 --amount 0.4 --format pytorch", folder);
    assert!(first.0, "{}", first.1);
    // The last byte of the last shard is one of a mask.
    let last = folder.join("in/model-00004-of-00004.safetensors");
    let mut bytes = fs::read(&last).unwrap();
    *bytes.last_mut().unwrap() = 0x40;
    fs::write(&last, bytes).unwrap();
    for ranks in 1..=4 {
        for scope in ["tensor", "global"] {
            let options = format!("prune in -o out --method l1 --amount 0.5 --scope {scope} -q");
            let (success, text) = run(ranks, &options, folder);
            assert!(!success, "{text}");
            assert_eq!(text.matches("error: ").count(), 1, "{text}");
            assert!(text.contains("error: mask `layers.4.b.weight_mask` holds "), "{text}");
            assert!(!folder.join("out/model-00004-of-00004.safetensors").exists());
            let _ = fs::remove_dir_all(folder.join("out"));
        }
    }
}
