//! The chart of sparsity: one bar per tensor.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::canvas::{BLUE, Canvas, DrawResult, GREY, LIGHT, TITLE, WIDTH, bar, line, write};
use super::{PlottedTensor, format};

const ROW: u32 = 18;
/// The most tensors that get a row with a name each. If there are more, they share the height of that many rows, unnamed.
const MAX_NAMED: usize = 400;
const TOP: i32 = 70;
const LEFT: i32 = 24;
const RIGHT: i32 = WIDTH as i32 - 90;
/// The most characters of a name that are shown.
const MAX_NAME: usize = 64;
/// The average width of a character, in pixels.
const CHARACTER_WIDTH: f64 = 6.3;

/// Returns the height of the chart, in pixels.
pub fn height(tensors: usize) -> u32 {
    TOP as u32 + ROW * tensors.clamp(1, MAX_NAMED) as u32 + 24
}

pub fn draw(canvas: &Canvas, tensors: &[PlottedTensor]) -> DrawResult {
    write(canvas, "Sparsity of each tensor", (80, TITLE), 20, BLACK, HPos::Left)?;
    let named = tensors.len() <= MAX_NAMED;
    let names: Vec<String> = tensors.iter().map(|tensor| shorten_name(&tensor.name)).collect();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let left = LEFT + if named { (longest as f64 * CHARACTER_WIDTH) as i32 + 12 } else { 56 };
    let bottom = height(tensors.len()) as i32 - 24;
    let x = |percent: f64| left + (percent / 100.0 * f64::from(RIGHT - left)).round() as i32;
    let y = |row: usize| TOP + (row as f64 / tensors.len().max(1) as f64 * f64::from(bottom - TOP)).round() as i32;

    for percent in [0, 20, 40, 60, 80, 100] {
        line(canvas, (x(percent.into()), TOP - 4), (x(percent.into()), bottom), LIGHT)?;
        write(canvas, &format!("{percent} %"), (x(percent.into()), TOP - 14), 13, GREY, HPos::Center)?;
    }
    for (row, (tensor, name)) in tensors.iter().zip(&names).enumerate() {
        let end = x(100.0 * tensor.zeros as f64 / tensor.entries as f64);
        let gap = if named { 2 } else { 0 };
        bar(canvas, [(left, y(row) + gap), (end, y(row + 1) - gap)], BLUE)?;
        if named {
            let middle = (y(row) + y(row + 1)) / 2;
            write(canvas, name, (left - 8, middle), 12, GREY, HPos::Right)?;
            write(canvas, &format::percent(tensor.zeros, tensor.entries), (RIGHT + 8, middle), 12, GREY, HPos::Left)?;
        }
    }
    Ok(())
}

/// Drops the beginning of a long name. Names of a model differ more at their ends.
fn shorten_name(name: &str) -> String {
    let length = name.chars().count();
    if length <= MAX_NAME {
        name.into()
    } else {
        format!("…{}", name.chars().skip(length + 1 - MAX_NAME).collect::<String>())
    }
}
