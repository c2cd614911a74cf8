use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;

use crate::element::{Element, ElementInternals};
use crate::file::atomic::{self, AtomicFile};
use crate::file::error::StateDictError;
use crate::file::header::Header;
use crate::module::Module;
use crate::safetensors::state_dict::{StateDict, state_dict};

/// Writes a module as a safetensors file that PyTorch loads.
///
/// The file appears, or replaces an existing one, when it is complete. On an error the existing file is untouched. A
/// replaced file keeps its mode; a symbolic link is kept, and its target replaced. The same module gives the same bytes. If
/// the process is killed, a file `.nn-prune-*.tmp` may remain in the directory.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("layer.safetensors");
/// # let mut layer = prune::ParameterStore::from_iter([("weight", ndarray::Array2::<f32>::ones((4, 4)))]);
/// prune::l1_unstructured(&mut layer, "weight", 0.5)?;
/// prune::safetensors::save_file(&layer, &path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Any error of [`state_dict`]; [`StateDictError::Write`] if the file cannot be written.
pub fn save_file<M: Module + ?Sized>(module: &M, path: impl AsRef<Path>) -> Result<(), StateDictError> {
    let state = state_dict(module)?;
    write_file(path.as_ref(), &header(&state)?, state.iter().map(|(_, entry)| entry.bytes()))
}

/// Returns the bytes that [`save_file`] writes.
///
/// # Errors
///
/// Any error of [`state_dict`].
pub fn to_bytes<M: Module + ?Sized>(module: &M) -> Result<Vec<u8>, StateDictError> {
    let state = state_dict(module)?;
    let mut bytes = header(&state)?;
    let length = |shape: &[usize]| shape.iter().product::<usize>() * size_of::<M::Elem>();
    bytes.reserve_exact(state.iter().map(|(_, entry)| length(entry.shape())).sum());
    for (_, entry) in &state {
        bytes.extend_from_slice(&entry.bytes());
    }
    Ok(bytes)
}

fn header<A: Element>(state: &StateDict<'_, A>) -> Result<Vec<u8>, StateDictError> {
    Header::encode(state.iter().map(|(name, entry)| (name.as_str(), <A as ElementInternals>::STORED, entry.shape())))
}

/// Writes a header and the data of its tensors. On an error, an existing file is untouched.
pub(super) fn write_file<'a>(
    path: &Path,
    header: &[u8],
    tensors: impl Iterator<Item = Cow<'a, [u8]>>,
) -> Result<(), StateDictError> {
    let write = || -> io::Result<()> {
        atomic::remove_leftovers_of(path);
        let mut file = AtomicFile::create(path)?;
        file.write_all(header)?;
        for tensor in tensors {
            file.write_all(&tensor)?;
        }
        file.commit()
    };
    write().map_err(|source| StateDictError::Write { path: path.to_owned(), source })
}
