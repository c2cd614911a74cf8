//! A pickle as a graph of values.
//!
//! Python unpickles by importing names and calling what it imported. Here, a name is a node with two texts, and a call is a
//! node with a function and arguments: nothing is looked up, called or executed. [`rebuild`](super::rebuild) compares the names
//! with the few that stand for tensors.

use std::collections::HashMap;

use crate::file::pytorch::error::PyTorchError;

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
    start: u32,
    len: u32,
}

/// A container, or something that Python would look up or call.
#[derive(Debug)]
enum Node {
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
    items: Vec<(Value, Value)>,
}

/// The values of a pickle.
#[derive(Debug)]
pub(crate) struct Graph<'p> {
    bytes: &'p [u8],
    nodes: Vec<Node>,
    /// The pickled value.
    pub root: Value,
    /// The number of bytes up to the end of the pickle.
    pub end: usize,
}

impl<'p> Graph<'p> {
    /// Parses the pickle that begins at `start`. `bytes` are fewer than 2^32.
    pub fn parse(bytes: &'p [u8], start: usize) -> Result<Self, PyTorchError> {
        let graph = Self { bytes, nodes: Vec::new(), root: Value::None, end: start };
        let mut machine = Machine { graph, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
        loop {
            let at = machine.graph.end;
            match machine.step() {
                Ok(false) => {}
                Ok(true) => return Ok(machine.graph),
                Err(Fault::End) => return Err(PyTorchError::CutOff),
                Err(Fault::Invalid(reason)) => {
                    return Err(PyTorchError::Pickle { offset: (at - start) as u64, reason });
                }
            }
        }
    }

    /// Returns a value as text.
    pub fn text(&self, value: Value) -> Option<&'p str> {
        match value {
            Value::Text(span) => std::str::from_utf8(self.span(span)).ok(),
            Value::None | Value::Bool(_) | Value::Int(_) | Value::Node(_) | Value::Other => None,
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
            Node::Global { module, name } => Some((self.text(Value::Text(*module))?, self.text(Value::Text(*name))?)),
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

    fn span(&self, span: Span) -> &'p [u8] {
        &self.bytes[span.start as usize..][..span.len as usize]
    }

    fn node(&self, value: Value) -> Option<&Node> {
        match value {
            Value::Node(number) => Some(&self.nodes[number as usize]),
            Value::None | Value::Bool(_) | Value::Int(_) | Value::Text(_) | Value::Other => None,
        }
    }
}

/// The reason why a pickle cannot be parsed.
enum Fault {
    /// The bytes end before the pickle does.
    End,
    Invalid(&'static str),
}

const EMPTY_STACK: Fault = Fault::Invalid("a value is missing");

/// The machine that a pickle is a program for.
struct Machine<'p> {
    graph: Graph<'p>,
    stack: Vec<Value>,
    /// The lengths that the stack had at each mark.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
}

impl<'p> Machine<'p> {
    /// Carries out one instruction. Returns `true` after the last.
    fn step(&mut self) -> Result<bool, Fault> {
        let [opcode] = *self.array()?;
        match opcode {
            b'.' => {
                self.graph.root = self.pop()?;
                return Ok(true);
            }
            // PROTO, FRAME
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => self.stack.push(*self.stack.last().ok_or(EMPTY_STACK)?),
            b'N' => self.stack.push(Value::None),
            0x88 => self.stack.push(Value::Bool(true)),
            0x89 => self.stack.push(Value::Bool(false)),
            b'I' | b'L' | b'J' | b'K' | b'M' | 0x8a | 0x8b | b'F' | b'G' => self.number(opcode)?,
            b'T' | b'U' | b'X' | 0x8c | 0x8d | b'B' | b'C' | 0x8e | 0x96 => self.text_or_bytes(opcode)?,
            b'h' | b'j' | b'q' | b'r' | 0x94 => self.memo(opcode)?,
            b')' | b't' | 0x85..=0x87 | b']' | b'l' | 0x8f | 0x91 | b'}' | b'd' => self.container(opcode)?,
            b'a' | b'e' | 0x90 | b's' | b'u' => self.fill(opcode)?,
            b'c' | 0x93 | b'Q' | b'R' | 0x81 | 0x92 | b'b' => self.object(opcode)?,
            _ => return Err(Fault::Invalid("not an instruction that PyTorch writes")),
        }
        Ok(false)
    }

