//! The format of PyTorch before 1.6: five pickles, then the storages, each after its number of entries.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;

use crate::file::positional::read_at;
use crate::file::pytorch::error::PyTorchError;
use crate::file::pytorch::pickle::{Graph, Value};
use crate::file::pytorch::rebuild::{Rebuilder, StorageRef};
use crate::file::pytorch::select::Selected;
use crate::file::pytorch::{Failure, LIMIT};

/// The end of the first pickle: an integer of ten bytes, and the last instruction.
const MAGIC: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
/// The number of bytes that are read at first. Pickles are at the beginning of a file, and their length is not stated.
const FIRST_READ: u64 = 1 << 20;

/// The pickles of a file.
struct Pickles {
    selected: Selected,
    storages: Vec<StorageRef>,
    /// The keys of all storages in the order of their data, with the sizes of their elements.
    order: Vec<(String, u64)>,
    /// The number of bytes of the pickles.
    end: u64,
}

/// Reads the pickles of a file of `len` bytes. Returns the tensors, and the bytes of the file that hold each storage.
pub(crate) fn open(file: &File, len: u64, key: Option<&str>) -> Result<(Selected, Vec<Range<u64>>), Failure> {
    let mut read = FIRST_READ.min(len);
    loop {
        let mut bytes = vec![0; read as usize];
        read_at(file, &mut bytes, 0)?;
        match Pickles::parse(&bytes, key) {
            Err(PyTorchError::CutOff) if read < len && read >= LIMIT => {
                return Err(PyTorchError::PickleTooLarge { limit: LIMIT, found: len }.into());
            }
            Err(PyTorchError::CutOff) if read < len => read = (read * 8).min(len).min(LIMIT),
            Err(error) => return Err(error.into()),
            Ok(pickles) => {
                let ranges = pickles.storage_ranges(file, len)?;
                return Ok((pickles.selected, ranges));
            }
        }
    }
}

impl Pickles {
    fn parse(bytes: &[u8], key: Option<&str>) -> Result<Self, PyTorchError> {
        let magic = Graph::parse(bytes, 0)?;
        if !bytes[..magic.end].ends_with(MAGIC) {
            return Err(PyTorchError::OtherPickle);
        }
        let version = Graph::parse(bytes, magic.end)?;
        let system = Graph::parse(bytes, version.end)?;
        let is_big =
            |&(key, value): &(Value, Value)| system.text(key) == Some("little_endian") && value == Value::Bool(false);
        if system.dict(system.root).unwrap_or_default().iter().any(is_big) {
            return Err(PyTorchError::BigEndian);
        }
        let graph = Graph::parse(bytes, system.end)?;
        let keys = Graph::parse(bytes, graph.end)?;

        let mut rebuilder = Rebuilder::new(&graph);
        let selected = Selected::new(&mut rebuilder, key)?;
        let elements: HashMap<&str, u64> =
            graph.storages().filter_map(|found| Some((found.key, found.element()?))).collect();
        let order = keys.list(keys.root).unwrap_or_default().iter().map(|&key| {
            let key = keys.text(key).unwrap_or_default();
            match elements.get(key) {
                Some(&element) => Ok((key.to_owned(), element)),
                None => Err(fault(key, "is of an unknown type")),
            }
        });
        let order = order.collect::<Result<_, _>>()?;
        let storages = rebuilder.storages;
        Ok(Self { selected, storages, order, end: keys.end as u64 })
    }

    fn storage_ranges(&self, file: &File, len: u64) -> Result<Vec<Range<u64>>, Failure> {
        let mut ranges = HashMap::new();
        let mut position = self.end;
        for (key, element) in &self.order {
            let mut entries = [0; size_of::<u64>()];
            let is_inside = position.checked_add(8).is_some_and(|end| end <= len);
            if !is_inside {
                return Err(fault(key, "lies beyond the end of the file").into());
            }
            read_at(file, &mut entries, position)?;
            let start = position + 8;
            let bytes = u64::from_le_bytes(entries).checked_mul(*element);
            match bytes.and_then(|bytes| start.checked_add(bytes)).filter(|&end| end <= len) {
                Some(end) => position = end,
                None => return Err(fault(key, "lies beyond the end of the file").into()),
            }
            ranges.insert(key.as_str(), start..position);
        }
        let range = |storage: &StorageRef| match ranges.get(storage.key.as_str()) {
            Some(range) => Ok(range.clone()),
            None => Err(fault(&storage.key, "is missing").into()),
        };
        self.storages.iter().map(range).collect()
    }
}

fn fault(storage: &str, reason: &'static str) -> PyTorchError {
    PyTorchError::Storage { storage: storage.to_owned(), reason }
}
