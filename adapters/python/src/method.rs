//! Methods with their options, as Python gives them.

use numpy::PyReadonlyArrayDyn;
use prune::{Amount, AnyMethod, Mask, MethodOptions, Norm, TieBreak};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict};

use crate::error::of_pruning;

/// A pruning method by the name that the library gives it, with its options.
#[derive(Debug)]
#[pyclass(frozen, module = "nn_prune._rust")]
pub struct Method(pub AnyMethod);

#[pymethods]
impl Method {
    #[new]
    #[pyo3(signature = (name, **options))]
    fn new(name: &str, options: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let mut set = MethodOptions::new();
        for (key, value) in options.into_iter().flatten() {
            if !value.is_none() {
                set = with_option(set, &key.extract::<String>()?, &value)?;
            }
        }
        AnyMethod::from_name(name, &set).map(Self).map_err(of_pruning)
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.0)
    }
}

fn with_option(options: MethodOptions, key: &str, value: &Bound<'_, PyAny>) -> PyResult<MethodOptions> {
    Ok(match key {
        "amount" => options.amount(amount(value)?),
        "sparsity" => options.amount(Amount::sparsity(number(key, value)?)),
        "n" => options.norm(norm(value)?),
        "dim" => options.dim(value.extract()?),
        "seed" => options.source(seed(value)?),
        "ties" => options.tie_break(ties(value)?),
        "mask" => options.mask(Mask::from(value.extract::<PyReadonlyArrayDyn<'_, bool>>()?.as_array())),
        "pattern" => {
            let (n, m) = value.extract()?;
            options.pattern(n, m)
        }
        "block" => options.block(&value.extract::<Vec<usize>>()?),
        other => return Err(PyTypeError::new_err(format!("a method has no option `{other}`"))),
    })
}

/// An integer is a count, and any other number a fraction, as in PyTorch: 1 is one entry, 1.0 is all of them.
pub fn amount(value: &Bound<'_, PyAny>) -> PyResult<Amount> {
    if value.hasattr("__index__")? && !value.is_instance_of::<PyBool>() {
        let count = value.call_method0("__index__")?.extract::<usize>();
        let error = |_| PyValueError::new_err(format!("amount {value} is not a count of units"));
        return Ok(Amount::Count(count.map_err(error)?));
    }
    Ok(Amount::Fraction(number("amount", value)?))
}

fn number(name: &str, value: &Bound<'_, PyAny>) -> PyResult<f64> {
    let error = || PyTypeError::new_err(format!("{name} must be a number, not {value:?}"));
    if value.is_instance_of::<PyBool>() {
        return Err(error());
    }
    value.extract().map_err(|_| error())
}

fn norm(value: &Bound<'_, PyAny>) -> PyResult<Norm> {
    match value.extract::<String>().as_deref() {
        Ok("fro") => Ok(Norm::Frobenius),
        Ok("nuc") => Ok(Norm::Nuclear),
        Ok(other) => Err(PyValueError::new_err(format!("norm `{other}` is neither a number nor one of fro, nuc"))),
        Err(_) => Ok(Norm::L(number("n", value)?)),
    }
}

fn seed(value: &Bound<'_, PyAny>) -> PyResult<u64> {
    let error = |_| PyValueError::new_err(format!("seed {value:?} is not an integer from 0 to 2**64 - 1"));
    value.extract().map_err(error)
}

fn ties(value: &Bound<'_, PyAny>) -> PyResult<TieBreak> {
    match value.extract::<String>()?.as_str() {
        "lowest" => Ok(TieBreak::LowestIndex),
        "torch" => Ok(TieBreak::PyTorch),
        other => Err(PyValueError::new_err(format!("ties `{other}` is neither `lowest` nor `torch`"))),
    }
}
