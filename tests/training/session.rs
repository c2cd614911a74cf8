//! Sessions: counts, atomic steps, allocations, scores, states.

use ndarray::{ArrayD, arr1, arr2};
use proptest::prelude::*;
use prune::torch::Generator;
use prune::training::{Allocation, Bounds, Due, Pruned, Schedule, Session};
use prune::{
    Amount, AnyMethod, CustomFromMask, L1Unstructured, LnStructured, Mask, Parameter, ParameterStore, PruneError,
    RandomUnstructured, Units,
};

use crate::laws::runner::check_law;
use crate::training::schedule::schedules;
use crate::training::{net, states, train, weights};

fn l1(names: &[&str], schedule: Schedule) -> Session<f32> {
    Session::new(names, schedule, |due: Due<'_>| L1Unstructured::new(due.amount))
}

fn rounded(level: f64, units: usize) -> usize {
    Amount::Sparsity(level).count(units).expect("the level is a fraction")
}

#[test]
fn due_steps_prune_to_the_level_and_others_do_nothing() -> Result<(), PruneError> {
    let mut net = net();
    let schedule = Schedule::cubic(0.0, 0.9)?.between(10, 95)?.every(10)?;
    let mut session = l1(&["a", "b"], schedule.clone());
    for step in 0..120 {
        train(&mut net, step);
        let before = states(&net);
        assert_eq!(session.next_step(), step);
        let pruned = session.step(&mut net)?;
        let level = schedule.at(step);
        assert_eq!([net["a"].pruned(), net["b"].pruned()], [rounded(level, 128), rounded(level, 80)]);
        match pruned {
            None => assert_eq!(states(&net), before, "{step}"),
            Some(pruned) => {
                let left = |name: &str| Units {
                    all: net[name].value().len(),
                    left: net[name].value().len() - net[name].pruned(),
                };
                let parameters = vec![("a".to_owned(), left("a")), ("b".to_owned(), left("b"))];
                assert_eq!(pruned, Pruned { step, level, parameters });
                assert!(schedule.is_due(step));
            }
        }
    }
    assert!(!net["c"].is_pruned());
    Ok(())
}

/// The whole tensor is rounded once: what was pruned before, by whom ever, only counts.
#[test]
fn counts_are_cumulative_for_any_schedule() {
    let inputs = (schedules(), 1_usize..200, 0.0..=1.0_f64, any::<u64>());
    check_law(inputs, |(schedule, entries, before, seed)| {
        let mut weight = Parameter::new(weights(&[entries], seed));
        weight.prune(RandomUnstructured::new(before, seed).unwrap()).unwrap();
        let mut session = l1(&[""], schedule.clone());
        let (mut pruned, mut kept) = (weight.pruned(), weight.mask().unwrap().to_array());
        for step in 0..80 {
            session.step(&mut weight).unwrap();
            if schedule.is_due(step) {
                pruned = pruned.max(rounded(schedule.at(step), entries));
            }
            assert_eq!(weight.pruned(), pruned, "{schedule} at {step} of {entries}");
            let now = weight.mask().unwrap().to_array();
            assert!(now.iter().zip(&kept).all(|(now, before)| *before || !now), "an entry was revived");
            kept = now;
        }
    });
}

#[test]
fn units_are_those_of_the_method() -> Result<(), PruneError> {
    let mut net = net();
    let schedule = Schedule::linear(0.0, 0.5)?.between(0, 4)?;
    let mut session = Session::new(&["a"], schedule, |due| LnStructured::new(due.amount, 2, 1));
    let mut columns = Vec::new();
    for _ in 0..5 {
        train(&mut net, 1);
        let pruned = session.step(&mut net)?.expect("every step is due");
        columns.push(pruned.parameters[0].1);
    }
    assert_eq!(columns, [16, 14, 12, 10, 8].map(|left| Units { all: 16, left }));
    assert_eq!(net["a"].mask().expect("it is pruned").kept_channels(1)?.len(), 8);
    // A level of 0 leaves a parameter without a mask, and with no entry in its history.
    assert_eq!(net["a"].methods().len(), 4);
    Ok(())
}

#[test]
fn all_parameters_of_a_step_are_pruned_or_none() -> Result<(), PruneError> {
    let mut net = net();
    net["a"].prune(L1Unstructured::new(0.1)?)?;
    let before = states(&net);
    let method = |due: Due<'_>| -> Result<Box<dyn prune::PruningMethod<f32>>, PruneError> {
        match (due.name, due.amount) {
            // The mask has the shape of `b`, so that the last parameter cannot be pruned.
            ("c", Amount::Count(1..)) => Ok(Box::new(CustomFromMask::new(Mask::from_elem([10, 8], false)))),
            _ => Ok(Box::new(L1Unstructured::new(due.amount)?)),
        }
    };
    let mut session = Session::new(&["a", "b", "c"], Schedule::once(1, 0.5)?, method);
    session.step(&mut net)?;
    for _ in 0..2 {
        let error = session.step(&mut net).unwrap_err();
        assert!(matches!(error, PruneError::ShapeMismatch { .. }), "{error}");
        assert_eq!((states(&net), session.next_step()), (before.clone(), 1));
    }
    // An error of the closure, and one of scores.
    let mut session = Session::new(&["a", "c"], Schedule::once(0, 0.5)?, |due: Due<'_>| {
        L1Unstructured::new(if due.name == "c" { 2.0.into() } else { due.amount })
    });
    assert_eq!(session.step(&mut net), Err(PruneError::InvalidFraction { found: 2.0 }));
    let mut session = l1(&["a", "c"], Schedule::once(0, 0.5)?);
    let scores = |name: &str, parameter: &Parameter<f32>| match name {
        "c" => Ok(arr1(&[1.0]).into_dyn()),
        _ => Ok(parameter.value().clone()),
    };
    let error = session.step_with_scores(&mut net, scores).unwrap_err();
    assert_eq!(error.to_string(), "scores of `c` has shape [1], but should have shape [7]");
    assert_eq!((states(&net), session.next_step()), (before, 0));
    Ok(())
}

