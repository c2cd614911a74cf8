//! A coupling that has been checked against shapes.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;

use crate::compact::coupling::{Coupling, Dimension, Role, Use, WidthNorm};
use crate::compact::error::CompactError;
use crate::tensor::slice::Slice;

/// The shapes of all parameters, by name and in order.
pub(crate) type Shapes = IndexMap<String, Vec<usize>>;

/// The number of units of each dimension, for reshapes, heads and groups in a forward pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes {
    sizes: IndexMap<String, usize>,
}

impl Sizes {
    /// Returns the number of units of a dimension.
    ///
    /// # Panics
    ///
    /// If there is no dimension of this name, like the index of a map.
    pub fn of(&self, dimension: &str) -> usize {
        self.sizes[dimension]
    }

    /// Returns the number of units of a dimension, or `None` if there is no dimension of this name.
    pub fn get(&self, dimension: &str) -> Option<usize> {
        self.sizes.get(dimension).copied()
    }

    /// Returns an iterator over the dimensions and their numbers of units, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, usize)> {
        self.sizes.iter().map(|(name, &size)| (name.as_str(), size))
    }
}

impl FromIterator<(String, usize)> for Sizes {
    fn from_iter<I: IntoIterator<Item = (String, usize)>>(sizes: I) -> Self {
        Self { sizes: sizes.into_iter().collect() }
    }
}

/// A coupling whose uses fit the shapes of a model: every dimension has a size, and no two uses overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub dimensions: Vec<Dimension>,
    /// The number of units of each dimension.
    pub units: Vec<usize>,
    pub shapes: Shapes,
    /// The uses of each parameter that has some: the dimension, and the use in it.
    uses: HashMap<String, Vec<(usize, usize)>>,
}

impl Layout {
    /// Checks a coupling against shapes. See [`Coupling::check`] for the errors.
    pub fn new(coupling: &Coupling, shapes: Shapes) -> Result<Self, CompactError> {
        let mut names = HashSet::new();
        if let Some(repeated) = coupling.dimensions.iter().find(|dimension| !names.insert(&dimension.name)) {
            return Err(CompactError::RepeatedDimension { dimension: repeated.name.clone() });
        }
        let units = coupling.dimensions.iter().map(|dimension| check_dimension(dimension, &shapes));
        let units = units.collect::<Result<Vec<_>, _>>()?;
        let mut uses: HashMap<String, Vec<(usize, usize)>> = HashMap::new();
        for (d, dimension) in coupling.dimensions.iter().enumerate() {
            for (u, use_) in dimension.uses.iter().enumerate() {
                uses.entry(use_.parameter.clone()).or_default().push((d, u));
            }
        }
        let layout = Self { dimensions: coupling.dimensions.clone(), units, shapes, uses };
        layout.check_spans()?;
        layout.check_declared(&coupling.fixed)?;
        layout.check_roles()?;
        Ok(layout)
    }

    pub fn sizes(&self) -> Sizes {
        self.names().zip(self.units.iter().copied()).collect()
    }

    pub fn names(&self) -> impl Iterator<Item = String> {
        self.dimensions.iter().map(|dimension| dimension.name.clone())
    }

    /// Returns `true` if two layouts are about the same units of the same parameters. The dimensions that take part in a
    /// choice may differ.
    pub fn agrees(&self, other: &Self) -> bool {
        let own = self.dimensions.iter().map(|dimension| (&dimension.name, &dimension.uses));
        let others = other.dimensions.iter().map(|dimension| (&dimension.name, &dimension.uses));
        self.units == other.units && self.shapes == other.shapes && own.eq(others)
    }

    /// The uses of a parameter, each with the index of its dimension.
    pub fn uses_of(&self, parameter: &str) -> impl Iterator<Item = (usize, &Use)> {
        let uses = self.uses.get(parameter).into_iter().flatten();
        uses.map(|&(d, u)| (d, &self.dimensions[d].uses[u]))
    }

    /// The part of a parameter that is kept with these units, in their order, or `None` if that is all of it as it is.
    pub fn slice(&self, parameter: &str, kept: &[Vec<usize>]) -> Option<Slice> {
        let shape = &self.shapes[parameter];
        let axes: Vec<_> = (0..shape.len()).map(|axis| self.positions(parameter, axis, kept)).collect();
        axes.iter().any(Option::is_some).then(|| Slice::new(shape, axes))
    }

