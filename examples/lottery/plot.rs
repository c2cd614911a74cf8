//! A plot of accuracy against sparsity, with the published figures.

use std::{error::Error, path::Path};

use plotters::prelude::*;

use crate::axis::SparsityAxis;
use crate::experiment::{Arm, Run};
use crate::figures::FIGURES;

/// From the palette of Okabe and Ito, which colour-blind readers can distinguish.
const TICKET: RGBColor = RGBColor(0, 114, 178);
const RANDOM: RGBColor = RGBColor(213, 94, 0);
const GREY: RGBColor = RGBColor(110, 110, 110);

/// Writes an SVG with a curve of ours and the two published trials for tickets and for random masks.
pub fn draw(path: &Path, runs: &[Run]) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::new(path, (980, 560)).into_drawing_area();
    root.fill(&WHITE)?;
    let (plot, legend) = root.split_horizontally(750);
    let mut chart = ChartBuilder::on(&plot)
        .caption("Lottery tickets on MNIST-1D", ("sans-serif", 22))
        .margin(12)
        .x_label_area_size(48)
        .y_label_area_size(60)
        .build_cartesian_2d(SparsityAxis, 20.0..80.0)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(RGBColor(225, 225, 225))
        .axis_style(GREY)
        .label_style(("sans-serif", 15))
        .axis_desc_style(("sans-serif", 16))
        .x_desc("weights that are pruned (%), spaced by the share that is left")
        .y_desc("highest test accuracy (%)")
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()?;

    let dense = runs.iter().find(|run| run.arm == Arm::Dense).map_or(0.0, Run::max);
    chart.draw_series(LineSeries::new([SparsityAxis::FIRST, SparsityAxis::LAST].map(|x| (x, dense)), GREY))?;
    for (arm, colour) in [(Arm::Ticket, TICKET), (Arm::Random, RANDOM)] {
        // Further to the left than the axis goes is nothing to compare.
        let own = runs.iter().filter(|run| run.arm == arm && run.sparsity >= SparsityAxis::FIRST);
        let own: Vec<(f64, f64)> = own.map(|run| (run.sparsity, run.max())).collect();
        chart.draw_series(LineSeries::new(own.clone(), colour.stroke_width(2)))?;
        chart.draw_series(own.into_iter().map(|point| Circle::new(point, 4, colour.filled())))?;
        let published = FIGURES.iter().filter(|figure| figure.arm == arm);
        let published =
            published.flat_map(|figure| figure.published.into_iter().flatten().map(|y| (figure.sparsity, y)));
        chart.draw_series(published.map(|point| Cross::new(point, 5, colour.stroke_width(2))))?;
    }

    // The legend has its own column, where it cannot cover a curve.
    let label = |text: &str, y| Text::new(text.to_owned(), (48, y - 6), ("sans-serif", 15));
    let mut y = 70;
    for (text, colour) in [("tickets", TICKET), ("random masks", RANDOM), (&format!("dense: {dense:.1} %")[..], GREY)] {
        legend.draw(&PathElement::new([(6, y), (40, y)], colour.stroke_width(3)))?;
        legend.draw(&label(text, y))?;
        y += 26;
    }
    legend.draw(&Cross::new((23, y), 5, BLACK.stroke_width(2)))?;
    legend.draw(&label("published, two trials", y))?;
    root.present()?;
    Ok(())
}