#[test]
fn a_wrong_name_is_an_error_at_the_first_step() -> Result<(), PruneError> {
    let mut net = net();
    let error = l1(&["a", "fc"], Schedule::once(500, 0.5)?).step(&mut net).unwrap_err();
    assert_eq!(error.to_string(), "no parameter named `fc`; the module has `a`, `b`, `c`");
    let error = l1(&["a", "a"], Schedule::once(500, 0.5)?).step(&mut net).unwrap_err();
    assert_eq!(error, PruneError::RepeatedParameter { found: "a".to_owned() });
    Ok(())
}

#[test]
fn scores_rank_at_due_steps_only() -> Result<(), PruneError> {
    let mut net = net();
    let mut calls = Vec::new();
    let mut session = l1(&["a", "c"], Schedule::list(&[(1, 0.25), (3, 0.5)])?);
    for step in 0..5 {
        session.step_with_scores(&mut net, |name, parameter| {
            calls.push((step, name.to_owned()));
            // In column-major order: the layout says nothing about what is pruned.
            let scores = ArrayD::from_shape_fn(parameter.value().t().raw_dim(), |index| index[0] as f32);
            Ok(scores.reversed_axes())
        })?;
    }
    assert_eq!(calls, [(1, "a"), (1, "c"), (3, "a"), (3, "c")].map(|(step, name)| (step, name.to_owned())));
    // The scores are the index along the last axis: the first columns go.
    assert_eq!(net["a"].mask().expect("it is pruned").kept_channels(1)?, (8..16).collect::<Vec<_>>());
    assert_eq!(net["c"].mask().expect("it is pruned"), &arr1(&[false, false, false, false, true, true, true]));
    Ok(())
}

