//! Longer reading, as pages: no code lives here.
//!
//! - [`for_pytorch_users`]: every call of `torch.nn.utils.prune` in Rust, and everything that differs.
//! - [`features`]: what each cargo feature adds.

pub mod features;
pub mod for_pytorch_users;
