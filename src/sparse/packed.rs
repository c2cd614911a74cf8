//! [`Packed`]: one bit per entry and the kept entries.

use std::fmt;

use ndarray::{Array1, Array2, ArrayBase, ArrayD, ArrayView1, ArrayView2, Data, Dimension, IxDyn};

use crate::element::Element;
use crate::mask::{Mask, fraction};
use crate::parameter::Parameter;
use crate::sparse::bits::{self, row_bytes};
use crate::sparse::prepared::{Form, Prepared};
use crate::sparse::product::{self, Scratch};
use crate::sparse::{SparseError, Sum};
use crate::tensor::{flat, parallel};

/// The rows that a thread packs at once hold about this many entries.
const PART: usize = 1 << 16;

/// A weight without its pruned entries: one bit for each entry, and the values of the kept ones, row by row.
///
/// Rows are the first axis, and all other axes together are the columns. A tensor of fewer than two dimensions is one row. In
/// memory it takes about 53, 23 and 13 % of a dense `f32` tensor at sparsities of 50, 80 and 90 %; it is also the layout of a
/// packed file.
///
/// Products are those of a layer: [`matvec`](Self::matvec) is `W x`, and [`matmul`](Self::matmul) is `X W^T`, with one input
/// in each row of `X`. They compute from the bits; [`prepare`](Self::prepare) makes a form that computes faster.
///
/// ```
/// use ndarray::{arr1, arr2};
/// use prune::sparse::Packed;
/// use prune::{L1Unstructured, Parameter};
///
/// let mut weight = Parameter::new(arr2(&[[0.1_f32, -2.0, 0.3], [3.0, -0.4, 0.2]]));
/// weight.prune(L1Unstructured::new(4)?)?;
/// let packed = Packed::new(&weight);
/// assert_eq!((packed.kept(), packed.density()), (2, 1.0 / 3.0));
/// assert_eq!(packed.to_dense(), weight.value());
/// assert_eq!(packed.matvec(arr1(&[1.0, 10.0, 100.0]).view())?, arr1(&[-20.0, 3.0]));
/// assert_eq!(packed.matmul(arr2(&[[1.0, 10.0, 100.0], [0.0, 1.0, 0.0]]).view())?, arr2(&[[-20.0, 3.0], [-2.0, 0.0]]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Pruned entries
///
/// An entry that is not kept takes no part in a product, whatever the input has there: where a dense product would add `0 * inf`,
/// which is NaN, nothing is added. Kept entries are multiplied as they are, so NaN and infinities among them, and those of the
/// input that meet a kept entry, reach the result as IEEE arithmetic says.
#[derive(Clone, PartialEq)]
pub struct Packed<A: Element> {
    shape: Vec<usize>,
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// [`row_bytes`] for each row.
    pub(super) bits: Vec<u8>,
    /// The index of the first value of each row, and the number of all values.
    pub(super) starts: Vec<usize>,
    pub(super) values: Vec<A>,
    /// In the layout of `bits`: 1 for an entry that is not kept and is -0.0.
    signs: Option<Vec<u8>>,
}

/// Returns the rows and the columns of a tensor.
pub(crate) fn matrix(shape: &[usize]) -> (usize, usize) {
    match shape {
        [] => (1, 1),
        [columns] => (1, *columns),
        [rows, columns @ ..] => (*rows, columns.iter().product()),
    }
}

impl<A: Element> Packed<A> {
    /// Packs the kept entries of a parameter: those that its mask keeps or, if it is not pruned, those that are not zero.
    ///
    /// Pruned entries are packed as 0.0, also those whose [`value`](Parameter::value) is -0.0, or NaN because an infinity was
    /// pruned. [`exact`](Self::exact) keeps these.
    pub fn new(parameter: &Parameter<A>) -> Self {
        match parameter.mask() {
            Some(mask) => {
                let mask = mask.as_slice();
                Self::pack(flat(parameter.value()), parameter.value().shape(), |position, _| mask[position])
            }
            None => Self::from_array(parameter.value()),
        }
    }

    /// Packs the entries of an array that are not zero. -0.0 is packed as 0.0.
    pub fn from_array<S: Data<Elem = A>, D: Dimension>(array: &ArrayBase<S, D>) -> Self {
        with_entries(array, |entries| Self::pack(entries, array.shape(), |_, entry| !entry.is_zero()))
    }

    /// Packs the entries of an array that a mask keeps, zeros among them too.
    ///
    /// # Errors
    ///
    /// [`SparseError::MaskShape`] if the mask has another shape.
    pub fn from_masked<S: Data<Elem = A>, D: Dimension>(
        array: &ArrayBase<S, D>,
        mask: &Mask,
    ) -> Result<Self, SparseError> {
        if mask.shape() != array.shape() {
            let (expected, found) = (array.shape().to_vec(), mask.shape().to_vec());
            return Err(SparseError::MaskShape { expected, found });
        }
        let mask = mask.as_slice();
        Ok(with_entries(array, |entries| Self::pack(entries, array.shape(), |position, _| mask[position])))
    }

