//! The walk through the graph of a model: first its tensors, then the nodes that take them.
//!
//! Nodes are ordered so that each comes after those whose outputs it takes. One pass over them therefore finds all uses, and
//! only names that stand for a tensor of the file are kept.

use std::collections::{HashMap, HashSet};

use crate::file::onnx::Model;
use crate::file::onnx::error::{Failure, OnnxError};
use crate::file::onnx::operator::{InputUse, Node, WeightInput};
use crate::file::onnx::tensor::{self, Place, Tensor};
use crate::file::onnx::wire::{Field, Span, Value, Window};

/// The deepest level of graphs in graphs that is read. Protobuf itself reads about as many.
const MAX_DEPTH: usize = 32;
/// The domains whose operators are known: ONNX, under both of its names, and the operators that ONNX Runtime adds.
const DOMAINS: [&str; 3] = ["", "ai.onnx", "com.microsoft"];

/// The role of a tensor for the operators of a model. Of several uses, the last in this order counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    /// No operator takes it.
    Unused,
    /// It is the weight of a layer.
    Weight(WeightInput),
    /// It is an input of an operator for other things, with this name, or an output of the model.
    Other(String),
    /// It is the table of an embedding.
    Table(&'static str),
    /// It belongs to the quantised tensor of this name.
    Quantized(String),
    /// It is in a graph within the graph.
    InSubgraph,
}

impl Role {
    fn rank(&self) -> u8 {
        match self {
            Self::Unused => 0,
            Self::Weight(_) => 1,
            Self::Other(_) => 2,
            Self::Table(_) => 3,
            Self::Quantized(_) => 4,
            Self::InSubgraph => 5,
        }
    }
}

/// The walk, and what it has found.
pub(super) struct Walk<'f> {
    window: Window<'f>,
    tensors: Vec<(Tensor, Role)>,
    names: HashSet<String>,
    /// The values that are tensors of the file, by their names.
    known: HashMap<String, Known>,
    last_layer: Option<usize>,
}

/// A value that is a tensor of the file.
#[derive(Debug, Clone)]
struct Known {
    tensor: usize,
    /// For each axis of the value that of the tensor; `None` if they are the same.
    axes: Option<Vec<u8>>,
}

/// An attribute of a node.
#[derive(Default)]
struct Attribute {
    name: String,
    number: u64,
    numbers: Option<Vec<u64>>,
    tensor: Option<Span>,
}

impl<'f> Walk<'f> {
    pub fn new(window: Window<'f>) -> Self {
        Self { window, tensors: Vec::new(), names: HashSet::new(), known: HashMap::new(), last_layer: None }
    }

    /// Walks through the graph of the model.
    pub fn model(mut self, graph: Span) -> Result<Model, Failure> {
        self.graph(graph, None, 0)?;
        self.outputs(graph)?;
        Ok(Model { tensors: self.tensors, last_layer: self.last_layer })
    }

    /// Walks through a graph. `owner` is the name of what has it, if it is not that of the model.
    fn graph(&mut self, graph: Span, owner: Option<&str>, depth: usize) -> Result<(), Failure> {
        if depth > MAX_DEPTH {
            return Err(OnnxError::Nested { limit: MAX_DEPTH }.into());
        }
        let mut rest = graph;
        while let Some(field) = self.window.field(&mut rest)? {
            match (field.number, field.value) {
                (5, Value::Span(span)) => {
                    let found = tensor::read(&mut self.window, span)?;
                    self.add(found, owner)?;
                }
                (15, Value::Span(span)) => self.sparse(span, owner)?,
                _ => {}
            }
        }
        let mut rest = graph;
        while let Some(field) = self.window.field(&mut rest)? {
            if let Field { number: 1, value: Value::Span(node) } = field {
                self.node(node, owner, depth)?;
            }
        }
        Ok(())
    }

