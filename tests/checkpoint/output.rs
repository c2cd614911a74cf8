//! Outputs never overwrite the input, are complete or absent, and are resumed only by the same run.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use prune::checkpoint::{
    Checkpoint, CheckpointError, Format, Outcome, Output, Phase, Progress, PruneReport, Pruner, Scope, Selection,
};

use super::support::*;

const RUN_FILE: &str = ".nn-prune-run.json";

fn l1(amount: f64) -> Pruner {
    l1_pruner(amount).selection(Selection::new().only("*"))
}

fn model(folder: &Path) -> PathBuf {
    let shards = [1, 2, 3].map(|shard| {
        let tensor = |name: &str| Raw::of(&format!("{name}{shard}"), &weights::<f32>(&[300, 500], shard));
        vec![tensor("a"), tensor("b")]
    });
    write_sharded(folder, &[&shards[0], &shards[1], &shards[2]])
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    names(folder).into_iter().map(|name| (name.clone(), fs::read(folder.join(name)).unwrap())).collect()
}

/// Runs until more than `bytes` bytes are processed.
fn interrupted(prune: &Pruner, index: &Path, output: &Output, bytes: u64) -> CheckpointError {
    let stop = |progress: Progress| match progress {
        Progress { phase: Phase::Processing, done, .. } if done > bytes => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    prune.run(&Checkpoint::open([index]).unwrap(), output, &stop).unwrap_err()
}

fn resume(prune: &Pruner, index: &Path, output: &Path) -> Result<PruneReport, CheckpointError> {
    prune.run(&Checkpoint::open([index])?, &Output::new(output).resume(true), &())
}

#[test]
fn an_interrupted_run_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let index = model(folder.path());
    let (whole, part) = (folder.path().join("whole"), folder.path().join("part"));
    for scope in [Scope::Tensor, Scope::Global] {
        let prune = l1(0.5).scope(scope);
        let report = run(&prune, [&index], &whole).unwrap();
        for bytes in [0, 600_000, 1_300_000, 3_000_000] {
            let error = interrupted(&prune, &index, &Output::new(&part), bytes);
            assert!(matches!(error, CheckpointError::Stopped));
            // Complete shards and the run file, nothing else.
            let finished = names(&part);
            assert_eq!(finished[0], RUN_FILE);
            assert!(
                finished[1..]
                    .iter()
                    .all(|name| fs::read(part.join(name)).unwrap() == fs::read(whole.join(name)).unwrap())
            );
            // A temporary file, as a killed process leaves it.
            fs::write(part.join(".nn-prune-x.tmp"), "half-written").unwrap();

            let times = |name: &String| fs::metadata(part.join(name)).unwrap().modified().unwrap();
            let before: Vec<_> = finished[1..].iter().map(times).collect();
            let resumed = resume(&prune, &index, &part).unwrap();
            assert_eq!(finished[1..].iter().map(times).collect::<Vec<_>>(), before, "finished shards are not redone");
            assert!(contents(&part) == contents(&whole));
            assert_eq!(resumed.resumed, finished[1..].iter().map(|name| part.join(name)).collect::<Vec<_>>());
            // Zeros of finished shards are not counted again, so only a mask can say what was pruned before.
            assert!(resumed.pruned_before() <= report.pruned_before());
            let counts = |report: &PruneReport| {
                let tensors = report.tensors.iter().map(|tensor| match tensor.outcome {
                    Outcome::Pruned { asked, after, .. } => (tensor.name.clone(), asked, after),
                    ref outcome => panic!("{outcome:?}"),
                });
                (tensors.collect::<Vec<_>>(), report.asked, report.threshold)
            };
            assert_eq!(counts(&resumed), counts(&report));
            fs::remove_dir_all(&part).unwrap();
        }
        fs::remove_dir_all(&whole).unwrap();
    }
}

