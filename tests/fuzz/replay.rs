//! The kept inputs of a fuzz target.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Checks every input of a target. Panics with the names of those that fail.
pub fn all(target: &str, check: impl Fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/inputs").join(target);
    let mut paths: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "expected inputs in {}", directory.display());
    let fails = |path: &&_| {
        let bytes = fs::read(path).unwrap();
        catch_unwind(AssertUnwindSafe(|| check(&bytes))).is_err()
    };
    let failed: Vec<_> = paths.iter().filter(fails).filter_map(|path| path.file_name()).collect();
    assert!(failed.is_empty(), "{target}: {failed:?}");
}
