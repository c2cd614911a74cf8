//! [`Prepared`]: a weight in the form in which its products are fastest.

use std::fmt;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut2, Axis};

use crate::element::Element;
use crate::sparse::choice::{Choice, choose};
use crate::sparse::dense::Dense;
use crate::sparse::kernel::MAX_PANEL;
use crate::sparse::packed::Packed;
use crate::sparse::product::{self, Inputs, Scratch};
use crate::sparse::rows::Rows;
use crate::sparse::{SparseError, Sum};

/// The form in which a weight is stored for its products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Form {
    /// All entries. The product is that of `ndarray`, on all cores.
    Dense,
    /// One bit for each entry, and the kept values: the smallest form. The columns are found again in each product, which takes about
    /// 1.3 to 1.5 times as long as with compressed rows.
    Bitmask,
    /// Compressed rows in panels of 128 columns: the kept values, and one byte for the column of each.
    Rows128,
    /// The same in panels of 256 columns.
    Rows256,
    /// Compressed rows in panels of 1024 columns: the kept values, and two bytes for the column of each.
    Rows1024,
    /// Blocks of four neighbouring rows in panels of 256 columns: one byte for the column of four kept values. Kept values
    /// without such neighbours are stored as compressed rows.
    Blocks,
}

impl Form {
    /// All forms.
    pub const ALL: [Self; 6] = [Self::Dense, Self::Bitmask, Self::Rows128, Self::Rows256, Self::Rows1024, Self::Blocks];
}

/// `dense`, `bit mask`, or `rows in panels of 128 columns`.
impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dense => "dense",
            Self::Bitmask => "bit mask",
            Self::Rows128 => "rows in panels of 128 columns",
            Self::Rows256 => "rows in panels of 256 columns",
            Self::Rows1024 => "rows in panels of 1024 columns",
            Self::Blocks => "blocks of 4 rows",
        })
    }
}

/// A weight in one [`Form`], made by [`Packed::prepare`].
///
/// Products compute what those of [`Packed`] compute. The order in which sums are added depends on the form, on the number of
/// inputs and on the instructions of the processor, so results differ in their last bits between those; they do not depend on
/// the number of threads.
///
/// ```
/// use ndarray::Array2;
/// use prune::sparse::{Packed, Scratch};
/// use prune::{L1Unstructured, Parameter};
///
/// let mut weight = Parameter::new(Array2::from_shape_fn((96, 512), |(i, j)| ((i * 512 + j) as f32).sin()));
/// weight.prune(L1Unstructured::new(0.9)?)?;
/// let fast = Packed::new(&weight).prepare(32);
/// println!("{}", fast.choice());
///
/// let inputs = Array2::<f32>::ones((32, 512));
/// let expected = inputs.dot(&weight.view::<ndarray::Ix2>().t());
/// let outputs = fast.matmul(inputs.view())?;
/// assert!(outputs.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-4));
///
/// // With memory that is reused, for a loop of products.
/// let (mut outputs, mut scratch) = (Array2::zeros((32, 96)), Scratch::default());
/// fast.matmul_into(inputs.view(), outputs.view_mut(), &mut scratch)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Prepared<A: Element> {
    rows: usize,
    columns: usize,
    choice: Choice,
    stored: Stored<A>,
}

#[derive(Clone)]
enum Stored<A: Element> {
    Dense(Dense<A>),
    Bitmask(Packed<A>),
    Narrow(Rows<A, u8, false>),
    Wide(Rows<A, u16, false>),
    Blocks(Rows<A, u8, true>),
}

impl<A: Element> Prepared<A> {
    pub(super) fn new(packed: &Packed<A>, batch: usize) -> Self {
        Self::of(packed, choose(size_of::<A>(), packed, batch))
    }

    pub(super) fn with_form(packed: &Packed<A>, form: Form) -> Self {
        Self::of(packed, Choice::of_caller(form, packed.density()))
    }

