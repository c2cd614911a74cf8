//! Gradual pruning with a saved run: trains a classifier of digits while a session prunes it, and resumes it in another process.
//!
//! ```text
//! cargo run --features safetensors --example gradual
//! ```
//!
//! 1. A 64-128-64-10 network is trained for 1200 steps. Between the steps 200 and 1010, a cubic schedule prunes its weights to 90 %,
//!    divided among the layers by ERK, with at most 98 % of each.
//! 2. After step 600 the run is saved: weights, masks and the counter of the session in one safetensors file. This process trains on.
//! 3. A second process builds the same network and session, loads the file and trains on too. The masks of both are compared at
//!    every later step of the schedule, and the networks at the end, bit for bit.
//!
//! The optimizer is SGD without momentum, so that it has no state to save. The data and the network are those of the example `digits`.

#![allow(dead_code, reason = "the example digits uses what this one does not")]

#[path = "../digits/data.rs"]
mod data;
#[path = "../digits/network.rs"]
mod network;

use std::{
    error::Error,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    process::Command,
};

use data::Digits;
use indicatif::ProgressBar;
use network::Network;
use prune::training::{Allocation, Bounds, Schedule, Session};
use prune::{L1Unstructured, Module, PruneError, safetensors};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

const SEED: u64 = 888;
const STEPS: u64 = 1200;
const SAVED_AFTER: u64 = 600;
const BATCH: usize = 32;
const LEARNING_RATE: f32 = 0.1;
const WEIGHTS: [&str; 3] = ["hidden.0.weight", "hidden.1.weight", "output.weight"];
const SAVED: &str = "out/gradual.safetensors";
const RESUMED: &str = "out/gradual-resumed.safetensors";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        None => whole_run(),
        Some("resume") => resumed_run(),
        Some(other) => Err(format!("unknown argument `{other}`").into()),
    }
}

/// The run without a break, which saves itself in the middle, and compares itself with the resumed one.
fn whole_run() -> Result<()> {
    fs::create_dir_all("out")?;
    let (training, test) = Digits::split(SEED)?;
    let (mut network, mut session) = build()?;
    println!("schedule: {}", session.schedule());
    println!("{:>5} {:>7} {:>9} {:>9} {:>9} {:>10}", "step", "level", "hidden.0", "hidden.1", "output", "accuracy");
    let bar = ProgressBar::new(STEPS);
    let mut later = String::new();
    train(&mut network, &mut session, &training, |network, session, pruned| {
        bar.set_position(session.next_step());
        if let Some(level) = pruned {
            let row = row(network, session, level, network.accuracy(&test));
            bar.suspend(|| println!("{row}"));
            if session.next_step() > SAVED_AFTER {
                later += &line(network, session)?;
            }
        }
        if session.next_step() == SAVED_AFTER {
            safetensors::save_session(session, network, SAVED)?;
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    println!("accuracy at the end: {:.1} %\n", 100.0 * network.accuracy(&test));

    let second = Command::new(std::env::current_exe()?).arg("resume").output()?;
    if !second.status.success() {
        return Err(String::from_utf8_lossy(&second.stderr).into());
    }
    let bytes = fs::metadata(SAVED)?.len();
    println!("saved after step {}: {SAVED}, {bytes} bytes; resumed in process of its own", SAVED_AFTER - 1);
    if String::from_utf8(second.stdout)? != later {
        return Err("the resumed run has other masks".into());
    }
    println!("the masks of both runs are equal at all {} later steps of the schedule", later.lines().count());
    let (other, _) = safetensors::load_file::<f32>(RESUMED)?;
    let state = |module: &dyn Module<Elem = f32>| safetensors::to_bytes(module);
    if state(&network)? != state(&other)? {
        return Err("the resumed run has other weights".into());
    }
    println!("weights and masks of both networks are equal at the end, bit for bit");
    Ok(())
}

/// The second process: prints a line for each step of the schedule, and saves the network at the end.
fn resumed_run() -> Result<()> {
    let (training, _) = Digits::split(SEED)?;
    let (mut network, mut session) = build()?;
    let report = safetensors::load_session(Path::new(SAVED), &mut network, &mut session)?;
    if !report.is_complete() {
        return Err(format!("the file does not fit the network: {report}").into());
    }
    train(&mut network, &mut session, &training, |network, session, pruned| {
        if pruned.is_some() {
            print!("{}", line(network, session)?);
        }
        Ok(())
    })?;
    Ok(safetensors::save_session(&session, &network, RESUMED)?)
}

/// The network at its start, and the session.
fn build() -> std::result::Result<(Network, Session<f32>), PruneError> {
    let schedule = Schedule::cubic(0.0, 0.9)?.between(200, 1010)?.every(100)?;
    let session = Session::new(&WEIGHTS, schedule, |due| L1Unstructured::new(due.amount))
        .allocation(Allocation::Erk)
        .bounds(Bounds { min: 0.0, max: 0.98 });
    Ok((Network::new(64, &[128, 64], 10, SEED), session))
}

/// Trains up to the last step. Calls `after_step` with the level at the steps that prune, and with `None` at the others.
fn train(
    network: &mut Network,
    session: &mut Session<f32>,
    data: &Digits,
    mut after_step: impl FnMut(&Network, &Session<f32>, Option<f64>) -> Result<()>,
) -> Result<()> {
    let batches = (data.len() / BATCH) as u64;
    while session.next_step() < STEPS {
        // The order of each epoch has a seed of its own, so that a run can go on from any step.
        let (epoch, batch) = (session.next_step() / batches, (session.next_step() % batches) as usize);
        let mut order: Vec<usize> = (0..data.len()).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(SEED + epoch));
        let batch = data.select(&order[batch * BATCH..(batch + 1) * BATCH]);

        let (_, gradients) = network.loss_and_gradients(&batch);
        for ((_, parameter), mut gradient) in network.named_parameters_mut().into_iter().zip(gradients) {
            parameter.zero_pruned(gradient.view_mut())?;
            parameter.update(|mut orig| orig.scaled_add(-LEARNING_RATE, &gradient));
        }
        let pruned = session.step(network)?;
        after_step(network, session, pruned.map(|pruned| pruned.level))?;
    }
    Ok(())
}

/// A row of the table: the step, the level, and the sparsity of each weight.
fn row(network: &Network, session: &Session<f32>, level: f64, accuracy: f64) -> String {
    let mut row = format!("{:>5} {:>5.1} %", session.next_step() - 1, 100.0 * level);
    for layer in network.layers() {
        row += &format!(" {:>7.1} %", 100.0 * layer.weight.mask().map_or(0.0, prune::Mask::sparsity));
    }
    row + &format!(" {:>8.1} %", 100.0 * accuracy)
}

/// The step and a hash of all masks.
fn line(network: &Network, session: &Session<f32>) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    safetensors::masks_to_bytes(network)?.hash(&mut hasher);
    Ok(format!("{} {:016x}\n", session.next_step() - 1, hasher.finish()))
}
