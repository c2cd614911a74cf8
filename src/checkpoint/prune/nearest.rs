//! The names that a mistyped pattern was probably meant to match.

/// The most names that are returned.
const MOST: usize = 3;
/// The most names, and the longest of them in characters, that are compared: enough for real models, and a bound for others.
const COMPARED: usize = 20_000;
const LONGEST: usize = 200;

/// Returns the names that a glob would match after the fewest edits, if these are few: one for each three of its characters.
/// The first names come first.
///
/// Wildcards count for nothing, so `*atention*` is one edit away from `layer.0.attention.weight`. Classes and alternatives are
/// compared as plain text.
pub(crate) fn nearest<'n>(glob: &str, names: impl Iterator<Item = &'n str>) -> Vec<String> {
    let glob: Vec<char> = glob.chars().collect();
    let literals = glob.iter().filter(|c| !matches!(c, '*' | '?')).count();
    let limit = (literals / 3).max(1);
    if glob.len() > LONGEST || literals < 2 {
        return Vec::new();
    }
    let distance = |name: &'n str| Some((edits(&glob, name), name)).filter(|&(edits, _)| edits <= limit);
    let mut near: Vec<_> = names.take(COMPARED).filter(|name| name.len() <= LONGEST).filter_map(distance).collect();
    near.sort_by_key(|&(edits, _)| edits);
    let best = near.first().map_or(0, |&(edits, _)| edits);
    near.into_iter().take_while(|&(edits, _)| edits == best).take(MOST).map(|(_, name)| name.to_owned()).collect()
}

/// Returns the number of characters of a glob that have to be replaced, added or removed until it matches the name.
fn edits(glob: &[char], name: &str) -> usize {
    let name: Vec<char> = name.chars().collect();
    // The edits until the beginning of the glob matches each beginning of the name.
    let mut before: Vec<usize> = (0..=name.len()).collect();
    for &c in glob {
        let is_star = c == '*';
        let mut row = vec![before[0] + usize::from(!is_star)];
        for (i, &n) in name.iter().enumerate() {
            let next = match is_star {
                true => before[i + 1].min(row[i]),
                false => (before[i] + usize::from(c != n && c != '?')).min(before[i + 1] + 1).min(row[i] + 1),
            };
            row.push(next);
        }
        before = row;
    }
    before[name.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_until_a_glob_matches() {
        for (glob, name, expected) in [
            ("fc.weight", "fc.weight", 0),
            ("fc.wieght", "fc.weight", 2),
            ("fc.weigt", "fc.weight", 1),
            ("", "abc", 3),
            ("*", "abc", 0),
            ("*", "", 0),
            ("abc", "", 3),
            ("a?c", "abc", 0),
            ("*atention*", "layer.0.attention.weight", 1),
            ("*.attn.weight", "layer.0.attn.bias", 5),
            ("a*b*c", "a.x.b.y.c", 0),
        ] {
            let glob: Vec<char> = glob.chars().collect();
            assert_eq!(edits(&glob, name), expected, "{glob:?} and {name}");
        }
    }

    #[test]
    fn only_near_names_are_returned() {
        let names = ["encoder.0.weight", "encoder.1.weight", "decoder.0.weight", "head.bias", "encoder.2.weight", "e"];
        let found = |glob: &str| nearest(glob, names.into_iter());
        assert_eq!(found("encoder.0.wieght"), ["encoder.0.weight"]);
        assert_eq!(found("encodr.*"), ["encoder.0.weight", "encoder.1.weight", "encoder.2.weight"]);
        assert_eq!(found("head.bais"), ["head.bias"]);
        for nothing in ["transformer.*", "x", "*", "?", ""] {
            assert!(found(nothing).is_empty(), "{nothing}");
        }
    }
}
