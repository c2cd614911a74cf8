//! The values of PyTorch's `CubicSL`, and the zeros of the loops that it was run in: `tests/golden/training/README.md`.

use ndarray::Array2;
use prune::training::{Schedule, Session};
use prune::{L1Unstructured, Parameter, PruneError};
use serde::Deserialize;

#[derive(Deserialize)]
struct Recording {
    cubic: Vec<Cubic>,
    loops: Vec<Loop>,
}

#[derive(Deserialize)]
struct Cubic {
    from: f64,
    to: f64,
    begin: u64,
    delta_t: u64,
    total_t: u64,
    initially_zero: bool,
    t: Vec<i64>,
    level: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Loop {
    from: f64,
    to: f64,
    begin: u64,
    delta_t: u64,
    total_t: u64,
    entries: usize,
    turns: Vec<(f64, usize)>,
}

fn recording() -> Recording {
    serde_json::from_str(include_str!("../golden/training/schedules.json")).expect("the recording is JSON")
}

#[test]
fn cubic_levels_are_pytorchs_to_1e_15() {
    let (mut equal, mut before, mut refused, mut undefined) = (0, 0, 0, 0);
    for case in recording().cubic {
        let Cubic { from, to, begin, delta_t, total_t, .. } = case;
        let schedule = match Schedule::cubic(from, to) {
            Ok(schedule) => schedule.between(begin, begin + delta_t * total_t).unwrap(),
            Err(error) => {
                // PyTorch clamps a falling schedule to its start, and takes negative sparsities.
                assert!(from > to || from < 0.0, "{error}");
                refused += case.t.len();
                continue;
            }
        };
        for (t, level) in case.t.into_iter().zip(case.level) {
            let Some(level) = level.as_f64() else {
                assert_eq!((level.as_str(), delta_t * total_t), (Some("ZeroDivisionError"), 0));
                undefined += 1;
                continue;
            };
            let ours = u64::try_from(t).map_or(0.0, |t| schedule.at(t));
            if t < begin as i64 {
                assert_eq!((ours, level), (0.0, if case.initially_zero { 0.0 } else { from }), "{schedule} at {t}");
                before += 1;
            } else {
                assert!((ours - level).abs() <= 1e-15, "{schedule} at {t}: {ours}, PyTorch: {level}");
                equal += 1;
            }
        }
    }
    assert_eq!((equal, before, refused, undefined), (1709, 267, 912, 568));
}

#[test]
fn sessions_have_the_zeros_of_pytorchs_loops() -> Result<(), PruneError> {
    for Loop { from, to, begin, delta_t, total_t, entries, turns } in recording().loops {
        let schedule = Schedule::cubic(from, to)?.between(begin, begin + delta_t * total_t)?;
        let mut session = Session::new(&[""], schedule.clone(), |due| L1Unstructured::new(due.amount));
        let mut weight =
            Parameter::new(Array2::from_shape_fn((10, entries / 10), |(i, j)| ((i * 37 + j * 11) % 101) as f32));
        for (turn, (level, zeros)) in turns.into_iter().enumerate() {
            session.step(&mut weight)?;
            if turn as u64 >= begin {
                assert!((schedule.at(turn as u64) - level).abs() <= 1e-15, "{schedule} at {turn}");
                assert_eq!(weight.pruned(), zeros, "{schedule} at {turn}");
            }
        }
    }
    Ok(())
}
