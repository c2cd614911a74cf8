//! Names of variables, and patterns of them.

use std::collections::{HashMap, HashSet};
use std::sync::{MutexGuard, PoisonError};

use candle_core::Var;
use candle_nn::VarMap;
use globset::GlobBuilder;

use crate::error::Error;

/// Returns the variables that match, each once: in the order of the patterns, and sorted by name within each.
///
/// A pattern that is a name is that variable alone, so that names with `[` or `*` can be given.
pub(crate) fn find(map: &VarMap, patterns: &[impl AsRef<str>]) -> Result<Vec<(String, Var)>, Error> {
    let vars = vars(map);
    let known = sorted(&vars);
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for pattern in patterns.iter().map(AsRef::as_ref) {
        let matching: Vec<&String> = if let Some((name, _)) = vars.get_key_value(pattern) {
            vec![name]
        } else {
            let glob = GlobBuilder::new(pattern).build();
            let glob = glob.map_err(|source| Error::InvalidPattern { pattern: pattern.to_owned(), source })?;
            let matcher = glob.compile_matcher();
            known.iter().copied().filter(|name| matcher.is_match(name)).collect()
        };
        if matching.is_empty() {
            return Err(no_match(pattern, &known));
        }
        let new = matching.into_iter().filter(|name| seen.insert(*name));
        found.extend(new.map(|name| (name.clone(), vars[name].clone())));
    }
    Ok(found)
}

/// Returns the variables of these names, in this order. Patterns are no names.
pub(crate) fn find_names(map: &VarMap, names: &[impl AsRef<str>]) -> Result<Vec<(String, Var)>, Error> {
    let vars = vars(map);
    let mut seen = HashSet::new();
    let find = |name: &str| {
        let var = vars.get(name).ok_or_else(|| no_match(name, &sorted(&vars)))?;
        if !seen.insert(name.to_owned()) {
            return Err(Error::Repeated { name: name.to_owned() });
        }
        Ok((name.to_owned(), var.clone()))
    };
    names.iter().map(AsRef::as_ref).map(find).collect()
}

fn vars(map: &VarMap) -> MutexGuard<'_, HashMap<String, Var>> {
    // A thread that panicked while it held the lock has left a map all the same.
    map.data().lock().unwrap_or_else(PoisonError::into_inner)
}

fn sorted(vars: &HashMap<String, Var>) -> Vec<&String> {
    let mut names: Vec<_> = vars.keys().collect();
    names.sort_unstable();
    names
}

fn no_match(pattern: &str, known: &[&String]) -> Error {
    Error::NoMatch { pattern: pattern.to_owned(), known: known.iter().map(|name| (*name).clone()).collect() }
}
