//! Any bytes as the files of a checkpoint, which is opened, inspected and pruned.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use prune::checkpoint::{
    Checkpoint, CheckpointError, Format, Inspection, Outcome, Output, PruneReport, Pruner, Scope, diff, inspect,
    tensor_seed,
};
use prune::safetensors::{load_file, load_masks};
use prune::{Element, L1Unstructured, LnStructured, Parameter, PruneError, RandomStructured, RandomUnstructured};

use crate::file;

/// The options of a run, from the first three bytes.
pub struct Options {
    method: u8,
    amount: f64,
    scope: Scope,
    format: Format,
    index: bool,
}

const SEED: u64 = 888;

impl Options {
    pub fn of(bytes: [u8; 3]) -> Self {
        let [method, amount, others] = bytes;
        Self {
            method: method % 4,
            amount: f64::from(amount) / 255.0,
            scope: if others & 1 == 0 { Scope::Tensor } else { Scope::Global },
            format: [Format::Weights, Format::PyTorch, Format::Masks][usize::from(others >> 1) % 3],
            index: others & 0x80 != 0,
        }
    }

    pub fn prune(&self) -> Pruner {
        let pruner = match self.method {
            0 => L1Unstructured::new(self.amount).map(Pruner::new),
            1 => RandomUnstructured::new(self.amount, SEED).map(Pruner::new),
            2 => LnStructured::new(self.amount, 2, -1).map(Pruner::new),
            _ => RandomStructured::new(self.amount, 0, SEED).map(Pruner::new),
        };
        pruner.expect("a valid amount").scope(self.scope).format(self.format)
    }

    /// Prunes a parameter in memory as the run prunes a tensor of this name.
    fn prune_in_memory<A: Element>(&self, name: &str, parameter: &mut Parameter<A>) -> Result<(), PruneError> {
        let seed = tensor_seed(SEED, name);
        match self.method {
            0 => parameter.prune(L1Unstructured::new(self.amount)?),
            1 => parameter.prune(RandomUnstructured::new(self.amount, seed)?),
            2 => parameter.prune(LnStructured::new(self.amount, 2, -1)?),
            _ => parameter.prune(RandomStructured::new(self.amount, 0, seed)?),
        }
    }
}

/// Writes files, each of which follows its length: an index if the options have one, then up to three shards.
fn write_files(directory: &Path, options: &Options, mut rest: &[u8]) -> Vec<PathBuf> {
    let mut next = || {
        let (length, bytes) = rest.split_first_chunk()?;
        let length = usize::from(u16::from_le_bytes(*length));
        let (bytes, others) = bytes.split_at(length.min(bytes.len()));
        rest = others;
        Some(bytes)
    };
    let index = if options.index { next() } else { None };
    let mut paths = Vec::new();
    for name in ["a.safetensors", "b.safetensors", "c.safetensors"] {
        let Some(bytes) = next() else { break };
        paths.push(directory.join(name));
        fs::write(directory.join(name), file::of(bytes)).expect("a scratch file");
    }
    if let Some(index) = index {
        paths = vec![directory.join("model.safetensors.index.json")];
        fs::write(&paths[0], index).expect("a scratch file");
    }
    paths
}

/// A checkpoint is refused, or its output is a checkpoint that agrees with the report and with pruning in memory, and has the
/// same bytes every time.
pub fn check(bytes: &[u8]) {
    let Some((options, files)) = bytes.split_first_chunk::<3>() else { return };
    let options = Options::of(*options);
    let directory = tempfile::tempdir().expect("a scratch directory");
    let paths = write_files(directory.path(), &options, files);
    check_files(directory.path(), &paths, &options);
}

/// The same for files in a directory.
pub fn check_files(directory: &Path, paths: &[PathBuf], options: &Options) {
    let before = contents(directory);
    // The target `pytorch` reads these; a state dict in memory is none of them.
    let is_pytorch =
        |bytes: &Vec<u8>| bytes.starts_with(b"PK") || bytes.windows(4).any(|window| window == b"\x6c\xfc\x9c\x46");
    if before.values().any(is_pytorch) {
        return;
    }
    let checkpoint = match Checkpoint::open(paths) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return check_message(&error),
    };

    let names: Vec<&str> = checkpoint.tensors().iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len());
    let inspection = match inspect(&checkpoint, true, &()) {
        Ok(inspection) => inspection,
        Err(error) => return check_message(&error),
    };

    let (tried, output) = (options.prune().dry_run(&checkpoint, &()), directory.join("output"));
    let report = match options.prune().run(&checkpoint, &Output::new(&output), &()) {
        Ok(report) => report,
        Err(error) => {
            assert!(!output.is_file(), "an output despite an error");
            return check_message(&error);
        }
    };
    // Compared as text, since a NaN threshold does not equal itself.
    let shown = format!("{report:?}");
    assert_eq!(format!("{:?}", tried.expect("it can be done")), shown);
    let again = directory.join("again");
    let second = options.prune().run(&checkpoint, &Output::new(&again), &()).expect("it could be done");
    assert_eq!((format!("{second:?}"), contents(&again)), (shown, contents(&output)));
    let now = contents(directory);
    assert!(before.iter().all(|(path, bytes)| now.get(path) == Some(bytes)), "an input has changed");

    match options.format {
        Format::Masks => check_masks(&output, &report),
        _ => check_output(&checkpoint, &output, options, &report, &inspection),
    }
    if options.scope == Scope::Tensor && !checkpoint.is_sharded() && options.format == Format::PyTorch {
        check_in_memory::<f32>(&paths[0], &output, options, &report);
        check_in_memory::<f64>(&paths[0], &output, options, &report);
        check_in_memory::<f16>(&paths[0], &output, options, &report);
        check_in_memory::<bf16>(&paths[0], &output, options, &report);
    }
}

