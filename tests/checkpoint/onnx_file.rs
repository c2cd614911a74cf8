//! ONNX models, encoded field by field: valid ones and others.

/// A protobuf message.
#[derive(Debug, Clone, Default)]
pub struct Message(pub Vec<u8>);

/// The numbers of dtypes.
pub const FLOAT: u64 = 1;
pub const INT8: u64 = 3;
pub const INT64: u64 = 7;
pub const TEXT: u64 = 8;
pub const FLOAT16: u64 = 10;
pub const DOUBLE: u64 = 11;
pub const BFLOAT16: u64 = 16;
pub const INT4: u64 = 22;

pub fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

impl Message {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn number(mut self, field: u64, number: u64) -> Self {
        self.0.extend(varint(field << 3));
        self.0.extend(varint(number));
        self
    }

    /// A text, bytes, or a message.
    pub fn field(mut self, field: u64, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.0.extend(varint(field << 3 | 2));
        self.0.extend(varint(bytes.len() as u64));
        self.0.extend(bytes);
        self
    }

    pub fn float(mut self, field: u64, number: f32) -> Self {
        self.0.extend(varint(field << 3 | 5));
        self.0.extend(number.to_le_bytes());
        self
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A tensor without data.
pub fn tensor(name: &str, data_type: u64, dims: &[i64]) -> Message {
    let sizes: Vec<u8> = dims.iter().flat_map(|&size| varint(size as u64)).collect();
    Message::new().field(1, sizes).number(2, data_type).field(8, name)
}

/// A tensor with its data.
pub fn raw(name: &str, data_type: u64, dims: &[i64], data: impl AsRef<[u8]>) -> Message {
    tensor(name, data_type, dims).field(9, data)
}

/// A tensor whose data is in another file.
pub fn external(name: &str, data_type: u64, dims: &[i64], entries: &[(&str, &str)]) -> Message {
    let entry =
        |tensor: Message, (key, value): &(&str, &str)| tensor.field(13, Message::new().field(1, key).field(2, value));
    entries.iter().fold(tensor(name, data_type, dims), entry).number(14, 1)
}

/// A node. Inputs and outputs are separated by spaces.
pub fn node(operator: &str, inputs: &str, outputs: &str) -> Message {
    let node = inputs.split(' ').fold(Message::new(), |node, input| node.field(1, input));
    outputs.split(' ').fold(node, |node, output| node.field(2, output)).field(4, operator)
}

impl Message {
    /// A node in a domain.
    pub fn domain(self, domain: &str) -> Self {
        self.field(7, domain)
    }

    /// A node with a number as an attribute.
    pub fn with(self, name: &str, number: u64) -> Self {
        self.field(5, Message::new().field(1, name).number(3, number).number(20, 2))
    }

    /// A node with numbers as an attribute.
    pub fn with_numbers(self, name: &str, numbers: &[u64]) -> Self {
        let attribute = numbers.iter().fold(Message::new().field(1, name), |all, &number| all.number(8, number));
        self.field(5, attribute.number(20, 7))
    }

    /// A node with a tensor as an attribute.
    pub fn with_tensor(self, name: &str, tensor: Self) -> Self {
        self.field(5, Message::new().field(1, name).field(5, tensor).number(20, 4))
    }

    /// A node with a graph as an attribute.
    pub fn with_graph(self, name: &str, graph: Self) -> Self {
        self.field(5, Message::new().field(1, name).field(6, graph).number(20, 5))
    }
}

/// A graph with an input `x`, and with outputs separated by spaces.
pub fn graph(nodes: &[Message], initializers: &[Message], outputs: &str) -> Message {
    let graph = nodes.iter().fold(Message::new(), |graph, node| graph.field(1, node)).field(2, "graph");
    let graph = initializers.iter().fold(graph, |graph, tensor| graph.field(5, tensor));
    let graph = graph.field(11, Message::new().field(1, "x"));
    outputs.split(' ').fold(graph, |graph, output| graph.field(12, Message::new().field(1, output)))
}

/// The bytes of a model.
pub fn model(graph: &Message) -> Vec<u8> {
    let opset = Message::new().field(1, "").number(2, 21);
    Message::new().number(1, 10).field(2, "test").field(7, graph).field(8, opset).0
}
