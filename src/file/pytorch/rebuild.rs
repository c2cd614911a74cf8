//! The calls of a pickle that stand for tensors.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use ::safetensors::Dtype;

use crate::file::pytorch::error::PyTorchError;
use crate::file::pytorch::graph::{Call, Graph, Value};

/// The deepest nesting of the calls that make one tensor.
const MAX_DEPTH: usize = 8;

/// A tensor without a name: a view of a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TensorView {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// The distances of neighbouring entries along each axis, in entries.
    pub strides: Vec<usize>,
    /// An index into the [storages](Rebuilder::storages).
    pub storage: usize,
    /// The first entry in the storage.
    pub offset: usize,
}

/// A storage as the pickle declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StorageRef {
    pub key: String,
    /// The length in bytes.
    pub bytes: u64,
}

impl StorageRef {
    /// Returns the bytes of the file that hold the storage, or an error if they are fewer than the pickle says.
    pub fn checked(&self, found: Option<Range<u64>>) -> Result<Range<u64>, PyTorchError> {
        let fault = |reason| PyTorchError::Storage { storage: self.key.clone(), reason };
        let range = found.ok_or_else(|| fault("is missing"))?;
        if range.end - range.start < self.bytes {
            return Err(fault("is shorter than the pickle says"));
        }
        Ok(range)
    }
}

/// The id of a storage.
pub(crate) struct DeclaredStorage<'p> {
    pub key: &'p str,
    /// The name of its class.
    kind: &'p str,
    /// The number of entries.
    entries: usize,
    /// The entry at which a view of it begins.
    start: usize,
}

impl<'p> Graph<'p> {
    /// Returns the storage that a persistent id declares.
    fn declared(&self, value: Value) -> Option<DeclaredStorage<'p>> {
        let &[tag, kind, key, _, entries, ref rest @ ..] = self.tuple(self.persistent(value)?)? else { return None };
        if !self.is(tag, "storage") {
            return None;
        }
        // Files before PyTorch 0.4 have views of storages: a key, the first entry and the number of entries.
        let start = match rest.first().map(|&view| self.tuple(view)) {
            Some(Some(&[_, start, _])) => size(start)?,
            _ => 0,
        };
        let (_, kind) = self.global(kind)?;
        Some(DeclaredStorage { key: self.short_text(key)?, kind, entries: size(entries)?, start })
    }

    /// Returns all storages that the pickle declares, some of them repeatedly.
    pub fn storages(&self) -> impl Iterator<Item = DeclaredStorage<'p>> {
        self.nodes().filter_map(|value| self.declared(value))
    }
}

impl DeclaredStorage<'_> {
    /// The size of an element in bytes, or `None` for a class that is unknown.
    pub fn element(&self) -> Option<u64> {
        match self.kind {
            "UntypedStorage" | "QInt8Storage" | "QUInt8Storage" | "QUInt4x2Storage" | "QUInt2x4Storage" => Some(1),
            "QInt32Storage" => Some(4),
            "ComplexDoubleStorage" => Some(16),
            kind => Some(storage_dtype(kind).ok()?.bitsize() as u64 / 8),
        }
    }
}

/// Finds the tensors among the values of a pickle, and collects their storages.
pub(crate) struct Rebuilder<'g, 'p> {
    pub graph: &'g Graph<'p>,
    /// The storages of all tensors so far, each once.
    pub storages: Vec<StorageRef>,
    by_key: HashMap<String, usize>,
    /// The number of values that may still be looked at. The same value can be part of others any number of times.
    steps: u64,
}

/// The reason why a call that stands for a tensor gives none.
pub(crate) enum Refusal {
    /// The fault of the tensor.
    Tensor(String),
    File(PyTorchError),
}

impl From<PyTorchError> for Refusal {
    fn from(error: PyTorchError) -> Self {
        Self::File(error)
    }
}

fn malformed() -> Refusal {
    Refusal::Tensor("is described in a way that PyTorch does not write".to_owned())
}

impl<'g, 'p> Rebuilder<'g, 'p> {
    pub fn new(graph: &'g Graph<'p>) -> Self {
        // A pickle of PyTorch is looked at a few times.
        let steps = 4096 + 16 * graph.end as u64;
        Self { graph, storages: Vec::new(), by_key: HashMap::new(), steps }
    }

    /// Counts the work for a value that many others may refer to.
    pub fn spend(&mut self, steps: usize) -> Result<(), PyTorchError> {
        self.steps = self.steps.checked_sub(steps as u64).ok_or(PyTorchError::TooComplex)?;
        Ok(())
    }

    /// Returns the tensor that a value stands for, or `None` if it is no tensor.
    pub fn tensor(&mut self, value: Value) -> Result<Option<TensorView>, Refusal> {
        match self.graph.call(value) {
            Some(call) => self.called(call, call.arguments, call.function, MAX_DEPTH),
            None => Ok(None),
        }
    }

