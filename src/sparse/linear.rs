//! [`PackedLinear`]: a layer for inference.

use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2};

use crate::element::Element;
use crate::sparse::prepared::Prepared;
use crate::sparse::product::Scratch;
use crate::sparse::{SparseError, Sum};

/// A linear layer with a prepared weight: `X W^T + b`, as `torch.nn.Linear` computes it.
///
/// ```
/// use ndarray::{arr1, arr2};
/// use prune::sparse::{Packed, PackedLinear};
///
/// let weight = Packed::from_array(&arr2(&[[0.0_f32, 2.0], [0.0, 0.0], [-1.0, 0.0]]));
/// let layer = PackedLinear::new(weight.prepare(2), Some(arr1(&[0.5, 1.5, 0.0])))?;
/// let outputs = layer.forward(arr2(&[[1.0, 10.0], [2.0, 20.0]]).view())?;
/// assert_eq!(outputs, arr2(&[[20.5, 1.5, -1.0], [40.5, 1.5, -2.0]]));
/// # Ok::<(), prune::sparse::SparseError>(())
/// ```
#[derive(Debug, Clone)]
pub struct PackedLinear<A: Element> {
    weight: Prepared<A>,
    bias: Option<Array1<Sum<A>>>,
}

impl<A: Element> PackedLinear<A> {
    /// Returns a layer with a weight of shape `[outputs, inputs]`, and a bias of shape `[outputs]` or none.
    ///
    /// # Errors
    ///
    /// [`SparseError::BiasLength`] if the bias has more or fewer entries than the weight has rows.
    pub fn new(weight: Prepared<A>, bias: Option<Array1<Sum<A>>>) -> Result<Self, SparseError> {
        check_bias(weight.rows(), bias.as_ref())?;
        Ok(Self { weight, bias })
    }

    /// Returns the weight.
    pub fn weight(&self) -> &Prepared<A> {
        &self.weight
    }

    /// Returns the bias.
    pub fn bias(&self) -> Option<&Array1<Sum<A>>> {
        self.bias.as_ref()
    }

    /// Returns the memory that weight and bias take, in bytes.
    pub fn bytes(&self) -> usize {
        self.weight.bytes() + self.bias.as_ref().map_or(0, |bias| bias.len() * size_of::<Sum<A>>())
    }

    /// Returns the outputs, a row for each row of `x`.
    ///
    /// # Errors
    ///
    /// [`SparseError::InputColumns`] unless `x` has as many columns as the weight.
    pub fn forward(&self, x: ArrayView2<'_, Sum<A>>) -> Result<Array2<Sum<A>>, SparseError> {
        let mut out = Array2::zeros((x.nrows(), self.weight.rows()));
        self.forward_into(x, out.view_mut(), &mut Scratch::default())?;
        Ok(out)
    }

    /// Writes the outputs to an array. Memory that the product needs is taken from `scratch`.
    ///
    /// # Errors
    ///
    /// [`SparseError::InputColumns`] and [`SparseError::OutputShape`], as [`Prepared::matmul_into`]. `out` is unchanged then.
    pub fn forward_into(
        &self,
        x: ArrayView2<'_, Sum<A>>,
        mut out: ArrayViewMut2<'_, Sum<A>>,
        scratch: &mut Scratch<Sum<A>>,
    ) -> Result<(), SparseError> {
        self.weight.matmul_into(x, out.view_mut(), scratch)?;
        if let Some(bias) = &self.bias {
            out.rows_mut().into_iter().for_each(|row| add(row.into_iter(), bias));
        }
        Ok(())
    }
}

fn add<'o, T: num_traits::Float + 'o>(out: impl Iterator<Item = &'o mut T>, bias: &Array1<T>) {
    out.zip(bias).for_each(|(out, &bias)| *out = *out + bias);
}

/// Returns an error unless a bias has one entry for each row.
pub(super) fn check_bias<T>(rows: usize, bias: Option<&Array1<T>>) -> Result<(), SparseError> {
    match bias {
        Some(bias) if bias.len() != rows => Err(SparseError::BiasLength { expected: rows, found: bias.len() }),
        Some(_) | None => Ok(()),
    }
}