    /// Adds a tensor. In a graph within the graph, only one that could be a weight is listed.
    fn add(&mut self, found: Option<Tensor>, owner: Option<&str>) -> Result<(), Failure> {
        let Some(mut tensor) = found else { return Ok(()) };
        let value = tensor.name.clone();
        let role = match owner {
            None => Role::Unused,
            // The nodes of this graph do not take a value that it hides.
            Some(_) if !tensor.is_matrix() => {
                self.known.remove(&value);
                return Ok(());
            }
            Some(owner) => {
                tensor.name = format!("{owner}.{value}");
                Role::InSubgraph
            }
        };
        if !self.names.insert(tensor.name.clone()) {
            return Err(OnnxError::DuplicateName { name: tensor.name }.into());
        }
        if !value.is_empty() {
            self.known.insert(value, Known { tensor: self.tensors.len(), axes: None });
        }
        self.tensors.push((tensor, role));
        Ok(())
    }

    /// Adds the values of a sparse tensor, which have no places of their own in its shape.
    fn sparse(&mut self, mut message: Span, owner: Option<&str>) -> Result<(), Failure> {
        while let Some(field) = self.window.field(&mut message)? {
            if let Field { number: 1, value: Value::Span(values) } = field {
                let found = tensor::read(&mut self.window, values)?;
                let (start, bytes, field) = (values.start, values.len(), "sparse_initializer");
                let place = Place::Encoded { start, bytes, field };
                self.add(found.map(|tensor| Tensor { place, ..tensor }), owner)?;
            }
        }
        Ok(())
    }

