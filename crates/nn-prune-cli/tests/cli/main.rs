//! Tests of the command line. They run the binary on small files that they write.

mod apart;
mod bad_input;
mod calibrated;
mod compact;
mod convert;
mod diff;
mod directories;
#[cfg(unix)]
mod full_disk;
mod hostile;
mod inputs;
mod inspect;
#[cfg(unix)]
mod killed;
mod many;
mod masks;
#[cfg(unix)]
mod memory;
mod onnx;
mod output;
mod pack;
mod patterns;
mod permute;
mod picture;
mod pytorch;
mod reproducible;
mod selection;
#[cfg(unix)]
mod shards;
mod tables;
#[cfg(unix)]
mod terminal;
mod usage;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ndarray::{ArrayD, IxDyn};
use prune::ParameterStore;
use tempfile::TempDir;

/// The output and the exit code of one run of the program.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Run {
    /// Runs a command and waits until it ends.
    fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Returns the standard output. The run must have succeeded, without any text on standard error.
    #[track_caller]
    fn ok(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{}", self.out);
        self.out
    }

    #[track_caller]
    fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.ok()).unwrap()
    }

    /// Asserts that the run failed with this code, and with a message that starts with this text.
    #[track_caller]
    fn fails(self, code: i32, message: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.err.starts_with(message), "expected {message:?}, found\n{}", self.err);
        assert_eq!(self.out, "");
    }
}

fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_nn-prune"));
    program.stdin(Stdio::null()).env_remove("COLUMNS"); // the width of tables
    program
}

/// A temporary directory in which the program is run.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), contents).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Runs the program in this directory. The arguments are split at spaces.
    fn run(&self, arguments: &str) -> Run {
        self.run_with(arguments.split_whitespace())
    }

    fn run_with(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Run {
        Run::of(program().args(arguments).current_dir(self.0.path()))
    }

    /// Returns the paths of all files, those in subdirectories too.
    fn files(&self) -> Vec<String> {
        fn walk(folder: &Path, root: &Path, names: &mut Vec<String>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, root, names);
                } else {
                    names.push(path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/"));
                }
            }
        }
        let mut names = Vec::new();
        walk(self.0.path(), self.0.path(), &mut names);
        names.sort();
        names
    }
}

/// Returns pseudo-random numbers of both signs. Some of them are equal.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 54) as f32 / 512.0 - 1.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn tensor(shape: &[usize], seed: u64) -> ArrayD<f32> {
    ArrayD::from_shape_vec(IxDyn(shape), numbers(shape.iter().product(), seed)).unwrap()
}

/// The tensors of [`model`] that are pruned by default.
const WEIGHTS: [&str; 3] = ["encoder.0.attention.weight", "encoder.0.conv.weight", "encoder.1.weight"];

/// Returns a model with three weights, an embedding, a norm and a bias.
fn model() -> ParameterStore<f32> {
    ParameterStore::from_iter([
        ("embeddings.word_embeddings.weight", tensor(&[10, 6], 1)),
        ("encoder.0.attention.weight", tensor(&[12, 6], 2)),
        ("encoder.0.attention.bias", tensor(&[12], 3)),
        ("encoder.0.conv.weight", tensor(&[4, 3, 5], 4)),
        ("encoder.0.norm.weight", tensor(&[6], 5)),
        ("encoder.1.weight", tensor(&[7, 9], 6)),
    ])
}

/// Returns a directory with the model in `model.safetensors`.
fn folder_with_model() -> Folder {
    let folder = Folder::new();
    prune::safetensors::save_file(&model(), folder.path("model.safetensors")).unwrap();
    folder
}

/// Writes a range of the tensors of a model to a file.
fn save_part(model: &ParameterStore<f32>, range: std::ops::Range<usize>, path: &Path) {
    let tensors = model.iter().skip(range.start).take(range.len());
    let part = ParameterStore::from_iter(tensors.map(|(name, parameter)| (name, parameter.value().clone())));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    prune::safetensors::save_file(&part, path).unwrap();
}

const INDEX: &str = "model.safetensors.index.json";
const SHARDS: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

/// Writes the model as two shards with an index, as Hugging Face does.
fn write_shards(folder: &Path) {
    let model = model();
    let middle = 3;
    for (shard, range) in SHARDS.into_iter().zip([0..middle, middle..model.len()]) {
        save_part(&model, range, &folder.join(shard));
    }
    let shard =
        |(number, (name, _)): (usize, (&str, _))| (name.to_owned(), SHARDS[usize::from(number >= middle)].into());
    let map: serde_json::Map<_, _> = model.iter().enumerate().map(shard).collect();
    let index = serde_json::json!({ "metadata": { "total_size": 1176 }, "weight_map": map });
    fs::write(folder.join(INDEX), index.to_string()).unwrap();
}

/// Returns a valid file with these tensors: name, dtype, shape and bytes.
fn file_of(tensors: &[(&str, &str, &[usize], &[u8])]) -> Vec<u8> {
    let mut data = Vec::new();
    let mut header = serde_json::Map::new();
    for (name, dtype, shape, bytes) in tensors {
        let offsets = [data.len(), data.len() + bytes.len()];
        header.insert((*name).into(), serde_json::json!({ "dtype": dtype, "shape": shape, "data_offsets": offsets }));
        data.extend_from_slice(bytes);
    }
    let header = serde_json::Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
}

/// Returns little-endian bytes.
fn bytes_of(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}
