//! The files beside the weights of a model. Loaders need some of them; those are copied into an output directory.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::read::{Checkpoint, Shard};
use crate::checkpoint::report::Companions;
use crate::file::atomic::AtomicFile;
use crate::file::open;

/// The longest file that is copied: longer than any tokenizer, shorter than most weights.
const LIMIT: u64 = 100_000_000;
/// Words in the names of configurations and of the files of tokenizers and processors.
const WORDS: &[&str] = &[
    "bpe",
    "config",
    "configuration",
    "dict",
    "merges",
    "modeling",
    "normalizer",
    "preprocessor",
    "processing",
    "processor",
    "sentencepiece",
    "spiece",
    "spm",
    "template",
    "tiktoken",
    "token",
    "tokenization",
    "tokenizer",
    "tokens",
    "vocab",
    "vocabulary",
];
/// The extensions of such files. Weights have others.
const EXTENSIONS: &[&str] = &["bpe", "codes", "jinja", "json", "model", "py", "spm", "tiktoken", "txt", "yaml", "yml"];
/// The ends of the names of weights.
const WEIGHTS: &[&str] =
    &[".bin", ".ckpt", ".gguf", ".h5", ".keras", ".msgpack", ".npz", ".onnx", ".pt", ".pth", ".safetensors"];
/// Such files whose names have none of the words.
const NAMES: &[&str] = &["labels.txt", "model_index.json", "modules.json", "params.json", "tekken.json"];
/// The configuration of an adapter. Beside a model without the adapter, loaders would look for its weights.
const ADAPTER: &str = "adapter_config.json";
/// The configuration of a model.
pub(crate) const CONFIG: &str = "config.json";

impl Companions {
    /// Lists the files beside a checkpoint, in alphabetical order.
    pub(crate) fn beside(checkpoint: &Checkpoint) -> Result<Self, CheckpointError> {
        let directory = checkpoint.directory();
        let index = checkpoint.index_path().and_then(Path::file_name).map(Path::new);
        let inputs: HashSet<&Path> = checkpoint.shards.iter().map(Shard::name).chain(index).collect();
        let is_model = directory.join(CONFIG).is_file();

        let mut companions = Self::default();
        for name in names_in(directory)? {
            let (path, name) = (directory.join(&name), PathBuf::from(name));
            if is_stage(&name) && path.is_dir() {
                for inner in names_in(&path)? {
                    companions.sort(&path.join(&inner), name.join(inner), is_model);
                }
            } else if !inputs.contains(name.as_path()) {
                companions.sort(&path, name, is_model);
            }
        }
        Ok(companions)
    }

    /// Adds a file to the list that it belongs to. Other things than files belong to none.
    fn sort(&mut self, path: &Path, name: PathBuf, is_model: bool) {
        match fs::metadata(path) {
            Ok(found) if !found.is_file() => {}
            Ok(found) if found.len() <= LIMIT && is_needed(&name, is_model) => self.copied.push(name),
            // A link that leads nowhere is no file that could be copied.
            Ok(_) | Err(_) if is_model || is_weights(&name) => self.left_out.push(name),
            Ok(_) | Err(_) => {}
        }
    }

    /// Returns the first file that another one with other contents is in the way of.
    pub(crate) fn in_the_way(&self, from: &Path, to: &Path) -> Option<PathBuf> {
        let in_the_way = |name: &&PathBuf| {
            let path = to.join(name);
            fs::symlink_metadata(&path).is_ok() && !are_equal(&from.join(name), &path)
        };
        self.copied.iter().find(in_the_way).map(|name| to.join(name))
    }

    /// Copies the files. Each appears when it is complete, or is left alone if it is there with the same contents.
    pub(crate) fn copy(&self, from: &Path, to: &Path, durable: bool) -> Result<(), CheckpointError> {
        self.copied.iter().try_for_each(|name| copy(&from.join(name), &to.join(name), durable))
    }
}

/// Returns the names in a directory, in alphabetical order, without those that begin with a dot.
fn names_in(directory: &Path) -> Result<Vec<OsString>, CheckpointError> {
    let names = fs::read_dir(directory).and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
    let mut names: Vec<OsString> =
        names.map_err(|source| CheckpointError::Read { path: directory.to_owned(), source })?;
    names.retain(|name| !name.as_encoded_bytes().starts_with(b"."));
    names.sort();
    Ok(names)
}

/// Returns `true` for a directory of sentence transformers: a number, an underscore and a name.
fn is_stage(name: &Path) -> bool {
    let Some((number, rest)) = name.to_str().and_then(|name| name.split_once('_')) else { return false };
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) && !rest.is_empty()
}

