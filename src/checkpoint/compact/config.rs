//! `config.json`: the sizes of a model, and changes to them.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::write::companions::CONFIG;
use crate::file::escape::{Quoted, escaped};
use crate::file::open;

/// The longest configuration, coupling or plan that is read.
const LIMIT: u64 = 100_000_000;

/// The configuration of a model, as Hugging Face writes it.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    path: PathBuf,
    json: Map<String, Value>,
}

impl Config {
    /// Reads the configuration in a directory.
    pub fn read(directory: &Path) -> Result<Self, CheckpointError> {
        let path = directory.join(CONFIG);
        match read_json(&path)? {
            Value::Object(json) => Ok(Self { path, json }),
            other => Err(CheckpointError::Config { path, reason: format!("holds {}, not an object", kind(&other)) }),
        }
    }

    pub fn error(&self, reason: impl Into<String>) -> CheckpointError {
        CheckpointError::Config { path: self.path.clone(), reason: reason.into() }
    }

    pub fn model_type(&self) -> Result<&str, CheckpointError> {
        self.json.get("model_type").and_then(Value::as_str).ok_or_else(|| self.error("has no `model_type`"))
    }

    /// Returns a value that is not null.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.json.get(key).filter(|value| !value.is_null())
    }

    /// Returns a positive integer, or `None` if the key is missing or null.
    pub fn size(&self, key: &str) -> Result<Option<usize>, CheckpointError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let size = value.as_u64().and_then(|size| usize::try_from(size).ok()).filter(|&size| size > 0);
        size.map(Some).ok_or_else(|| self.error(format!("has {} for `{key}`, not a positive integer", kind(value))))
    }

    pub fn required_size(&self, key: &str) -> Result<usize, CheckpointError> {
        self.size(key)?.ok_or_else(|| self.error(format!("lacks `{key}`")))
    }

    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.json.insert(key.to_owned(), value.into());
    }

    /// Removes the entries of some layers: lists with an entry for each layer are filtered, and numbers of layers counted.
    pub fn drop_layers(&mut self, key: &str, kept: &[usize], all: usize) -> Result<(), CheckpointError> {
        for (name, value) in &mut self.json {
            match value {
                Value::Array(list) if list.len() == all && name.starts_with("layer") => {
                    *list = kept.iter().map(|&layer| list[layer].clone()).collect();
                }
                Value::Array(list) if name.contains("layer") && !list.is_empty() => {
                    let reason = format!("has a list {}, which may name layers: they cannot be dropped", Quoted(name));
                    return Err(CheckpointError::Config { path: self.path.clone(), reason });
                }
                Value::Number(number) if name == "max_window_layers" => {
                    let limit = number.as_u64().unwrap_or(u64::MAX);
                    *value = kept.iter().filter(|&&layer| (layer as u64) < limit).count().into();
                }
                _ => {}
            }
        }
        self.set(key, kept.len());
        Ok(())
    }

    /// Returns the keys whose values differ from those of another configuration, with both values.
    pub fn changes(&self, after: &Self) -> Vec<ConfigChange> {
        let null = Value::Null;
        let change = |(key, value): (&String, &Value)| {
            let before = self.json.get(key).unwrap_or(&null);
            (before != value).then(|| ConfigChange {
                key: key.clone(),
                before: before.to_string(),
                after: value.to_string(),
            })
        };
        after.json.iter().filter_map(change).collect()
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut text = format!("{:#}", Value::Object(self.json.clone()));
        text.push('\n');
        text.into_bytes()
    }
}

/// A key of `config.json` that was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigChange {
    /// The key.
    pub key: String,
    /// The value before, as JSON; `null` if the key was missing.
    pub before: String,
    /// The value after, as JSON.
    pub after: String,
}

/// Reads a file of JSON.
pub(crate) fn read_json(path: &Path) -> Result<Value, CheckpointError> {
    let read = |source| CheckpointError::Read { path: path.to_owned(), source };
    let (file, metadata) = open::open(path).map_err(read)?;
    if metadata.len() > LIMIT {
        let reason = format!("is too large: {} bytes, limit {LIMIT}", metadata.len());
        return Err(CheckpointError::Config { path: path.to_owned(), reason });
    }
    let mut bytes = Vec::new();
    file.take(LIMIT).read_to_end(&mut bytes).map_err(read)?;
    let invalid = |error| CheckpointError::InvalidJson { path: path.to_owned(), source: escaped(error) };
    serde_json::from_slice(&bytes).map_err(invalid)
}

/// The type of a JSON value, for messages.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
