//! Observers receive steps of at most a few megabytes, which add up to the total exactly.

use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use prune::checkpoint::{
    Checkpoint, CheckpointError, Format, MaskSource, Observer, Output, Phase, Progress, Pruner, Scope, Selection, diff,
    extract_masks, inspect, remove,
};

use super::support::*;

/// A phase, and the bytes of its steps, the largest first: threads take them in any order.
type Steps = (Phase, Vec<u64>);

/// The steps of a run. Each phase must end exactly at its total, and report the total once more.
#[track_caller]
fn steps<T>(run: impl FnOnce(&dyn Observer) -> Result<T, CheckpointError>) -> Vec<Steps> {
    let told = Mutex::new(Vec::<Progress>::new());
    let observer = |progress: Progress| {
        told.lock().unwrap().push(progress);
        ControlFlow::Continue(())
    };
    drop(run(&observer).unwrap());
    let told = told.into_inner().unwrap();
    let phases = told.chunk_by(|a, b| (a.phase, a.total) == (b.phase, b.total)).map(|told| {
        let Progress { phase, total, .. } = told[0];
        let mut done: Vec<_> = told.iter().map(|progress| progress.done).collect();
        done.sort_unstable();
        assert!(done.len() >= 2 && done[done.len() - 2..] == [total, total], "{phase:?} of {total}: {done:?}");
        done.pop();
        let mut steps: Vec<_> = [0].iter().chain(&done).zip(&done).map(|(from, to)| to - from).collect();
        assert!(!steps.contains(&0), "{phase:?} of {total}: {done:?}");
        steps.sort_unstable_by_key(|&step| std::cmp::Reverse(step));
        (phase, steps)
    });
    phases.collect()
}

/// The steps in which the bytes of a tensor are read.
fn megabytes(bytes: u64) -> Vec<u64> {
    const MIB: u64 = 1 << 20;
    let whole = (bytes / MIB) as usize;
    [vec![MIB; whole], vec![bytes % MIB]].concat()
}

/// The steps in which the bytes of several tensors are read.
fn each(bytes: &[u64]) -> Vec<u64> {
    let mut steps: Vec<_> = bytes.iter().copied().flat_map(megabytes).collect();
    steps.sort_unstable_by_key(|&step| std::cmp::Reverse(step));
    steps
}

const SHAPE: [usize; 2] = [700, 500];
/// The bytes of a tensor of that shape, and of something else.
const WEIGHT: u64 = 1_400_000;
const OTHER: u64 = 1_100_000;

fn weight(name: &str) -> Raw {
    Raw::of(name, &weights::<f32>(&SHAPE, 1))
}

fn other() -> Raw {
    Raw::new("other", "U8", &[OTHER as usize], vec![1; OTHER as usize])
}

/// Rows 0 to 9 are pruned, and with them columns 0 and 499.
fn alive() -> ndarray::ArrayD<bool> {
    ndarray::Array2::from_shape_fn(SHAPE, |(i, j)| i >= 10 && j % 499 > 0).into_dyn()
}

fn l1() -> Pruner {
    l1_pruner(0.5).selection(Selection::new().only("*"))
}

fn ln(dim: isize) -> Pruner {
    ln_pruner(0.5, 2, dim).selection(Selection::new().only("*"))
}

