//! An output directory holds what loaders need, and an index; the path says whether the output is a directory.

use std::fs;
use std::path::{Path, PathBuf};

use prune::checkpoint::{
    Checkpoint, CheckpointError, Companions, Format, Output, PruneReport, Pruner, remove, restore,
};

use super::support::*;

const NEEDED: [&str; 4] = ["config.json", "generation_config.json", "preprocessor_config.json", "tokenizer.json"];
const NOT_NEEDED: [&str; 3] = ["adapter_config.json", "pytorch_model.bin", "training_args.bin"];

fn l1() -> Pruner {
    l1_pruner(0.5)
}

/// A directory of a model in one file or in two.
fn model(directory: &Path, shards: usize) -> PathBuf {
    fs::create_dir_all(directory).unwrap();
    for name in NEEDED.iter().chain(&NOT_NEEDED).chain(&[".hidden.json"]) {
        fs::write(directory.join(name), format!("{{\"name\": \"{name}\"}}")).unwrap();
    }
    fs::create_dir_all(directory.join("1_Pooling")).unwrap();
    fs::write(directory.join("1_Pooling/config.json"), "{}").unwrap();
    fs::write(directory.join("1_Pooling/model.safetensors"), "").unwrap();
    fs::create_dir_all(directory.join("runs")).unwrap();
    fs::write(directory.join("runs/config.json"), "{}").unwrap();
    let tensors = [1, 2].map(|i| vec![Raw::of(&format!("w{i}"), &weights::<f32>(&[30, 50], i))]);
    match shards {
        1 => write(&directory.join("model.safetensors"), &[], &tensors.concat()),
        _ => write_sharded(directory, &[&tensors[0], &tensors[1]]),
    }
}

fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path()).into_iter().map(|inner| format!("{name}/{inner}"))),
            false => found.push(name),
        }
    }
    found.sort();
    found
}

fn run_to(input: &Path, output: &Output) -> Result<PruneReport, CheckpointError> {
    l1().run(&Checkpoint::open([input])?, output, &())
}

fn with<'a>(weights: &[&'a str]) -> Vec<&'a str> {
    let mut all: Vec<_> = NEEDED.iter().chain(&["1_Pooling/config.json"]).chain(weights).copied().collect();
    all.sort_unstable();
    all
}

#[test]
fn a_directory_holds_what_loaders_need() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let shards =
        ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"];
    for (count, weights) in [(1, &["model.safetensors"][..]), (2, &shards)] {
        let input = model(&path(&format!("in{count}")), count);
        let output = path(&format!("out{count}"));
        fs::create_dir(&output).unwrap();
        let report = run_to(&input, &Output::new(&output)).unwrap();
        assert_eq!(files(&output), with(weights));
        for name in with(&[]) {
            assert_eq!(fs::read(output.join(name)).unwrap(), fs::read(input.with_file_name(name)).unwrap(), "{name}");
        }
        let names = |names: Vec<&str>| names.into_iter().map(PathBuf::from).collect::<Vec<_>>();
        let left_out = names(["1_Pooling/model.safetensors"].into_iter().chain(NOT_NEEDED).collect());
        assert_eq!(report.companions, Companions { copied: names(with(&[])), left_out });

        // With nothing but weights, there is nothing to report.
        let output = path(&format!("weights{count}"));
        fs::create_dir(&output).unwrap();
        let report = run_to(&input, &Output::new(&output).weights_only(true)).unwrap();
        assert_eq!(
            (files(&output), report.companions),
            (weights.iter().map(|&name| name.into()).collect(), Companions::default())
        );
    }
    // Nothing is copied beside a file.
    fs::create_dir(path("file")).unwrap();
    let report = run_to(&path("in1/model.safetensors"), &Output::new(path("file/out.safetensors"))).unwrap();
    assert_eq!((files(&path("file")), report.companions), (vec!["out.safetensors".into()], Companions::default()));
}

