//! The dense products of three libraries: `X W^T`, written to memory that exists.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use ndarray::Array2;
use ndarray::linalg::{general_mat_mul, general_mat_vec_mul};

/// One product of one library.
pub struct Dense<'m> {
    pub name: &'static str,
    run: Box<dyn FnMut() + 'm>,
}

impl<'m> Dense<'m> {
    /// The products of all libraries.
    pub fn all(weight: &'m Array2<f32>, inputs: &'m Array2<f32>) -> Vec<Self> {
        vec![ndarray(weight, inputs), gemm(weight, inputs), faer(weight, inputs)]
    }

    pub fn multiply(&mut self) {
        (self.run)();
    }
}

fn ndarray<'m>(weight: &'m Array2<f32>, inputs: &'m Array2<f32>) -> Dense<'m> {
    let mut out = Array2::zeros((inputs.nrows(), weight.nrows()));
    let run = Box::new(move || {
        if inputs.nrows() == 1 {
            general_mat_vec_mul(1.0, weight, &inputs.row(0), 0.0, &mut out.row_mut(0));
        } else {
            general_mat_mul(1.0, inputs, &weight.t(), 0.0, &mut out);
        }
    });
    Dense { name: "ndarray", run }
}

fn gemm<'m>(weight: &'m Array2<f32>, inputs: &'m Array2<f32>) -> Dense<'m> {
    let (rows, columns, batch) = (weight.nrows(), weight.ncols(), inputs.nrows());
    let mut out = Array2::<f32>::zeros((batch, rows));
    let threads = rayon::current_num_threads();
    let parallelism = if threads > 1 { gemm::Parallelism::Rayon(threads) } else { gemm::Parallelism::None };
    let run = Box::new(move || {
        let (left, right) = (inputs.as_ptr(), weight.as_ptr());
        // SAFETY: all three matrices are in standard layout and have the sizes and strides that are given.
        unsafe {
            gemm::gemm(
                batch,
                rows,
                columns,
                out.as_mut_ptr(),
                1,
                rows as isize,
                false,
                left,
                1,
                columns as isize,
                right,
                columns as isize,
                1,
                0.0,
                1.0,
                false,
                false,
                false,
                parallelism,
            );
        }
    });
    Dense { name: "gemm", run }
}

fn faer<'m>(weight: &'m Array2<f32>, inputs: &'m Array2<f32>) -> Dense<'m> {
    let (rows, columns, batch) = (weight.nrows(), weight.ncols(), inputs.nrows());
    let mut out = Mat::<f32>::zeros(batch, rows);
    let threads = rayon::current_num_threads();
    let parallelism = if threads > 1 { Par::rayon(threads) } else { Par::Seq };
    let view = |matrix: &'m Array2<f32>, rows, columns| {
        MatRef::from_row_major_slice(matrix.as_slice().expect("standard layout"), rows, columns)
    };
    let (left, right) = (view(inputs, batch, columns), view(weight, rows, columns));
    let run = Box::new(move || matmul(&mut out, Accum::Replace, left, right.transpose(), 1.0, parallelism));
    Dense { name: "faer", run }
}
