//! Schedules: values, due steps, text, and what is refused.

use proptest::prelude::*;
use prune::PruneError;
use prune::training::Schedule;

use crate::laws::runner::check_law;

type Checked = Result<Schedule, PruneError>;

fn due(schedule: &Schedule, steps: u64) -> Vec<u64> {
    (0..steps).filter(|&step| schedule.is_due(step)).collect()
}

#[test]
fn the_end_is_always_due() -> Result<(), PruneError> {
    let schedule = Schedule::cubic(0.0, 0.9)?.between(10, 95)?.every(20)?;
    assert_eq!(due(&schedule, 200), [10, 30, 50, 70, 90, 95]);
    assert_eq!((schedule.at(9), schedule.at(10), schedule.at(95), schedule.at(u64::MAX)), (0.0, 0.0, 0.9, 0.9));
    assert_eq!(schedule.end(), 95);
    // Between due steps the sparsity is that of the last one.
    assert_eq!(schedule.at(29), schedule.at(10));
    assert_eq!(schedule.at(94), schedule.at(90));
    let x: f64 = 1.0 - 20.0 / 85.0;
    assert_eq!(schedule.at(30), 0.9 + (0.0 - 0.9) * (x * x * x));
    Ok(())
}

#[test]
fn curves_follow_their_formulas() -> Result<(), PruneError> {
    let linear = Schedule::linear(0.25, 0.75)?.between(4, 8)?;
    assert_eq!([3, 4, 5, 6, 8].map(|step| linear.at(step)), [0.0, 0.25, 0.375, 0.5, 0.75]);
    let quintic = Schedule::polynomial(0.0, 1.0, 5)?.between(0, 2)?;
    assert_eq!([0, 1, 2].map(|step| quintic.at(step)), [0.0, 1.0 - 0.03125, 1.0]);
    assert_eq!(Schedule::polynomial(0.1, 0.2, 3)?, Schedule::cubic(0.1, 0.2)?);
    let exponential = Schedule::exponential(0.0, 0.9375)?.between(0, 4)?;
    for (step, left) in [1.0, 0.5, 0.25, 0.125, 0.0625].into_iter().enumerate() {
        assert!((exponential.at(step as u64) - (1.0 - left)).abs() < 1e-15, "{step}");
    }
    assert_eq!(exponential.at(4), 0.9375);
    let all = Schedule::exponential(0.5, 1.0)?.between(0, 4)?;
    assert_eq!([0, 1, 4].map(|step| all.at(step)), [0.5, 1.0, 1.0]);
    Ok(())
}

#[test]
fn one_step_is_the_final_one() -> Result<(), PruneError> {
    for schedule in [Schedule::cubic(0.1, 0.6)?.between(7, 7)?, Schedule::once(7, 0.6)?] {
        assert_eq!(due(&schedule, 50), [7]);
        assert_eq!((schedule.at(6), schedule.at(7)), (0.0, 0.6));
    }
    Ok(())
}

#[test]
fn rounds_take_a_share_of_what_is_left() -> Result<(), PruneError> {
    let rounds = Schedule::rounds(0.2, 3)?.every(10)?;
    assert_eq!(due(&rounds, 100), [10, 20, 30]);
    let mut kept = 1.0;
    for round in 0..5 {
        assert_eq!((rounds.at(10 * round), rounds.at(10 * round + 9)), (1.0 - kept, 1.0 - kept));
        if round < 3 {
            kept *= 0.8;
        }
    }
    assert_eq!(Schedule::rounds(0.5, u64::MAX)?.at(u64::MAX), 1.0);
    assert_eq!(Schedule::rounds(1.0, 2)?.at(1), 1.0);
    assert_eq!(Schedule::rounds(0.0, u64::MAX)?.at(u64::MAX), 0.0);
    Ok(())
}

#[test]
fn lists_hold_their_levels() -> Result<(), PruneError> {
    let list = Schedule::list(&[(0, 0.1), (5, 0.1), (9, 0.8)])?;
    assert_eq!(due(&list, 20), [0, 5, 9]);
    assert_eq!([0, 4, 8, 9, 10].map(|step| list.at(step)), [0.1, 0.1, 0.1, 0.8, 0.8]);
    Ok(())
}

#[test]
fn text_is_short() {
    for text in [
        "once 0.9 @ 500",
        "list 0.5 @ 100, 0.8 @ 200",
        "rounds 0.2 x 10",
        "rounds 0.2 x 10 / 1000",
        "linear 0..1 @ 0..10",
        "cubic 0..0.9 @ 100..5000 / 100",
        "polynomial 0.1..0.9 ^ 4 @ 100..5000 / 100",
        "exponential 0..0.9 @ 100..5000",
    ] {
        assert_eq!(text.parse::<Schedule>().map(|schedule| schedule.to_string()), Ok(text.to_owned()));
    }
    let same = "  cubic 0.0..0.90@100 .. 5000/ 1 ".parse::<Schedule>();
    assert_eq!(same.map(|schedule| schedule.to_string()), Ok("cubic 0..0.9 @ 100..5000".to_owned()));
    for text in
        ["", "cubic", "cubic 0..0.9", "cubic 0..0.9 ^ 3 @ 0..1", "once 0.5 @ 1, 0.6 @ 2", "linear 0..x @ 0..1", "\u{7}"]
    {
        let error = text.parse::<Schedule>().unwrap_err().to_string();
        let shown = text.escape_debug();
        assert_eq!(error, format!("schedule `{shown}` is not of a form such as `cubic 0..0.9 @ 500..5000 / 100`"));
    }
}