    /// Packs an array so that [`to_dense`](Self::to_dense) returns it bit for bit: the entries that are not zero, and one more
    /// bit per entry for the signs of zeros if there is a -0.0.
    ///
    /// ```
    /// use prune::sparse::Packed;
    ///
    /// let weight = ndarray::arr1(&[-0.0_f64, 1.0, 0.0]);
    /// assert!(Packed::exact(&weight).to_dense()[0].is_sign_negative());
    /// assert!(Packed::from_array(&weight).to_dense()[0].is_sign_positive());
    /// ```
    pub fn exact<S: Data<Elem = A>, D: Dimension>(array: &ArrayBase<S, D>) -> Self {
        with_entries(array, |entries| {
            let mut packed = Self::pack(entries, array.shape(), |_, entry| !entry.is_zero());
            let is_signed = |entry: A| entry.is_zero() && entry.is_sign_negative();
            if entries.iter().any(|&entry| is_signed(entry)) {
                packed.signs = Some(Self::pack(entries, array.shape(), |_, entry| is_signed(entry)).bits);
            }
            packed
        })
    }

    /// Packs the entries of which `kept` is true, given its position and itself.
    fn pack(entries: &[A], shape: &[usize], kept: impl Fn(usize, A) -> bool + Send + Sync) -> Self {
        let (rows, columns) = matrix(shape);
        let shape = shape.to_vec();
        if entries.is_empty() {
            return Self { shape, rows, columns, bits: Vec::new(), starts: vec![0], values: Vec::new(), signs: None };
        }
        let part = (PART / columns).max(1);
        let parts: Vec<(usize, &[A])> = entries.chunks(part * columns).enumerate().collect();
        let count = |&(number, entries): &(usize, &[A])| -> Vec<usize> {
            let first = number * part * columns;
            let count = |(row, entries): (usize, &[A])| {
                let kept = |(i, &entry): (usize, &A)| usize::from(kept(first + row * columns + i, entry));
                entries.iter().enumerate().map(kept).sum()
            };
            entries.chunks(columns).enumerate().map(count).collect()
        };
        let counts = parallel::map(&parts, entries.len(), count);
        let mut starts = Vec::with_capacity(rows + 1);
        starts.push(0);
        let mut total = 0;
        starts.extend(counts.iter().flatten().map(|count| {
            total += count;
            total
        }));

        let bytes = row_bytes(columns);
        let (mut bits, mut values) = (vec![0; rows * bytes], vec![A::default(); total]);
        let mut rest = &mut values[..];
        let mut jobs = Vec::with_capacity(parts.len());
        for ((&(number, entries), counts), bits) in parts.iter().zip(&counts).zip(bits.chunks_mut(part * bytes)) {
            let (values, after) = rest.split_at_mut(counts.iter().sum());
            rest = after;
            jobs.push((number * part * columns, entries, bits, values));
        }
        parallel::for_each(jobs, entries.len(), |(mut first, entries, bits, mut values)| {
            for (entries, bits) in entries.chunks(columns).zip(bits.chunks_mut(bytes)) {
                let count = bits::pack(entries, |i, entry| kept(first + i, entry), bits, values);
                values = &mut values[count..];
                first += columns;
            }
        });
        Self { shape, rows, columns, bits, starts, values, signs: None }
    }

    /// A packed tensor of parts that were checked against each other.
    #[cfg(feature = "safetensors")]
    pub(crate) fn from_parts(
        shape: Vec<usize>,
        bits: Vec<u8>,
        starts: Vec<usize>,
        values: Vec<A>,
        signs: Option<Vec<u8>>,
    ) -> Self {
        let (rows, columns) = matrix(&shape);
        Self { shape, rows, columns, bits, starts, values, signs }
    }

    /// The bits, the starts of rows and the values.
    #[cfg(feature = "safetensors")]
    pub(crate) fn parts(&self) -> (&[u8], &[usize], &[A]) {
        (&self.bits, &self.starts, &self.values)
    }

    /// Returns the tensor, with 0.0 for entries that are not kept (or -0.0, after [`exact`](Self::exact)).
    pub fn to_dense(&self) -> ArrayD<A> {
        let mut dense = crate::tensor::zeroed(IxDyn(&self.shape));
        let entries = crate::tensor::flat_mut(&mut dense);
        if entries.is_empty() {
            return dense;
        }
        let part = (PART / self.columns).max(1);
        let len = entries.len();
        let jobs = entries.chunks_mut(part * self.columns).enumerate().collect();
        parallel::for_each(jobs, len, |(number, entries)| {
            for (i, entries) in entries.chunks_mut(self.columns).enumerate() {
                self.unpack_row(number * part + i, entries);
            }
        });
        dense
    }

