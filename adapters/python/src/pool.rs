//! The threads of this package.

use std::mem::forget;
use std::process;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::PyResult;
use pyo3::exceptions::PyRuntimeError;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// The threads, and the process that has started them.
static POOL: Mutex<Option<(u32, Arc<ThreadPool>)>> = Mutex::new(None);

/// Calls a function that may use all cores.
///
/// A process that Python has forked has no threads of its parent, and would wait for them forever. So it starts its own.
pub fn on_all_cores<R: Send>(f: impl FnOnce() -> R + Send) -> PyResult<R> {
    Ok(pool()?.install(f))
}

fn pool() -> PyResult<Arc<ThreadPool>> {
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    let id = process::id();
    match &*pool {
        Some((owner, threads)) if *owner == id => Ok(Arc::clone(threads)),
        _ => {
            let threads = ThreadPoolBuilder::new().build();
            let threads =
                Arc::new(threads.map_err(|error| PyRuntimeError::new_err(format!("cannot start threads: {error}")))?);
            // Those of the parent must not be told to end.
            forget(pool.replace((id, Arc::clone(&threads))));
            Ok(threads)
        }
    }
}