#[test]
fn senseless_schedules_are_refused() {
    let message = |schedule: Checked| schedule.unwrap_err().to_string();
    let cubic = || Schedule::cubic(0.0, 0.9).unwrap();
    for (schedule, expected) in [
        (Schedule::list(&[]), "schedule has no steps"),
        (Schedule::list(&[(3, 0.1), (3, 0.2)]), "schedule lists step 3 after step 3"),
        (Schedule::list(&[(3, 0.2), (4, 0.1)]), "schedule falls from 0.2 to 0.1, but pruned entries stay pruned"),
        (Schedule::cubic(0.9, 0.5), "schedule falls from 0.9 to 0.5, but pruned entries stay pruned"),
        (Schedule::rounds(0.2, 0), "schedule has no rounds"),
        (Schedule::polynomial(0.0, 0.5, 0), "schedule has power 0; at least 1"),
        (cubic().between(5, 4), "schedule begins at step 5, but ends at step 4"),
        (cubic().every(0), "schedule is due every 0 steps; at least 1"),
        (
            Schedule::rounds(0.2, 3).and_then(|rounds| rounds.between(0, 9)),
            "schedule `rounds 0.2 x 3` has steps of its own, not a beginning and an end",
        ),
        (Schedule::once(3, 0.5).and_then(|once| once.every(2)), "schedule `once 0.5 @ 3` has steps of its own"),
        (
            Schedule::rounds(0.2, 3).and_then(|rounds| rounds.every(u64::MAX)),
            "schedule ends after 3 times 18446744073709551615 steps, beyond the largest u64",
        ),
        (Schedule::once(0, 1.5), "amount 1.5 is not a fraction from 0.0 to 1.0"),
        (Schedule::linear(f64::NAN, 0.5), "amount NaN is not a fraction from 0.0 to 1.0"),
        (Schedule::exponential(0.0, -0.1), "amount -0.1 is not a fraction from 0.0 to 1.0"),
        (Schedule::rounds(f64::INFINITY, 2), "amount inf is not a fraction from 0.0 to 1.0"),
    ] {
        assert_eq!(message(schedule), expected);
    }
}

/// Schedules of every kind, with their due steps within reach.
pub fn schedules() -> impl Strategy<Value = Schedule> {
    let levels = || (0.0..=1.0_f64, 0.0..=1.0_f64).prop_map(|(a, b)| if a < b { (a, b) } else { (b, a) });
    let place = (0_u64..20, 0_u64..30, 1_u64..12);
    let curves =
        (0_usize..4, levels(), 1_u32..7, place).prop_map(|(kind, (from, to), power, (begin, steps, every))| {
            let curve = match kind {
                0 => Schedule::linear(from, to),
                1 => Schedule::cubic(from, to),
                2 => Schedule::polynomial(from, to, power),
                _ => Schedule::exponential(from, to),
            };
            curve.and_then(|curve| curve.between(begin, begin + steps)?.every(every)).expect("it is valid")
        });
    let lists = proptest::collection::vec((1_u64..9, 0.0..=1.0_f64), 1..6).prop_map(|entries| {
        let (mut step, mut levels): (u64, Vec<f64>) = (0, entries.iter().map(|entry| entry.1).collect());
        levels.sort_by(f64::total_cmp);
        let steps = entries.iter().zip(levels).map(|(entry, level)| {
            step += entry.0;
            (step, level)
        });
        Schedule::list(&steps.collect::<Vec<_>>()).expect("it is valid")
    });
    let rounds = (0.0..=1.0_f64, 1_u64..9, 1_u64..5).prop_map(|(share, rounds, every)| {
        Schedule::rounds(share, rounds).and_then(|s| s.every(every)).expect("valid")
    });
    prop_oneof![curves, lists, rounds]
}

#[test]
fn levels_rise_and_change_at_due_steps_only() {
    check_law(schedules(), |schedule| {
        let mut before = 0.0;
        for step in 0..80 {
            let level = schedule.at(step);
            assert!((0.0..=1.0).contains(&level), "{schedule} at {step}: {level}");
            if schedule.is_due(step) {
                assert!(level >= before - 1e-15, "{schedule} at {step}: {level} after {before}");
            } else {
                assert_eq!(level, before, "{schedule} at {step}");
            }
            before = level;
        }
        assert!(schedule.is_due(schedule.end()) && !schedule.is_due(schedule.end() + 1));
        assert_eq!(schedule.at(schedule.end()), schedule.at(u64::MAX));
    });
}

#[test]
fn text_is_parsed_to_the_same_schedule() {
    check_law(schedules(), |schedule| {
        assert_eq!(schedule.to_string().parse(), Ok(schedule));
    });
}

#[test]
fn any_text_is_parsed_or_refused() {
    let words =
        ["cubic", "once", "list", "rounds", "0..1", "0.5", "@", "/", "x", "^", "3", "..", " ", ",", "9e999", "-1"];
    let texts = proptest::collection::vec(proptest::sample::select(words.to_vec()), 0..9);
    check_law(texts, |words| {
        if let Ok(schedule) = words.join(" ").parse::<Schedule>() {
            assert_eq!(schedule.to_string().parse(), Ok(schedule));
        }
    });
}
