//! The values of a pickle, and what they refer to.

/// The longest name of a module, a class, a function or a storage.
const LONGEST_NAME: u32 = 1000;

/// A value on the stack. Containers are nodes of the graph, because a pickle fills them after it has referred to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Text(Span),
    /// An index into the nodes.
    Node(u32),
    /// A value that no tensor is made of: a float, bytes, an integer of more than 64 bits.
    Other,
}

/// A range of the bytes of a pickle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(super) start: u32,
    pub(super) len: u32,
}

/// A container, or something that Python would look up or call.
#[derive(Debug)]
pub(super) enum Node {
    Tuple(Vec<Value>),
    /// A list or a set.
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    Global {
        module: Span,
        name: Span,
    },
    /// An id that `torch.load` turns into a storage.
    Persistent(Value),
    Call(Box<Call>),
}

/// A call of a function, or the construction of an object.
#[derive(Debug)]
pub(crate) struct Call {
    pub function: Value,
    pub arguments: Value,
    /// The attributes that the object is given.
    pub state: Value,
    /// The items of an object that is a dictionary.
    pub(super) items: Vec<(Value, Value)>,
}

/// The values of a pickle.
#[derive(Debug)]
pub(crate) struct Graph<'p> {
    pub(super) bytes: &'p [u8],
    pub(super) nodes: Vec<Node>,
    /// The pickled value.
    pub root: Value,
    /// The number of bytes up to the end of the pickle.
    pub end: usize,
}

impl<'p> Graph<'p> {
    /// Returns a value as text.
    pub fn text(&self, value: Value) -> Option<&'p str> {
        match value {
            Value::Text(span) => std::str::from_utf8(self.span(span)).ok(),
            Value::None | Value::Bool(_) | Value::Int(_) | Value::Node(_) | Value::Other => None,
        }
    }

    /// Returns `true` for a value that is this text. Takes no time in proportion to its length, as [`text`](Self::text) does.
    pub fn is(&self, value: Value, text: &str) -> bool {
        matches!(value, Value::Text(span) if self.span(span) == text.as_bytes())
    }

    /// Returns a value as text, unless it is longer than the names in PyTorch: many values may share a long one.
    pub fn short_text(&self, value: Value) -> Option<&'p str> {
        match value {
            Value::Text(span) if span.len <= LONGEST_NAME => self.text(value),
            Value::Text(_) | Value::None | Value::Bool(_) | Value::Int(_) | Value::Node(_) | Value::Other => None,
        }
    }

    /// Returns the values of a tuple.
    pub fn tuple(&self, value: Value) -> Option<&[Value]> {
        match self.node(value)? {
            Node::Tuple(values) => Some(values),
            Node::List(_) | Node::Dict(_) | Node::Global { .. } | Node::Persistent(_) | Node::Call(_) => None,
        }
    }

    /// Returns the values of a list or of a set.
    pub fn list(&self, value: Value) -> Option<&[Value]> {
        match self.node(value)? {
            Node::List(values) => Some(values),
            Node::Tuple(_) | Node::Dict(_) | Node::Global { .. } | Node::Persistent(_) | Node::Call(_) => None,
        }
    }

    /// Returns the items of a dictionary, or of an object that is one, such as an `OrderedDict`.
    pub fn dict(&self, value: Value) -> Option<&[(Value, Value)]> {
        match self.node(value)? {
            Node::Dict(items) => Some(items),
            Node::Call(call) if !call.items.is_empty() => Some(&call.items),
            Node::Call(call) if self.global(call.function) == Some(("collections", "OrderedDict")) => Some(&[]),
            Node::Call(_) | Node::Tuple(_) | Node::List(_) | Node::Global { .. } | Node::Persistent(_) => None,
        }
    }

    /// Returns the module and the name of something that Python would import.
    pub fn global(&self, value: Value) -> Option<(&'p str, &'p str)> {
        match self.node(value)? {
            Node::Global { module, name } => {
                Some((self.short_text(Value::Text(*module))?, self.short_text(Value::Text(*name))?))
            }
            Node::Tuple(_) | Node::List(_) | Node::Dict(_) | Node::Persistent(_) | Node::Call(_) => None,
        }
    }

    /// Returns the id of something that is not in the pickle.
    pub fn persistent(&self, value: Value) -> Option<Value> {
        match self.node(value)? {
            Node::Persistent(id) => Some(*id),
            Node::Tuple(_) | Node::List(_) | Node::Dict(_) | Node::Global { .. } | Node::Call(_) => None,
        }
    }

    /// Returns a call.
    pub fn call(&self, value: Value) -> Option<&Call> {
        match self.node(value)? {
            Node::Call(call) => Some(call),
            Node::Tuple(_) | Node::List(_) | Node::Dict(_) | Node::Global { .. } | Node::Persistent(_) => None,
        }
    }

    /// Calls `f` with every value that this one refers to.
    pub fn for_each_child(&self, value: Value, mut f: impl FnMut(Value)) {
        let (values, items): (&[Value], &[(Value, Value)]) = match self.node(value) {
            Some(Node::Tuple(values) | Node::List(values)) => (values, &[]),
            Some(Node::Dict(items)) => (&[], items),
            Some(Node::Persistent(id)) => (std::slice::from_ref(id), &[]),
            Some(Node::Call(call)) => (&[call.function, call.arguments, call.state], &call.items),
            Some(Node::Global { .. }) | None => (&[], &[]),
        };
        values.iter().copied().for_each(&mut f);
        items.iter().flat_map(|&(key, value)| [key, value]).for_each(f);
    }

    /// Returns all containers and calls.
    pub fn nodes(&self) -> impl Iterator<Item = Value> + use<> {
        (0..self.nodes.len() as u32).map(Value::Node)
    }

    pub(super) fn span(&self, span: Span) -> &'p [u8] {
        &self.bytes[span.start as usize..][..span.len as usize]
    }

    fn node(&self, value: Value) -> Option<&Node> {
        match value {
            Value::Node(number) => Some(&self.nodes[number as usize]),
            Value::None | Value::Bool(_) | Value::Int(_) | Value::Text(_) | Value::Other => None,
        }
    }
}