    /// Records what a node does with the tensors that it takes, and walks through the graphs that it has.
    fn node(&mut self, span: Span, owner: Option<&str>, depth: usize) -> Result<(), Failure> {
        let node = self.read_node(span, owner)?;
        let mut first = None;
        let (mut rest, mut position) = (span, 0);
        while let Some(field) = self.window.field(&mut rest)? {
            match (field.number, field.value) {
                (1, Value::Span(name)) => {
                    let name = self.window.text(name)?;
                    if let Some(known) = self.known.get(&name).cloned() {
                        let first = *first.get_or_insert(known.tensor);
                        self.input(&node, position, known, first);
                    }
                    position += 1;
                }
                (5, Value::Span(attribute)) => self.subgraphs(attribute, &node, owner, depth)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Records one input of a node. `first` is the first tensor that the node takes.
    fn input(&mut self, node: &Node, position: usize, known: Known, first: usize) {
        let Known { tensor, axes } = known;
        let rank = self.tensors[tensor].0.shape.len();
        let axis = |axis: usize| axes.as_ref().map_or(axis, |axes| usize::from(axes[axis]));
        let role = match node.use_of(position, rank) {
            InputUse::Nothing => return,
            InputUse::Same(order) => match reordered(axes.as_deref(), order.as_deref(), rank) {
                Ok(axes) => return drop(self.known.insert(node.output.clone(), Known { tensor, axes })),
                Err(NoOrder) => Role::Other(node.operator.clone()),
            },
            InputUse::Weight(WeightInput { operator, outputs }) => {
                self.last_layer = Some(tensor);
                Role::Weight(WeightInput { operator, outputs: axis(outputs) })
            }
            InputUse::Table(operator) => Role::Table(operator),
            InputUse::Quantized => Role::Quantized(self.tensors[first].0.name.clone()),
            InputUse::Other => Role::Other(node.operator.clone()),
        };
        self.set(tensor, role);
    }

    /// Sets the role of a tensor, unless it has one that counts more.
    fn set(&mut self, tensor: usize, role: Role) {
        let found = &mut self.tensors[tensor].1;
        if role.rank() > found.rank() {
            *found = role;
        }
    }

    /// Reads what matters of a node. The tensor of a `Constant` is added to those of the graph.
    fn read_node(&mut self, mut span: Span, owner: Option<&str>) -> Result<Node, Failure> {
        let (mut node, mut constant) = (Node { is_known: true, ..Node::default() }, None);
        while let Some(Field { number, value }) = self.window.field(&mut span)? {
            match (number, value) {
                (2, Value::Span(output)) if node.output.is_empty() => node.output = self.window.text(output)?,
                (4, Value::Span(operator)) => node.operator = self.window.text(operator)?,
                (5, Value::Span(attribute)) => {
                    let Attribute { name, number, numbers, tensor } = self.attribute(attribute)?;
                    match name.as_str() {
                        "transA" => node.transposes_a = number != 0,
                        "transB" => node.transposes_b = number != 0,
                        "perm" => node.order = numbers,
                        "value" => constant = tensor,
                        _ => {}
                    }
                }
                (7, Value::Span(domain)) => {
                    node.is_known = DOMAINS.contains(&self.window.text(domain)?.as_str());
                }
                _ => {}
            }
        }
        if let Some(span) = constant.filter(|_| node.operator == "Constant" && node.is_known) {
            let found = tensor::read(&mut self.window, span)?.filter(Tensor::is_matrix);
            self.add(found.map(|tensor| Tensor { name: node.output.clone(), ..tensor }), owner)?;
        }
        Ok(node)
    }

    fn attribute(&mut self, mut span: Span) -> Result<Attribute, Failure> {
        let mut attribute = Attribute::default();
        while let Some(Field { number, value }) = self.window.field(&mut span)? {
            match (number, value) {
                (1, Value::Span(name)) => attribute.name = self.window.text(name)?,
                (3, Value::Number(number)) => attribute.number = number,
                (5, Value::Span(tensor)) => attribute.tensor = Some(tensor),
                (8, Value::Number(number)) => push(&mut attribute.numbers, [number]),
                (8, Value::Span(numbers)) => {
                    // More are no order of axes.
                    let numbers = self.window.numbers(numbers, MAX_NUMBERS)?.unwrap_or_default();
                    push(&mut attribute.numbers, numbers);
                }
                _ => {}
            }
        }
        Ok(attribute)
    }

    /// Walks through the graphs of an attribute. Their tensors are named after the output of the node and the attribute.
    fn subgraphs(&mut self, span: Span, node: &Node, owner: Option<&str>, depth: usize) -> Result<(), Failure> {
        let mut of = None;
        let mut rest = span;
        while let Some(field) = self.window.field(&mut rest)? {
            let (6 | 11, Value::Span(graph)) = (field.number, field.value) else { continue };
            if of.is_none() {
                let Attribute { name, .. } = self.attribute(span)?;
                let above = owner.map(|owner| format!("{owner}.")).unwrap_or_default();
                of = Some(format!("{above}{}.{name}", node.output));
            }
            self.graph(graph, of.as_deref(), depth + 1)?;
        }
        Ok(())
    }

    /// Records the tensors that are outputs of the model.
    fn outputs(&mut self, mut graph: Span) -> Result<(), Failure> {
        while let Some(field) = self.window.field(&mut graph)? {
            let Field { number: 12, value: Value::Span(mut output) } = field else { continue };
            while let Some(field) = self.window.field(&mut output)? {
                let Field { number: 1, value: Value::Span(name) } = field else { continue };
                let name = self.window.text(name)?;
                if let Some(tensor) = self.known.get(&name).map(|known| known.tensor) {
                    self.set(tensor, Role::Other("output".into()));
                }
            }
        }
        Ok(())
    }
}

/// The most numbers of an attribute that are kept: the axes of a tensor.
const MAX_NUMBERS: usize = 64;

fn push(numbers: &mut Option<Vec<u64>>, more: impl IntoIterator<Item = u64>) {
    let numbers = numbers.get_or_insert_default();
    let room = MAX_NUMBERS.saturating_sub(numbers.len());
    numbers.extend(more.into_iter().take(room));
}

/// The order is not one of all axes of the value.
struct NoOrder;

/// Returns the axes of a tensor in another order, for a value with `rank` axes.
fn reordered(axes: Option<&[u8]>, order: Option<&[u64]>, rank: usize) -> Result<Option<Vec<u8>>, NoOrder> {
    let Some(order) = order else { return Ok(axes.map(<[u8]>::to_vec)) };
    let axis = |&axis: &u64| {
        let axis = usize::try_from(axis).ok().filter(|&axis| axis < rank)?;
        // At most 64 axes were read.
        Some(axes.map_or(axis as u8, |axes| axes[axis]))
    };
    let axes: Option<Vec<u8>> = order.iter().map(axis).collect();
    axes.filter(|axes| axes.len() == rank).map(Some).ok_or(NoOrder)
}
