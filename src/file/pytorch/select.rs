//! The dictionary of a pickle whose tensors are read, and their names.

use indexmap::IndexMap;

use crate::file::pytorch::error::PyTorchError;
use crate::file::pytorch::pickle::{Graph, Value};
use crate::file::pytorch::rebuild::{Rebuilder, Refusal, TensorView};

/// The deepest nesting of dictionaries.
const MAX_DEPTH: usize = 64;

/// The tensors under a key of the pickle.
pub(crate) struct Selected {
    /// The key, in which dots join the keys of nested dictionaries; empty for the outermost one.
    pub key: String,
    /// The tensors by name, in the order of the pickle.
    pub tensors: IndexMap<String, TensorView>,
    /// The other keys under which tensors are: those beside the key, and beside each one that it is nested in.
    pub left_out: Vec<String>,
}

/// A value with the keys that lead to it.
struct Found {
    path: Vec<String>,
    value: Value,
}

impl Selected {
    /// Reads the tensors under a key. Without one, that of the only dictionary that directly contains floating-point tensors
    /// with dimensions is taken, or if there is none, of the only one that directly contains any tensors.
    pub fn new(rebuilder: &mut Rebuilder<'_, '_>, key: Option<&str>) -> Result<Self, PyTorchError> {
        let root = rebuilder.graph.root;
        let Found { path, value } = match key {
            Some(key) => match find(rebuilder.graph, root, key) {
                Some(found) => found,
                None => return Err(missing(rebuilder, key)),
            },
            None => only_dictionary(rebuilder)?,
        };
        let mut tensors = IndexMap::new();
        collect(rebuilder, value, &mut String::new(), MAX_DEPTH, &mut tensors)?;
        match (key, tensors.is_empty()) {
            (Some(key), true) => Err(missing(rebuilder, key)),
            (None, true) => Err(PyTorchError::NoTensors),
            (_, false) => Ok(Self { key: path.join("."), left_out: left_out(rebuilder, &path)?, tensors }),
        }
    }
}

/// Returns the value under a key. Its keys may contain dots themselves.
fn find(graph: &Graph<'_>, value: Value, key: &str) -> Option<Found> {
    if key.is_empty() {
        return Some(Found { path: Vec::new(), value });
    }
    entries(graph, value).find_map(|(name, value)| {
        let rest = key.strip_prefix(&name)?;
        let mut found = match rest.strip_prefix('.') {
            Some(rest) => find(graph, value, rest)?,
            None if rest.is_empty() => Found { path: Vec::new(), value },
            None => return None,
        };
        found.path.insert(0, name);
        Some(found)
    })
}

/// The values of a dictionary, with their keys, and of a list, with their numbers.
fn entries<'g>(graph: &'g Graph<'_>, value: Value) -> impl Iterator<Item = (String, Value)> + use<'g> {
    let of_dict = graph.dict(value).unwrap_or_default().iter();
    let of_dict = of_dict.filter_map(|&(key, value)| match key {
        Value::Int(key) => Some((key.to_string(), value)),
        key => Some((graph.text(key)?.to_owned(), value)),
    });
    let of_list = graph.list(value).or(graph.tuple(value)).unwrap_or_default().iter().enumerate();
    of_dict.chain(of_list.map(|(number, &value)| (number.to_string(), value)))
}

/// Returns the only dictionary, or module, that directly contains tensors.
fn only_dictionary(rebuilder: &mut Rebuilder<'_, '_>) -> Result<Found, PyTorchError> {
    for has_weights in [true, false] {
        let (mut found, mut path) = (Vec::new(), Vec::new());
        let root = rebuilder.graph.root;
        Search { rebuilder, has_weights, found: &mut found }.visit(root, &mut path)?;
        match (found.pop(), found.is_empty()) {
            (Some(only), true) => return Ok(only),
            (Some(last), false) => {
                let keys = found.iter().chain([&last]).map(|found| found.path.join(".")).collect();
                return Err(PyTorchError::SeveralKeys { keys });
            }
            (None, _) => {}
        }
    }
    Err(PyTorchError::NoTensors)
}

/// A search for dictionaries with tensors.
struct Search<'s, 'g, 'p> {
    rebuilder: &'s mut Rebuilder<'g, 'p>,
    /// Whether one of the tensors has to be of floating-point numbers, and have dimensions: what is trained.
    has_weights: bool,
    found: &'s mut Vec<Found>,
}

impl Search<'_, '_, '_> {
    fn visit(&mut self, value: Value, path: &mut Vec<String>) -> Result<(), PyTorchError> {
        self.rebuilder.spend(1)?;
        if path.len() > MAX_DEPTH {
            return Err(PyTorchError::TooComplex);
        }
        let graph = self.rebuilder.graph;
        if module_tables(graph, value).is_some() {
            if self.rebuilder.has_storage(value)? {
                self.found.push(Found { path: path.clone(), value });
            }
            return Ok(());
        }
        let Some(items) = graph.dict(value) else { return Ok(()) };
        if is_optimizer(graph, items) {
            return Ok(());
        }
        let mut is_found = false;
        for &(key, value) in items {
            let Some(key) = graph.text(key) else { continue };
            is_found = is_found || self.is_weight(value)?;
            self.rebuilder.spend(1 + key.len())?;
            path.push(key.to_owned());
            self.visit(value, path)?;
            path.pop();
        }
        if is_found {
            self.rebuilder.spend(path.iter().map(String::len).sum())?;
            self.found.push(Found { path: path.clone(), value });
        }
        Ok(())
    }

    fn is_weight(&mut self, value: Value) -> Result<bool, PyTorchError> {
        match self.rebuilder.tensor(value) {
            Ok(Some(TensorView { dtype, shape, .. })) => {
                let is_float = crate::file::dtype::Dtype(dtype).can_be_pruned();
                Ok(!self.has_weights || is_float && !shape.is_empty())
            }
            // What is wrong with it is told if its dictionary is read.
            Ok(None) | Err(Refusal::Tensor(_)) => Ok(false),
            Err(Refusal::File(error)) => Err(error),
        }
    }
}

