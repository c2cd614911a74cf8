//! Laws that hold for every input: any shape, layout and bits, any argument, all four element types.
//!
//! The crate is compared with an [`oracle`] that is slow and obvious: it sorts, it loops, and it shares no code
//! with the crate.

mod allocation;
#[cfg(feature = "safetensors")]
mod bytes;
mod dtype;
#[cfg(feature = "safetensors")]
mod files;
mod global;
mod group_oracle;
mod groups;
mod inputs;
mod large;
mod layout;
mod machine;
mod model;
mod norms;
mod oracle;
mod random_oracle;
#[cfg(feature = "safetensors")]
#[path = "../fuzz/replay.rs"]
mod replay;
pub(crate) mod runner;
mod selection;
mod single;
mod spec;
