//! Checkpoints in files, against the same tensors in memory.

mod changing;
mod companions;
mod custom;
mod defaults;
mod diff;
mod errors;
mod formats;
mod hostile;
mod hostile_index;
mod inspect;
mod many;
mod masks;
mod order;
mod output;
mod passing;
mod patterns;
mod progress;
mod support;
