//! New masks, made by `nn-prune` from copies on the host, or from views of them.

use std::borrow::Cow;
use std::collections::HashMap;

use burn_core::tensor::{DType, Shape, TensorData};
use half::{bf16, f16};
use ndarray::{ArrayViewD, IxDyn};
use prune::{BorrowedTensor, Mask, PruneError, PruningMethod};

use crate::error::Error;
use crate::survey::Entry;

/// A method for all four element types: each method of `nn-prune`, [`prune::AnyMethod`], and each custom method that is
/// implemented for every [`prune::Element`].
///
/// ```
/// fn takes_a_method(method: impl prune_burn::Method) {}
///
/// takes_a_method(prune::L1Unstructured::new(0.5)?);
/// takes_a_method(prune::NM::new(2, 4, 0)?);
/// # Ok::<(), prune::PruneError>(())
/// ```
pub trait Method: PruningMethod<f32> + PruningMethod<f64> + PruningMethod<f16> + PruningMethod<bf16> + 'static {}

impl<M> Method for M where
    M: PruningMethod<f32> + PruningMethod<f64> + PruningMethod<f16> + PruningMethod<bf16> + 'static
{
}

/// Importance scores by path. They have the shape of the parameter, and a floating-point type of their own.
///
/// ```
/// use burn::tensor::TensorData;
///
/// let scores = prune_burn::Scores::from([("weight".to_owned(), TensorData::from([[0.1_f32, 0.9], [0.7, 0.2]]))]);
/// ```
pub type Scores = HashMap<String, TensorData>;

/// The element types of burn that `nn-prune` ranks.
trait Number: prune::Element + burn_core::tensor::Element {}

impl Number for f32 {}
impl Number for f64 {}
impl Number for f16 {}
impl Number for bf16 {}

/// Calls a function for the element type that ranks a type of burn. `$other` is the value if there is none.
macro_rules! with_number {
    ($dtype:expr, $number:ident => $call:expr, $other:expr) => {
        match $dtype {
            DType::F64 => {
                type $number = f64;
                $call
            }
            // `Flex32` is `f32` outside of kernels.
            DType::F32 | DType::Flex32 => {
                type $number = f32;
                $call
            }
            DType::F16 => {
                type $number = f16;
                $call
            }
            DType::BF16 => {
                type $number = bf16;
                $call
            }
            DType::I64
            | DType::I32
            | DType::I16
            | DType::I8
            | DType::U64
            | DType::U32
            | DType::U16
            | DType::U8
            | DType::Bool(_)
            | DType::QFloat(_) => $other,
        }
    };
}

/// A selected parameter on the host.
pub(crate) struct HostTensor<'s> {
    path: String,
    shape: IxDyn,
    /// The ranked numbers: the tensor, or its scores.
    ranked: Cow<'s, TensorData>,
    has_scores: bool,
    mask: Option<TensorData>,
}

impl<'s> HostTensor<'s> {
    /// Copies a parameter from its device, unless there are scores for it, and its mask.
    pub fn read(entry: &Entry, scores: Option<&'s TensorData>) -> Result<Self, Error> {
        let path = &entry.path;
        let (shape, flat) = entry.flat()?;
        let ranked = match scores {
            Some(scores) => {
                check_scores(path, &shape, scores)?;
                Cow::Borrowed(scores)
            }
            None => Cow::Owned(flat.try_into_data().map_err(Error::read(path))?),
        };
        let mask = entry.mask.as_ref().map(|mask| mask.val().try_into_data()).transpose().map_err(Error::read(path))?;
        let shape = IxDyn(shape.as_slice());
        Ok(Self { path: path.clone(), shape, ranked, has_scores: scores.is_some(), mask })
    }

    /// Returns the new mask.
    pub fn prune(&self, method: &impl Method) -> Result<Mask, Error> {
        with_number!(self.ranked.dtype(), A => self.prune_as::<A>(method), Err(self.unsupported()))
    }

    fn prune_as<A: Number>(&self, method: &dyn PruningMethod<A>) -> Result<Mask, Error> {
        let (entries, mask) = (self.entries::<A>()?, self.remaining()?);
        self.borrow(&entries, mask.as_deref())?.prune(method).map_err(Error::at(&self.path))
    }