/// Returns `true` if loaders need a file of this name. `is_model` says that a `config.json` lies beside it.
fn is_needed(name: &Path, is_model: bool) -> bool {
    let Some(name) = name.file_name().and_then(|name| name.to_str()).map(str::to_lowercase) else { return false };
    if name == ADAPTER || name.ends_with(".index.json") {
        return false;
    }
    let is_text = name.rsplit_once('.').is_some_and(|(_, extension)| EXTENSIONS.contains(&extension));
    let has_word = || name.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| WORDS.contains(&word));
    // Mistral adds the version: `tokenizer.model.v3`.
    let is_known = NAMES.contains(&name.as_str()) || name.starts_with("tokenizer.model");
    let documents = ["license", "licence", "notice", "readme"];
    let is_source = || name.ends_with(".py") || documents.iter().any(|document| name.starts_with(document));
    is_known || is_text && has_word() || is_model && is_source()
}

/// Returns `true` for weights in other files, and for what belongs to them.
fn is_weights(name: &Path) -> bool {
    let name = name.to_string_lossy().to_lowercase();
    name == ADAPTER || name.ends_with(".index.json") || WEIGHTS.iter().any(|extension| name.ends_with(extension))
}

/// Returns `true` if both files can be read and are equal.
fn are_equal(one: &Path, other: &Path) -> bool {
    open::read(one).ok().zip(open::read(other).ok()).is_some_and(|(one, other)| one == other)
}

fn copy(from: &Path, to: &Path, durable: bool) -> Result<(), CheckpointError> {
    if are_equal(from, to) {
        return Ok(());
    }
    let read = |source| CheckpointError::Read { path: from.to_owned(), source };
    let write = |source| CheckpointError::Write { path: to.to_owned(), source };
    let (mut file, before) = open::open(from).map_err(read)?;
    if let Some(directory) = to.parent() {
        fs::create_dir_all(directory).map_err(write)?;
    }
    let mut copy = AtomicFile::create(to).map_err(write)?;
    let copied = io::copy(&mut file, &mut copy).map_err(write)?;
    let after = fs::metadata(from).map_err(read)?;
    if copied != before.len() || after.len() != before.len() || after.modified().ok() != before.modified().ok() {
        return Err(CheckpointError::Changed { path: from.to_owned() });
    }
    if durable { copy.commit() } else { copy.commit_unsynced() }.map_err(write)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_loaders_need_is_known_by_its_name() {
        for name in [
            "config.json",
            "generation_config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "tokenizer.model",
            "tokenizer.model.v3",
            "special_tokens_map.json",
            "added_tokens.json",
            "vocab.json",
            "vocab.txt",
            "merges.txt",
            "spiece.model",
            "sentencepiece.bpe.model",
            "source.spm",
            "bpe.codes",
            "qwen.tiktoken",
            "preprocessor_config.json",
            "processor_config.json",
            "chat_template.jinja",
            "config_sentence_transformers.json",
            "sentence_bert_config.json",
            "modules.json",
            "1_Pooling/config.json",
            "tekken.json",
            "modeling_phi.py",
            "quantize_config.json",
        ] {
            assert!(is_needed(Path::new(name), false), "{name}");
        }
        for name in ["attention.py", "LICENSE", "README.md", "LICENSE.txt", "NOTICE"] {
            assert!(is_needed(Path::new(name), true) && !is_needed(Path::new(name), false), "{name}");
        }
        for name in [
            "pytorch_model.bin",
            "model.gguf",
            "model.safetensors",
            "tokenizer.bin",
            "model.safetensors.index.json",
            "pytorch_model.bin.index.json",
            "adapter_config.json",
            "adapter_model.safetensors",
            "optimizer.pt",
            "notes.txt",
            "data.json",
            "config",
        ] {
            assert!(!is_needed(Path::new(name), true), "{name}");
        }
        for name in ["a.bin", "b.SAFETENSORS", "pytorch_model.bin.index.json", "adapter_config.json"] {
            assert!(is_weights(Path::new(name)), "{name}");
        }
        assert!(["a.txt", "bin", "safetensors", "config.json"].iter().all(|name| !is_weights(Path::new(name))));
    }

    #[test]
    fn stages_of_sentence_transformers() {
        assert!(["1_Pooling", "12_Dense"].iter().all(|name| is_stage(Path::new(name))));
        assert!(["Pooling", "_x", "1_", "a1_Pooling", "checkpoint_5"].iter().all(|name| !is_stage(Path::new(name))));
    }
}