    fn number(&mut self, opcode: u8) -> Result<(), Fault> {
        let value = match opcode {
            b'J' => Value::Int(i32::from_le_bytes(*self.array()?).into()),
            b'K' => Value::Int(u8::from_le_bytes(*self.array()?).into()),
            b'M' => Value::Int(u16::from_le_bytes(*self.array()?).into()),
            0x8a | 0x8b => {
                let len = if opcode == 0x8a { self.length::<1>()? } else { self.length::<4>()? };
                integer(self.take(len)?)
            }
            b'G' => {
                self.take(8)?;
                Value::Other
            }
            // The numbers of protocols 0 and 1 are lines of text.
            _ => match (opcode, self.line()?) {
                (b'I', b"00") => Value::Bool(false),
                (b'I', b"01") => Value::Bool(true),
                (b'I' | b'L', line) => {
                    let digits = std::str::from_utf8(line.strip_suffix(b"L").unwrap_or(line));
                    digits.ok().and_then(|digits| digits.parse().ok()).map_or(Value::Other, Value::Int)
                }
                _ => Value::Other,
            },
        };
        self.stack.push(value);
        Ok(())
    }

    fn text_or_bytes(&mut self, opcode: u8) -> Result<(), Fault> {
        let len = match opcode {
            b'U' | b'C' | 0x8c => self.length::<1>()?,
            b'T' | b'X' | b'B' => self.length::<4>()?,
            _ => self.length::<8>()?,
        };
        let start = self.graph.end;
        self.take(len)?;
        self.stack.push(match opcode {
            // The strings of Python 2 are text here, such as the keys of its state dicts.
            b'T' | b'U' | b'X' | 0x8c | 0x8d => Value::Text(span(start, len)),
            _ => Value::Other,
        });
        Ok(())
    }

    fn memo(&mut self, opcode: u8) -> Result<(), Fault> {
        let number = match opcode {
            b'h' | b'q' => u8::from_le_bytes(*self.array()?).into(),
            b'j' | b'r' => u32::from_le_bytes(*self.array()?),
            // A pickle has fewer bytes than 2^32, so fewer memos too.
            _ => self.memo.len() as u32,
        };
        if matches!(opcode, b'h' | b'j') {
            let value = self.memo.get(&number).ok_or(Fault::Invalid("it refers to nothing"))?;
            self.stack.push(*value);
        } else {
            self.memo.insert(number, *self.stack.last().ok_or(EMPTY_STACK)?);
        }
        Ok(())
    }

    fn container(&mut self, opcode: u8) -> Result<(), Fault> {
        let node = match opcode {
            b')' => Node::Tuple(Vec::new()),
            b't' => Node::Tuple(self.pop_mark()?),
            0x85..=0x87 => {
                let start = self.stack.len().checked_sub(usize::from(opcode - 0x84)).ok_or(EMPTY_STACK)?;
                Node::Tuple(self.stack.split_off(start))
            }
            b']' | 0x8f => Node::List(Vec::new()),
            b'l' | 0x91 => Node::List(self.pop_mark()?),
            b'd' => Node::Dict(pairs(&self.pop_mark()?)?),
            _ => Node::Dict(Vec::new()),
        };
        self.push(node);
        Ok(())
    }

    /// Adds values to a container that is below them on the stack.
    fn fill(&mut self, opcode: u8) -> Result<(), Fault> {
        let values = match opcode {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.pop_mark()?,
        };
        match self.top()? {
            Node::List(list) if matches!(opcode, b'a' | b'e' | 0x90) => list.extend(values),
            Node::Dict(items) if matches!(opcode, b's' | b'u') => items.extend(pairs(&values)?),
            // Of an object, only the items that a dictionary has are of interest.
            Node::Call(call) if matches!(opcode, b's' | b'u') => call.items.extend(pairs(&values)?),
            Node::Call(_) => {}
            Node::List(_) | Node::Dict(_) | Node::Tuple(_) | Node::Global { .. } | Node::Persistent(_) => {
                return Err(Fault::Invalid("it adds to something that is no such container"));
            }
        }
        Ok(())
    }