#[test]
fn only_the_same_run_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let index = model(folder.path());
    let output = folder.path().join("out");
    interrupted(&l1(0.5), &index, &Output::new(&output), 1_300_000);

    let error = run(&l1(0.5), [&index], &output).unwrap_err();
    assert_eq!(error.to_string(), format!("output directory `{}` contains an unfinished run", output.display()));
    for (other, differing) in [
        (l1(0.25), "method"),
        (random_pruner(0.5, 1).selection(Selection::new().only("*")), "method"),
        (l1(0.25).scope(Scope::Global).format(Format::PyTorch), "method"),
        (l1(0.5).scope(Scope::Global), "scope"),
        (l1(0.5).format(Format::PyTorch), "format"),
        (l1(0.5).selection(Selection::new().only("a*")), "selection"),
        (l1(0.5).selection(Selection::new().only("*").exclude("a*")), "selection"),
    ] {
        let error = resume(&other, &index, &output).unwrap_err();
        assert!(matches!(error, CheckpointError::OtherRun { difference, .. } if difference == differing));
        let at = output.display();
        let expected = format!("cannot resume the run in `{at}`: it was started with a different {differing}");
        assert_eq!(error.to_string(), expected);
    }
    let run_file = fs::read_to_string(output.join(RUN_FILE)).unwrap();
    fs::write(output.join(RUN_FILE), run_file.replace("\"version\":3", "\"version\":2")).unwrap();
    let error = resume(&l1(0.5), &index, &output).unwrap_err();
    assert!(matches!(error, CheckpointError::OtherRun { difference: "version", .. }));
    fs::write(output.join(RUN_FILE), run_file).unwrap();

    let shard = folder.path().join("model-00003-of-00003.safetensors");
    fs::write(&shard, fs::read(&shard).unwrap()).unwrap();
    let error = resume(&l1(0.5), &index, &output).unwrap_err();
    assert!(matches!(error, CheckpointError::OtherRun { difference: "input", .. }));

    // Starting over replaces it all.
    let report = l1(0.25).run(&Checkpoint::open([&index]).unwrap(), &Output::new(&output).force(true), &()).unwrap();
    assert!(report.resumed.is_empty());
    assert!(!output.join(RUN_FILE).exists());

    // An incomplete shard is written again, even if the run file lists it as finished.
    interrupted(&l1(0.5), &index, &Output::new(&output).force(true), 1_300_000);
    let first = output.join("model-00001-of-00003.safetensors");
    let before = fs::read(&first).unwrap();
    fs::write(&first, &before[..1000]).unwrap();
    let report = resume(&l1(0.5), &index, &output).unwrap();
    assert!(!report.resumed.contains(&first) && fs::read(&first).unwrap() == before);
    fs::write(output.join(RUN_FILE), "{").unwrap();
    assert!(matches!(resume(&l1(0.5), &index, &output), Err(CheckpointError::OtherRun { .. })));
}

#[test]
fn resume_without_anything_to_resume() {
    let folder = tempfile::tempdir().unwrap();
    let index = model(folder.path());
    let output = folder.path().join("new/out");
    let report = resume(&l1(0.5), &index, &output).unwrap();
    assert!(report.resumed.is_empty());
    let error = resume(&l1(0.5), &index, &output).unwrap_err();
    assert!(matches!(error, CheckpointError::OutputExists { .. }));
}

#[test]
fn existing_output_needs_force() {
    let folder = tempfile::tempdir().unwrap();
    let input = write(&folder.path().join("in.safetensors"), &[], &[Raw::of("w", &weights::<f32>(&[4, 4], 1))]);
    let output = folder.path().join("out.safetensors");
    fs::write(&output, "old").unwrap();
    let error = run(&l1(0.5), [&input], &output).unwrap_err();
    assert_eq!(error.to_string(), format!("output `{}` already exists", output.display()));
    assert_eq!(fs::read_to_string(&output).unwrap(), "old");
    let checkpoint = Checkpoint::open([&input]).unwrap();
    let report = l1(0.5).run(&checkpoint, &Output::new(&output).force(true), &()).unwrap();
    assert_eq!(report.tensors[0].outcome, Outcome::Pruned { asked: Some(8), before: 0, after: 8 });
    assert_eq!(names(folder.path()), ["in.safetensors", "out.safetensors"]);
}

#[test]
fn the_input_is_never_the_output() {
    let folder = tempfile::tempdir().unwrap();
    let index = model(folder.path());
    let before = contents(folder.path());
    let single = folder.path().join("model-00001-of-00003.safetensors");
    let around = folder.path().join("sub/..");
    fs::create_dir(folder.path().join("sub")).unwrap();
    let mut cases = vec![
        (index.clone(), folder.path().to_owned()),
        (index.clone(), around.clone()),
        (single.clone(), single.clone()),
        (single.clone(), around.join(single.file_name().unwrap())),
    ];
    if cfg!(unix) {
        #[cfg(unix)]
        std::os::unix::fs::symlink(&single, folder.path().join("sub/link.safetensors")).unwrap();
        cases.push((single.clone(), folder.path().join("sub/link.safetensors")));
    }
    for (input, output) in cases {
        let output = Output::new(output).force(true);
        let at = output.path().display().to_string();
        let error = l1(0.5).run(&Checkpoint::open([&input]).unwrap(), &output, &()).unwrap_err();
        assert!(matches!(error, CheckpointError::OutputIsInput { .. }), "{error}");
        let message = error.to_string();
        assert!(message.starts_with(&format!("output `{at}")) && message.ends_with("` would overwrite the input"));
    }
    fs::remove_dir_all(folder.path().join("sub")).unwrap();
    assert!(contents(folder.path()) == before);
}

