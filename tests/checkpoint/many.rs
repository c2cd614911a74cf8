//! Shards that are pruned by several processes, against the whole checkpoint.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Barrier, Mutex};

use half::{bf16, f16};
use ndarray::ArrayD;
use prune::checkpoint::{
    Checkpoint, CheckpointError, Counts, Cut, CutError, Format, Output, Peers, PruneReport, Pruner, Scope, Selection,
};
use prune::training::{Allocation, Bounds};
use prune::{Amount, L1Unstructured, NM, UpTo};

use super::support::{Raw, Stored, l1_pruner, random_pruner, weights, write, write_sharded};

/// Values with many ties, in four types, some with masks, one mask in another shard than its weights.
fn shards(seed: u64) -> Vec<Vec<Raw>> {
    fn ties<A: Stored>(shape: &[usize], seed: u64) -> ArrayD<A> {
        weights::<f64>(shape, seed).map(|x| A::number((x * 64.0).round() / 64.0))
    }
    fn masked<A: Stored>(name: &str, shape: &[usize], seed: u64) -> [Raw; 2] {
        let mask = weights::<f32>(shape, seed + 50).map(|&x| x > -0.02);
        [Raw::of(&format!("{name}_orig"), &ties::<A>(shape, seed)), Raw::mask::<A>(&format!("{name}_mask"), &mask)]
    }
    let [orig, mask] = masked::<f32>("c.fc.weight", &[11, 13], seed + 4);
    let [other_orig, other_mask] = masked::<bf16>("b.fc.weight", &[40, 9], seed + 3);
    vec![
        vec![
            Raw::of("a.fc.weight", &ties::<f32>(&[30, 20], seed)),
            Raw::of("a.fc.bias", &weights::<f32>(&[30], seed + 1)),
        ],
        vec![Raw::of("b.proj.weight", &ties::<f16>(&[25, 8], seed + 2)), other_orig, other_mask],
        vec![orig, Raw::of("d.fc.weight", &weights::<f32>(&[3, 200], seed + 5))],
        vec![mask, Raw::of("e.fc.weight", &ties::<f64>(&[9, 30], seed + 6))],
        vec![Raw::of("f.norm.weight", &weights::<f32>(&[30], seed + 7))],
        vec![Raw::of("g.fc.weight", &ties::<bf16>(&[30, 30], seed + 8))],
    ]
}

fn folder_with(shards: &[Vec<Raw>]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    let shards: Vec<&[Raw]> = shards.iter().map(Vec::as_slice).collect();
    let index = write_sharded(&folder.path().join("in"), &shards);
    (folder, index)
}

fn shard(number: usize) -> String {
    format!("model-{number:05}-of-00006.safetensors")
}

/// Opens some shards of the input, by their numbers.
fn open(folder: &Path, numbers: &[usize]) -> Checkpoint {
    Checkpoint::open(numbers.iter().map(|&number| folder.join("in").join(shard(number)))).unwrap()
}

/// Shards 3 and 4 share a parameter.
const PARTS: [&[usize]; 4] = [&[6, 1], &[3, 4], &[2], &[5]];

fn count_and_cut(folder: &Path, parts: &[&[usize]], amount: impl Into<Amount>) -> (Cut, usize) {
    let count = |part: &&[usize]| Counts::of(&open(folder, part), &Selection::new(), &()).unwrap();
    let mut cut = Cut::of(&parts.iter().map(count).collect::<Vec<_>>(), Some(amount.into())).unwrap();
    let mut rounds = 1;
    while cut.threshold().is_none() {
        let count = |part: &&[usize]| {
            // Through files, as on other machines.
            let path = folder.join("part.json");
            let counts = Counts::within(&open(folder, part), &cut, &()).unwrap();
            counts.save(&Output::new(&path).force(true)).unwrap();
            assert_eq!(Counts::read(&path).unwrap(), counts);
            counts
        };
        cut = Cut::of(&parts.iter().map(count).collect::<Vec<_>>(), None).unwrap();
        let path = folder.join("cut.json");
        cut.save(&Output::new(&path).force(true)).unwrap();
        rounds += 1;
    }
    (cut, rounds)
}

