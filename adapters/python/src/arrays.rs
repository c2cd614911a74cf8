//! Pruning of arrays.

use bytemuck::Pod;
use half::{bf16, f16};
use numpy::ndarray::{ArrayD, ArrayViewD, ArrayViewMutD};
use numpy::{IntoPyArray, PyArrayDyn, PyReadonlyArrayDyn, PyReadwriteArrayDyn};
use prune::{BorrowedTensor, Element, MaskElement};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::error::of_pruning;
use crate::method::Method;
use crate::pool::on_all_cores;

/// An element type of the library, and the one under which NumPy has it.
trait Stored: Element + MaskElement + Pod {
    /// The same type, or `u16` for halves: not every NumPy knows bfloat16, and any bits are valid in both.
    type Raw: numpy::Element + Pod;
}

impl Stored for f32 {
    type Raw = f32;
}
impl Stored for f64 {
    type Raw = f64;
}
impl Stored for f16 {
    type Raw = u16;
}
impl Stored for bf16 {
    type Raw = u16;
}

/// Calls a generic function for the element type of a name.
macro_rules! with_element {
    ($dtype:expr, $function:ident($($argument:expr),*)) => {
        match $dtype {
            "float32" => $function::<f32>($($argument),*),
            "float64" => $function::<f64>($($argument),*),
            "float16" => $function::<f16>($($argument),*),
            "bfloat16" => $function::<bf16>($($argument),*),
            other => Err(PyTypeError::new_err(format!(
                "cannot prune an array of {other}, only of float16, bfloat16, float32 and float64"
            ))),
        }
    };
}

/// Returns the mask of an array after pruning: `True` = kept.
#[pyfunction]
pub fn prune_mask<'py>(
    py: Python<'py>,
    method: &Method,
    dtype: &str,
    tensor: Tensor<'py>,
) -> PyResult<Bound<'py, PyArrayDyn<bool>>> {
    with_element!(dtype, prune_mask_as(py, method, &tensor))
}

fn prune_mask_as<'py, A: Stored>(
    py: Python<'py>,
    method: &Method,
    tensor: &Tensor<'py>,
) -> PyResult<Bound<'py, PyArrayDyn<bool>>> {
    let borrowed = Borrowed::<A>::of(tensor)?;
    let tensor = borrowed.tensor()?;
    let mask = py.detach(|| on_all_cores(|| tensor.prune(&method.0)))?.map_err(of_pruning)?;
    Ok(ArrayD::from(mask).into_pyarray(py))
}

/// Prunes an array, and writes the mask, as ones and zeros of its type, and the product into two others.
#[pyfunction]
pub fn prune_into(
    py: Python<'_>,
    method: &Method,
    dtype: &str,
    tensor: Tensor<'_>,
    mask: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
) -> PyResult<()> {
    with_element!(dtype, prune_into_as(py, method, &tensor, mask, value))
}

fn prune_into_as<A: Stored>(
    py: Python<'_>,
    method: &Method,
    tensor: &Tensor<'_>,
    mask: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let borrowed = Borrowed::<A>::of(tensor)?;
    let tensor = borrowed.tensor()?;
    let mut mask: PyReadwriteArrayDyn<'_, A::Raw> = mask.extract()?;
    let mut value: PyReadwriteArrayDyn<'_, A::Raw> = value.extract()?;
    let (mask, value) = (view_mut::<A>(&mut mask)?, view_mut::<A>(&mut value)?);
    py.detach(|| on_all_cores(|| tensor.prune_into(&method.0, mask, value)))?.map_err(of_pruning)
}

/// Ranks the entries of several arrays together, and returns the mask of each.
#[pyfunction]
pub fn global_masks<'py>(
    py: Python<'py>,
    method: &Method,
    dtype: &str,
    tensors: Vec<Tensor<'py>>,
) -> PyResult<Vec<Bound<'py, PyArrayDyn<bool>>>> {
    with_element!(dtype, global_masks_as(py, method, &tensors))
}

