//! `nn-prune inspect --plot`: the shapes, the texts and their places.

use crate::{Folder, bytes_of, file_of, folder_with_model, numbers};

/// Returns one line per element of a plot, in pixels. A rectangle has its corner, size and colour; a line its ends and colour;
/// a text its place, the end of the text that lies there, and the text.
fn elements(svg: &str) -> Vec<String> {
    let mut elements = Vec::new();
    for element in svg.split('<').skip(1).filter(|element| !element.starts_with('/')) {
        let (tag, text) = element.split_once('>').unwrap();
        let attribute = |name: &str| {
            let (_, rest) = tag.split_once(&format!(" {name}=\"")).unwrap_or_else(|| panic!("no {name} in {tag}"));
            rest.split_once('"').unwrap().0.trim().to_owned()
        };
        let of = |names: &[&str]| names.iter().map(|name| attribute(name)).collect::<Vec<_>>().join(" ");
        elements.push(match tag.split_once(' ').unwrap().0 {
            "svg" => format!("picture {}", of(&["width", "height"])),
            "rect" => format!("rectangle {}", of(&["x", "y", "width", "height", "fill"])),
            "polyline" => format!("line {}", of(&["points", "stroke"])),
            "text" => format!("text {} {}", of(&["x", "y", "text-anchor"]), text.trim()),
            other => panic!("an element of another kind: {other}"),
        });
    }
    elements
}

fn picture_of(tensors: &[(&str, &str, &[usize], &[u8])]) -> Vec<String> {
    let folder = Folder::new();
    folder.write("in", file_of(tensors));
    folder.run("inspect in -q --plot out.svg").ok();
    elements(&String::from_utf8(folder.read("out.svg")).unwrap())
}

#[test]
fn a_picture() {
    let folder = folder_with_model();
    folder.run("prune model.safetensors -o half --method l1 --amount 0.5").ok();
    folder.run("inspect half -q --plot half.svg").ok();
    let svg = String::from_utf8(folder.read("half.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    for text in ["encoder.0.conv.weight", "50.00 %", "50.79 %", "thresholds: ", "3 tensors with at least 1 % sparsity"]
    {
        assert!(svg.contains(text), "{text}");
    }
    let message = "error: plot `half.svg` already exists\n  hint: --force replaces it\n";
    folder.run("inspect half --plot half.svg").fails(1, message);
    let message = "error: plot `half` would overwrite the input\n";
    folder.run("inspect half --plot half --force").fails(1, message);
    folder.run("inspect model.safetensors -q --plot half.svg --force").ok();
    let svg = String::from_utf8(folder.read("half.svg")).unwrap();
    assert!(!svg.contains("threshold"));
    assert_eq!(folder.files(), ["half", "half.svg", "model.safetensors"]);
}

#[test]
fn a_picture_of_nothing() {
    let folder = Folder::new();
    folder.write("in", file_of(&[]));
    folder.run("inspect in --plot out.svg").ok();
    folder.write("in", file_of(&[("w", "F32", &[1, 2], &[0; 8]), ("v", "F32", &[0, 2], &[])]));
    folder.run("inspect in --plot out.svg --force").ok();
    let strange = [f32::NAN, f32::INFINITY, f32::MAX, f32::from_bits(1), -0.0, 0.0];
    folder.write("in", file_of(&[("<&\">\u{1b}", "F32", &[2, 3], &bytes_of(&strange))]));
    folder.run("inspect in --plot out.svg --force").ok();
    let svg = String::from_utf8(folder.read("out.svg")).unwrap();
    assert!(svg.contains("&lt;&amp;") && !svg.contains('\u{1b}'));
}

/// The whole plot of a small checkpoint. Look at the new plot before changing the list of its elements.
#[test]
fn every_bar_line_and_text_is_in_its_place() {
    // Powers of two from 1/4 to 8 at a sparsity of 75 %; pseudo-random numbers; infinities and NaN.
    let sparse: Vec<f32> = (0..240).map(|i| if i % 4 > 0 { 0.0 } else { f32::powi(2.0, i / 4 % 6 - 2) }).collect();
    let dense = numbers(100, 1);
    let odd = [0.0, 1.0, f32::INFINITY, f32::NAN, f32::NEG_INFINITY];
    let found = picture_of(&[
        ("sparse.weight", "F32", &[24, 10], &bytes_of(&sparse)),
        ("dense.weight", "F32", &[10, 10], &bytes_of(&dense)),
        ("odd.bias", "F32", &[5], &bytes_of(&odd)),
        ("not drawn: without zeros.bias", "F32", &[3], &bytes_of(&[1.0, 2.0, 3.0])),
        ("not drawn: without entries.weight", "F32", &[0, 3], &[]),
        ("not drawn: integers.weight", "U8", &[1, 2], &[0, 1]),
        (&format!("{}.end.weight", "long.".repeat(20)), "F32", &[2, 2], &bytes_of(&[0.0; 4])),
    ]);
    let expected: Vec<&str> = include_str!("picture.txt").lines().collect();
    assert_eq!(found, expected, "\n{}\n", found.join("\n"));
}

#[test]
fn a_folder_is_no_place_for_a_picture() {
    let folder = folder_with_model();
    std::fs::create_dir(folder.path("folder")).unwrap();
    let message = "error: plot `folder` is a directory\n";
    folder.run("inspect model.safetensors --plot folder --force").fails(1, message);
}

/// The legend has no line for something that the plot does not show.
#[test]
fn legends() {
    let legend = |entries: [f32; 4]| {
        let found = picture_of(&[("w", "F32", &[2, 2], &bytes_of(&entries))]);
        let words = ["at least 1 %", "lower sparsity", "threshold:", "infinite"];
        words.map(|word| found.iter().any(|element| element.starts_with("text") && element.contains(word)))
    };
    assert_eq!(legend([1.0, 2.0, 3.0, 4.0]), [false, true, false, false]);
    assert_eq!(legend([1.0, 0.0, 3.0, 4.0]), [true, false, true, false]);
    assert_eq!(legend([1.0, f32::NAN, 3.0, 4.0]), [false, true, false, true]);
}

/// Too many tensors for names: their bars fill the fixed height, without gaps.
#[test]
fn many_layers() {
    let names: Vec<String> = (0..1000).map(|number| format!("layer.{number}.weight")).collect();
    let entries: Vec<Vec<u8>> = (0..1000).map(|number| bytes_of(&[f32::from(number % 2 == 0), 0.0])).collect();
    let tensors = names.iter().zip(&entries).map(|(name, entries)| (name.as_str(), "F32", &[2, 1][..], &entries[..]));
    let found = picture_of(&tensors.collect::<Vec<_>>());
    assert!(!found.iter().any(|element| element.contains("layer.")));
    let bars: Vec<Vec<i32>> = found
        .iter()
        .filter_map(|element| Some(element.strip_prefix("rectangle 80 ")?.strip_suffix(" #0072B2")?.split(' ')))
        .map(|numbers| numbers.map(|number| number.parse().unwrap()).collect())
        .collect();
    // The first bar is that of the legend, in the same colour.
    let (legend, bars) = bars.split_first().unwrap();
    assert_eq!((legend[1], legend[2], bars.len()), (12, 12, 1000));
    let mut next = 400 + 70;
    for (number, bar) in bars.iter().enumerate() {
        assert_eq!((bar[0], bar[1]), (next, if number % 2 == 0 { 415 } else { 830 }), "{number}");
        assert!((7..=8).contains(&bar[2]));
        next += bar[2];
    }
    assert_eq!(next, 470 + 400 * 18);
}
