//! The chart of sparsity: one bar per tensor.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::canvas::{BLUE, Canvas, DrawResult, GREY, LEFT, LIGHT, RIGHT, TITLE, bar, fit_names, line, write};
use super::{PlottedTensor, format};

const ROW: i32 = 18;
const TOP: i32 = 70;
const BELOW: i32 = 24;

/// Returns the height of the chart, in pixels.
pub fn height(tensors: usize) -> u32 {
    (bottom(tensors) + BELOW) as u32
}

fn bottom(tensors: usize) -> i32 {
    TOP + ROW * tensors.max(1) as i32
}

pub fn draw(canvas: &Canvas, tensors: &[PlottedTensor]) -> DrawResult {
    write(canvas, "Sparsity of each tensor", (LEFT, TITLE), 20, BLACK, HPos::Left)?;
    let (names, left) = fit_names(tensors.iter().map(|tensor| tensor.name.as_str()));
    let x = |percent: f64| left + (percent / 100.0 * f64::from(RIGHT - left)).round() as i32;
    for percent in [0, 20, 40, 60, 80, 100] {
        line(canvas, (x(percent.into()), TOP - 4), (x(percent.into()), bottom(tensors.len())), LIGHT)?;
        write(canvas, &format!("{percent} %"), (x(percent.into()), TOP - 14), 13, GREY, HPos::Center)?;
    }
    let mut y = TOP;
    for (tensor, name) in tensors.iter().zip(&names) {
        let end = x(100.0 * tensor.zeros as f64 / tensor.entries as f64);
        bar(canvas, [(left, y + 2), (end, y + ROW - 2)], BLUE)?;
        let middle = y + ROW / 2;
        write(canvas, name, (left - 8, middle), 12, GREY, HPos::Right)?;
        write(canvas, &format::percent(tensor.zeros, tensor.entries), (RIGHT + 8, middle), 12, GREY, HPos::Left)?;
        y += ROW;
    }
    Ok(())
}
