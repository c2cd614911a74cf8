//! Packed weights and their products.

mod convolution;
#[cfg(feature = "safetensors")]
mod files;
mod packed;
mod products;
mod special;
mod support;
