//! The natural order of names, and groups of names that differ only in numbers.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use crate::format::counted;
use crate::text::escape_invisible;

/// The most rows of a table that lists tensors one by one. If there are more, equal layers are grouped.
pub const MAX_ROWS: usize = 60;

/// Compares names with their numbers by value: `layers.2` is before `layers.10`.
pub fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut x, mut y) = (a.as_bytes(), b.as_bytes());
    while let (Some(first), Some(other)) = (x.first(), y.first()) {
        let (m, n) = (digits(x), digits(y));
        let order = if m > 0 && n > 0 {
            let (number, other) = (without_zeros(&x[..m]), without_zeros(&y[..n]));
            number.len().cmp(&other.len()).then_with(|| number.cmp(other))
        } else {
            first.cmp(other)
        };
        if order.is_ne() {
            return order;
        }
        (x, y) = (&x[m.max(1)..], &y[n.max(1)..]);
    }
    x.len().cmp(&y.len()).then_with(|| a.cmp(b))
}

/// The number of digits at the beginning.
fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

fn without_zeros(digits: &[u8]) -> &[u8] {
    &digits[digits.iter().take_while(|&&digit| digit == b'0').count()..]
}

/// The numbers of a name that tell equal layers apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// Those that are a whole component of the name: 3 in `layers.3.fc1.weight`.
    Components,
    /// All numbers.
    All,
}

/// A name, cut at its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutName<'a> {
    /// The texts before, between and after the numbers: one more than there are numbers.
    pub texts: Vec<&'a str>,
    pub numbers: Vec<u64>,
}

impl<'a> CutName<'a> {
    pub fn of(name: &'a str, cut: Numbers) -> Self {
        let bytes = name.as_bytes();
        let mut this = Self { texts: Vec::new(), numbers: Vec::new() };
        let (mut start, mut at) = (0, 0);
        while at < bytes.len() {
            let end = at + digits(&bytes[at..]).max(1);
            let component = (at == 0 || bytes[at - 1] == b'.') && bytes.get(end).is_none_or(|&next| next == b'.');
            // A number with leading zeros would lose them.
            if let Some(number) = name.get(at..end).and_then(|text| text.parse().ok())
                && (bytes[at] != b'0' || end == at + 1)
                && (component || cut == Numbers::All)
            {
                this.texts.push(&name[start..at]);
                this.numbers.push(number);
                start = end;
            }
            at = end;
        }
        this.texts.push(&name[start..]);
        this
    }
}

/// Items that are shown as one, and their common name, such as `layers.{0..31}.mlp.up_proj.weight`.
#[derive(Debug)]
pub struct Group<'a, T> {
    pub name: String,
    pub members: Vec<&'a T>,
}

/// Groups items whose names differ only in numbers and whose kinds are equal. Groups are in the order of their first items.
///
/// First only numbers that are components of names are taken. If there are then more than [`MAX_ROWS`] groups, all numbers
/// are.
pub fn group<'a, T, K: Hash + Eq>(
    items: &[&'a T],
    name: impl Fn(&'a T) -> &'a str,
    kind: impl Fn(&'a T) -> K,
) -> Vec<Group<'a, T>> {
    let groups = group_by(items, &name, &kind, Numbers::Components);
    if groups.len() <= MAX_ROWS { groups } else { group_by(items, &name, &kind, Numbers::All) }
}

/// Returns names as lines, in natural order. Without `full`, many equal layers are one line, with their number.
pub fn lines(names: &[String], full: bool) -> Vec<String> {
    let mut names: Vec<&String> = names.iter().collect();
    names.sort_by(|a, b| natural_order(a, b));
    if full || names.len() <= MAX_ROWS {
        return names.into_iter().map(|name| escape_invisible(name).into_owned()).collect();
    }
    let line = |Group { name, members }: Group<String>| match members.len() {
        1 => escape_invisible(&name).into_owned(),
        many => format!("{} ({})", escape_invisible(&name), counted(many, "tensor")),
    };
    group(&names, |name| name.as_str(), |_| ()).into_iter().map(line).collect()
}

/// Items with names that differ only in numbers.
struct Alike<'a, T> {
    texts: Vec<&'a str>,
    /// The values of each number.
    values: Vec<BTreeSet<u64>>,
    members: Vec<&'a T>,
}

impl<'a, T> Alike<'a, T> {
    fn into_group(self) -> Group<'a, T> {
        let numbers = self.values.iter().map(ranges).chain([String::new()]);
        let name = self.texts.iter().zip(numbers).map(|(text, numbers)| format!("{text}{numbers}")).collect();
        Group { name, members: self.members }
    }
}