/// Returns `true` for the state dict of an optimizer, whose tensors are no weights.
fn is_optimizer(graph: &Graph<'_>, items: &[(Value, Value)]) -> bool {
    let has = |name| items.iter().any(|&(key, _)| graph.text(key) == Some(name));
    has("state") && has("param_groups")
}

/// The parameters, buffers and inner modules of a pickled `torch.nn.Module`, by its attributes.
struct Module {
    parameters: Value,
    buffers: Value,
    modules: Value,
    /// The names of buffers that are not part of the state dict.
    unsaved: Vec<String>,
}

fn module_tables(graph: &Graph<'_>, value: Value) -> Option<Module> {
    let attributes = graph.dict(graph.call(value)?.state)?;
    let attribute = |name| attributes.iter().find(|&&(key, _)| graph.text(key) == Some(name)).map(|&(_, value)| value);
    let [parameters, buffers, modules] = ["_parameters", "_buffers", "_modules"].map(attribute);
    // `set([...])`, or a set.
    let unsaved = attribute("_non_persistent_buffers_set").and_then(|set| match graph.call(set) {
        Some(call) => graph.list(*graph.tuple(call.arguments)?.first()?),
        None => graph.list(set),
    });
    let unsaved = unsaved.unwrap_or_default().iter();
    let unsaved = unsaved.filter_map(|&name| graph.text(name).map(str::to_owned)).collect();
    Some(Module { parameters: parameters?, buffers: buffers?, modules: modules?, unsaved })
}

/// Adds the tensors of a value, with names in which dots join the keys that lead to them.
fn collect(
    rebuilder: &mut Rebuilder<'_, '_>,
    value: Value,
    name: &mut String,
    depth: usize,
    tensors: &mut IndexMap<String, TensorView>,
) -> Result<(), PyTorchError> {
    rebuilder.spend(1)?;
    let depth = depth.checked_sub(1).ok_or(PyTorchError::TooComplex)?;
    let graph = rebuilder.graph;
    let inner: IndexMap<String, Value> = match module_tables(graph, value) {
        Some(Module { parameters, buffers, modules, unsaved }) => {
            let buffers = entries(graph, buffers).filter(|(name, _)| !unsaved.contains(name));
            entries(graph, parameters).chain(buffers).chain(entries(graph, modules)).collect()
        }
        // As in Python, a later value of a key replaces an earlier one.
        None => entries(graph, value).collect(),
    };
    if !inner.is_empty() {
        for (key, value) in inner {
            let len = name.len();
            if len > 0 {
                name.push('.');
            }
            name.push_str(&key);
            rebuilder.spend(1 + name.len())?;
            collect(rebuilder, value, name, depth, tensors)?;
            name.truncate(len);
        }
        return Ok(());
    }
    match rebuilder.tensor(value) {
        Ok(None) => Ok(()),
        Ok(Some(tensor)) => match tensors.insert(name.clone(), tensor) {
            None => Ok(()),
            Some(_) => Err(PyTorchError::DuplicateName { name: name.clone() }),
        },
        Err(Refusal::Tensor(reason)) => Err(PyTorchError::Tensor { tensor: name.clone(), reason }),
        Err(Refusal::File(error)) => Err(error),
    }
}

/// Returns the keys beside each of a path under which tensors are.
fn left_out(rebuilder: &mut Rebuilder<'_, '_>, path: &[String]) -> Result<Vec<String>, PyTorchError> {
    let graph = rebuilder.graph;
    let (mut value, mut left_out) = (graph.root, Vec::new());
    for (depth, step) in path.iter().enumerate() {
        let inner: IndexMap<String, Value> = entries(graph, value).collect();
        for (key, &beside) in inner.iter().filter(|(key, _)| *key != step) {
            if rebuilder.has_storage(beside)? {
                rebuilder.spend(path.iter().map(String::len).sum())?;
                left_out.push(path[..depth].iter().chain([key]).cloned().collect::<Vec<_>>().join("."));
            }
        }
        let Some(&next) = inner.get(step) else { break };
        value = next;
    }
    Ok(left_out)
}

/// The error for a key that leads to no tensors, with the keys of the outermost dictionary that do.
fn missing(rebuilder: &mut Rebuilder<'_, '_>, key: &str) -> PyTorchError {
    let inner: IndexMap<String, Value> = entries(rebuilder.graph, rebuilder.graph.root).collect();
    let keys = inner.into_iter().filter(|(_, value)| rebuilder.has_storage(*value).unwrap_or(false));
    PyTorchError::MissingKey { key: key.to_owned(), keys: keys.map(|(key, _)| key).collect() }
}
