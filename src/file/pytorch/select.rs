//! The dictionary of a pickle whose tensors are read, and their names.

use std::collections::HashSet;

use indexmap::IndexMap;

use crate::file::pytorch::error::PyTorchError;
use crate::file::pytorch::graph::{Graph, Value};
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
            Some(key) => match find(rebuilder, root, key)? {
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

/// Returns the value under a key. The keys that it joins may contain dots themselves.
fn find(rebuilder: &mut Rebuilder<'_, '_>, value: Value, key: &str) -> Result<Option<Found>, PyTorchError> {
    if key.is_empty() {
        return Ok(Some(Found { path: Vec::new(), value }));
    }
    for (name, value) in entries(rebuilder.graph, value) {
        rebuilder.spend(1 + name.len())?;
        let Some(rest) = key.strip_prefix(&name) else { continue };
        let found = match rest.strip_prefix('.') {
            Some("") => None,
            Some(rest) => find(rebuilder, value, rest)?,
            None => rest.is_empty().then(|| Found { path: Vec::new(), value }),
        };
        if let Some(mut found) = found {
            found.path.insert(0, name);
            return Ok(Some(found));
        }
    }
    Ok(None)
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

/// Returns entries by their keys. As in Python, a later value of a key replaces an earlier one.
fn by_key(
    rebuilder: &mut Rebuilder<'_, '_>,
    entries: impl Iterator<Item = (String, Value)>,
) -> Result<IndexMap<String, Value>, PyTorchError> {
    let mut by_key = IndexMap::new();
    for (key, value) in entries {
        rebuilder.spend(1 + key.len())?;
        by_key.insert(key, value);
    }
    Ok(by_key)
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
    /// `true` if a dictionary counts only with trained weights: a tensor of floating-point numbers that has dimensions.
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
        if module(self.rebuilder, value)?.is_some() {
            if self.rebuilder.has_storage(value)? {
                self.rebuilder.spend(path.iter().map(String::len).sum())?;
                self.found.push(Found { path: path.clone(), value });
            }
            return Ok(());
        }
        let Some(items) = graph.dict(value) else { return Ok(()) };
        self.rebuilder.spend(items.len())?;
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
            Ok(None) => Ok(false),
            // Its fault is reported when its dictionary is read.
            Err(Refusal::Tensor(_)) => Ok(!self.has_weights),
            Err(Refusal::File(error)) => Err(error),
        }
    }
}

/// Returns `true` for the state dict of an optimizer, whose tensors are no weights.
fn is_optimizer(graph: &Graph<'_>, items: &[(Value, Value)]) -> bool {
    let has = |name| items.iter().any(|&(key, _)| graph.is(key, name));
    has("state") && has("param_groups")
}

/// The parameters, buffers and inner modules of a pickled `torch.nn.Module`, by its attributes.
struct Module {
    parameters: Value,
    buffers: Value,
    modules: Value,
    /// The names of buffers that are not part of the state dict.
    unsaved: HashSet<String>,
}

/// Returns a value as a module, if it has the attributes of one.
fn module(rebuilder: &mut Rebuilder<'_, '_>, value: Value) -> Result<Option<Module>, PyTorchError> {
    let graph = rebuilder.graph;
    let attributes = graph.call(value).and_then(|call| graph.dict(call.state));
    let Some(attributes) = attributes else { return Ok(None) };
    rebuilder.spend(attributes.len())?;
    let attribute = |name| attributes.iter().find(|&&(key, _)| graph.is(key, name)).map(|&(_, value)| value);
    let [Some(parameters), Some(buffers), Some(modules)] = ["_parameters", "_buffers", "_modules"].map(attribute)
    else {
        return Ok(None);
    };
    // `set([...])`, or a set.
    let unsaved = attribute("_non_persistent_buffers_set").and_then(|set| match graph.call(set) {
        Some(call) => graph.list(*graph.tuple(call.arguments)?.first()?),
        None => graph.list(set),
    });
    let mut names = HashSet::new();
    for name in unsaved.unwrap_or_default().iter().filter_map(|&name| graph.text(name)) {
        rebuilder.spend(1 + name.len())?;
        names.insert(name.to_owned());
    }
    Ok(Some(Module { parameters, buffers, modules, unsaved: names }))
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
    let inner = match module(rebuilder, value)? {
        Some(Module { parameters, buffers, modules, unsaved }) => {
            let buffers = entries(graph, buffers).filter(|(name, _)| !unsaved.contains(name));
            by_key(rebuilder, entries(graph, parameters).chain(buffers).chain(entries(graph, modules)))?
        }
        None => by_key(rebuilder, entries(graph, value))?,
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
        let inner = by_key(rebuilder, entries(graph, value))?;
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
    let graph = rebuilder.graph;
    let inner = by_key(rebuilder, entries(graph, graph.root)).unwrap_or_default();
    let keys = inner.into_iter().filter(|(_, value)| rebuilder.has_storage(*value).unwrap_or(false));
    PyTorchError::MissingKey { key: key.to_owned(), keys: keys.map(|(key, _)| key).collect() }
}