fn group_by<'a, T, K: Hash + Eq>(
    items: &[&'a T],
    name: &impl Fn(&'a T) -> &'a str,
    kind: &impl Fn(&'a T) -> K,
    cut: Numbers,
) -> Vec<Group<'a, T>> {
    let mut places = HashMap::new();
    let mut groups: Vec<Alike<T>> = Vec::new();
    for &item in items {
        let CutName { texts, numbers } = CutName::of(name(item), cut);
        let place = *places.entry((texts.clone(), kind(item))).or_insert_with(|| {
            groups.push(Alike { texts, values: vec![BTreeSet::new(); numbers.len()], members: Vec::new() });
            groups.len() - 1
        });
        groups[place].members.push(item);
        for (values, number) in groups[place].values.iter_mut().zip(numbers) {
            values.insert(number);
        }
    }
    groups.into_iter().map(Alike::into_group).collect()
}

/// Formats numbers as ranges: `5`, `{0..31}`, `{0,2..4}`, `{0,2,…,30}`.
pub fn ranges(numbers: &BTreeSet<u64>) -> String {
    const MOST: usize = 4;
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let mut texts: Vec<String> = ranges
        .iter()
        .map(|&(first, last)| if first == last { first.to_string() } else { format!("{first}..{last}") })
        .collect();
    if texts.len() > MOST {
        texts.splice(MOST - 2..texts.len() - 1, ["…".to_owned()]);
    }
    if numbers.len() == 1 { texts.concat() } else { format!("{{{}}}", texts.join(",")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_by_value() {
        let sorted = [
            "",
            "a",
            "a.2",
            "a.2.b",
            "a.10",
            "a.010.x",
            "a.18446744073709551616",
            "a.18446744073709551617",
            "a2",
            "a10",
            "ab",
            "é.1",
            "é.12",
        ];
        for (i, a) in sorted.iter().enumerate() {
            for (j, b) in sorted.iter().enumerate() {
                assert_eq!(natural_order(a, b), i.cmp(&j), "{a} and {b}");
            }
        }
        // Names of one order are told apart.
        assert_eq!(natural_order("a01", "a1"), Ordering::Less);
        assert_eq!(natural_order("a1", "a01"), Ordering::Greater);
    }

    #[test]
    fn names_are_cut_at_their_numbers() {
        let cut = |name, numbers| {
            let cut = CutName::of(name, numbers);
            (cut.texts.join("#"), cut.numbers)
        };
        for (name, components, all) in [
            ("", "", ""),
            ("layers.3.fc1.weight", "layers.#.fc1.weight", "layers.#.fc#.weight"),
            ("0.1", "#.#", "#.#"),
            ("é7.3重", "é7.3重", "é#.#重"),
            ("a.007.b", "a.007.b", "a.007.b"),
            ("a.99999999999999999999", "a.99999999999999999999", "a.99999999999999999999"),
            ("fewer than 2 dimensions", "fewer than 2 dimensions", "fewer than # dimensions"),
        ] {
            assert_eq!(cut(name, Numbers::Components).0, components);
            assert_eq!(cut(name, Numbers::All).0, all);
        }
        assert_eq!(cut("a.12.b.0", Numbers::Components).1, [12, 0]);
    }

    #[test]
    fn equal_layers_are_one_group() {
        let items = ["l.0.up", "l.0.down", "l.1.up", "l.2.up", "l.9.down", "head"].map(|name| (name, name.len()));
        let items: Vec<_> = items.iter().collect();
        let names = |groups: Vec<Group<(&str, usize)>>| {
            groups.into_iter().map(|group| (group.name, group.members.len())).collect::<Vec<_>>()
        };
        let groups = names(group(&items, |item| item.0, |_| ()));
        assert_eq!(groups, [("l.{0..2}.up".into(), 3), ("l.{0,9}.down".into(), 2), ("head".into(), 1)]);
        // Other kinds are other groups.
        assert_eq!(names(group(&items, |item| item.0, |item| item.0)).len(), 6);
    }

    #[test]
    fn other_numbers_are_taken_only_if_there_are_many_groups() {
        for (count, expected) in [(MAX_ROWS, MAX_ROWS), (MAX_ROWS + 1, 1)] {
            let items: Vec<String> = (0..count).map(|i| format!("t{i}.w")).collect();
            let items: Vec<&String> = items.iter().collect();
            assert_eq!(group(&items, |item| item.as_str(), |_| ()).len(), expected);
        }
    }

    #[test]
    fn ranges_are_short() {
        for (numbers, expected) in [
            (&[5][..], "5"),
            (&[0, 1], "{0..1}"),
            (&[0, 2, 3, 4], "{0,2..4}"),
            (&[1, 3, 5, 7], "{1,3,5,7}"),
            (&[0, 2, 4, 6, 8, 10, 11], "{0,2,…,10..11}"),
        ] {
            assert_eq!(ranges(&numbers.iter().copied().collect()), expected);
        }
    }
}