fn check_message(error: &CheckpointError) {
    let sources = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    for message in sources.map(ToString::to_string) {
        assert!(!message.contains(char::is_control), "{message:?}");
    }
}

/// The contents of a file, or of the files in a directory, by their relative paths.
fn contents(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    if path.is_file() {
        return BTreeMap::from([(PathBuf::new(), fs::read(path).expect("a file"))]);
    }
    let entries = fs::read_dir(path).expect("a directory").map(|entry| entry.expect("an entry").path());
    let files = entries.filter(|path| path.is_file());
    files.map(|file| (file.strip_prefix(path).expect("below").to_owned(), fs::read(&file).expect("a file"))).collect()
}

/// The numbers of pruned entries before and after, by name.
fn pruned(report: &PruneReport) -> BTreeMap<&str, (usize, usize)> {
    let pruned = |outcome: &Outcome| match *outcome {
        Outcome::Pruned { before, after, .. } => Some((before, after)),
        Outcome::Skipped(_) => None,
        _ => unreachable!("a new outcome"),
    };
    report.tensors.iter().filter_map(|tensor| Some((tensor.name.as_str(), pruned(&tensor.outcome)?))).collect()
}

fn check_masks(output: &Path, report: &PruneReport) {
    let pruned = pruned(report);
    let masks = load_masks(output).expect("a mask file");
    assert_eq!(masks.len(), pruned.len());
    for (name, mask) in masks {
        assert_eq!(mask.iter().filter(|kept| !kept).count(), pruned[&*name].1, "{name}");
    }
}

fn check_output(checkpoint: &Checkpoint, output: &Path, options: &Options, report: &PruneReport, before: &Inspection) {
    let pruned = pruned(report);
    let first = checkpoint.shards()[0].name();
    let paths = if checkpoint.index().is_some() {
        vec![output.join("model.safetensors.index.json")]
    } else if checkpoint.is_sharded() && first.extension().is_some_and(|extension| extension == "onnx") {
        vec![output.join(first)]
    } else if checkpoint.is_sharded() {
        checkpoint.shards().iter().map(|shard| output.join(shard.name())).collect()
    } else {
        vec![output.to_owned()]
    };
    let written = Checkpoint::open(&paths).expect("an output is a checkpoint");
    let difference = diff(checkpoint, &written, &()).expect("an output is a checkpoint");
    assert!(difference.only_a.is_empty() && difference.only_b.is_empty());
    for tensor in &difference.common {
        assert_eq!(tensor.a, tensor.b, "{}", tensor.name);
        let Some((before, after)) = pruned.get(tensor.name.as_str()) else {
            assert!(tensor.is_equal(), "{} was not selected", tensor.name);
            continue;
        };
        let entries = tensor.entries.expect("floats of one shape");
        assert!(before <= after && *after <= entries.entries, "{}", tensor.name);
        // A pruned infinity is NaN, not zero.
        assert!(entries.became_nonzero == 0 && entries.became_zero <= after - before, "{}", tensor.name);
    }
    let after = inspect(&written, false, &()).expect("an output is a checkpoint");
    assert_eq!(after.tensors.len(), before.tensors.len());
    if options.format == Format::PyTorch {
        for tensor in after.tensors.iter().filter(|tensor| pruned.contains_key(tensor.name.as_str())) {
            assert_eq!(tensor.masked, Some(pruned[tensor.name.as_str()].1), "{}", tensor.name);
        }
    }
}

/// The parameters of type `A` are bit for bit those that the methods make in memory.
fn check_in_memory<A: Element>(input: &Path, output: &Path, options: &Options, report: &PruneReport) {
    let (mut expected, _) = load_file::<A>(input).expect("it was opened as a checkpoint");
    let (found, _) = load_file::<A>(output).expect("an output is a state dict");
    let pruned = pruned(report);
    for (name, parameter) in expected.iter_mut().filter(|(name, _)| pruned.contains_key(*name)) {
        options.prune_in_memory(name, parameter).expect("it could be done");
        assert_eq!(found[name].mask(), parameter.mask(), "{name}");
        let values = found[name].value().iter().zip(parameter.value());
        assert!({ values }.all(|(a, b)| a == b || a.is_nan() && b.is_nan()), "{name}");
    }
}