    fn of(packed: &Packed<A>, choice: Choice) -> Self {
        let stored = match choice.form {
            Form::Dense => Stored::Dense(Dense::new(packed)),
            Form::Bitmask => Stored::Bitmask(packed.clone()),
            Form::Rows128 => Stored::Narrow(Rows::new(packed, 128)),
            Form::Rows256 => Stored::Narrow(Rows::new(packed, 256)),
            Form::Rows1024 => Stored::Wide(Rows::new(packed, MAX_PANEL)),
            Form::Blocks => Stored::Blocks(Rows::new(packed, 256)),
        };
        Self { rows: packed.rows, columns: packed.columns, choice, stored }
    }

    /// Returns the form.
    pub fn form(&self) -> Form {
        self.choice.form
    }

    /// Returns the form with the reason for it.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// Returns the number of rows, which is the length of a product.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the number of columns, which is the length of an input.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Returns the memory that the form takes, in bytes.
    pub fn bytes(&self) -> usize {
        match &self.stored {
            Stored::Dense(dense) => dense.bytes(),
            Stored::Bitmask(packed) => packed.bytes(),
            Stored::Narrow(rows) => rows.bytes(),
            Stored::Wide(rows) => rows.bytes(),
            Stored::Blocks(rows) => rows.bytes(),
        }
    }

    /// Returns `W x`, one sum for each row.
    ///
    /// # Errors
    ///
    /// [`SparseError::InputColumns`] unless `x` has one entry for each column.
    pub fn matvec(&self, x: ArrayView1<'_, Sum<A>>) -> Result<Array1<Sum<A>>, SparseError> {
        Ok(self.matmul(x.insert_axis(Axis(0)))?.index_axis_move(Axis(0), 0))
    }

    /// Returns `X W^T`: `X` has a row for each input, and the product a row for each output.
    ///
    /// # Errors
    ///
    /// [`SparseError::InputColumns`] unless `x` has as many columns as the weight.
    pub fn matmul(&self, x: ArrayView2<'_, Sum<A>>) -> Result<Array2<Sum<A>>, SparseError> {
        let mut product = Array2::zeros((x.nrows(), self.rows));
        self.matmul_into(x, product.view_mut(), &mut Scratch::default())?;
        Ok(product)
    }

    /// Writes `X W^T` to an array. Memory that the product needs is taken from `scratch`, which grows if it is too small.
    ///
    /// # Errors
    ///
    /// [`SparseError::InputColumns`] unless `x` has as many columns as the weight, [`SparseError::OutputShape`] unless `out` has
    /// a row for each input and a column for each row of the weight. `out` is unchanged then.
    pub fn matmul_into(
        &self,
        x: ArrayView2<'_, Sum<A>>,
        out: ArrayViewMut2<'_, Sum<A>>,
        scratch: &mut Scratch<Sum<A>>,
    ) -> Result<(), SparseError> {
        product::check(self.rows, self.columns, &x, &out)?;
        match &self.stored {
            Stored::Dense(dense) => dense.multiply(&x, out),
            Stored::Bitmask(packed) => product::multiply(packed, &x, out, scratch),
            Stored::Narrow(rows) => product::multiply(rows, &x, out, scratch),
            Stored::Wide(rows) => product::multiply(rows, &x, out, scratch),
            Stored::Blocks(rows) => product::multiply(rows, &x, out, scratch),
        }
        Ok(())
    }

    /// Writes the products with inputs that are made when they are needed: a row of `out` for each.
    pub(super) fn multiply_inputs(
        &self,
        inputs: &impl Inputs<Sum<A>>,
        out: ArrayViewMut2<'_, Sum<A>>,
        scratch: &mut Scratch<Sum<A>>,
    ) {
        match &self.stored {
            Stored::Dense(dense) => dense.multiply_inputs(inputs, out, scratch),
            Stored::Bitmask(packed) => product::multiply(packed, inputs, out, scratch),
            Stored::Narrow(rows) => product::multiply(rows, inputs, out, scratch),
            Stored::Wide(rows) => product::multiply(rows, inputs, out, scratch),
            Stored::Blocks(rows) => product::multiply(rows, inputs, out, scratch),
        }
    }
}

/// `Prepared (96 x 512, rows in panels of 256 columns, 24576 bytes)`.
impl<A: Element> fmt::Debug for Prepared<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rows, columns, form, bytes) = (self.rows, self.columns, self.choice.form, self.bytes());
        write!(f, "Prepared ({rows} x {columns}, {form}, {bytes} bytes)")
    }
}