#[test]
fn every_byte_is_counted_when_it_is_read() {
    use Phase::{Processing, Ranking};
    let folder = tempfile::tempdir().unwrap();
    let input = write(&folder.path().join("in.safetensors"), &[], &[weight("w"), other()]);
    let checkpoint = Checkpoint::open([&input]).unwrap();
    let output = Output::new(folder.path().join("out.safetensors")).force(true);

    let once = (Processing, each(&[WEIGHT, OTHER]));
    // A dry run reads the weights too, to count those that are zero already.
    let looked_at = (Processing, each(&[WEIGHT]));
    let rows = (Processing, [vec![WEIGHT], each(&[WEIGHT])].concat());
    let random = random_pruner(0.5, 1);
    let channels = random_structured_pruner(0.5, 1, 1);
    for (prune, written, looked_at) in [
        (l1(), vec![once.clone()], vec![looked_at.clone()]),
        (
            l1().scope(Scope::Global),
            vec![(Ranking, each(&[WEIGHT])), once.clone()],
            vec![(Ranking, each(&[WEIGHT])), looked_at.clone()],
        ),
        (random.clone(), vec![once.clone()], vec![looked_at.clone()]),
        (random.scope(Scope::Global), vec![once.clone()], vec![looked_at.clone()]),
        // For norms, many rows are read at a time, and then once more for writing.
        (ln(0), vec![(Processing, [vec![WEIGHT], each(&[WEIGHT, OTHER])].concat())], vec![rows]),
        (ln(1), vec![once.clone()], vec![looked_at.clone()]),
        (channels, vec![once.clone()], vec![looked_at.clone()]),
        (l1_pruner(0), vec![once.clone()], vec![looked_at.clone()]),
        (random_structured_pruner(0, 0, 1), vec![once.clone()], vec![looked_at.clone()]),
    ] {
        assert_eq!(steps(|observer| prune.run(&checkpoint, &output, observer)), written, "{prune:?}");
        assert_eq!(steps(|observer| prune.dry_run(&checkpoint, observer)), looked_at, "{prune:?}");
    }
    let once = [once];
    assert_eq!(steps(|observer| inspect(&checkpoint, true, observer)), once);
    assert_eq!(steps(|observer| diff(&checkpoint, &checkpoint, observer)), once);
    let zeros = MaskSource::Zeros(Selection::new());
    assert_eq!(steps(|observer| extract_masks(&checkpoint, &zeros, &output, observer)), [looked_at]);
}

#[test]
fn masks_are_counted_before_anything_else() {
    use Phase::{Counting, Processing};
    let folder = tempfile::tempdir().unwrap();
    let kept = alive();
    let small = Raw::new("v_mask", "U8", &SHAPE, kept.iter().map(|&kept| kept.into()).collect());
    let tensors = [weight("w_orig"), Raw::mask::<f32>("w_mask", &kept), weight("v_orig"), small];
    let input = write(&folder.path().join("in.safetensors"), &[], &tensors);
    let checkpoint = Checkpoint::open([&input]).unwrap();
    let output = Output::new(folder.path().join("out.safetensors")).force(true);
    let bytes = WEIGHT / 4;

    let counted = (Counting, each(&[WEIGHT, bytes]));
    let processed = (Processing, each(&[WEIGHT, WEIGHT]));
    let found = steps(|observer| l1().run(&checkpoint, &output, observer));
    assert_eq!(found, [counted.clone(), processed.clone()]);
    // Masks are read for the remaining entries and, once more, for the remaining channels.
    let twice = (Counting, each(&[WEIGHT, bytes, WEIGHT, bytes]));
    let rows = (Processing, [vec![WEIGHT, WEIGHT], each(&[WEIGHT, WEIGHT])].concat());
    for (dim, processed) in [(0, rows), (1, processed.clone())] {
        let found = steps(|observer| ln(dim).run(&checkpoint, &output, observer));
        assert_eq!(found, [twice.clone(), processed]);
    }
    let processed = [processed];
    assert_eq!(steps(|observer| remove(&checkpoint, &output, observer)), processed);
    assert_eq!(steps(|observer| inspect(&checkpoint, false, observer)), processed);
}

