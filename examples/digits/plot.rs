//! A plot of accuracy against sparsity.

use crate::{axis::SparsityAxis, experiment::Outcome, pruning::Method};
use plotters::{element::DashedPathElement, prelude::*};
use std::{error::Error, path::Path};

/// One colour per curve, from the palette of Okabe and Ito, which colour-blind readers can distinguish.
const COLOURS: [RGBColor; 5] = [
    RGBColor(213, 94, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
];
const GREY: RGBColor = RGBColor(110, 110, 110);

/// Writes an SVG with a curve for each method and one for the rounds.
pub fn draw(path: &Path, outcomes: &[Outcome], rounds: &[Outcome], dense_accuracy: f64) -> Result<(), Box<dyn Error>> {
    let mut curves: Vec<(&str, Vec<&Outcome>)> = Vec::new();
    for method in Method::ALL {
        curves.push((method.label(), outcomes.iter().filter(|outcome| outcome.method == method).collect()));
    }
    curves.push(("L1 global, in rounds", rounds.iter().collect()));

    let root = SVGBackend::new(path, (980, 560)).into_drawing_area();
    root.fill(&WHITE)?;
    let (plot, legend) = root.split_horizontally(750);

    let mut chart = ChartBuilder::on(&plot)
        .caption("Pruning a network that reads digits", ("sans-serif", 22))
        .margin(12)
        .x_label_area_size(48)
        .y_label_area_size(60)
        .build_cartesian_2d(SparsityAxis, 0.0..103.0)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(RGBColor(225, 225, 225))
        .axis_style(GREY)
        .label_style(("sans-serif", 15))
        .axis_desc_style(("sans-serif", 16))
        .x_desc("weights that are zero (%), spaced by the share that is left")
        .y_desc("test accuracy (%)")
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()?;

    let dense = [SparsityAxis::FIRST, SparsityAxis::LAST].map(|x| (x, 100.0 * dense_accuracy));
    chart.draw_series(LineSeries::new(dense, GREY))?;
    for ((_, outcomes), colour) in curves.iter().zip(COLOURS) {
        let points = |accuracy: fn(&Outcome) -> f64| -> Vec<(f64, f64)> {
            outcomes.iter().map(|outcome| (outcome.sparsity, 100.0 * accuracy(outcome))).collect()
        };
        let pruned = points(|outcome| outcome.pruned_accuracy);
        let tuned = points(|outcome| outcome.tuned_accuracy);
        chart.draw_series(DashedLineSeries::new(pruned.clone(), 6, 4, colour.stroke_width(2)))?;
        for style in [WHITE.filled(), colour.into()] {
            chart.draw_series(pruned.iter().map(|&point| Circle::new(point, 3, style)))?;
        }
        chart.draw_series(LineSeries::new(tuned.clone(), colour.stroke_width(2)))?;
        chart.draw_series(tuned.into_iter().map(|point| Circle::new(point, 4, colour.filled())))?;
    }

    // The legend has its own column, where it cannot cover a curve.
    let line = |y| [(6, y), (40, y)];
    let label = |text: &str, y| Text::new(text.to_owned(), (48, y - 6), ("sans-serif", 15));
    let mut y = 70;
    for ((name, _), colour) in curves.iter().zip(COLOURS) {
        legend.draw(&PathElement::new(line(y), colour.stroke_width(3)))?;
        legend.draw(&label(name, y))?;
        y += 26;
    }
    legend.draw(&PathElement::new(line(y), GREY))?;
    legend.draw(&label(&format!("dense: {:.1} %", 100.0 * dense_accuracy), y))?;
    y += 52;
    legend.draw(&DashedPathElement::new(line(y), 6, 4, BLACK.stroke_width(2)))?;
    legend.draw(&label("straight after pruning", y))?;
    y += 26;
    legend.draw(&PathElement::new(line(y), BLACK.stroke_width(2)))?;
    legend.draw(&label("after fine-tuning", y))?;
    root.present()?;
    Ok(())
}
