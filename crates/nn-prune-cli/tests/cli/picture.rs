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
    folder.run("prune model.safetensors -o half --method l1 --amount 0.5 --format pytorch").ok();
    folder.run("inspect half -q --plot half.svg").ok();
    let svg = String::from_utf8(folder.read("half.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    for text in ["encoder.0.conv.weight", "50.00 %", "50.79 %", "thresholds: ", "3 tensors with at least 1 % zeros"] {
        assert!(svg.contains(text), "{text}");
    }
    let message = "error: plot `half.svg` already exists\n  hint: --force replaces it\n";
    folder.run("inspect half --plot half.svg").fails(1, message);
    std::fs::copy(folder.path("half"), folder.path("in.SVG")).unwrap();
    let message = "error: plot `in.SVG` would overwrite the input\n";
    folder.run("inspect in.SVG --plot in.SVG --force").fails(1, message);
    folder.run("inspect model.safetensors -q --plot half.svg --force").ok();
    let svg = String::from_utf8(folder.read("half.svg")).unwrap();
    assert!(!svg.contains("threshold"));
    assert_eq!(folder.files(), ["half", "half.svg", "in.SVG", "model.safetensors"]);
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
    let cut: Vec<f32> = numbers(300, 2).into_iter().map(|x| if x.abs() < 0.5 { 0.0 } else { x }).collect();
    let odd = [0.0, 1.0, f32::INFINITY, f32::NAN, f32::NEG_INFINITY];
    let found = picture_of(&[
        ("sparse.weight", "F32", &[24, 10], &bytes_of(&sparse)),
        ("cut.weight", "F32", &[20, 15], &bytes_of(&cut)),
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
    std::fs::create_dir(folder.path("folder.svg")).unwrap();
    folder
        .run("inspect model.safetensors -q --plot none/out.svg")
        .fails(1, "error: cannot write `none/out.svg`\n  caused by: there is no directory `none`\n");
    let message = "error: plot `folder.svg` is a directory\n";
    folder.run("inspect model.safetensors --plot folder.svg --force").fails(1, message);
}

/// The legend has no line for something that the plot does not show.
#[test]
fn legends() {
    let legend = |entries: &[f32]| {
        let found = picture_of(&[("w", "F32", &[entries.len(), 1], &bytes_of(entries))]);
        let words = ["at least 1 %", "less than 1 %", "stacked", "threshold:", "infinite"];
        words.map(|word| found.iter().any(|element| element.starts_with("text") && element.contains(word)))
    };
    assert_eq!(legend(&[1.0, 2.0, 3.0, 4.0]), [false, true, false, false, false]);
    assert_eq!(legend(&[1.0, 0.0, 3.0, 4.0]), [true, false, false, false, false]);
    assert_eq!(legend(&[1.0, f32::NAN, 3.0, 4.0]), [false, true, false, false, true]);
    let cut: Vec<f32> = (0..100).map(|i| if i < 50 { 0.0 } else { i as f32 }).collect();
    assert_eq!(legend(&cut), [true, false, false, true, false]);
}

/// A picture of layers with two entries: one or both are zero, in turns.
fn picture_of_layers(layers: u16) -> Vec<String> {
    let names: Vec<String> = (0..layers).map(|number| format!("layer.{number}.weight")).collect();
    let entries: Vec<Vec<u8>> = (0..layers).map(|number| bytes_of(&[f32::from(number % 2 == 0), 0.0])).collect();
    let tensors = names.iter().zip(&entries).map(|(name, entries)| (name.as_str(), "F32", &[2, 1][..], &entries[..]));
    picture_of(&tensors.collect::<Vec<_>>())
}

#[test]
fn up_to_60_bars_and_otherwise_a_heat_map() {
    let found = picture_of_layers(60);
    assert_eq!(found[0], "picture 1200 1574");
    for layer in 0..60 {
        assert!(found.iter().any(|element| element.ends_with(&format!(" end layer.{layer}.weight"))), "{layer}");
    }
    let found = picture_of_layers(61);
    assert_eq!(found[0], "picture 1200 582");
    assert!(found.iter().any(|element| element.ends_with(" end layer.*.weight")));
    // A cell for each layer, which is half or completely dark.
    let cells = |colour: &str| found.iter().filter(|cell| cell.contains(" 501 ") && cell.ends_with(colour)).count();
    assert_eq!((cells("#266FA5"), cells("#001E3E")), (0, 30));
    assert_eq!(found.iter().filter(|cell| cell.starts_with("rectangle") && cell.contains(" 501 ")).count(), 61);
    let ticks = |number: &str| {
        found.iter().any(|tick| tick.starts_with("text") && tick.ends_with(&format!(" middle {number}")))
    };
    assert_eq!(["0", "5", "30", "60", "61", "4"].map(ticks), [true, true, true, true, false, false]);
}

/// Neighbouring layers share a column, and the picture does not grow.
#[test]
fn many_layers() {
    let found = picture_of_layers(1000);
    assert_eq!(found[0], "picture 1200 582");
    let cells: Vec<Vec<i32>> = found
        .iter()
        .filter(|cell| cell.starts_with("rectangle") && cell.contains(" 501 "))
        .map(|cell| cell.split(' ').filter_map(|number| number.parse().ok()).collect())
        .collect();
    assert_eq!(cells.len(), 200);
    for pair in cells.windows(2) {
        assert!((1..=2).contains(&(pair[1][0] - pair[0][0] - pair[0][2])), "{pair:?}");
    }
    assert!(found.iter().any(|text| text.ends_with("layer; a column is the mean of 5 layers")), "{found:?}");
}
