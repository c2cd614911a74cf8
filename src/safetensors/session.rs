//! Sessions as files: a state dict with its masks, and the state of the session in the metadata.

use std::path::Path;

use crate::element::ElementInternals;
use crate::file::error::StateDictError;
use crate::file::header::{Header, Metadata};
use crate::file::tensors::FileView;
use crate::module::Module;
use crate::safetensors::load::{load_view, read_file};
use crate::safetensors::report::LoadReport;
use crate::safetensors::save::write_file;
use crate::safetensors::state_dict::state_dict;
use crate::training::{Bounds, Session, SessionState};

/// The keys of the metadata.
const NEXT: &str = "nn-prune.next";
const SCHEDULE: &str = "nn-prune.schedule";
const NAMES: &str = "nn-prune.names";
const ALLOCATION: &str = "nn-prune.allocation";
const BOUNDS: &str = "nn-prune.bounds";

/// Writes a module with its masks, and the state of a session, as one safetensors file.
///
/// The file is one by [`save_file`](crate::safetensors::save_file) with metadata: anything that reads state dicts reads it. It is
/// replaced as a whole, so that a run that is killed leaves the previous one. The state of an optimizer is not in it.
///
/// ```
/// use prune::training::{Schedule, Session};
/// use prune::{L1Unstructured, ParameterStore, safetensors};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("run.safetensors");
/// let model = || ParameterStore::from_iter([("weight", ndarray::Array1::<f32>::linspace(1.0, 2.0, 100))]);
/// let session = || {
///     let schedule = Schedule::linear(0.0, 0.9)?.between(1, 10)?;
///     Ok::<_, prune::PruneError>(Session::new(&["weight"], schedule, |due| L1Unstructured::new(due.amount)))
/// };
/// let (mut net, mut run) = (model(), session()?);
/// for _ in 0..6 {
///     run.step(&mut net)?;
/// }
/// safetensors::save_session(&run, &net, &path)?;
///
/// // In another process:
/// let (mut net, mut run) = (model(), session()?);
/// let report = safetensors::load_session(&path, &mut net, &mut run)?;
/// assert!(report.is_complete());
/// assert_eq!((run.next_step(), net["weight"].pruned()), (6, 40));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Any error of [`state_dict`]; [`StateDictError::Write`] if the file cannot be written.
pub fn save_session<M: Module + ?Sized>(
    session: &Session<M::Elem>,
    module: &M,
    path: impl AsRef<Path>,
) -> Result<(), StateDictError> {
    let metadata = metadata_of(&session.state())?;
    let state = state_dict(module)?;
    let stored = <M::Elem as ElementInternals>::STORED;
    let tensors = state.iter().map(|(name, entry)| (name.as_str(), stored, entry.shape()));
    let header = Header::encode_with(Some(&metadata), tensors)?;
    write_file(path.as_ref(), &header, state.iter().map(|(_, entry)| entry.bytes()))
}

/// Loads a file by [`save_session`] into a module and a session, which were built as those that were saved.
///
/// The run then goes on with [`Session::step`], with bitwise the same masks at every later step as if it had not been
/// interrupted, provided that the rest of the training is resumed as well: optimizer, order of the data.
///
/// # Errors
///
/// - [`StateDictError::Read`] if the file cannot be read; any error of [`load_into`](crate::safetensors::load_into).
/// - [`StateDictError::NoSession`] if the file has no state of a session, or one that cannot be read.
/// - [`StateDictError::Session`] if the state is of a session with another schedule, other names, or another allocation or bounds.
/// - [`StateDictError::NotLoaded`] if a parameter of the session is not in the file, or is pruned in the module only.
///
/// On an error, module and session are unchanged.
pub fn load_session<M: Module + ?Sized>(
    path: impl AsRef<Path>,
    module: &mut M,
    session: &mut Session<M::Elem>,
) -> Result<LoadReport, StateDictError> {
    let bytes = read_file(path.as_ref())?;
    let file = FileView::parse(&bytes)?;
    let state = state_of(file.header.metadata.as_ref())?;
    session.check_state(&state).map_err(|source| StateDictError::Session { source })?;
    let report = load_view(module, &file, &state.names)?;
    session.restore(state).map_err(|source| StateDictError::Session { source })?;
    Ok(report)
}

fn metadata_of(state: &SessionState) -> Result<Metadata, StateDictError> {
    let SessionState { next, schedule, names, allocation, bounds } = state;
    let names =
        serde_json::to_string(names).map_err(|source| StateDictError::InvalidHeader { source: source.into() })?;
    let entries = [
        (NEXT, next.to_string()),
        (SCHEDULE, schedule.to_string()),
        (NAMES, names),
        (ALLOCATION, allocation.to_string()),
        (BOUNDS, format!("{}..{}", bounds.min, bounds.max)),
    ];
    Ok(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn state_of(metadata: Option<&Metadata>) -> Result<SessionState, StateDictError> {
    let text = |key: &'static str| {
        metadata.and_then(|metadata| metadata.get(key)).ok_or_else(|| no_session(format!("no metadata `{key}`")))
    };
    let invalid = |key: &str, text: &str| no_session(format!("`{}` is no `{key}`", text.escape_debug()));
    let bounds = |text: &str| {
        let (min, max) = text.split_once("..")?;
        Some(Bounds { min: min.parse().ok()?, max: max.parse().ok()? })
    };
    let (next, schedule, names) = (text(NEXT)?, text(SCHEDULE)?, text(NAMES)?);
    let (allocation, limits) = (text(ALLOCATION)?, text(BOUNDS)?);
    Ok(SessionState {
        next: next.parse().map_err(|_| invalid(NEXT, next))?,
        schedule: schedule.parse().map_err(|_| invalid(SCHEDULE, schedule))?,
        names: serde_json::from_str(names).map_err(|_| invalid(NAMES, names))?,
        allocation: allocation.parse().map_err(|_| invalid(ALLOCATION, allocation))?,
        bounds: bounds(limits).ok_or_else(|| invalid(BOUNDS, limits))?,
    })
}

fn no_session(reason: String) -> StateDictError {
    StateDictError::NoSession { reason }
}
