//! What the fuzz targets share.

/// The entry points that the smoke tests of `netspace-wire` call too.
#[path = "../../crates/wire/tests/entry/mod.rs"]
pub mod entry;

pub mod lab;
pub mod tcp_pair;

/// The whole stack, as its smoke test calls it.
#[path = "../../crates/stack/tests/fuzz_entry/mod.rs"]
pub mod stack;
