//! A tensor of a model: its name, dtype and shape, and where its data lies.

use ::safetensors::Dtype as Stored;

use crate::file::dtype::Dtype;
use crate::file::onnx::error::{Failure, OnnxError};
use crate::file::onnx::wire::{Field, Span, Value, Window};

/// The most sizes of a shape: as many as NumPy allows, and more than any tool writes.
const MAX_DIMENSIONS: usize = 64;

/// A tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tensor {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub place: Place,
}

/// The place of the data of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// The data are in the file of the model.
    Inside { start: u64, bytes: u64 },
    /// The data are in another file, at this path, which is not checked. `has_checksum` says that the model knows a digest of
    /// that file.
    Outside { location: String, start: u64, bytes: u64, has_checksum: bool },
    /// The data are in the file of the model, in a field of this name, in which entries have no place or size of their own.
    /// The bytes are those of the tensor with its name and shape.
    Encoded { start: u64, bytes: u64, field: &'static str },
}

impl Tensor {
    /// Returns `true` for a tensor that could be the weight of a layer.
    pub fn is_matrix(&self) -> bool {
        self.shape.iter().filter(|&&size| size > 1).count() > 1
    }
}

/// The fields of a tensor as they are in the file.
#[derive(Default)]
struct Fields {
    name: String,
    data_type: u64,
    sizes: Vec<u64>,
    raw: Option<Span>,
    /// Data in a field for numbers of one type.
    typed: Option<Typed>,
    is_external: bool,
    external: External,
    has_segment: bool,
}

/// Numbers in a field of their own.
struct Typed {
    field: &'static str,
    /// The numbers, if they have their size in memory and are in one place.
    span: Option<Span>,
    /// There are not more numbers than this.
    most: u64,
}

/// The entries of external data, as text.
#[derive(Default)]
struct External {
    location: String,
    offset: Option<String>,
    length: Option<String>,
    has_checksum: bool,
}

/// Reads a tensor. Returns `None` if its dtype has no name in safetensors, such as text and integers of 4 bits.
pub(super) fn read(window: &mut Window<'_>, message: Span) -> Result<Option<Tensor>, Failure> {
    let fields = Fields::read(window, message)?;
    let Some(dtype) = dtype(fields.data_type) else { return Ok(None) };
    let (shape, entries) = fields.shape()?;
    let bits = entries as u128 * dtype.bits() as u128;
    let expected = u64::try_from(bits.div_ceil(8)).unwrap_or(u64::MAX);
    // Two entries of 4 bits are one number, where they are stored as numbers.
    let numbers = if dtype.bits() < 8 { expected } else { entries as u64 };
    let place = fields.place(message, dtype, numbers, expected)?;
    Ok(Some(Tensor { name: fields.name, dtype, shape, place }))
}

impl Fields {
    fn read(window: &mut Window<'_>, mut message: Span) -> Result<Self, Failure> {
        let mut fields = Self::default();
        let mut is_twice = false;
        while let Some(Field { number, value }) = window.field(&mut message)? {
            match (number, value) {
                (1, Value::Number(size)) if fields.sizes.len() <= MAX_DIMENSIONS => fields.sizes.push(size),
                (1, Value::Span(sizes)) => match window.numbers(sizes, MAX_DIMENSIONS + 1)? {
                    Some(sizes) if fields.sizes.len() <= MAX_DIMENSIONS => fields.sizes.extend(sizes),
                    // As many as are refused.
                    Some(_) | None => fields.sizes.resize(MAX_DIMENSIONS + 1, 0),
                },
                (2, Value::Number(data_type)) => fields.data_type = data_type,
                (3, Value::Span(_)) => fields.has_segment = true,
                (8, Value::Span(name)) => fields.name = window.text(name)?,
                (9, Value::Span(raw)) => is_twice |= fields.raw.replace(raw).is_some(),
                (13, Value::Span(entry)) => fields.external.read(window, entry)?,
                (14, Value::Number(location)) => fields.is_external = location == 1,
                (4 | 5 | 6 | 7 | 10 | 11, value) => Typed::add(&mut fields.typed, number, value),
                _ => {}
            }
        }
        is_twice |= fields.raw.is_some() && fields.typed.is_some();
        match is_twice {
            true => Err(OnnxError::DataTwice { tensor: fields.name }.into()),
            false => Ok(fields),
        }
    }

    /// Returns the shape and the number of entries.
    fn shape(&self) -> Result<(Vec<usize>, usize), OnnxError> {
        let found = || match self.sizes.len() {
            many if many > MAX_DIMENSIONS => format!("more than {MAX_DIMENSIONS} dimensions"),
            _ => format!("{:?}", self.sizes.iter().map(|&size| size.cast_signed()).collect::<Vec<_>>()),
        };
        let refused = || OnnxError::Shape { tensor: self.name.clone(), found: found() };
        let size = |&size: &u64| usize::try_from(size.cast_signed()).ok();
        let shape: Option<Vec<usize>> = self.sizes.iter().map(size).collect();
        let shape = shape.filter(|shape| shape.len() <= MAX_DIMENSIONS).ok_or_else(refused)?;
        let entries = shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
        Ok((shape, entries.ok_or_else(refused)?))
    }