    /// The positions of an axis that are kept with these units, in their order, or `None` if those are all as they are. In
    /// each repetition of the units, the kept ones move to the first places.
    pub fn positions(&self, parameter: &str, axis: usize, kept: &[Vec<usize>]) -> Option<Vec<usize>> {
        let len = self.shapes[parameter][axis];
        let mut positions: Vec<Option<usize>> = (0..len).map(Some).collect();
        for (d, use_) in self.uses_of(parameter).filter(|(_, use_)| use_.axis == axis) {
            let size = self.units[d];
            for place in 0..size {
                let unit = kept[d].get(place);
                let mut from = unit.map(|&unit| use_.positions(unit, size));
                for to in use_.positions(place, size) {
                    positions[to] = from.as_mut().and_then(Iterator::next);
                }
            }
        }
        let positions: Vec<usize> = positions.into_iter().flatten().collect();
        (!positions.iter().copied().eq(0..len)).then_some(positions)
    }

    /// Clears the positions of the units that are not kept.
    pub fn clear(&self, dimension: usize, use_: &Use, kept: &[usize], positions: &mut [bool]) {
        let size = self.units[dimension];
        let mut kept = kept.iter().peekable();
        for unit in 0..size {
            if kept.next_if_eq(&&unit).is_none() {
                use_.positions(unit, size).for_each(|position| positions[position] = false);
            }
        }
    }

    /// The uses of one axis cover neighbouring positions: none twice, and all of them unless a size was given.
    fn check_spans(&self) -> Result<(), CompactError> {
        for (parameter, shape) in &self.shapes {
            for (axis, &len) in shape.iter().enumerate() {
                let mut spans: Vec<(usize, usize, usize)> = self
                    .uses_of(parameter)
                    .filter(|(_, use_)| use_.axis == axis)
                    .map(|(d, use_)| (use_.offset, use_.end(self.units[d]), d))
                    .collect();
                spans.sort_by_key(|&(start, ..)| start);
                self.check_axis(parameter, axis, len, &spans)?;
            }
        }
        Ok(())
    }

    fn check_axis(
        &self,
        parameter: &str,
        axis: usize,
        len: usize,
        spans: &[(usize, usize, usize)],
    ) -> Result<(), CompactError> {
        let name = |d: usize| self.dimensions[d].name.clone();
        let overlap = spans.windows(2).find(|pair| pair[1].0 < pair[0].1);
        if let Some(&[(.., first), (position, _, second)]) = overlap {
            let (first, second) = (first.min(second), first.max(second));
            return Err(CompactError::Overlap {
                parameter: parameter.to_owned(),
                axis,
                position,
                first: name(first),
                second: name(second),
            });
        }
        if spans.iter().all(|&(.., d)| self.dimensions[d].size.is_some()) {
            return Ok(());
        }
        let mut covered = 0;
        for &(start, end, _) in spans {
            if start > covered {
                break;
            }
            covered = end;
        }
        match spans {
            _ if covered == len => Ok(()),
            // One use alone: the axis has room for another number of units.
            [(0, _, d)] => {
                let use_ = self.uses_of(parameter).map(|(_, use_)| use_).find(|use_| use_.axis == axis);
                let unit = use_.map_or(1, |use_| use_.repeat * use_.block);
                let dimension = name(*d);
                let parameter = parameter.to_owned();
                Err(match len % unit {
                    0 => CompactError::SizesDisagree {
                        dimension,
                        expected: self.units[*d],
                        parameter,
                        axis,
                        found: len / unit,
                    },
                    _ => CompactError::Indivisible { dimension, parameter, axis, len, unit },
                })
            }
            _ => Err(CompactError::Uncovered { parameter: parameter.to_owned(), axis, position: covered }),
        }
    }

    fn check_declared(&self, fixed: &[String]) -> Result<(), CompactError> {
        for pattern in fixed {
            let mut matching = self.shapes.keys().filter(|name| matches(pattern, name)).peekable();
            if matching.peek().is_none() {
                return Err(CompactError::UnmatchedFixed { pattern: pattern.clone() });
            }
            if let Some((parameter, (d, _))) = matching.find_map(|name| Some((name, self.uses_of(name).next()?))) {
                return Err(CompactError::FixedAndUsed {
                    parameter: parameter.clone(),
                    dimension: self.dimensions[d].name.clone(),
                    pattern: pattern.clone(),
                });
            }
        }
        let is_fixed = |name: &str| fixed.iter().any(|pattern| matches(pattern, name));
        match self.shapes.keys().find(|name| !self.uses.contains_key(*name) && !is_fixed(name)) {
            Some(parameter) => Err(CompactError::Undeclared { parameter: parameter.clone() }),
            None => Ok(()),
        }
    }

