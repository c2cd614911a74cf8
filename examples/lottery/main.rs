//! Lottery tickets: a network that keeps 9 % of its weights is better than the whole one, if these 9 % start where they started.
//!
//! ```text
//! cargo run --release --example lottery             # about 30 seconds of one core
//! cargo run --release --example lottery -- --full   # eight prunings and four random masks: twice as long
//! ```
//!
//! The experiment is the one published with the data set MNIST-1D (Greydanus, *Scaling down Deep Learning*, 2020): a 40-500-500-10
//! network is trained, its lowest weights are pruned, the others go back to where they started, and it is trained again. The
//! same with random masks shows that it is these weights that count, not their number. The table and the plot have the published
//! figures beside ours, and the program fails if ours leave the range in which four runs in PyTorch and here were seen. The files:
//!
//! - `data.rs`, `mnist1d.safetensors`, `NOTICE`: 4000 and 1000 signals of 40 numbers, ten classes
//! - `network.rs`, `training.rs`: the network, and Adam with masks
//! - `experiment.rs`: dense, tickets, random masks
//! - `figures.rs`: what was published, and what is asserted
//! - `report.rs`, `plot.rs`: the table and the picture

#[path = "../digits/axis.rs"]
mod axis;
mod data;
mod experiment;
mod figures;
mod network;
mod plot;
mod report;
mod training;

use std::{error::Error, fs, path::Path};

use data::Mnist1d;
use experiment::Experiment;
use indicatif::{ProgressBar, ProgressStyle};

const SHORT: Experiment =
    Experiment { hidden: 500, steps: 1501, tickets: &[0.5, 0.8, 0.91, 0.97], randoms: &[0.91, 0.97], seed: 42 };
const FULL: Experiment =
    Experiment { tickets: &[0.3, 0.5, 0.7, 0.8, 0.91, 0.95, 0.97, 0.98], randoms: &[0.91, 0.95, 0.97, 0.98], ..SHORT };

fn main() -> Result<(), Box<dyn Error>> {
    let experiment = match std::env::args().nth(1).as_deref() {
        None => SHORT,
        Some("--full") => FULL,
        Some(other) => return Err(format!("unknown argument `{other}`; the only one is --full").into()),
    };
    let data = Mnist1d::load()?;
    println!("{} signals to train on, {} to test", data.training.labels.len(), data.test.labels.len());
    let style = ProgressStyle::with_template("{bar:40} {percent} % {msg}, {eta} left")?;
    let bar = ProgressBar::new((experiment.runs() * experiment.steps) as u64).with_style(style);
    let runs = experiment.run(&data, |label| {
        bar.set_message(label.to_owned());
        bar.inc(1);
    })?;
    bar.finish_and_clear();

    println!("test accuracy in %, over the evaluations after 0, 100, ..., 1500 steps\n{}", report::table(&runs));
    let picture = Path::new("out/lottery.svg");
    fs::create_dir_all("out")?;
    plot::draw(picture, &runs)?;
    println!("plot of accuracy against sparsity: {}", picture.display());
    figures::check(&runs)?;
    println!("every accuracy is in its range, and the order is the published one");
    Ok(())
}