    /// Returns the place of the data, which must have the length that the shape needs.
    fn place(&self, message: Span, dtype: Dtype, numbers: u64, expected: u64) -> Result<Place, OnnxError> {
        let checked = |found: u64| match found == expected {
            true => Ok(()),
            false => Err(OnnxError::DataLength { tensor: self.name.clone(), expected, found }),
        };
        let inside = |span: Span| Place::Inside { start: span.start, bytes: span.len() };
        let encoded = |field| Place::Encoded { start: message.start, bytes: message.len(), field };
        if self.is_external {
            return self.outside(expected);
        }
        let place = match (self.raw, &self.typed) {
            (Some(raw), _) => checked(raw.len()).map(|()| inside(raw))?,
            (None, None) => checked(0).map(|()| inside(Span { start: message.start, end: message.start }))?,
            (None, Some(Typed { field, span: Some(span), .. })) if is_plain(field, dtype) => {
                checked(span.len()).map(|()| inside(*span))?
            }
            (None, Some(Typed { field, most, .. })) => {
                if *most < numbers {
                    checked(*most)?;
                }
                encoded(field)
            }
        };
        Ok(if self.has_segment { encoded("segment") } else { place })
    }

    fn outside(&self, expected: u64) -> Result<Place, OnnxError> {
        let External { location, offset, length, has_checksum } = &self.external;
        let number = |key: &'static str, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => text.parse::<u64>().map(Some).map_err(|_| {
                let (tensor, value) = (self.name.clone(), text.clone());
                OnnxError::External { tensor, key, value }
            }),
        };
        let start = number("offset", offset)?.unwrap_or(0);
        if let Some(found) = number("length", length)?.filter(|&found| found != expected) {
            return Err(OnnxError::DataLength { tensor: self.name.clone(), expected, found });
        }
        Ok(Place::Outside { location: location.clone(), start, bytes: expected, has_checksum: *has_checksum })
    }
}

/// Returns `true` if entries of a dtype are stored in a field as they are in memory.
fn is_plain(field: &str, dtype: Dtype) -> bool {
    matches!((field, dtype.0), ("float_data", Stored::F32 | Stored::C64) | ("double_data", Stored::F64))
}

impl Typed {
    /// Adds a field of numbers.
    fn add(typed: &mut Option<Self>, number: u64, value: Value) {
        // The sizes of floats in the file are those in memory. Other numbers have a size of their own each.
        let (field, size) = match number {
            4 => ("float_data", 4),
            5 => ("int32_data", 1),
            6 => ("string_data", 1),
            7 => ("int64_data", 1),
            10 => ("double_data", 8),
            _ => ("uint64_data", 1),
        };
        let (span, most) = match value {
            Value::Span(span) => (Some(span).filter(|_| size > 1), span.len() / size),
            Value::Number(_) | Value::Bits32 | Value::Bits64 => (None, 1),
        };
        *typed = Some(match typed.take() {
            None => Self { field, span, most },
            Some(first) => Self { field, span: None, most: first.most.saturating_add(most) },
        });
    }
}

impl External {
    /// Reads an entry, a pair of a key and a value.
    fn read(&mut self, window: &mut Window<'_>, mut entry: Span) -> Result<(), Failure> {
        let (mut key, mut value) = (String::new(), String::new());
        while let Some(field) = window.field(&mut entry)? {
            match (field.number, field.value) {
                (1, Value::Span(text)) => key = window.text(text)?,
                (2, Value::Span(text)) => value = window.text(text)?,
                _ => {}
            }
        }
        match key.as_str() {
            "location" => self.location = value,
            "offset" => self.offset = Some(value),
            "length" => self.length = Some(value),
            "checksum" => self.has_checksum = true,
            _ => {}
        }
        Ok(())
    }
}

/// The dtype of a number of `TensorProto.DataType`.
fn dtype(data_type: u64) -> Option<Dtype> {
    Some(Dtype(match data_type {
        1 => Stored::F32,
        2 => Stored::U8,
        3 => Stored::I8,
        4 => Stored::U16,
        5 => Stored::I16,
        6 => Stored::I32,
        7 => Stored::I64,
        9 => Stored::BOOL,
        10 => Stored::F16,
        11 => Stored::F64,
        12 => Stored::U32,
        13 => Stored::U64,
        14 => Stored::C64,
        16 => Stored::BF16,
        17 => Stored::F8_E4M3,
        18 => Stored::F8_E4M3FNUZ,
        19 => Stored::F8_E5M2,
        20 => Stored::F8_E5M2FNUZ,
        23 => Stored::F4,
        24 => Stored::F8_E8M0,
        // No dtype, text, 128-bit complex numbers, integers of 2 and 4 bits, and what later versions add.
        _ => return None,
    }))
}