    fn check_roles(&self) -> Result<(), CompactError> {
        for dimension in &self.dimensions {
            let name = dimension.name.clone();
            let has = |role| dimension.uses.iter().any(|use_| use_.role == role);
            if !dimension.open && !has(Role::Out) {
                return Err(CompactError::NoProducer { dimension: name });
            }
            if !dimension.open && !has(Role::In) {
                return Err(CompactError::NoConsumer { dimension: name });
            }
            if let Some(use_) = dimension.uses.iter().find(|use_| use_.norm == Some(WidthNorm::Layer)) {
                return Err(CompactError::LayerNorm { dimension: name, parameter: use_.parameter.clone() });
            }
        }
        Ok(())
    }
}

/// Checks every use of a dimension by itself, and returns the number of units.
fn check_dimension(dimension: &Dimension, shapes: &Shapes) -> Result<usize, CompactError> {
    let name = || dimension.name.clone();
    for use_ in &dimension.uses {
        let parameter = use_.parameter.clone();
        for (what, number) in [("block", use_.block), ("repeat", use_.repeat)] {
            if number == 0 {
                return Err(CompactError::EmptyUse { dimension: name(), parameter, what });
            }
        }
        let Some(shape) = shapes.get(&parameter) else {
            return Err(CompactError::UnknownParameter { dimension: name(), parameter });
        };
        if use_.axis >= shape.len() {
            let ndim = shape.len();
            return Err(CompactError::AxisOutOfRange { dimension: name(), parameter, axis: use_.axis, ndim });
        }
        if shape.contains(&0) {
            return Err(CompactError::NoEntries { dimension: name(), parameter });
        }
    }
    let units = match dimension.size {
        Some(units) => units,
        None => inferred_size(dimension, shapes)?,
    };
    if units == 0 {
        return Err(CompactError::NoUnits { dimension: name() });
    }
    for use_ in &dimension.uses {
        let (parameter, axis) = (use_.parameter.clone(), use_.axis);
        let (len, end) = (shapes[&parameter][axis], use_.end(units));
        if end > len {
            let unit = use_.repeat.saturating_mul(use_.block);
            return Err(match dimension.size {
                None if use_.offset == 0 && len % unit == 0 => CompactError::SizesDisagree {
                    dimension: name(),
                    expected: units,
                    parameter,
                    axis,
                    found: len / unit,
                },
                Some(_) | None => CompactError::SpanTooLong { dimension: name(), parameter, axis, len, end },
            });
        }
    }
    Ok(units)
}

/// The number of units by the first use that makes them, or by the first use of all.
fn inferred_size(dimension: &Dimension, shapes: &Shapes) -> Result<usize, CompactError> {
    let first = dimension.uses.iter().find(|use_| use_.role == Role::Out).or(dimension.uses.first());
    let Some(use_) = first else { return Ok(0) };
    let len = shapes[&use_.parameter][use_.axis].saturating_sub(use_.offset);
    let unit = use_.repeat.saturating_mul(use_.block);
    if len % unit != 0 {
        let (dimension, parameter) = (dimension.name.clone(), use_.parameter.clone());
        return Err(CompactError::Indivisible { dimension, parameter, axis: use_.axis, len, unit });
    }
    Ok(len / unit)
}

/// Returns `true` if a name is like a pattern, in which `*` stands for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    // The first place is as good as any later one, because `*` stands for whatever is between two parts.
    for part in parts {
        match name.find(part) {
            Some(at) => name = &name[at + part.len()..],
            None => return false,
        }
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_stand_for_any_characters() {
        for (pattern, name, expected) in [
            ("a.weight", "a.weight", true),
            ("a.weight", "a.weights", false),
            ("*", "", true),
            ("*.bias", "fc.bias", true),
            ("*.bias", "fc.bias2", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("layer*.norm*.weight", "layer1.0.norm2.weight", true),
            ("layer*.norm*.weight", "layer1.0.conv2.weight", false),
            ("*a*b", "xaab", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
