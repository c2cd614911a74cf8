//! Geometry and iteration of tensors, without any policy.

pub(crate) mod channels;
pub(crate) mod chunk;
pub(crate) mod group_kernels;
pub(crate) mod groups;
#[cfg(test)]
mod kernel_tests;
pub(crate) mod kernels;
mod layout;
pub(crate) mod numbered;
pub(crate) mod parallel;
pub(crate) mod simd;
pub(crate) mod slice;

pub(crate) use layout::{STANDARD, flat, flat_mut, zeroed};
