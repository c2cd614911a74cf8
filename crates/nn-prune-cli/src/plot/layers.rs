//! The sparsity of every layer, a bar for each.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::canvas::{BLUE, Canvas, Drawn, GREY, LIGHT, TITLE, WIDTH, bar, line, write};
use super::{Layer, show};

const ROW: u32 = 18;
/// So many have a row with a name. More than that share the height of these, without names.
const MOST_NAMED: usize = 400;
const TOP: i32 = 70;
const LEFT: i32 = 24;
const RIGHT: i32 = WIDTH as i32 - 90;
/// How many characters of a name there is room for.
const NAME: usize = 64;
/// What a character takes, on average.
const CHARACTER: f64 = 6.3;

/// Of the chart, in pixels.
pub fn height(layers: usize) -> u32 {
    TOP as u32 + ROW * layers.clamp(1, MOST_NAMED) as u32 + 24
}

pub fn draw(canvas: &Canvas, layers: &[Layer]) -> Drawn {
    write(canvas, "Zeros in each layer", (80, TITLE), 20, BLACK, HPos::Left)?;
    let named = layers.len() <= MOST_NAMED;
    let names: Vec<String> = layers.iter().map(|layer| shortened(&layer.name)).collect();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let left = LEFT + if named { (longest as f64 * CHARACTER) as i32 + 12 } else { 56 };
    let bottom = height(layers.len()) as i32 - 24;
    let x = |percent: f64| left + (percent / 100.0 * f64::from(RIGHT - left)).round() as i32;
    let y = |row: usize| TOP + (row as f64 / layers.len().max(1) as f64 * f64::from(bottom - TOP)).round() as i32;

    for percent in [0, 20, 40, 60, 80, 100] {
        line(canvas, (x(percent.into()), TOP - 4), (x(percent.into()), bottom), LIGHT)?;
        write(canvas, &format!("{percent} %"), (x(percent.into()), TOP - 14), 13, GREY, HPos::Center)?;
    }
    for (row, (layer, name)) in layers.iter().zip(&names).enumerate() {
        let end = x(100.0 * layer.zeros as f64 / layer.entries as f64);
        let gap = if named { 2 } else { 0 };
        bar(canvas, [(left, y(row) + gap), (end, y(row + 1) - gap)], BLUE)?;
        if named {
            let middle = (y(row) + y(row + 1)) / 2;
            write(canvas, name, (left - 8, middle), 12, GREY, HPos::Right)?;
            write(canvas, &show::percent(layer.zeros, layer.entries), (RIGHT + 8, middle), 12, GREY, HPos::Left)?;
        }
    }
    Ok(())
}

/// The end of a name tells layers apart better than its beginning.
fn shortened(name: &str) -> String {
    let length = name.chars().count();
    if length <= NAME {
        name.into()
    } else {
        format!("…{}", name.chars().skip(length + 1 - NAME).collect::<String>())
    }
}