#[test]
fn conversions_copy_them_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let input = model(&path("in"), 2);
    let pruned = path("pruned");
    drop(l1().format(Format::PyTorch).run(&Checkpoint::open([&input]).unwrap(), &Output::new(&pruned), &()).unwrap());
    let checkpoint = Checkpoint::open([pruned.join("model.safetensors.index.json")]).unwrap();
    for (name, conversion) in [
        ("removed", remove(&checkpoint, &Output::new(path("removed")), &())),
        ("restored", restore(&checkpoint, &Output::new(path("restored")), &())),
    ] {
        let conversion = conversion.unwrap();
        assert_eq!(conversion.tensors, ["w1", "w2"]);
        assert_eq!(conversion.companions.copied.len(), 5);
        assert_eq!(files(&path(name)), files(&pruned));
    }
    // Restored shards are those of the input, byte for byte.
    for name in files(&path("restored")).iter().filter(|name| name.ends_with(".safetensors")) {
        let data =
            |place: &str| read(&path(place).join(name)).into_iter().map(|tensor| tensor.data).collect::<Vec<_>>();
        assert!(data("restored") == data("in") && data("removed") != data("in"), "{name}");
    }
}

#[test]
fn originals_come_back_whatever_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let numbers: Vec<u8> = [f32::NAN, f32::INFINITY, -0.0, -1.5].iter().flat_map(|x| x.to_le_bytes()).collect();
    let orig = Raw::new("w_orig", "F32", &[2, 2], numbers);
    let mask = Raw::new("w_mask", "U8", &[2, 2], vec![0, 1, 0, 1]);
    let other = Raw::of("b", &weights::<f32>(&[3], 1));
    // The mask in the same file, before and after, and in another one.
    for files in
        [vec![vec![&mask, &orig, &other]], vec![vec![&other, &orig, &mask]], vec![vec![&mask], vec![&orig, &other]]]
    {
        let inputs = files.iter().enumerate().map(|(i, tensors)| {
            let tensors: Vec<Raw> = tensors.iter().map(|&tensor| tensor.clone()).collect();
            write(&path(&format!("{i}.safetensors")), &[("format", "pt")], &tensors)
        });
        let output = path(&format!("out{}/", files.len()));
        let checkpoint = Checkpoint::open(inputs.collect::<Vec<_>>()).unwrap();
        assert_eq!(restore(&checkpoint, &Output::new(&output).force(true), &()).unwrap().tensors, ["w"]);
        let mut found: Vec<Raw> =
            (0..files.len()).flat_map(|i| read(&output.join(format!("{i}.safetensors")))).collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(found, [other.clone(), Raw { name: "w".into(), ..orig.clone() }]);
        // Without masks, there is nothing to restore.
        let restored = Checkpoint::open((0..files.len()).map(|i| output.join(format!("{i}.safetensors")))).unwrap();
        let again = restore(&restored, &Output::new(path("again")), &());
        assert!(matches!(again, Err(CheckpointError::NothingPruned)), "{again:?}");
    }
}

#[test]
fn what_is_there_is_replaced_with_force_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let input = model(&path("in"), 1);
    fs::create_dir(path("out")).unwrap();
    // The same contents are in nobody's way.
    fs::copy(path("in/config.json"), path("out/config.json")).unwrap();
    drop(run_to(&input, &Output::new(path("out"))).unwrap());
    fs::remove_file(path("out/model.safetensors")).unwrap();
    fs::write(path("out/tokenizer.json"), "mine").unwrap();
    let before = files(&path("out"));
    match run_to(&input, &Output::new(path("out"))) {
        Err(CheckpointError::OutputExists { path: found }) => assert_eq!(found, path("out/tokenizer.json")),
        other => panic!("{other:?}"),
    }
    assert_eq!((files(&path("out")), fs::read(path("out/tokenizer.json")).unwrap()), (before, b"mine".to_vec()));
    drop(run_to(&input, &Output::new(path("out")).weights_only(true)).unwrap());
    assert_eq!(fs::read(path("out/tokenizer.json")).unwrap(), b"mine");
    drop(run_to(&input, &Output::new(path("out")).force(true)).unwrap());
    assert_eq!(fs::read(path("out/tokenizer.json")).unwrap(), fs::read(path("in/tokenizer.json")).unwrap());
}

