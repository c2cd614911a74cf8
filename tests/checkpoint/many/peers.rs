//! Processes that prune at the same time and add up their counts.

use std::fs;
use std::path::Path;
use std::sync::{Barrier, Mutex};

use prune::checkpoint::{Checkpoint, CheckpointError, Format, Output, Peers, PruneReport, Pruner, Scope};
use prune::training::{Allocation, Bounds};
use prune::{Amount, NM, UpTo};

use super::{folder_with, shards};
use crate::checkpoint::support::{l1_pruner, random_pruner};

/// The files of a directory with their contents.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

/// Threads that add up numbers as MPI ranks do.
struct Threads<'a> {
    rank: usize,
    size: usize,
    all: &'a Barrier,
    sums: &'a Mutex<Vec<u64>>,
}

impl Peers for Threads<'_> {
    fn rank(&self) -> usize {
        self.rank
    }
    fn size(&self) -> usize {
        self.size
    }
    fn sum(&self, numbers: &mut [u64]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        {
            let mut sums = self.sums.lock().unwrap();
            sums.resize(numbers.len(), 0);
            sums.iter_mut().zip(&*numbers).for_each(|(sum, number)| *sum += number);
        }
        self.all.wait();
        numbers.copy_from_slice(&self.sums.lock().unwrap()[..]);
        self.all.wait();
        self.sums.lock().unwrap().clear();
        self.all.wait();
        Ok(())
    }
}

fn run_among(
    pruner: &Pruner,
    index: &Path,
    output: &Output,
    size: usize,
    observe: &(dyn Fn(usize) -> std::ops::ControlFlow<()> + Sync),
) -> Vec<Result<PruneReport, CheckpointError>> {
    let (all, sums) = (Barrier::new(size), Mutex::default());
    let prune = |rank| {
        let peers = Threads { rank, size, all: &all, sums: &sums };
        let observer = |_: prune::checkpoint::Progress| observe(rank);
        pruner.run_among(&Checkpoint::open([index]).unwrap(), output, &peers, &observer)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..size).map(|rank| scope.spawn(move || prune(rank))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn several_processes_write_what_one_does() {
    let go_on = |_| std::ops::ControlFlow::Continue(());
    let (folder, index) = folder_with(&shards(10));
    fs::write(folder.path().join("in/config.json"), "{}").unwrap();
    let [one, many] = ["one", "many"].map(|name| folder.path().join(name));
    for amount in [Amount::Fraction(0.5), Amount::Count(3), Amount::Count(0), Amount::Sparsity(0.95)] {
        let random = match amount {
            Amount::Sparsity(_) => random_pruner(0.3, 5),
            amount => random_pruner(amount, 5),
        };
        for pruner in [l1_pruner(amount), random] {
            for (scope, format) in
                [(Scope::Global, Format::Weights), (Scope::Global, Format::PyTorch), (Scope::Tensor, Format::PyTorch)]
            {
                let pruner = pruner.clone().scope(scope).format(format);
                let report = pruner.run(&Checkpoint::open([&index]).unwrap(), &Output::new(&one), &()).unwrap();
                for size in 1..=4 {
                    for found in run_among(&pruner, &index, &Output::new(&many), size, &go_on) {
                        assert_eq!(found.unwrap(), report, "{size} {pruner:?}");
                    }
                    assert!(contents(&many) == contents(&one), "{size} {pruner:?}");
                    fs::remove_dir_all(&many).unwrap();
                }
                fs::remove_dir_all(&one).unwrap();
            }
        }
    }
}

/// A process that fails stops the others, without a deadlock; the rest is resumed, by any number of processes.
#[test]
fn a_process_that_fails_stops_all_and_the_run_is_resumed() {
    let (folder, index) = folder_with(&shards(10));
    let [one, many] = ["one", "many"].map(|name| folder.path().join(name));
    let pruner = l1_pruner(0.5).scope(Scope::Global);
    drop(pruner.run(&Checkpoint::open([&index]).unwrap(), &Output::new(&one), &()).unwrap());
    let mut unfinished = 0;
    for calls in 0..100 {
        let count = Mutex::new(0);
        // The second of three processes stops after some calls.
        let stop = |rank| {
            let mut count = count.lock().unwrap();
            *count += usize::from(rank == 1);
            if rank == 1 && *count > calls {
                std::ops::ControlFlow::Break(())
            } else {
                std::ops::ControlFlow::Continue(())
            }
        };
        let results = run_among(&pruner, &index, &Output::new(&many), 3, &stop);
        if results.iter().all(Result::is_ok) {
            assert!(contents(&many) == contents(&one));
            break;
        }
        assert!(matches!(results[1], Err(CheckpointError::Stopped)));
        for other in [&results[0], &results[2]] {
            assert!(matches!(other, Err(CheckpointError::PeersFailed { failed: 1 })), "{other:?}");
        }
        assert!(!many.join("model.safetensors.index.json").exists());
        if many.exists() {
            unfinished += 1;
            let again = run_among(&pruner, &index, &Output::new(&many), 2, &|_| std::ops::ControlFlow::Continue(()));
            assert!(matches!(again[0], Err(CheckpointError::UnfinishedRun { .. })));
            assert!(matches!(again[1], Err(CheckpointError::PeersFailed { .. })));
        }
        let resumed = Output::new(&many).resume(true);
        match calls % 2 {
            0 => drop(pruner.run(&Checkpoint::open([&index]).unwrap(), &resumed, &()).unwrap()),
            _ => run_among(&pruner, &index, &resumed, 4, &|_| std::ops::ControlFlow::Continue(()))
                .into_iter()
                .for_each(|report| drop(report.unwrap())),
        }
        assert!(contents(&many) == contents(&one));
        fs::remove_dir_all(&many).unwrap();
    }
    assert!(unfinished > 0);
}

#[test]
fn what_is_not_shared() {
    let (folder, index) = folder_with(&shards(10));
    let output = Output::new(folder.path().join("out"));
    let go_on = |_| std::ops::ControlFlow::Continue(());
    let l1 = || l1_pruner(0.5);
    for (pruner, what) in [
        (l1().format(Format::Masks), "a file of masks"),
        (l1().allocation(Allocation::Uniform, Bounds::default()), "an allocation"),
        (Pruner::new(UpTo::new(0.1, 1)).scope(Scope::Global), "global scope of UpTo"),
    ] {
        for result in run_among(&pruner, &index, &output, 2, &go_on) {
            assert_eq!(result.unwrap_err().to_string(), format!("{what} cannot be shared among processes"));
        }
    }
    // Errors of one are errors of all, wherever they occur.
    for pruner in [
        l1_pruner(100_000_000).scope(Scope::Global),
        Pruner::new(NM::new(2, 4, -1).unwrap()).scope(Scope::Global),
        l1_pruner(590),
    ] {
        let results = run_among(&pruner, &index, &output, 3, &go_on);
        assert!(results.iter().all(Result::is_err));
    }
    assert!(!folder.path().join("out").exists());
    // In tensor scope, any method can be shared.
    let pattern = Pruner::new(NM::new(2, 4, -1).unwrap());
    assert!(run_among(&pattern, &index, &output, 3, &go_on).iter().all(Result::is_ok));
}