/// The files of a directory with their contents.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn shards_that_are_pruned_by_a_cut_are_those_of_one_run() {
    for seed in [10, 200] {
        let (folder, index) = folder_with(&shards(seed));
        for format in [Format::Weights, Format::PyTorch] {
            for amount in [
                Amount::Fraction(0.5),
                Amount::Fraction(0.13),
                Amount::Count(1),
                Amount::Count(0),
                Amount::Sparsity(0.9),
            ] {
                let whole = folder.path().join("whole");
                let pruner = l1_pruner(amount).scope(Scope::Global).format(format);
                let expected = pruner.run(&Checkpoint::open([&index]).unwrap(), &Output::new(&whole), &()).unwrap();

                let (cut, _) = count_and_cut(folder.path(), &PARTS, amount);
                assert_eq!(Some(cut.count() as usize), expected.asked);
                let (mut pruned, mut files) = (0, Vec::new());
                for part in [&[1][..], &[2], &[3, 4], &[5, 6]] {
                    let checkpoint = open(folder.path(), part);
                    let out = folder.path().join("part");
                    let out = if part.len() == 1 { out.join(shard(part[0])) } else { out };
                    fs::create_dir_all(folder.path().join("part")).unwrap();
                    let output = Output::new(&out).force(true);
                    let report =
                        cut.pruner(&checkpoint).unwrap().format(format).run(&checkpoint, &output, &()).unwrap();
                    pruned += report.pruned_after();
                    files.extend(part.iter().map(|&number| shard(number)));
                }
                assert_eq!(pruned, expected.pruned_after());
                for file in files {
                    let read = |place: &str| fs::read(folder.path().join(place).join(&file)).unwrap();
                    assert!(read("part") == read("whole"), "{file}, {amount:?}, {format:?}");
                }
                fs::remove_dir_all(&whole).unwrap();
                fs::remove_dir_all(folder.path().join("part")).unwrap();
            }
        }
    }
}

/// One round for two bytes, two for four, four for eight.
#[test]
fn rounds() {
    fn rounds<A: Stored>() -> usize {
        let tensor = |name: &str, seed| vec![Raw::of(name, &weights::<A>(&[40, 50], seed))];
        let shards = ["a.weight", "b.weight", "c.weight", "d.weight", "e.weight", "f.weight"];
        let shards: Vec<_> = shards.iter().zip(1..).map(|(name, seed)| tensor(name, seed)).collect();
        let (folder, _) = folder_with(&shards);
        count_and_cut(folder.path(), &[&[1, 2, 3], &[4, 5, 6]], 0.5).1
    }
    assert_eq!([rounds::<f16>(), rounds::<bf16>(), rounds::<f32>(), rounds::<f64>()], [1, 1, 2, 4]);
}

fn cut_error(result: Result<impl std::fmt::Debug, CheckpointError>) -> CutError {
    match result.unwrap_err() {
        CheckpointError::Cut { source } => source,
        other => panic!("{other}"),
    }
}

#[test]
fn counts_that_do_not_fit_together() {
    let (folder, _) = folder_with(&shards(10));
    let folder = folder.path();
    let count = |part: &[usize]| Counts::of(&open(folder, part), &Selection::new(), &()).unwrap();
    let parts: Vec<Counts> = PARTS.iter().map(|part| count(part)).collect();
    let half = Some(Amount::Fraction(0.5));
    let fails = |parts: &[Counts], amount| cut_error(Cut::of(parts, amount)).to_string();

    assert_eq!(fails(&[], half), "no counts given");
    let none = fails(&parts, None);
    assert_eq!(none, "the amount is missing: these are the first counts, so no cut knows it yet");
    let twice = [&parts[..], &[count(&[2])]].concat();
    assert_eq!(fails(&twice, half), format!("shard `{}` was counted twice", shard(2)));
    assert_eq!(fails(&parts[..3], half), format!("the counts of shard `{}` are missing", shard(5)));
    let mut other = parts.clone();
    other[2] = Counts::of(&open(folder, &[2]), &Selection::new().only("*"), &()).unwrap();
    let message = format!("shards `{}` and `{}` were counted with different selections of tensors", shard(1), shard(2));
    assert_eq!(fails(&other, half), message);
    // The weights of `c` without their mask are a plain tensor, and are not told from one before all shards are known.
    let apart: Vec<Counts> = [&[6, 1][..], &[3], &[4], &[2], &[5]].iter().map(|part| count(part)).collect();
    assert_eq!(
        fails(&apart, half),
        format!(
            "the weights of `c.fc.weight` are in shard `{}` and its mask is in `{}`, which must be counted together",
            shard(3),
            shard(4)
        )
    );

    let first = Cut::of(&parts, half).unwrap();
    let within: Vec<Counts> =
        PARTS.iter().map(|part| Counts::within(&open(folder, part), &first, &()).unwrap()).collect();
    let mixed = [&within[..3], &parts[3..]].concat();
    let message = format!("shards `{}` and `{}` were not counted within the same cut", shard(1), shard(5));
    assert_eq!(fails(&mixed, half), message);
    let other_amount = fails(&within, Some(Amount::Count(7)));
    let expected = format!("the amount is 7 entries, but the shards were counted within a cut of {}", first.count());
    assert_eq!(other_amount, expected);
    assert!(Cut::of(&within, half).is_ok());

    let error = cut_error(first.pruner(&open(folder, &[1]))).to_string();
    assert!(error.starts_with("the cut is not exact yet: the magnitude is between 0."), "{error}");
}

