//! Tensors of a recording: bytes with a dtype and a shape, so that everything is compared in one place, bit for bit.

use std::collections::HashMap;
use std::path::Path;

use half::{bf16, f16};
use ndarray::{Array, ArrayD, Dimension, Slice};
use prune::{Element, ParameterStore};
use safetensors::{Dtype, SafeTensors};

use super::modules::Modules;

/// The element types of parameters, with what the replay needs of each.
pub trait Scalar: Element {
    /// The name in the JSON of a recording.
    const NAME: &'static str;
    const KIND: Dtype;
    fn from_le(bytes: &[u8]) -> Self;
    fn to_le(self) -> Vec<u8>;
    fn store<'w>(modules: &'w mut Modules<'_>) -> &'w mut ParameterStore<Self>;
}

macro_rules! scalar {
    ($($type:ident $dtype:ident $store:ident;)*) => {$(
        impl Scalar for $type {
            const NAME: &'static str = stringify!($store);
            const KIND: Dtype = Dtype::$dtype;
            fn from_le(bytes: &[u8]) -> Self {
                Self::from_le_bytes(bytes.try_into().unwrap())
            }
            fn to_le(self) -> Vec<u8> {
                self.to_le_bytes().to_vec()
            }
            fn store<'w>(modules: &'w mut Modules<'_>) -> &'w mut ParameterStore<Self> {
                &mut modules.$store
            }
        }
    )*};
}
scalar! { f32 F32 f32; f64 F64 f64; f16 F16 f16; bf16 BF16 bf16; }

/// Runs `$body` with the type alias `$A` for a dtype of parameters.
macro_rules! with_dtype {
    ($dtype:expr, $A:ident => $body:expr) => {
        match $dtype {
            safetensors::Dtype::F32 => {
                type $A = f32;
                $body
            }
            safetensors::Dtype::F64 => {
                type $A = f64;
                $body
            }
            safetensors::Dtype::F16 => {
                type $A = half::f16;
                $body
            }
            safetensors::Dtype::BF16 => {
                type $A = half::bf16;
                $body
            }
            other => panic!("no parameter is of dtype {other:?}"),
        }
    };
}
pub(crate) use with_dtype;

/// The dtype of a name in the JSON of a recording.
pub fn dtype(name: &str) -> Dtype {
    let known = [(f32::NAME, f32::KIND), (f64::NAME, f64::KIND), (f16::NAME, f16::KIND), (bf16::NAME, bf16::KIND)];
    known.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("unknown dtype {name}")).1
}

/// A tensor in row-major order.
#[derive(Clone, Debug)]
pub struct Tensor {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Tensor {
    pub fn of<A: Scalar, D: Dimension>(array: &Array<A, D>) -> Self {
        let bytes = array.iter().flat_map(|x| x.to_le()).collect();
        Self { dtype: A::KIND, shape: array.shape().to_vec(), bytes }
    }

    pub fn array<A: Scalar>(&self) -> ArrayD<A> {
        assert_eq!(self.dtype, A::KIND);
        self.shaped(self.elements().map(A::from_le).collect())
    }

    /// Numbers of any dtype, which are exact as `f64`.
    pub fn numbers(&self) -> ArrayD<f64> {
        let number = |bytes: &[u8]| match self.dtype {
            Dtype::F64 => f64::from_le(bytes),
            Dtype::F32 => f32::from_le(bytes).into(),
            Dtype::F16 => f16::from_le(bytes).into(),
            Dtype::BF16 => bf16::from_le(bytes).into(),
            Dtype::I64 => i64::from_le_bytes(bytes.try_into().unwrap()) as f64,
            Dtype::I32 => i32::from_le_bytes(bytes.try_into().unwrap()).into(),
            Dtype::U8 | Dtype::BOOL => bytes[0].into(),
            other => panic!("no recorded tensor is of dtype {other:?}"),
        };
        self.shaped(self.elements().map(number).collect())
    }

    /// The first `len` bits of packed booleans, most significant first.
    pub fn unpacked(&self, len: usize) -> Vec<bool> {
        (0..len).map(|i| self.bytes[i / 8] >> (7 - i % 8) & 1 == 1).collect()
    }

    /// The first element in which two tensors differ; NaN is NaN whatever its bits.
    pub fn difference(&self, found: &Self) -> Option<String> {
        if (self.dtype, &self.shape) != (found.dtype, &found.shape) {
            return Some(format!(
                "expected {:?} {:?}, found {:?} {:?}",
                self.dtype, self.shape, found.dtype, found.shape
            ));
        }
        if self.bytes == found.bytes {
            return None;
        }
        let (expected, found) = (self.numbers(), found.numbers());
        let mut pairs = expected.indexed_iter().zip(&found);
        pairs.find(|((_, a), b)| !same(**a, **b)).map(|((index, a), b)| {
            format!(
                "at {:?}: expected {a:?} ({:#018x}), found {b:?} ({:#018x})",
                index.slice(),
                a.to_bits(),
                b.to_bits()
            )
        })
    }

    fn elements(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(self.dtype.bitsize() / 8)
    }

    fn shaped<T>(&self, elements: Vec<T>) -> ArrayD<T> {
        ArrayD::from_shape_vec(self.shape.clone(), elements).unwrap()
    }
}

fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

/// The tensors of one file by name.
#[derive(Debug)]
pub struct Tensors(HashMap<String, Tensor>);

impl Tensors {
    pub fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensor = |view: &safetensors::tensor::TensorView<'_>| Tensor {
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            bytes: view.data().to_vec(),
        };
        Self(file.iter().map(|(name, view)| (name.to_owned(), tensor(&view))).collect())
    }
}

impl std::ops::Index<&str> for Tensors {
    type Output = Tensor;

    fn index(&self, name: &str) -> &Tensor {
        &self.0[name]
    }
}

/// The layout in memory of arrays that the crate is given. It must not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    RowMajor,
    ColumnMajor,
    /// Every second element of a larger array, backwards.
    Strided,
}

impl Layout {
    /// The same array in this layout.
    pub fn of<T: Clone + Default, D: Dimension>(self, array: Array<T, D>) -> ArrayD<T> {
        let array = array.into_dyn();
        let mut laid = match self {
            Self::RowMajor => return array,
            Self::ColumnMajor => ArrayD::from_elem(ndarray::ShapeBuilder::set_f(array.raw_dim(), true), T::default()),
            Self::Strided => {
                let double: Vec<usize> = array.shape().iter().map(|n| 2 * n).collect();
                let mut all = ArrayD::from_elem(double, T::default());
                all.slice_each_axis_inplace(|_| Slice::new(0, None, -2));
                all
            }
        };
        laid.assign(&array);
        laid
    }
}