    fn object(&mut self, opcode: u8) -> Result<(), Fault> {
        let node = match opcode {
            b'c' => {
                let (module, name) = (self.line_span()?, self.line_span()?);
                Node::Global { module, name }
            }
            0x93 => match (self.pop()?, self.pop()?) {
                (Value::Text(name), Value::Text(module)) => Node::Global { module, name },
                _ => return Err(Fault::Invalid("a name that is no text")),
            },
            b'Q' => Node::Persistent(self.pop()?),
            b'b' => {
                let state = self.pop()?;
                if let Node::Call(call) = self.top()? {
                    call.state = state;
                }
                return Ok(());
            }
            // REDUCE, NEWOBJ, NEWOBJ_EX
            _ => {
                if opcode == 0x92 {
                    self.pop()?; // the named arguments
                }
                let (arguments, function) = (self.pop()?, self.pop()?);
                Node::Call(Box::new(Call { function, arguments, state: Value::None, items: Vec::new() }))
            }
        };
        self.push(node);
        Ok(())
    }

    fn push(&mut self, node: Node) {
        // A pickle has fewer bytes than 2^32, so fewer nodes too.
        self.stack.push(Value::Node(self.graph.nodes.len() as u32));
        self.graph.nodes.push(node);
    }

    fn pop(&mut self) -> Result<Value, Fault> {
        let is_free = self.marks.last().is_none_or(|&mark| self.stack.len() > mark);
        self.stack.pop().filter(|_| is_free).ok_or(EMPTY_STACK)
    }

    /// Returns the values above the last mark.
    fn pop_mark(&mut self) -> Result<Vec<Value>, Fault> {
        let mark = self.marks.pop().ok_or(Fault::Invalid("a mark is missing"))?;
        if mark > self.stack.len() {
            return Err(EMPTY_STACK);
        }
        Ok(self.stack.split_off(mark))
    }

    /// The node on top of the stack.
    fn top(&mut self) -> Result<&mut Node, Fault> {
        match self.stack.last() {
            Some(Value::Node(number)) => Ok(&mut self.graph.nodes[*number as usize]),
            Some(_) => Err(Fault::Invalid("it changes something that is no object")),
            None => Err(EMPTY_STACK),
        }
    }

    fn take(&mut self, len: usize) -> Result<&'p [u8], Fault> {
        let bytes = self.graph.bytes.get(self.graph.end..).and_then(|rest| rest.get(..len)).ok_or(Fault::End)?;
        self.graph.end += len;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<&'p [u8; N], Fault> {
        self.take(N)?.first_chunk().ok_or(Fault::End)
    }

    /// Reads a length of `N` bytes.
    fn length<const N: usize>(&mut self) -> Result<usize, Fault> {
        let mut bytes = [0; 8];
        bytes[..N].copy_from_slice(self.take(N)?);
        usize::try_from(u64::from_le_bytes(bytes)).map_err(|_| Fault::End)
    }

    fn line(&mut self) -> Result<&'p [u8], Fault> {
        self.line_span().map(|span| self.graph.span(span))
    }

    fn line_span(&mut self) -> Result<Span, Fault> {
        let start = self.graph.end;
        let len = self.graph.bytes[start..].iter().position(|&byte| byte == b'\n').ok_or(Fault::End)?;
        self.take(len + 1)?;
        Ok(span(start, len))
    }
}

fn span(start: usize, len: usize) -> Span {
    // A pickle has fewer bytes than 2^32.
    Span { start: start as u32, len: len as u32 }
}

/// Returns the items of a dictionary, whose keys and values alternate.
fn pairs(values: &[Value]) -> Result<Vec<(Value, Value)>, Fault> {
    match values.as_chunks() {
        (pairs, []) => Ok(pairs.iter().map(|&[key, value]| (key, value)).collect()),
        _ => Err(Fault::Invalid("a key without a value")),
    }
}

/// Decodes an integer in two's complement.
fn integer(bytes: &[u8]) -> Value {
    let Some(unused) = size_of::<i64>().checked_sub(bytes.len()) else { return Value::Other };
    let mut wide = [0; 8];
    wide[unused..].copy_from_slice(bytes);
    // The sign is moved down with the bytes. Without any, it is zero.
    Value::Int(if bytes.is_empty() { 0 } else { i64::from_le_bytes(wide) >> (8 * unused) })
}
