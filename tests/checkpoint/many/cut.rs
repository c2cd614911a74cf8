//! Processes that count and prune shards one after another, without knowing of each other.

use std::fs;
use std::path::Path;

use half::{bf16, f16};
use prune::checkpoint::{Checkpoint, CheckpointError, Counts, Cut, CutError, Format, Output, Scope, Selection};
use prune::{Amount, L1Unstructured, UpTo};

use super::{folder_with, shard, shards};
use crate::checkpoint::support::{Raw, Stored, l1_pruner, weights, write};

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
