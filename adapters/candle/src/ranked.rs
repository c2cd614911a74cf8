//! Tensors in the memory of the host, where they are ranked.

use candle_core::{Device, Layout, Storage, Tensor};
use ndarray::{ArrayD, ArrayViewD};
use prune::{BorrowedTensor, Mask, PruneError};

use crate::error::Error;
use crate::float::{Float, FloatType, Method, with_float};

/// The numbers that rank the entries of one variable: its weights, or importance scores.
pub(crate) struct Ranked<'s> {
    name: &'s str,
    /// On the host and contiguous.
    host: Tensor,
    float: FloatType,
    before: Option<&'s ArrayD<bool>>,
    is_scores: bool,
}

impl<'s> Ranked<'s> {
    /// Takes the weights of a variable, and its mask so far. On the CPU, nothing is copied.
    pub(crate) fn weights(name: &'s str, weights: &Tensor, before: Option<&'s ArrayD<bool>>) -> Result<Self, Error> {
        let float = FloatType::of(weights.dtype())
            .ok_or_else(|| Error::DType { name: name.to_owned(), found: weights.dtype() })?;
        Ok(Self { name, host: on_host(weights)?, float, before, is_scores: false })
    }

    /// Takes scores of the shape of the weights. They are ranked in their own dtype, and copied if they are not contiguous.
    pub(crate) fn scores(
        name: &'s str,
        weights: &Tensor,
        scores: &Tensor,
        before: Option<&'s ArrayD<bool>>,
    ) -> Result<Self, Error> {
        let float = FloatType::of(scores.dtype())
            .ok_or_else(|| Error::ScoresDType { name: name.to_owned(), found: scores.dtype() })?;
        if scores.dims() != weights.dims() {
            let argument = "importance_scores".to_owned();
            let (expected, found) = (weights.dims().to_vec(), scores.dims().to_vec());
            let source = PruneError::ShapeMismatch { argument, expected, found };
            return Err(Error::Prune { name: name.to_owned(), source });
        }
        Ok(Self { name, host: on_host(scores)?, float, before, is_scores: true })
    }

    /// Returns the mask after pruning this variable by itself.
    pub(crate) fn mask(&self, method: &dyn Method) -> Result<ArrayD<bool>, Error> {
        let (storage, layout) = self.host.storage_and_layout();
        let pruned = with_float!(self.float, A => self.borrow::<A>(&storage, layout)?.prune(A::method(method)));
        pruned.map(ArrayD::from).map_err(|source| Error::Prune { name: self.name.to_owned(), source })
    }

    /// Borrows the entries.
    fn borrow<'a, A: Float>(&'a self, storage: &'a Storage, layout: &Layout) -> Result<BorrowedTensor<'a, A>, Error> {
        let (Storage::Cpu(storage), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
            return Err(candle_core::Error::msg("a contiguous tensor on the CPU is neither").into());
        };
        let entries = &A::cpu_storage_as_slice(storage)?[start..end];
        let entries = ArrayViewD::from_shape(layout.dims(), entries).map_err(candle_core::Error::wrap)?;
        let mut tensor = BorrowedTensor::new(entries.clone());
        let failed = |source| Error::Prune { name: self.name.to_owned(), source };
        if let Some(before) = self.before {
            tensor = tensor.with_mask(before.view()).map_err(failed)?;
        }
        if self.is_scores {
            // Scores of pruned entries count in channels that remain, as in PyTorch. Weights of pruned entries are zero.
            tensor = tensor.with_scores(entries).map_err(failed)?;
        }
        Ok(tensor)
    }
}

/// Returns the masks after ranking all entries together. Tensors of different dtypes are ranked in a type that holds all their
/// values; only then they are copied.
pub(crate) fn masks_together(mut tensors: Vec<Ranked<'_>>, method: &dyn Method) -> Result<Vec<ArrayD<bool>>, Error> {
    let common = tensors.iter().map(|tensor| tensor.float).reduce(FloatType::common);
    // Without tensors, the error of the library is the same for each type.
    let common = common.unwrap_or(FloatType::F32);
    for tensor in &mut tensors {
        tensor.host = tensor.host.to_dtype(common.dtype())?;
        tensor.float = common;
    }
    let storages: Vec<_> = tensors.iter().map(|tensor| tensor.host.storage_and_layout()).collect();
    let masks = with_float!(common, A => {
        let borrowed = tensors.iter().zip(&storages).map(|(tensor, (storage, layout))| tensor.borrow::<A>(storage, layout));
        prune::global_masks(&borrowed.collect::<Result<Vec<_>, _>>()?, A::method(method))
    });
    let masks: Vec<Mask> = masks.map_err(|source| Error::Global { source })?;
    Ok(masks.into_iter().map(ArrayD::from).collect())
}

fn on_host(tensor: &Tensor) -> candle_core::Result<Tensor> {
    // Detached, since nothing is differentiated: a result of an operation would keep its arguments alive.
    tensor.detach().to_device(&Device::Cpu)?.contiguous()
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Storage, Tensor, Var, WithDType};

    use super::Ranked;

    fn address(tensor: &Tensor) -> *const f32 {
        let (storage, layout) = tensor.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else { panic!("not on the CPU") };
        f32::cpu_storage_as_slice(storage).unwrap()[layout.start_offset()..].as_ptr()
    }

    #[test]
    fn weights_and_contiguous_scores_are_ranked_where_they_are() {
        let weights = Var::ones((4, 6), DType::F32, &Device::Cpu).unwrap();
        let ranked = Ranked::weights("w", &weights, None).unwrap();
        assert_eq!(address(&ranked.host), address(&weights));

        let scores = Tensor::zeros((6, 6), DType::F32, &Device::Cpu).unwrap().narrow(0, 2, 4).unwrap();
        let ranked = Ranked::scores("w", &weights, &scores, None).unwrap();
        assert_eq!(address(&ranked.host), address(&scores));
        let scores = Tensor::zeros((6, 4), DType::F32, &Device::Cpu).unwrap().t().unwrap();
        let ranked = Ranked::scores("w", &weights, &scores, None).unwrap();
        assert_ne!(address(&ranked.host), address(&scores));
    }
}