#[test]
fn densities_of_erk_and_the_total_are_exact() -> Result<(), PruneError> {
    let mut net = net();
    let names = ["a", "b", "c"];
    let schedule = Schedule::cubic(0.0, 0.8)?.between(0, 20)?.every(4)?;
    for allocation in [Allocation::Erk, Allocation::ErdosRenyi] {
        let mut session = l1(&names, schedule.clone()).allocation(allocation);
        let mut net = net.clone();
        for step in 0..=20 {
            train(&mut net, step);
            session.step(&mut net)?;
        }
        let counts = allocation.counts(&[&[8, 16], &[10, 8], &[7]], 0.8, Bounds::default())?;
        assert_eq!(names.map(|name| net[name].pruned()).to_vec(), counts, "{allocation:?}");
        assert_eq!(counts.iter().sum::<usize>(), rounded(0.8, 215));
    }
    let bounds = Bounds { min: 0.0, max: 0.85 };
    let mut session = l1(&names, Schedule::once(0, 0.8)?).allocation(Allocation::Erk).bounds(bounds);
    session.step(&mut net)?;
    assert_eq!(names.map(|name| net[name].pruned()).iter().sum::<usize>(), 172);
    assert!(names.iter().all(|name| net[name].mask().map_or(0.0, Mask::sparsity) <= 0.85));
    Ok(())
}

/// Entries that are pruned already stay pruned, above a bound and above the level too.
#[test]
fn a_parameter_may_be_sparser_than_bound_and_level() -> Result<(), PruneError> {
    let bounds = Bounds { min: 0.0, max: 0.5 };
    for allocation in [Allocation::Uniform, Allocation::Erk, Allocation::Global, Allocation::Lamp] {
        let mut net = net();
        net["b"].prune(L1Unstructured::new(0.9)?)?;
        let schedule = Schedule::list(&[(0, 0.1), (1, 0.6)])?;
        let mut session = l1(&["a", "b"], schedule).allocation(allocation).bounds(bounds);
        for pruned in [[0, 72], [53, 72]] {
            if allocation == Allocation::Uniform && pruned[0] == 0 {
                // The same level for each, in bounds: 13 of 128.
                session.step(&mut net)?;
                assert_eq!([net["a"].pruned(), net["b"].pruned()], [13, 72]);
                continue;
            }
            session.step(&mut net)?;
            assert_eq!([net["a"].pruned(), net["b"].pruned()], pruned, "{allocation:?}");
        }
    }
    Ok(())
}

#[test]
fn bounds_that_cannot_be_met_are_an_error() -> Result<(), PruneError> {
    for allocation in [Allocation::Uniform, Allocation::Erk, Allocation::Global] {
        let mut net = net();
        let before = states(&net);
        let mut session =
            l1(&["a", "b"], Schedule::once(0, 0.99)?).allocation(allocation).bounds(Bounds { min: 0.0, max: 0.9 });
        let error = session.step(&mut net).unwrap_err();
        assert!(matches!(error, PruneError::Infeasible { .. }), "{allocation:?}: {error}");
        assert_eq!((states(&net), session.next_step()), (before, 0));
    }
    Ok(())
}

#[test]
fn global_ranking_is_that_of_global_unstructured() -> Result<(), PruneError> {
    let mut net = net();
    let mut session = l1(&["a", "b", "c"], Schedule::list(&[(0, 0.3), (2, 0.7)])?).allocation(Allocation::Global);
    let mut expected = net.clone();
    for step in 0..3 {
        train(&mut net, step);
        train(&mut expected, step);
        session.step(&mut net)?;
        if step != 1 {
            let level = [0.3, 0.0, 0.7][step as usize];
            let targets = prune::parameters_mut(&mut expected, &["a", "b", "c"])?;
            prune::global_unstructured(targets, L1Unstructured::new(Amount::sparsity(level))?)?;
        }
        for ((name, ours), (_, theirs)) in states(&net).into_iter().zip(states(&expected)) {
            assert_eq!((ours.0, ours.1, ours.2), (theirs.0, theirs.1, theirs.2), "{name} at {step}");
        }
    }
    let mut session = Session::new(&["a"], Schedule::once(0, 0.5)?, |due| LnStructured::new(due.amount, 1, 0));
    session = session.allocation(Allocation::Global);
    assert!(matches!(session.step(&mut net), Err(PruneError::NotUnstructured { .. })));
    Ok(())
}

