//! The method of each tensor: one for all, or one for each pattern of names.

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::prune::pattern::Pattern;
use crate::method::AnyMethod;

/// The methods of a pruner, by patterns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LayerMethods {
    /// The methods for patterns of names, of which the first that matches counts.
    pub layers: Vec<(String, AnyMethod)>,
    /// The method for all other tensors, if they are pruned.
    pub others: Option<AnyMethod>,
}

/// The same with compiled patterns.
pub(crate) struct MatchedMethods<'p> {
    layers: Vec<(Pattern, &'p AnyMethod)>,
    others: Option<&'p AnyMethod>,
}

impl LayerMethods {
    pub fn matched(&self) -> Result<MatchedMethods<'_>, CheckpointError> {
        let layers = self.layers.iter().map(|(pattern, method)| Ok((Pattern::new(pattern)?, method)));
        Ok(MatchedMethods { layers: layers.collect::<Result<_, _>>()?, others: self.others.as_ref() })
    }
}

impl<'p> MatchedMethods<'p> {
    pub fn all(&self) -> impl Iterator<Item = &'p AnyMethod> {
        self.layers.iter().map(|&(_, method)| method).chain(self.others)
    }

    /// The method of all tensors, if there is only one.
    pub fn only(&self) -> Option<&'p AnyMethod> {
        self.others.filter(|_| self.layers.is_empty())
    }

    /// The method of a tensor, if it has one.
    pub fn of(&self, name: &str) -> Option<&'p AnyMethod> {
        let layer = self.layers.iter().find(|(pattern, _)| pattern.matches(name));
        layer.map(|&(_, method)| method).or(self.others)
    }

    /// The first pattern that matches none of the names.
    pub fn unmatched(&self, names: &[&str]) -> Option<&str> {
        let mut patterns = self.layers.iter().map(|(pattern, _)| pattern);
        patterns.find(|pattern| !names.iter().any(|name| pattern.matches(name))).map(|pattern| pattern.text.as_str())
    }
}