/// An original whose mask is in another shard is copied, and read once more for the mask.
#[test]
fn halves_in_two_shards() {
    let folder = tempfile::tempdir().unwrap();
    let halves = [weight("w_orig"), Raw::mask::<f32>("w_mask", &alive())];
    let processed = |shards: &[&[Raw]]| {
        let index = write_sharded(folder.path(), shards);
        let output = Output::new(folder.path().join("out")).force(true);
        let prune = ln(0).format(Format::PyTorch);
        steps(|observer| {
            let processing = |progress: Progress| match progress.phase {
                Phase::Processing => observer.progress(progress),
                _ => ControlFlow::Continue(()),
            };
            prune.run(&Checkpoint::open([&index]).unwrap(), &output, &processing)
        })
    };
    let pruned = [vec![WEIGHT], each(&[WEIGHT])].concat();
    assert_eq!(processed(&[&halves]), [(Phase::Processing, pruned)]);
    let pruned = [vec![WEIGHT], each(&[WEIGHT, WEIGHT])].concat();
    assert_eq!(processed(&[&halves[..1], &halves[1..]]), [(Phase::Processing, pruned)]);
}

/// For norms of rows, a few megabytes are read at a time.
#[test]
fn rows_are_read_in_groups() {
    const ROW: usize = 300_000;
    let folder = tempfile::tempdir().unwrap();
    let rows = [3.0, 1.0, 4.0, 0.5, 2.0].map(f64::to_le_bytes);
    let data = rows.iter().flat_map(|row| row.iter().copied().cycle().take(8 * ROW)).collect();
    let input = write(&folder.path().join("in.safetensors"), &[], &[Raw::new("w", "F64", &[5, ROW], data)]);
    let output = folder.path().join("out.safetensors");
    let prune = ln_pruner(3, 1, 0).format(Format::Masks);
    let found = steps(|observer| prune.run(&Checkpoint::open([&input]).unwrap(), &Output::new(&output), observer));
    let row = 8 * ROW as u64;
    assert_eq!(found, [(Phase::Processing, [vec![3 * row, 2 * row], each(&[5 * row])].concat())]);
    let (_, mask) = &prune::safetensors::load_masks(&output).unwrap()[0];
    assert_eq!(mask.iter().step_by(ROW).collect::<Vec<_>>(), [true, false, true, false, false]);
}

/// Tensors up to 16 MiB stay in memory between selection and writing.
#[test]
fn a_tensor_that_is_too_large_to_be_kept_is_read_twice() {
    let folder = tempfile::tempdir().unwrap();
    let output = Output::new(folder.path().join("masks.safetensors")).force(true);
    let prune = l1_pruner(1.0).selection(Selection::new().only("*")).format(Format::Masks);
    for (bytes, times) in [(16 << 20, 1), ((16 << 20) + 8, 2)] {
        let weight = Raw::new("w", "F64", &[1, bytes / 8], vec![0; bytes]);
        let input = write(&folder.path().join("in.safetensors"), &[], &[weight]);
        let found = steps(|observer| prune.run(&Checkpoint::open([&input]).unwrap(), &output, observer));
        let expected: u64 = times * bytes as u64;
        assert_eq!(found.iter().map(|(_, steps)| steps.iter().sum::<u64>()).collect::<Vec<_>>(), [expected]);
    }
}

/// Contiguous tensors that are copied are copied together, however many there are.
#[test]
fn small_tensors_are_not_told_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let small = |i: usize| Raw::new(&format!("t{i}"), "U8", &[3], vec![i as u8; 3]);
    let pair = [Raw::of("w_orig", &weights::<f32>(&[2, 2], 1)), Raw::new("w_mask", "U8", &[2, 2], vec![1; 4])];
    let tensors = [(0..100).map(small).collect(), pair.to_vec(), (100..300).map(small).collect()].concat();
    let input = write(&folder.path().join("in.safetensors"), &[], &tensors);
    let checkpoint = Checkpoint::open([&input]).unwrap();
    let output = Output::new(folder.path().join("out.safetensors"));
    let found = steps(|observer| remove(&checkpoint, &output, observer));
    assert_eq!(found, [(Phase::Processing, vec![600, 300, 16])]);
    // Only the mask between them is absent.
    let expected = [&tensors[..100], &[Raw::new("w", "F32", &[2, 2], pair[0].data.clone())], &tensors[102..]];
    assert!(read(output.path()) == expected.concat());
}