    fn entries<A: Number>(&self) -> Result<Cow<'_, [A]>, Error> {
        slice(&self.ranked, &self.path)
    }

    /// The mask as booleans, `true` for entries that remain, if there is one.
    fn remaining(&self) -> Result<Option<Cow<'_, [bool]>>, Error> {
        self.mask.as_ref().map(|mask| slice(mask, &self.path)).transpose()
    }

    fn borrow<'a, A: Number>(
        &'a self,
        entries: &'a [A],
        mask: Option<&'a [bool]>,
    ) -> Result<BorrowedTensor<'a, A>, Error> {
        let mut tensor = BorrowedTensor::from_slice(self.shape.clone(), entries).map_err(Error::at(&self.path))?;
        if let Some(mask) = mask {
            let mask = ArrayViewD::from_shape(self.shape.clone(), mask).map_err(Error::read(&self.path))?;
            tensor = tensor.with_mask(mask).map_err(Error::at(&self.path))?;
        }
        if self.has_scores {
            // The tensor itself does not matter for the mask, so its scores can stand in for it in a type of their own.
            let scores = ArrayViewD::from_shape(self.shape.clone(), entries).map_err(Error::read(&self.path))?;
            tensor = tensor.with_scores(scores).map_err(Error::at(&self.path))?;
        }
        Ok(tensor)
    }

    fn unsupported(&self) -> Error {
        Error::UnsupportedDtype { path: self.path.clone(), dtype: self.ranked.dtype() }
    }
}

/// Rejects scores that cannot rank the entries of a parameter.
fn check_scores(path: &str, shape: &Shape, scores: &TensorData) -> Result<(), Error> {
    if !scores.dtype().is_float() {
        return Err(Error::ScoresDtype { path: path.to_owned(), dtype: scores.dtype() });
    }
    if scores.shape() != shape {
        let (expected, found) = (shape.to_vec(), scores.shape().to_vec());
        let argument = "importance_scores".to_owned();
        return Err(Error::at(path)(PruneError::ShapeMismatch { argument, expected, found }));
    }
    Ok(())
}

/// Returns the new masks of tensors that are ranked together, in a type that holds all their values exactly.
pub(crate) fn global(tensors: &[HostTensor<'_>], method: &impl Method) -> Result<Vec<Mask>, Error> {
    let dtypes = tensors.iter().map(|tensor| tensor.ranked.dtype());
    let dtype = dtypes.reduce(wider).unwrap_or(DType::F32);
    let unsupported = || tensors.first().map_or(Error::Prune(PruneError::NoTargets), HostTensor::unsupported);
    with_number!(dtype, A => global_as::<A>(tensors, method), Err(unsupported()))
}

fn global_as<A: Number>(tensors: &[HostTensor<'_>], method: &dyn PruningMethod<A>) -> Result<Vec<Mask>, Error> {
    let host = tensors.iter().map(|tensor| Ok((tensor.entries::<A>()?, tensor.remaining()?)));
    let host = host.collect::<Result<Vec<_>, Error>>()?;
    let borrowed = tensors.iter().zip(&host).map(|(tensor, (entries, mask))| tensor.borrow(entries, mask.as_deref()));
    Ok(prune::global_masks(&borrowed.collect::<Result<Vec<_>, _>>()?, method)?)
}

/// The narrowest type that holds the values of both. No half precision holds the other one.
fn wider(a: DType, b: DType) -> DType {
    if a == b {
        a
    } else if a == DType::F64 || b == DType::F64 {
        DType::F64
    } else {
        DType::F32
    }
}

/// The entries as `E`: a view if they have this type, and converted otherwise.
pub(crate) fn slice<'d, E: burn_core::tensor::Element>(
    data: &'d TensorData,
    path: &str,
) -> Result<Cow<'d, [E]>, Error> {
    if data.dtype() == E::dtype() {
        Ok(Cow::Borrowed(data.as_slice::<E>().map_err(Error::read(path))?))
    } else {
        Ok(Cow::Owned(data.try_to_vec_as::<E>().map_err(Error::read(path))?))
    }
}