#[test]
fn masks_are_a_file_and_shards_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let index = model(folder.path());
    let (file, sub) = (folder.path().join("file"), folder.path().join("sub"));
    fs::write(&file, "").unwrap();
    fs::create_dir(&sub).unwrap();
    let error = run(&l1(0.5), [&index], &file).unwrap_err();
    let expected = format!("output `{}` is not a directory", file.display());
    assert_eq!(error.to_string(), expected);
    // Masks of a sharded checkpoint are one file.
    let report = run(&l1(0.5).format(Format::Masks), [&index], &folder.path().join("masks.safetensors")).unwrap();
    assert_eq!(report.tensors.len(), 6);
    // Shards without an index are written to a directory too.
    let shards: Vec<_> = (1..=3).map(|i| folder.path().join(format!("model-0000{i}-of-00003.safetensors"))).collect();
    let report = run(&l1(0.5), &shards, &sub).unwrap();
    assert_eq!((report.tensors.len(), names(&sub).len()), (6, 4));
    assert!(names(&sub).contains(&"model.safetensors.index.json".to_owned()));
}

#[test]
fn a_folder_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let input = write(&folder.path().join("in.safetensors"), &[], &[Raw::of("w", &weights::<f32>(&[4, 4], 1))]);
    let output = folder.path().join("missing/out.safetensors");
    let error = run(&l1(0.5), [&input], &output).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot write `{}`", output.display()));
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn an_input_that_changes_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let input = write(&folder.path().join("in.safetensors"), &[], &[Raw::of("w", &weights::<f32>(&[400, 400], 1))]);
    let output = folder.path().join("out.safetensors");
    let checkpoint = Checkpoint::open([&input]).unwrap();
    let bytes = fs::read(&input).unwrap();
    for changed in [&bytes[..bytes.len() / 2], &bytes[..]] {
        fs::write(&input, changed).unwrap();
        let error = l1(0.5).run(&checkpoint, &Output::new(&output), &()).unwrap_err();
        assert!(matches!(error, CheckpointError::Changed { .. }));
        let expected = format!("`{}` changed while it was being read", input.display());
        assert_eq!(error.to_string(), expected);
        assert_eq!(names(folder.path()), ["in.safetensors"]);
    }
}

/// A test cannot cause a power failure. It checks that the option is part of the output, and that the files are the same.
#[test]
fn durable_files_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let index = model(folder.path());
    let (one, two) = (Output::new(folder.path().join("one")), Output::new(folder.path().join("two")).durable(true));
    assert_ne!(two, two.clone().durable(false));
    for plain in [Output::new(two.path()), two.path().into(), two.path().to_owned().into()] {
        assert_eq!(plain, two.clone().durable(false));
    }
    for output in [&one, &two] {
        drop(l1(0.5).run(&Checkpoint::open([&index]).unwrap(), output, &()).unwrap());
    }
    assert!(contents(one.path()) == contents(two.path()));
}

#[test]
fn progress_reaches_its_total() {
    let folder = tempfile::tempdir().unwrap();
    let index = model(folder.path());
    for scope in [Scope::Tensor, Scope::Global] {
        let last = [AtomicU64::new(0), AtomicU64::new(0)];
        let observer = |Progress { phase, done, total }: Progress| {
            assert!(done <= total);
            if done == total {
                last[usize::from(phase == Phase::Processing)].store(total, Ordering::Relaxed);
            }
            ControlFlow::Continue(())
        };
        let output = folder.path().join(format!("{scope:?}"));
        let report =
            l1(0.5).scope(scope).run(&Checkpoint::open([&index]).unwrap(), &Output::new(&output), &observer).unwrap();
        let bytes = 4 * report.selected_entries() as u64;
        let ranked = if scope == Scope::Global { bytes } else { 0 };
        assert_eq!(last.map(AtomicU64::into_inner), [ranked, bytes]);
    }
}

/// Two names that differ only in bytes that are not UTF-8 are two shards, of which one is finished.
#[cfg(target_os = "linux")]
#[test]
fn names_that_are_not_text_are_told_apart() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let shards = [&b"\xfe.safetensors"[..], b"\xff.safetensors"].map(|name| {
        let name = std::ffi::OsStr::from_bytes(name);
        let weight = Raw::of(&format!("{name:?}"), &weights::<f32>(&[300, 500], 1));
        write(&folder.path().join(name), &[], &[weight])
    });
    let output = folder.path().join("out");
    let run = |amount: f64, output: Output, stop_at: u64| {
        let observer = |progress: Progress| match progress.done > stop_at {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        l1(amount).run(&Checkpoint::open(&shards).unwrap(), &output, &observer)
    };
    // An older output, which is to be replaced.
    drop(run(0.1, Output::new(&output), u64::MAX).unwrap());
    assert!(run(0.5, Output::new(&output).force(true), 700_000).is_err());
    let report = run(0.5, Output::new(&output).force(true).resume(true), u64::MAX).unwrap();
    assert_eq!(report.resumed.len(), 1);
    let [one, two] = shards.map(|shard| read(&output.join(shard.file_name().unwrap())).remove(0).data);
    assert!(one == two);
}