#[test]
fn a_file_is_read_from_its_beginning_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = [
        Raw::new("a", "U8", &[5], vec![1; 5]),
        Raw::of("v", &weights::<f32>(&[2, 5], 1)),
        Raw::new("b", "U8", &[7], vec![1; 7]),
        Raw::of("w", &weights::<f32>(&[3, 5], 1)),
        Raw::new("c", "U8", &[9], vec![1; 9]),
    ];
    let input = write(&folder.path().join("in.safetensors"), &[], &tensors);
    for format in [Format::Weights, Format::PyTorch] {
        let done = Mutex::new(Vec::new());
        let observer = |progress: Progress| {
            done.lock().unwrap().push(progress.done);
            ControlFlow::Continue(())
        };
        let output = Output::new(folder.path().join(format!("{format:?}")));
        drop(l1().format(format).run(&Checkpoint::open([&input]).unwrap(), &output, &observer).unwrap());
        assert_eq!(done.into_inner().unwrap(), [5, 45, 52, 112, 121, 121]);
    }
}

#[test]
fn phases_without_work_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let input = write(&folder.path().join("in.safetensors"), &[], &[Raw::new("w", "F32", &[0, 3], vec![])]);
    let checkpoint = Checkpoint::open([&input]).unwrap();
    let output = Output::new(folder.path().join("out.safetensors"));
    let global = l1().scope(Scope::Global);
    assert_eq!(steps(|observer| global.run(&checkpoint, &output, observer)), []);
    assert_eq!(steps(|observer| inspect(&checkpoint, true, observer)), []);
    assert_eq!(steps(|observer| diff(&checkpoint, &checkpoint, observer)), []);
}

/// The end comes last even if a thread with an earlier step takes longer to report it.
#[test]
fn the_end_is_told_last() {
    let folder = tempfile::tempdir().unwrap();
    let input = write(&folder.path().join("in.safetensors"), &[], &[weight("w")]);
    let checkpoint = Checkpoint::open([&input]).unwrap();
    let (begun, told) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let observer = |Progress { done, total, .. }: Progress| {
        if begun.fetch_add(1, Ordering::Relaxed) == 0 {
            // Until another thread has come to the end, if there is one.
            let until = Instant::now() + Duration::from_millis(200);
            while Instant::now() < until && !told.lock().unwrap().contains(&total) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        told.lock().unwrap().push(done);
        ControlFlow::Continue(())
    };
    drop(inspect(&checkpoint, false, &observer).unwrap());
    assert_eq!(told.into_inner().unwrap().last(), Some(&WEIGHT));
}

/// The observer may stop the run at any call, even the last one.
#[test]
fn a_run_that_is_stopped_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = [Raw::of("w", &weights::<f32>(&[2, 5], 1)), Raw::new("a", "U8", &[5], vec![1; 5])];
    let input = write(&folder.path().join("in.safetensors"), &[], &tensors);
    let checkpoint = Checkpoint::open([&input]).unwrap();
    let output = Output::new(folder.path().join("out.safetensors"));
    let run = |calls: usize| {
        let called = AtomicUsize::new(0);
        let observer = |_: Progress| match called.fetch_add(1, Ordering::Relaxed) + 1 == calls {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let result = l1().scope(Scope::Global).run(&checkpoint, &output, &observer);
        (result, called.into_inner())
    };
    for calls in 1.. {
        let (result, called) = run(calls);
        if called < calls {
            drop(result.unwrap());
            assert!(called > 3 && output.path().exists());
            break;
        }
        assert!(matches!(result, Err(CheckpointError::Stopped)), "{calls}: {result:?}");
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["in.safetensors"], "{calls}");
    }
}