    /// Returns the tensor that a call of a function with these arguments gives.
    fn called(
        &mut self,
        call: &'g Call,
        arguments: Value,
        function: Value,
        depth: usize,
    ) -> Result<Option<TensorView>, Refusal> {
        self.spend(1)?;
        let depth = depth.checked_sub(1).ok_or(PyTorchError::TooComplex)?;
        let graph = self.graph;
        let arguments = graph.tuple(arguments).unwrap_or_default();
        match (graph.global(function), arguments) {
            (Some(("torch._utils", "_rebuild_tensor")), &[storage, offset, shape, strides, ..]) => {
                self.view(None, storage, offset, shape, strides).map(Some)
            }
            (Some(("torch._utils", "_rebuild_tensor_v2")), &[storage, offset, shape, strides, ref rest @ ..]) => {
                self.check_flags(rest.get(2))?;
                self.view(None, storage, offset, shape, strides).map(Some)
            }
            (
                Some(("torch._utils", "_rebuild_tensor_v3")),
                &[storage, offset, shape, strides, _, _, dtype, ref rest @ ..],
            ) => {
                self.check_flags(rest.first())?;
                let (_, name) = graph.global(dtype).ok_or_else(malformed)?;
                self.view(Some(dtype_of(name)?), storage, offset, shape, strides).map(Some)
            }
            (Some(("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")), &[data, ..]) => {
                let inner = graph.call(data).ok_or_else(malformed)?;
                self.called(inner, inner.arguments, inner.function, depth)
            }
            (
                Some(("torch._tensor" | "torch.tensor", "_rebuild_from_type" | "_rebuild_from_type_v2")),
                &[inner, _, inner_arguments, ..],
            ) => self.called(call, inner_arguments, inner, depth),
            (Some((module, name)), _) if module.starts_with("torch") && name.starts_with("_rebuild") => {
                Err(Refusal::Tensor(format!("is of a kind that safetensors does not have ({module}.{name})")))
            }
            (found, _) => {
                if self.has_storage(call.arguments)? || self.has_storage(call.state)? {
                    let kind = found.map(|(module, name)| format!(" of the type {module}.{name}")).unwrap_or_default();
                    return Err(Refusal::Tensor(format!("is part of an object{kind}")));
                }
                Ok(None)
            }
        }
    }

    /// Returns whether any tensor is part of a value.
    pub fn has_storage(&mut self, value: Value) -> Result<bool, PyTorchError> {
        let mut seen = HashSet::new();
        let mut waiting = vec![value];
        while let Some(value) = waiting.pop() {
            let Value::Node(number) = value else { continue };
            if !seen.insert(number) {
                continue;
            }
            if self.graph.persistent(value).is_some() {
                return Ok(true);
            }
            let before = waiting.len();
            self.graph.for_each_child(value, |child| waiting.push(child));
            self.spend(1 + waiting.len() - before)?;
        }
        Ok(false)
    }

    /// Returns an error if a view shows other values than those of its storage.
    fn check_flags(&mut self, metadata: Option<&Value>) -> Result<(), Refusal> {
        let graph = self.graph;
        let items = metadata.and_then(|&metadata| graph.dict(metadata)).unwrap_or_default();
        self.spend(items.len())?;
        let is_set = |flag| items.iter().any(|&(key, value)| graph.is(key, flag) && value == Value::Bool(true));
        match ["conj", "neg"].into_iter().find(|flag| is_set(flag)) {
            Some(flag) => {
                Err(Refusal::Tensor(format!("has the flag `{flag}`, so its values are not those in the file")))
            }
            None => Ok(()),
        }
    }

    fn view(
        &mut self,
        dtype: Option<Dtype>,
        storage: Value,
        offset: Value,
        shape: Value,
        strides: Value,
    ) -> Result<TensorView, Refusal> {
        let (shape, strides) = (self.sizes(shape)?, self.sizes(strides)?);
        if shape.len() != strides.len() {
            return Err(malformed());
        }
        let (storage, stored, start) = self.storage(storage)?;
        let dtype = dtype.or(stored).ok_or_else(malformed)?;
        let offset = size(offset).and_then(|offset| offset.checked_add(start)).ok_or_else(malformed)?;
        let view = TensorView { dtype, shape, strides, storage, offset };
        match view.end() {
            Some(end) if end <= self.storages[storage].bytes => Ok(view),
            _ => Err(Refusal::Tensor("reaches beyond its storage".to_owned())),
        }
    }