/// An oracle that sorts: the sure ones of each parameter first, then the lowest of the others up to the most of each.
#[test]
fn global_ranking_within_bounds_is_exact() {
    let inputs = (any::<u64>(), 0.0..=1.0_f64, 0.0..0.5_f64, 0.5..=1.0_f64, 0.0..0.4_f64);
    check_law(inputs, |(seed, level, min, max, before)| {
        let layer =
            |name: &str, size: usize, scale: f32| (name.to_owned(), weights(&[size], seed ^ size as u64) * scale);
        let mut net = ParameterStore::from_iter([layer("a", 40, 1.0), layer("b", 25, 0.1), layer("c", 7, 5.0)]);
        net["b"].prune(RandomUnstructured::new(before, 3).unwrap()).unwrap();
        let bounds = Bounds { min, max };
        let mut session =
            l1(&["a", "b", "c"], Schedule::once(0, level).unwrap()).allocation(Allocation::Global).bounds(bounds);
        let mut sorted: Vec<(f32, usize, usize)> = Vec::new();
        let (mut gone, mut sure, mut possible) = ([0; 3], 0, 0);
        let mut limits = Vec::new();
        for (number, (_, parameter)) in net.iter().enumerate() {
            let size = parameter.value().len() as f64;
            gone[number] = parameter.pruned();
            let high = ((max * size).floor() as usize).max(parameter.pruned());
            let low = ((min * size).ceil() as usize).max(parameter.pruned()).min(high);
            (sure, possible) = (sure + low, possible + high);
            limits.push((low, high));
            let kept = |place: usize| parameter.mask().is_none_or(|mask| mask[[place]]);
            sorted.extend(
                (0..parameter.value().len()).filter(|&p| kept(p)).map(|p| (parameter.value()[[p]].abs(), number, p)),
            );
        }
        let total = rounded(level, 72).max(gone.iter().sum());
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let result = session.step(&mut net);
        if !(sure..=possible).contains(&total) {
            assert!(matches!(result, Err(PruneError::Infeasible { .. })), "{result:?}");
            return;
        }
        result.unwrap();
        let mut pruned = gone;
        // Counts: the sure ones, then one ranking of what lies between.
        let mut ranked = gone;
        let mut between = Vec::new();
        for &(score, number, _) in &sorted {
            ranked[number] += 1;
            if ranked[number] <= limits[number].0 {
                pruned[number] += 1;
            } else if ranked[number] <= limits[number].1 {
                between.push((score, number));
            }
        }
        let left = total - pruned.iter().sum::<usize>();
        between[..left].iter().for_each(|&(_, number)| pruned[number] += 1);
        let found: Vec<usize> = net.iter().map(|(_, parameter)| parameter.pruned()).collect();
        assert_eq!(found, pruned, "total {total}");
        // Each parameter has lost its lowest entries.
        for (name, parameter) in net.iter() {
            let Some(mask) = parameter.mask().filter(|_| name != "b") else { continue };
            let magnitudes = |kept: bool| {
                parameter.orig().iter().zip(mask.iter()).filter(move |(_, k)| *k == kept).map(|(x, _)| x.abs())
            };
            assert!(magnitudes(false).fold(0.0, f32::max) <= magnitudes(true).fold(f32::INFINITY, f32::min));
        }
    });
}

#[test]
fn lamp_is_a_global_ranking_of_lamp_scores() -> Result<(), PruneError> {
    let mut net = ParameterStore::from_iter([("a", arr2(&[[1.0_f32, 2.0], [2.0, 4.0]])), ("b", arr2(&[[10.0, 30.0]]))]);
    let mut session = l1(&["a", "b"], Schedule::once(0, 0.5)?).allocation(Allocation::Lamp);
    session.step(&mut net)?;
    // a: 1/25, 4/24, 4/20, 1; b: 0.1, 1: the lowest three.
    assert_eq!(net["a"].mask(), Some(&Mask::from(arr2(&[[false, false], [true, true]]))));
    assert_eq!(net["b"].mask(), Some(&Mask::from(arr2(&[[false, true]]))));
    Ok(())
}

