//! `*.safetensors.index.json`: which shard has which tensor.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::checkpoint::CheckpointError;
use crate::file::error::{Quoted, escaped};
use crate::file::open;

/// The longest index that is read: as long as the longest header of a file.
const LIMIT: u64 = 100_000_000;
const WEIGHT_MAP: &str = "weight_map";
const TOTAL_SIZE: &str = "total_size";

/// An index that names only shards in its own folder or below.
#[derive(Debug)]
pub(crate) struct Index {
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
        let (file, found) = open::open(path).map_err(read)?;
        let found = found.len();
        if found > LIMIT {
            return Err(CheckpointError::IndexTooLarge { path: path.to_owned(), limit: LIMIT, found });
        }
        file.take(LIMIT).read_to_end(&mut bytes).map_err(read)?;

        let Entries { rest, weight_map } = serde_json::from_slice(&bytes)
            .map_err(|error| CheckpointError::InvalidIndex { path: path.to_owned(), source: escaped(error) })?;
        if let Some(shard) = weight_map.values().find(|shard| !stays_in_folder(shard)) {
            return Err(CheckpointError::ShardOutsideFolder { path: path.to_owned(), shard: shard.clone() });
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

/// The JSON object of an index. Without a visitor of its own, the last of two equal keys would win.
struct Entries {
    rest: Map<String, Value>,
    weight_map: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a `weight_map`")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut object: M) -> Result<Entries, M::Error> {
                let (mut rest, mut weight_map) = (Map::new(), None);
                while let Some(key) = object.next_key::<String>()? {
                    let repeated = match key.as_str() {
                        WEIGHT_MAP => weight_map.replace(object.next_value::<Shards>()?.0).is_some(),
                        _ => rest.insert(key.clone(), object.next_value()?).is_some(),
                    };
                    check_new(&key, repeated)?;
                }
                let weight_map = weight_map.ok_or_else(|| M::Error::missing_field(WEIGHT_MAP))?;
                Ok(Entries { rest, weight_map })
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// The map of an index.
struct Shards(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Shards {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Shards;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a shard for each tensor")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut object: M) -> Result<Shards, M::Error> {
                let mut shards = BTreeMap::new();
                while let Some((tensor, shard)) = object.next_entry::<String, String>()? {
                    let repeated = shards.insert(tensor.clone(), shard).is_some();
                    check_new(&tensor, repeated)?;
                }
                Ok(Shards(shards))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

fn check_new<E: Error>(key: &str, repeated: bool) -> Result<(), E> {
    if repeated { Err(E::custom(format_args!("{} is there twice", Quoted(key)))) } else { Ok(()) }
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
