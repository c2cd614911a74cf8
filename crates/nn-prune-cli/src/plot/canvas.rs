//! The size, the colours and the shapes that both charts use.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use unicode_width::UnicodeWidthStr;

use crate::table::shorten;

/// The width of the plot, in pixels.
pub const WIDTH: u32 = 1200;
/// The vertical centre of a title.
pub const TITLE: i32 = 28;
/// Colour-blind readers can tell these apart (Okabe and Ito).
pub const BLUE: RGBColor = RGBColor(0, 114, 178);
pub const ORANGE: RGBColor = RGBColor(213, 94, 0);
pub const LIGHT: RGBColor = RGBColor(225, 225, 225);
pub const PALE: RGBColor = RGBColor(178, 178, 178);
pub const GREY: RGBColor = RGBColor(90, 90, 90);

/// The left end of titles, and of names at most.
pub const LEFT: i32 = 24;
/// The right end of bars and cells, before their percentages.
pub const RIGHT: i32 = WIDTH as i32 - 90;
/// The most characters of a name. At least 400 pixels stay for what it names.
const MAX_NAME: usize = 105;
/// The average width of a character of a name, in pixels.
const CHARACTER_WIDTH: f64 = 6.3;

pub type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub type DrawResult = Result<(), Box<dyn Error>>;

/// Writes a text, vertically centred at a point. `side` is the end of the text that lies there.
pub fn write(canvas: &Canvas, text: &str, at: (i32, i32), size: i32, colour: RGBColor, side: HPos) -> DrawResult {
    let style = TextStyle::from(("sans-serif", size).into_font()).color(&colour).pos(Pos::new(side, VPos::Center));
    canvas.draw(&Text::new(text.to_owned(), at, style))?;
    Ok(())
}

pub fn line(canvas: &Canvas, from: (i32, i32), to: (i32, i32), style: impl Into<ShapeStyle>) -> DrawResult {
    canvas.draw(&PathElement::new([from, to], style))?;
    Ok(())
}

pub fn bar(canvas: &Canvas, corners: [(i32, i32); 2], colour: RGBColor) -> DrawResult {
    // The backend would draw a rectangle without area as a line.
    if corners[0].0 != corners[1].0 && corners[0].1 != corners[1].1 {
        canvas.draw(&Rectangle::new(corners, colour.filled()))?;
    }
    Ok(())
}

/// Shortens the names to those that have room. Returns them and the place where they end.
pub fn fit_names<'a>(names: impl Iterator<Item = &'a str>) -> (Vec<String>, i32) {
    let names: Vec<String> = names.map(|name| shorten(name, MAX_NAME)).collect();
    let longest = names.iter().map(|name| name.width()).max().unwrap_or(0);
    (names, LEFT + (longest as f64 * CHARACTER_WIDTH) as i32 + 12)
}
