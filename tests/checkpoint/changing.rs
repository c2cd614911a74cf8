//! Input that changes while it is read: no output appears.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use prune::checkpoint::{
    Checkpoint, CheckpointError, Format, MaskSource, Observer, Output, Phase, Progress, Pruner, Scope, diff,
    extract_masks, inspect, remove,
};

use super::support::*;

fn l1() -> Pruner {
    l1_pruner(0.5)
}

/// A pruned tensor of several blocks.
fn tensors(seed: u64) -> Vec<Raw> {
    let weight = weights::<f32>(&[1000, 800], seed);
    let (orig, mask) = (format!("w{seed}_orig"), format!("w{seed}_mask"));
    vec![Raw::mask::<f32>(&mask, &weight.map(|x| *x > 0.0)), Raw::of(&orig, &weight)]
}

/// A change of a file by another process.
#[derive(Debug, Clone, Copy)]
enum Change {
    /// A byte of a weight, and the modification time.
    Written,
    /// The modification time alone, as if the same bytes were written again.
    Touched,
    Shrunk,
    Grown,
    /// Another file of the same bytes is renamed over it.
    Replaced,
    Removed,
}

const CHANGES: [Change; 6] =
    [Change::Written, Change::Touched, Change::Shrunk, Change::Grown, Change::Replaced, Change::Removed];

impl Change {
    fn happen_to(self, path: &Path) {
        let open = || File::options().write(true).open(path).unwrap();
        let length = fs::metadata(path).unwrap().len();
        // Clocks of file systems are coarse, so the time is moved far ahead.
        let later = SystemTime::now() + Duration::from_secs(100);
        match self {
            Self::Written => {
                let mut file = open();
                file.seek(SeekFrom::Start(length - 1)).unwrap();
                file.write_all(&[0x40]).unwrap();
                file.set_modified(later).unwrap();
            }
            Self::Touched => open().set_modified(later).unwrap(),
            Self::Shrunk => open().set_len(length / 2).unwrap(),
            Self::Grown => open().set_len(length + 1).unwrap(),
            Self::Replaced => {
                let other = path.with_extension("new");
                fs::copy(path, &other).unwrap();
                File::options().write(true).open(&other).unwrap().set_modified(later).unwrap();
                fs::rename(&other, path).unwrap();
            }
            Self::Removed => fs::remove_file(path).unwrap(),
        }
    }
}