#[test]
fn numbers_missing_at_the_end_are_noticed_in_the_second_round() {
    let tensor = |name: &str, seed| [Raw::of(name, &weights::<f32>(&[40, 50], seed))];
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write(&path("a"), &[], &tensor("a.weight", 1));
    write(&path("b"), &[], &tensor("b.weight", 2));
    write(&path("c"), &[], &tensor("c.weight", 3));
    let open = |name: &str| Checkpoint::open([path(name)]).unwrap();
    let first = ["a", "b"].map(|name| Counts::of(&open(name), &Selection::new(), &()).unwrap());
    let cut = Cut::of(&first, Some(0.5.into())).unwrap();
    let a = Counts::within(&open("a"), &cut, &()).unwrap();
    let missing = cut_error(Cut::of(&[a], None)).to_string();
    assert_eq!(missing, "there are counts of 1 shards, but the cut within which they were counted has 2");
    let unknown = cut_error(Counts::within(&open("c"), &cut, &())).to_string();
    assert_eq!(unknown, "shard `c` is not part of the cut");
    // Another tensor, and other bytes.
    write(&path("b"), &[], &tensor("x.weight", 2));
    let other = cut_error(Counts::within(&open("b"), &cut, &())).to_string();
    assert_eq!(other, "shard `b` is not the file that was counted: its size or its tensors differ");
}

/// Other weights are noticed by their counts, before an output appears.
#[test]
fn weights_that_have_changed() {
    let (folder, _) = folder_with(&shards(10));
    let (cut, _) = count_and_cut(folder.path(), &PARTS, 0.5);
    let file = folder.path().join("in").join(shard(1));
    let mut bytes = fs::read(&file).unwrap();
    let end = bytes.len() - 30 * 4 - 4;
    for entry in bytes[end - 100..end].chunks_mut(4) {
        entry.copy_from_slice(&1e-9_f32.to_le_bytes());
    }
    let before = bytes.clone();
    fs::write(&file, bytes).unwrap();
    let checkpoint = open(folder.path(), &[1]);
    let out = folder.path().join("out.safetensors");
    let pruner = cut.pruner(&checkpoint).unwrap();
    let error = cut_error(pruner.run(&checkpoint, &Output::new(&out), &())).to_string();
    assert!(error.starts_with(&format!("weights of shard `{}` have changed since they were counted: ", shard(1))));
    assert!(!out.exists() && fs::read(&file).unwrap() == before);
    let error = cut_error(cut.pruner(&open(folder.path(), &[2, 1]))).to_string();
    assert_eq!(
        error,
        format!("shards must be in the order of their names: `{}` comes before `{}`", shard(1), shard(2))
    );
}

/// Tensors that others, in shards that were counted apart, make look like something else.
#[test]
fn selections_that_depend_on_other_shards() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let same = weights::<f32>(&[50, 8], 1);
    write(&path("a"), &[], &[Raw::of("embed_tokens.weight", &same)]);
    write(&path("b"), &[], &[Raw::of("fc.weight", &same)]);
    write(&path("c"), &[], &[Raw::of("output.weight", &weights::<f32>(&[50, 8], 2))]);
    let count = |names: &[&str], selection: &Selection| {
        let checkpoint = Checkpoint::open(names.iter().map(|name| path(name))).unwrap();
        Counts::of(&checkpoint, selection, &()).unwrap()
    };
    let default = Selection::new();
    let half = Some(Amount::Fraction(0.5));
    let tied = cut_error(Cut::of(&[count(&["a"], &default), count(&["b"], &default)], half)).to_string();
    let expected = "tensor `fc.weight` may equal the embedding `embed_tokens.weight`, which only counting both shards \
                    together shows";
    assert_eq!(tied, expected);
    // Together they are seen to be equal, so that nothing is selected.
    assert_eq!(Cut::of(&[count(&["a", "b"], &default)], half).unwrap().entries(), 0);
    let head = cut_error(Cut::of(&[count(&["a"], &default), count(&["c"], &default)], half)).to_string();
    assert!(
        head.starts_with("tensor `output.weight` was counted, but beside all other shards it is skipped: "),
        "{head}"
    );
    let only = Selection::new().only("fc.*");
    assert_eq!(Cut::of(&[count(&["a"], &only), count(&["b"], &only)], half).unwrap().entries(), 400);
    let none = Selection::new().include("nothing*");
    let error = Cut::of(&[count(&["a"], &none), count(&["b"], &none)], half).unwrap_err();
    assert!(matches!(error, CheckpointError::UnmatchedPattern { .. }));
}