fn global_masks_as<'py, A: Stored>(
    py: Python<'py>,
    method: &Method,
    tensors: &[Tensor<'py>],
) -> PyResult<Vec<Bound<'py, PyArrayDyn<bool>>>> {
    let borrowed = tensors.iter().map(Borrowed::<A>::of).collect::<PyResult<Vec<_>>>()?;
    let tensors = borrowed.iter().map(Borrowed::tensor).collect::<PyResult<Vec<_>>>()?;
    let masks = py.detach(|| on_all_cores(|| prune::global_masks(&tensors, &method.0)))?.map_err(of_pruning)?;
    Ok(masks.into_iter().map(|mask| ArrayD::from(mask).into_pyarray(py)).collect())
}

/// Returns a mask of ones and zeros as `bool`, or `None` if it has another number.
#[pyfunction]
pub fn kept<'py>(
    py: Python<'py>,
    dtype: &str,
    mask: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyArrayDyn<bool>>>> {
    with_element!(dtype, kept_as(py, mask))
}

fn kept_as<'py, A: Stored>(
    py: Python<'py>,
    mask: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyArrayDyn<bool>>>> {
    let mask: PyReadonlyArrayDyn<'py, A::Raw> = mask.extract()?;
    let mask = view::<A>(&mask)?;
    let kept = py.detach(|| {
        let is_mask = mask.iter().all(|&x| (x == A::one()) | (x == A::zero()));
        is_mask.then(|| mask.mapv(|x| x == A::one()))
    });
    Ok(kept.map(|kept| kept.into_pyarray(py)))
}

/// An array with its mask and its scores, if there are any. Of halves, the bits.
#[derive(FromPyObject)]
pub struct Tensor<'py>(Bound<'py, PyAny>, Option<PyReadonlyArrayDyn<'py, bool>>, Option<Bound<'py, PyAny>>);

/// The same, as arrays of one element type that nobody writes to meanwhile.
struct Borrowed<'t, 'py, A: Stored> {
    array: PyReadonlyArrayDyn<'py, A::Raw>,
    mask: Option<&'t PyReadonlyArrayDyn<'py, bool>>,
    scores: Option<PyReadonlyArrayDyn<'py, A::Raw>>,
}

impl<'t, 'py, A: Stored> Borrowed<'t, 'py, A> {
    fn of(Tensor(array, mask, scores): &'t Tensor<'py>) -> PyResult<Self> {
        let scores = scores.as_ref().map(|scores| scores.extract()).transpose()?;
        Ok(Self { array: array.extract()?, mask: mask.as_ref(), scores })
    }

    fn tensor(&self) -> PyResult<BorrowedTensor<'_, A>> {
        let mut tensor = BorrowedTensor::new(view(&self.array)?);
        if let Some(mask) = self.mask {
            tensor = tensor.with_mask(mask.as_array()).map_err(of_pruning)?;
        }
        if let Some(scores) = &self.scores {
            tensor = tensor.with_scores(view(scores)?).map_err(of_pruning)?;
        }
        Ok(tensor)
    }
}

fn view<'a, A: Stored>(array: &'a PyReadonlyArrayDyn<'_, A::Raw>) -> PyResult<ArrayViewD<'a, A>> {
    let raw = array.as_array();
    let flat = raw.to_slice().ok_or_else(not_contiguous)?;
    ArrayViewD::from_shape(raw.raw_dim(), bytemuck::cast_slice(flat)).map_err(|_| not_contiguous())
}

fn view_mut<'a, A: Stored>(array: &'a mut PyReadwriteArrayDyn<'_, A::Raw>) -> PyResult<ArrayViewMutD<'a, A>> {
    let raw = array.as_array_mut();
    let shape = raw.raw_dim();
    let flat = raw.into_slice().ok_or_else(not_contiguous)?;
    ArrayViewMutD::from_shape(shape, bytemuck::cast_slice_mut(flat)).map_err(|_| not_contiguous())
}

fn not_contiguous() -> PyErr {
    PyValueError::new_err("the array is not contiguous in row-major order")
}