    fn sizes(&mut self, value: Value) -> Result<Vec<usize>, Refusal> {
        let graph = self.graph;
        let sizes = match graph.call(value) {
            // `torch.Size(tuple)`
            Some(call) => graph.tuple(call.arguments).and_then(|arguments| graph.tuple(*arguments.first()?)),
            None => graph.tuple(value),
        };
        let sizes = sizes.ok_or_else(malformed)?;
        self.spend(sizes.len())?;
        sizes.iter().map(|&size| self::size(size).ok_or_else(malformed)).collect()
    }

    /// Returns the number of a storage, its dtype unless it is untyped, and the entry at which the view of it begins.
    fn storage(&mut self, value: Value) -> Result<(usize, Option<Dtype>, usize), Refusal> {
        let declared = self.graph.declared(value).ok_or_else(malformed)?;
        let dtype = match declared.kind {
            "UntypedStorage" => None,
            typed => Some(storage_dtype(typed)?),
        };
        let element = declared.element().ok_or_else(malformed)?;
        let bytes = (declared.entries as u64).checked_mul(element).ok_or_else(malformed)?;
        self.spend(declared.key.len())?;
        let (key, start) = (declared.key.to_owned(), declared.start);
        let number = *self.by_key.entry(key.clone()).or_insert_with(|| {
            self.storages.push(StorageRef { key, bytes });
            self.storages.len() - 1
        });
        let first = &self.storages[number];
        if first.bytes != bytes {
            let (storage, reason) = (first.key.clone(), "has two lengths");
            return Err(PyTorchError::Storage { storage, reason }.into());
        }
        Ok((number, dtype, start))
    }
}

impl TensorView {
    /// The number of entries, or `None` if sizes other than 0 have a product beyond `usize`.
    pub fn entries(&self) -> Option<usize> {
        let product = self.shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size.max(1)))?;
        Some(if self.shape.contains(&0) { 0 } else { product })
    }

    /// The number of bytes, which are whole for every dtype that [`dtype_of`] returns.
    pub fn bytes(&self) -> Option<u64> {
        (self.entries()? as u64).checked_mul(self.size())
    }

    /// The size of an entry in bytes.
    pub fn size(&self) -> u64 {
        self.dtype.bitsize() as u64 / 8
    }

    /// The offset in the storage of the first byte after all entries.
    fn end(&self) -> Option<u64> {
        // Both have to be known, also for a tensor without entries, which then ends at 0.
        self.bytes()?;
        if self.shape.contains(&0) {
            return Some(0);
        }
        let reach = self.shape.iter().zip(&self.strides).map(|(&size, &stride)| (size - 1).checked_mul(stride));
        let last = reach.into_iter().try_fold(self.offset, |last, reach| last.checked_add(reach?))?;
        (last as u64).checked_add(1)?.checked_mul(self.size())
    }
}

/// Returns a size, stride or offset.
fn size(value: Value) -> Option<usize> {
    match value {
        Value::Int(size) => usize::try_from(size).ok(),
        Value::None | Value::Bool(_) | Value::Text(_) | Value::Node(_) | Value::Other => None,
    }
}

/// Returns the dtype of a storage by the name of its class.
fn storage_dtype(name: &str) -> Result<Dtype, Refusal> {
    Ok(match name {
        "DoubleStorage" => Dtype::F64,
        "FloatStorage" => Dtype::F32,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::BF16,
        "LongStorage" => Dtype::I64,
        "IntStorage" => Dtype::I32,
        "ShortStorage" => Dtype::I16,
        "CharStorage" => Dtype::I8,
        "ByteStorage" => Dtype::U8,
        "BoolStorage" => Dtype::BOOL,
        "ComplexFloatStorage" => Dtype::C64,
        _ => return Err(unsupported(name)),
    })
}

/// Returns the dtype by its name in the module `torch`.
fn dtype_of(name: &str) -> Result<Dtype, Refusal> {
    Ok(match name {
        "float64" => Dtype::F64,
        "float32" => Dtype::F32,
        "float16" => Dtype::F16,
        "bfloat16" => Dtype::BF16,
        "int64" => Dtype::I64,
        "int32" => Dtype::I32,
        "int16" => Dtype::I16,
        "int8" => Dtype::I8,
        "uint64" => Dtype::U64,
        "uint32" => Dtype::U32,
        "uint16" => Dtype::U16,
        "uint8" => Dtype::U8,
        "bool" => Dtype::BOOL,
        "complex64" => Dtype::C64,
        "float8_e4m3fn" => Dtype::F8_E4M3,
        "float8_e5m2" => Dtype::F8_E5M2,
        "float8_e4m3fnuz" => Dtype::F8_E4M3FNUZ,
        "float8_e5m2fnuz" => Dtype::F8_E5M2FNUZ,
        "float8_e8m0fnu" => Dtype::F8_E8M0,
        _ => return Err(unsupported(name)),
    })
}

fn unsupported(name: &str) -> Refusal {
    Refusal::Tensor(format!("has a dtype that safetensors does not have ({name})"))
}