#[test]
fn files_that_are_no_counts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part.json");
    let fails = |text: &str| {
        fs::write(&path, text).unwrap();
        let error = Counts::read(&path).unwrap_err();
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        (error.to_string() + &cause).replace(path.to_str().unwrap(), "part.json")
    };
    let start = r#"{"format":"nn-prune-counts","version":1"#;
    let selection = r#""selection":{"only":[],"include":[],"exclude":[]}"#;
    assert!(fails("{").starts_with("`part.json` is not valid JSON: "));
    assert!(fails("{}").starts_with("`part.json` is not a file of counts: missing field `format`"));
    let other = r#"{"format":"nn-prune-cut","version":1}"#;
    assert_eq!(fails(other), "`part.json` is not a file of counts: its format is not `nn-prune-counts`");
    let newer = r#"{"format":"nn-prune-counts","version":2}"#;
    assert_eq!(fails(newer), "`part.json` is a file of counts of version 2; this program knows version 1");
    let unknown = fails(&format!(r#"{start},{selection},"within":null,"shards":[],"more":1}}"#));
    assert!(unknown.starts_with("`part.json` is not a file of counts: unknown field `more`"), "{unknown}");
    let shard = r#""name":"a","bytes":100,"tensors":[{"name":"w","dtype":"F32","shape":[4],"selected":true}]"#;
    let with = |rest: &str| fails(&format!(r#"{start},{selection},"within":null,"shards":[{{{shard},{rest}}}]}}"#));
    for wrong in [
        r#""entries":5,"remaining":4,"counts":[]"#,
        r#""entries":4,"remaining":4,"counts":[]"#,
        r#""entries":4,"remaining":5,"counts":[{"dtype":"f32","below":0,"above":0,"bins":[[0,5]]}]"#,
        r#""entries":4,"remaining":4,"counts":[{"dtype":"f32","below":18446744073709551615,"above":5,"bins":[]}]"#,
        r#""entries":4,"remaining":4,"counts":[{"dtype":"f8","below":4,"above":0,"bins":[]}]"#,
    ] {
        assert_eq!(with(wrong), "`part.json` has counts of `a` that contradict each other", "{wrong}");
    }
    let right = r#""entries":4,"remaining":4,"counts":[{"dtype":"f32","below":0,"above":0,"bins":[[7,4]]}]"#;
    fs::write(&path, format!(r#"{start},{selection},"within":null,"shards":[{{{shard},{right}}}]}}"#)).unwrap();
    assert_eq!(Counts::read(&path).unwrap().entries(), 4);
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

/// In memory, the method of the cut is that of global pruning.
#[test]
fn up_to_prunes_what_global_pruning_does() {
    let arrays = [1, 2, 3].map(|seed| weights::<f32>(&[20, 30], seed).map(|x| (x * 32.0).round() / 32.0));
    let pruned = |method: prune::AnyMethod| {
        let mut parameters = arrays.clone().map(prune::Parameter::new);
        prune::global_unstructured(&mut parameters, method).unwrap();
        parameters.map(|parameter| parameter.mask().cloned())
    };
    let mut magnitudes: Vec<f32> = arrays.iter().flatten().map(|x| x.abs()).collect();
    magnitudes.sort_by(f32::total_cmp);
    for k in [1, 17, 400, 1000, 1800] {
        let threshold = magnitudes[k - 1];
        let below = magnitudes.iter().filter(|&&x| x < threshold).count();
        let up_to = UpTo::new(f64::from(threshold), k - below);
        let l1 = prune::AnyMethod::new(L1Unstructured::new(k).unwrap());
        assert_eq!(pruned(prune::AnyMethod::new(up_to)), pruned(l1), "{k}");
    }
    // Between two magnitudes, and beyond all, there are no ties.
    let all = prune::AnyMethod::new(UpTo::new(f64::NAN, 0));
    assert!(pruned(all).iter().flatten().all(|mask| mask.kept() == 0));
    assert_eq!(UpTo::new(-0.5, 3), UpTo::new(0.5, 3));
}