/// An observer that changes a file when the first bytes of a phase are done.
fn changes(phase: Phase, path: &Path, change: Change) -> impl Observer + use<> {
    let (path, happened) = (path.to_owned(), AtomicBool::new(false));
    move |progress: Progress| {
        if progress.phase == phase && !happened.swap(true, Ordering::Relaxed) {
            change.happen_to(&path);
        }
        ControlFlow::Continue(())
    }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[track_caller]
fn is_changed<T: std::fmt::Debug>(result: Result<T, CheckpointError>, expected: &Path, what: &str) {
    match result {
        Err(CheckpointError::Changed { path }) => assert_eq!(path, expected, "{what}"),
        other => panic!("{what}: {other:?}"),
    }
}

type Run = fn(&Checkpoint, &Path, &dyn Observer) -> Result<(), CheckpointError>;

/// All functions that read a file, each with the phase in which it does.
const RUNS: [(&str, Phase, Run); 9] = [
    ("weights", Phase::Processing, |input, output, observer| l1().run(input, &Output::new(output), observer).map(drop)),
    ("counting", Phase::Counting, |input, output, observer| l1().run(input, &Output::new(output), observer).map(drop)),
    ("global", Phase::Ranking, |input, output, observer| {
        l1().scope(Scope::Global).run(input, &Output::new(output), observer).map(drop)
    }),
    ("masks", Phase::Processing, |input, output, observer| {
        l1().format(Format::Masks).run(input, &Output::new(output), observer).map(drop)
    }),
    ("dry run", Phase::Processing, |input, _, observer| l1().scope(Scope::Global).dry_run(input, observer).map(drop)),
    ("remove", Phase::Processing, |input, output, observer| remove(input, &Output::new(output), observer).map(drop)),
    ("extract", Phase::Processing, |input, output, observer| {
        extract_masks(input, &MaskSource::Masks, &Output::new(output), observer).map(drop)
    }),
    ("inspect", Phase::Processing, |input, _, observer| inspect(input, true, observer).map(drop)),
    ("diff", Phase::Processing, |input, _, observer| diff(input, input, observer).map(drop)),
];

#[test]
fn whatever_happens_to_a_file_no_output_appears() {
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("in.safetensors");
    for change in CHANGES {
        for (name, phase, run) in RUNS {
            write(&input, &[], &tensors(1));
            let checkpoint = Checkpoint::open([&input]).unwrap();
            let result = run(&checkpoint, &directory.path().join("out"), &changes(phase, &input, change));
            is_changed(result, &input, &format!("{name}: {change:?}"));
            let left = names(directory.path());
            assert!(left.is_empty() || left == ["in.safetensors"], "{name}: {change:?}: {left:?}");
        }
    }
}

#[test]
fn shards_that_were_written_before_the_change_are_not_taken_for_the_whole() {
    let directory = tempfile::tempdir().unwrap();
    for change in CHANGES {
        let input = directory.path().join("in");
        fs::create_dir(&input).unwrap();
        let index = write_sharded(&input, &[&tensors(1), &tensors(2)]);
        let [one, two] = [1, 2].map(|i| format!("model-0000{i}-of-00002.safetensors"));
        let output = directory.path().join("out");

        // More than half of the work is done: the second shard is being read.
        let second: PathBuf = input.join(&two);
        let happened = AtomicBool::new(false);
        let observer = |progress: Progress| {
            let half = progress.phase == Phase::Processing && 2 * progress.done > progress.total;
            if half && !happened.swap(true, Ordering::Relaxed) {
                change.happen_to(&second);
            }
            ControlFlow::Continue(())
        };
        let checkpoint = Checkpoint::open([&index]).unwrap();
        is_changed(l1().run(&checkpoint, &Output::new(&output), &observer), &second, &format!("{change:?}"));
        // No second shard, index or temporary file, so no program mistakes the directory for a model. The run file remains.
        assert_eq!(names(&output), [".nn-prune-run.json", one.as_str()], "{change:?}");

        // The first shard is not reused for another input.
        write(&second, &[("format", "pt")], &tensors(2));
        File::options().write(true).open(&second).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let again = l1().run(&Checkpoint::open([&index]).unwrap(), &Output::new(&output).resume(true), &());
        assert!(matches!(again, Err(CheckpointError::OtherRun { difference: "input", .. })), "{change:?}: {again:?}");
        fs::remove_dir_all(&input).unwrap();
        fs::remove_dir_all(&output).unwrap();
    }
}

#[test]
fn a_mask_file_that_changes() {
    let directory = tempfile::tempdir().unwrap();
    let weight = Raw::of("w", &weights::<f32>(&[1000, 800], 1));
    let input = write(&directory.path().join("in.safetensors"), &[], &[weight]);
    let masks = directory.path().join("masks.safetensors");
    for change in CHANGES {
        let checkpoint = Checkpoint::open([&input]).unwrap();
        drop(l1().format(Format::Masks).run(&checkpoint, &Output::new(&masks).force(true), &()).unwrap());
        let prune = Pruner::masks(masks.clone());
        let output = Output::new(directory.path().join("out"));
        let result = prune.run(&checkpoint, &output, &changes(Phase::Processing, &masks, change));
        is_changed(result, &masks, &format!("{change:?}"));
        assert!(!output.path().exists(), "{change:?}");
        assert!(names(directory.path()).iter().all(|name| !name.starts_with('.')), "{change:?}");
    }
}
