//! Errors of the library as exceptions with its message, and the messages of their causes after a colon.

use std::error::Error;
use std::io;

use prune::PruneError;
use prune::checkpoint::CheckpointError;
use pyo3::PyErr;
use pyo3::exceptions::{PyFileExistsError, PyFileNotFoundError, PyOSError, PyValueError};

/// Every error about arguments is a `ValueError`.
pub fn of_pruning(error: PruneError) -> PyErr {
    PyValueError::new_err(message(&error))
}

/// Errors of the operating system, and about files that exist or do not, are an `OSError`; all others a `ValueError`.
pub fn of_checkpoint(error: CheckpointError) -> PyErr {
    let text = message(&error);
    match error {
        CheckpointError::Read { source, .. } | CheckpointError::Write { source, .. } => of_system(&source, text),
        CheckpointError::OutputExists { .. } => PyFileExistsError::new_err(text),
        CheckpointError::EmptyDirectory { .. } | CheckpointError::MissingShard { .. } => {
            PyFileNotFoundError::new_err(text)
        }
        _ => PyValueError::new_err(text),
    }
}

/// Python chooses the class by the number: `FileNotFoundError`, `PermissionError` and so on.
pub fn of_system(error: &io::Error, text: String) -> PyErr {
    match error.raw_os_error() {
        Some(number) => PyOSError::new_err((number, text)),
        None => PyOSError::new_err(text),
    }
}

fn message(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
