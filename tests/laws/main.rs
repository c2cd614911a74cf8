//! Laws that hold for every input: any shape, layout and bits, any argument, all four element types.
//!
//! What the crate does is compared with an [`oracle`] that is slow and obvious: it sorts, it loops, and it shares no code
//! with the crate.

mod drawn;
mod dtype;
mod global;
mod inputs;
mod large;
mod layout;
mod machine;
mod model;
mod norms;
mod oracle;
mod runner;
mod selection;
mod single;
mod spec;
