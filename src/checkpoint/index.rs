//! `*.safetensors.index.json`: which shard has which tensor.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};

use super::CheckpointError;

/// The longest index that is read: as long as the longest header of a file.
const LIMIT: u64 = 100_000_000;
const WEIGHT_MAP: &str = "weight_map";
const TOTAL_SIZE: &str = "total_size";

/// An index that names only shards in its own folder or below.
#[derive(Debug)]
pub(super) struct Index {
    pub path: PathBuf,
    pub bytes: Vec<u8>,
    /// All of it but the map.
    rest: Map<String, Value>,
    /// From tensors to shards.
    pub weight_map: BTreeMap<String, String>,
}

impl Index {
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let read = |source| CheckpointError::Read { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(read)?;
        let found = file.metadata().map_err(read)?.len();
        if found > LIMIT {
            return Err(CheckpointError::IndexTooLarge { path: path.to_owned(), limit: LIMIT, found });
        }
        file.take(LIMIT).read_to_end(&mut bytes).map_err(read)?;

        let invalid = |source| CheckpointError::InvalidIndex { path: path.to_owned(), source };
        let json = serde_json::from_slice(&bytes).map_err(|error| invalid(error.into()))?;
        let Value::Object(mut rest) = json else { return Err(invalid("it is not an object".into())) };
        let Some(Value::Object(map)) = rest.remove(WEIGHT_MAP) else {
            return Err(invalid("it has no object `weight_map`".into()));
        };
        let mut weight_map = BTreeMap::new();
        for (tensor, shard) in map {
            let Value::String(shard) = shard else { return Err(invalid("a shard is not a string".into())) };
            if !stays_in_folder(&shard) {
                return Err(CheckpointError::ShardOutsideFolder { path: path.to_owned(), shard });
            }
            weight_map.insert(tensor, shard);
        }
        Ok(Self { path: path.to_owned(), bytes, rest, weight_map })
    }

    /// The names of the shards, in their order.
    pub fn shards(&self) -> BTreeSet<&str> {
        self.weight_map.values().map(String::as_str).collect()
    }

    /// The same index for other tensors. The total size is told only if it was before.
    pub fn rewritten(&self, weight_map: BTreeMap<String, String>, total_size: u64) -> Vec<u8> {
        let mut json = self.rest.clone();
        if let Some(Value::Object(metadata)) = json.get_mut("metadata") {
            metadata.entry(TOTAL_SIZE).and_modify(|size| *size = total_size.into());
        }
        json.insert(WEIGHT_MAP.into(), weight_map.into_iter().collect());
        let mut bytes = format!("{:#}", Value::Object(json)).into_bytes();
        bytes.push(b'\n');
        bytes
    }
}

/// Whether a path leads to the folder that it starts from, or to one below it. What is there may be a symbolic link, as in
/// the cache of Hugging Face: those were made by the owner of the folder.
fn stays_in_folder(shard: &str) -> bool {
    let mut components = Path::new(shard).components().peekable();
    components.peek().is_some()
        && components.all(|component| matches!(component, Component::Normal(_)))
        && !shard.contains(['\0', '\\'])
}

#[cfg(test)]
mod tests {
    use super::stays_in_folder;

    #[test]
    fn only_names_below_the_folder() {
        for name in ["a.safetensors", "sub/a.safetensors", "..a", "a..b/c"] {
            assert!(stays_in_folder(name), "{name}");
        }
        for name in ["", ".", "..", "/a", "../a", "a/../../b", "a/..", "./a", "a\0b", "..\\a", "C:\\a"] {
            assert!(!stays_in_folder(name), "{name:?}");
        }
    }
}