#[test]
fn seeds_differ_by_name_and_step_and_are_pinned() {
    let due = |name, step| Due { name, step, amount: Amount::Count(1) };
    let seeds = [due("a", 0), due("b", 0), due("a", 1)].map(|due| due.seed(42));
    assert_eq!(seeds, [9762208216223232426, 9762207116711604215, 17586628326180006845]);
    assert_ne!(due("a", 0).seed(1), due("a", 0).seed(2));
}

#[test]
fn states_of_other_sessions_are_refused() -> Result<(), PruneError> {
    let session = || l1(&["a", "b"], Schedule::once(3, 0.5).unwrap());
    let mut saved = session();
    saved.step(&mut net())?;
    let state = saved.state();
    let mut same = session();
    same.restore(state.clone())?;
    assert_eq!((same.next_step(), same.state()), (1, state.clone()));
    for (mut other, part) in [
        (l1(&["a", "b"], Schedule::once(4, 0.5)?), "schedule"),
        (l1(&["b", "a"], Schedule::once(3, 0.5)?), "names"),
        (session().allocation(Allocation::Erk), "allocation"),
        (session().bounds(Bounds { min: 0.0, max: 0.9 }), "bounds"),
    ] {
        let error = other.restore(state.clone()).unwrap_err();
        assert!(matches!(error, PruneError::OtherSession { part: found, .. } if found == part), "{error}");
        assert_eq!(other.next_step(), 0);
    }
    let text = format!("{:?}", session());
    assert!(text.starts_with("Session(SessionState { next: 0, schedule:"), "{text}");
    Ok(())
}

#[test]
fn sessions_can_be_sent() {
    fn sendable<T: Send + Sync>(_: &T) {}
    sendable(&l1(&["a"], Schedule::once(0, 0.5).unwrap()));
}

#[test]
fn empty_parameters_and_everything_are_ordinary() -> Result<(), PruneError> {
    for allocation in [Allocation::Uniform, Allocation::Erk, Allocation::Global, Allocation::Lamp] {
        let mut net = ParameterStore::from_iter([("empty", weights(&[0, 3], 1)), ("a", weights(&[4, 3], 2))]);
        let mut session = l1(&["empty", "a"], Schedule::list(&[(0, 0.0), (1, 1.0), (2, 1.0)])?).allocation(allocation);
        for _ in 0..4 {
            session.step(&mut net)?;
        }
        assert_eq!((net["empty"].pruned(), net["a"].pruned()), (0, 12), "{allocation:?}");
    }
    let mut none = Session::<f32>::new::<L1Unstructured>(&[] as &[&str], Schedule::once(0, 0.5)?, |due| {
        L1Unstructured::new(due.amount)
    });
    assert_eq!(none.step(&mut net())?.map(|pruned| pruned.parameters.len()), Some(0));
    Ok(())
}

/// Errors are found before a generator is drawn from.
#[test]
fn an_error_of_a_later_parameter_draws_nothing() -> Result<(), PruneError> {
    let generator = Generator::manual_seed(5);
    let shared = generator.clone();
    let mut session = Session::<f32>::new(&["a", "b"], Schedule::once(0, 0.5)?, move |due| {
        Ok(match due.name {
            "a" => AnyMethod::new(RandomUnstructured::new(due.amount, shared.clone())?),
            _ => AnyMethod::new(CustomFromMask::new(arr1(&[true, false]).into_dyn())),
        })
    });
    assert!(matches!(session.step(&mut net()), Err(PruneError::ShapeMismatch { .. })));
    assert_eq!(generator.rand::<f32>(4), Generator::manual_seed(5).rand::<f32>(4));
    Ok(())
}