    /// Writes the entries of a row.
    pub(super) fn unpack_row(&self, row: usize, entries: &mut [A]) {
        bits::unpack(self.row_bits(row), self.row_values(row), entries);
        if let Some(signs) = &self.signs {
            let bytes = row_bytes(self.columns);
            for (entries, signs) in entries.chunks_mut(8).zip(&signs[row * bytes..][..bytes]) {
                let signed = entries.iter_mut().enumerate().filter(|(i, x)| signs >> i & 1 == 1 && x.is_zero());
                signed.for_each(|(_, x)| *x = -A::zero());
            }
        }
    }

    /// Returns the mask: `true` for kept entries.
    pub fn mask(&self) -> Mask {
        let mut mask = Mask::from_elem(IxDyn(&self.shape), false);
        if !mask.is_empty() {
            for (row, kept) in mask.as_mut_slice().chunks_mut(self.columns).enumerate() {
                let bits = self.row_bits(row);
                kept.iter_mut().enumerate().for_each(|(i, kept)| *kept = bits[i / 8] >> (i % 8) & 1 == 1);
            }
        }
        mask
    }

    pub(super) fn row_bits(&self, row: usize) -> &[u8] {
        let bytes = row_bytes(self.columns);
        &self.bits[row * bytes..][..bytes]
    }

    pub(super) fn row_values(&self, row: usize) -> &[A] {
        &self.values[self.starts[row]..self.starts[row + 1]]
    }

    /// Returns the shape of the tensor.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns the number of rows: the size of the first axis, or 1 without a second.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the number of columns: the entries of a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Returns the number of entries, kept and not.
    pub fn entries(&self) -> usize {
        self.rows * self.columns
    }

    /// Returns the number of kept entries.
    pub fn kept(&self) -> usize {
        self.values.len()
    }

    /// Returns the fraction of entries that are kept, from 0.0 to 1.0; 0.0 if there are no entries.
    pub fn density(&self) -> f64 {
        fraction(self.kept(), self.entries())
    }

    /// Returns the memory that bits, values and the offsets of rows take, in bytes.
    pub fn bytes(&self) -> usize {
        let signs = self.signs.as_ref().map_or(0, Vec::len);
        self.bits.len() + signs + size_of_val(&self.starts[..]) + size_of_val(&self.values[..])
    }

    /// Returns the memory that the dense tensor would take, in bytes.
    pub fn dense_bytes(&self) -> usize {
        self.entries() * size_of::<A>()
    }

    /// Returns `W x`, one sum for each row.
    ///
    /// # Errors
    ///
    /// [`SparseError::InputColumns`] unless `x` has one entry for each column.
    pub fn matvec(&self, x: ArrayView1<'_, Sum<A>>) -> Result<Array1<Sum<A>>, SparseError> {
        product::matvec(self, x)
    }

    /// Returns `X W^T`: `X` has a row for each input, and the product a row for each output.
    ///
    /// # Errors
    ///
    /// [`SparseError::InputColumns`] unless `x` has as many columns as the weight.
    pub fn matmul(&self, x: ArrayView2<'_, Sum<A>>) -> Result<Array2<Sum<A>>, SparseError> {
        product::matmul(self, x, &mut Scratch::default())
    }

    /// Returns the form in which products with about `batch` inputs at once are fastest.
    ///
    /// The choice depends on the type, the density, the size and the batch; [`Prepared::choice`] tells it with its reason. The
    /// form can multiply any number of inputs. It is a copy: prepare again when the weight has changed.
    pub fn prepare(&self, batch: usize) -> Prepared<A> {
        Prepared::new(self, batch)
    }

    /// Returns a form that the caller chooses.
    pub fn prepare_as(&self, form: Form) -> Prepared<A> {
        Prepared::with_form(self, form)
    }
}

/// Calls `f` with the entries in row-major order; copies them if the array has another layout.
fn with_entries<A: Element, S: Data<Elem = A>, D: Dimension, R>(
    array: &ArrayBase<S, D>,
    f: impl FnOnce(&[A]) -> R,
) -> R {
    match array.as_slice() {
        Some(entries) => f(entries),
        None => f(flat(&array.to_owned().into_dyn().as_standard_layout())),
    }
}

/// `Packed (3 of 12 kept, shape [3, 4], 64 bytes)`.
impl<A: Element> fmt::Debug for Packed<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kept, entries, shape, bytes) = (self.kept(), self.entries(), &self.shape, self.bytes());
        write!(f, "Packed ({kept} of {entries} kept, shape {shape:?}, {bytes} bytes)")
    }
}