#[test]
fn companions_are_inputs_which_are_never_written_to() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let input = model(&path("in"), 1);
    fs::create_dir(path("out")).unwrap();
    fs::hard_link(path("in/pytorch_model.bin"), path("out/model.bin")).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(path("in/config.json"), path("out/config.json")).unwrap();
        let error = run_to(&input, &Output::new(path("out")).force(true)).unwrap_err();
        assert!(matches!(&error, CheckpointError::OutputIsInput { path: found } if *found == path("out/config.json")));
        assert_eq!(files(&path("out")), ["config.json", "model.bin"]);
        // A link that leads nowhere, and a pipe, are no files.
        fs::remove_file(path("out/config.json")).unwrap();
        std::os::unix::fs::symlink(path("nowhere"), path("in/vocab.txt")).unwrap();
        let report = run_to(&input, &Output::new(path("out"))).unwrap();
        assert!(report.companions.left_out.contains(&"vocab.txt".into()));
        assert!(!path("out/vocab.txt").exists());
    }
}

#[test]
fn the_path_says_what_the_output_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (file, index) = (model(&path("one"), 1), model(&path("two"), 2));
    let output = |name: &str| Output::new(PathBuf::from(format!("{}/{name}", directory.path().display())));
    fs::write(path("there"), "").unwrap();
    fs::create_dir(path("folder.safetensors")).unwrap();
    let kind = |input: &PathBuf, format: Format, name: &str| {
        output(name).is_directory(&Checkpoint::open([input]).unwrap(), format)
    };
    let (weights, masks) = (Format::Weights, Format::Masks);
    for (input, format, name, expected) in [
        (&file, weights, "new", Ok(false)),
        (&file, weights, "new.safetensors", Ok(false)),
        (&file, weights, "there", Ok(false)),
        (&file, weights, "new/", Ok(true)),
        (&file, weights, "new.safetensors/", Ok(true)),
        (&file, weights, "folder.safetensors", Ok(true)),
        (&file, weights, "one/..", Ok(true)),
        (&file, weights, "there/", Err("a directory")),
        (&file, masks, "new", Ok(false)),
        (&file, masks, "new/", Err("a file")),
        (&file, masks, "one", Err("a file")),
        (&index, weights, "new", Ok(true)),
        (&index, weights, "new/", Ok(true)),
        (&index, weights, "new.safetensors/", Ok(true)),
        (&index, weights, "folder.safetensors", Ok(true)),
        (&index, weights, "new.safetensors", Err("a directory")),
        (&index, Format::PyTorch, "new.safetensors", Err("a directory")),
        (&index, weights, "there", Err("a directory")),
        (&index, masks, "new.safetensors", Ok(false)),
    ] {
        let found = kind(input, format, name).map_err(|error| match error {
            CheckpointError::OutputKind { expected, .. } => expected,
            other => panic!("{other}"),
        });
        assert_eq!(found, expected, "{name} for {input:?} as {format:?}");
    }
    // A run into a directory that is not there makes it; the file has the name of the input.
    drop(run_to(&file, &output("a/b/")).unwrap());
    assert_eq!(files(&path("a/b")), with(&["model.safetensors"]));
    assert!(matches!(run_to(&index, &output("new.safetensors")), Err(CheckpointError::OutputKind { .. })));
    assert!(!path("new.safetensors").exists());
}

#[test]
fn a_run_into_a_file_is_not_resumed() {
    let directory = tempfile::tempdir().unwrap();
    let input = model(&directory.path().join("in"), 1);
    let output = directory.path().join("out.safetensors");
    let error = run_to(&input, &Output::new(&output).resume(true)).unwrap_err();
    let at = output.display();
    let expected = format!("cannot resume the run into `{at}`: only a run into a directory can be resumed");
    assert_eq!(error.to_string(), expected);
    assert!(!output.exists());
}

#[test]
fn shards_given_one_by_one_get_an_index() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let index = model(&path("in"), 2);
    let shards = [1, 2].map(|i| path(&format!("in/model-0000{i}-of-00002.safetensors")));
    drop(run(&l1(), &shards, &path("out")).unwrap());
    let parse = |path: &Path| serde_json::from_slice::<serde_json::Value>(&fs::read(path).unwrap()).unwrap();
    assert_eq!(parse(&path("out/model.safetensors.index.json")), parse(&index));
    // The output is a checkpoint again.
    assert_eq!(Checkpoint::open([path("out/model.safetensors.index.json")]).unwrap().tensors().len(), 2);
}
