//! The Rust half of the Python package `nn-prune`.
//!
//! Its functions convert arguments and call the library `prune`, without the lock of the interpreter; the package `nn_prune`
//! gives them names, defaults and documentation. No array is copied: they are views of memory that NumPy or PyTorch owns.

mod arrays;
mod error;
mod files;
mod method;
mod pool;
mod report;
mod run;

use pyo3::prelude::*;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[pymodule]
mod _rust {
    #[pymodule_export]
    use crate::arrays::{global_masks, kept, prune_into, prune_mask};
    #[pymodule_export]
    use crate::files::{compact_checkpoint, pack_checkpoint, prune_checkpoint, unpack_checkpoint};
    #[pymodule_export]
    use crate::method::Method;
}
