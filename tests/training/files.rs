//! Sessions in files: a resumed run has bitwise the same masks at every later step.

use prune::safetensors::{StateDictError, load_session, save_file, save_session};
use prune::training::{Allocation, Bounds, Due, Schedule, Session};
use prune::{L1Unstructured, LnStructured, ParameterStore, PruneError, PruningMethod, RandomUnstructured};

use crate::laws::runner::check_law;
use crate::training::schedule::schedules;
use crate::training::{net, states, train, weights};

type AnyMethod = Box<dyn PruningMethod<f32>>;

/// A session by one of three methods.
fn session(kind: usize, schedule: &Schedule, allocation: Allocation) -> Session<f32> {
    let method = move |due: Due<'_>| -> Result<AnyMethod, PruneError> {
        Ok(match kind {
            0 => Box::new(L1Unstructured::new(due.amount)?),
            1 => Box::new(RandomUnstructured::new(due.amount, due.seed(7))?),
            _ => Box::new(LnStructured::new(due.amount, 2, 0)?),
        })
    };
    Session::new(&["a", "b"], schedule.clone(), method).allocation(allocation)
}

#[test]
fn a_resumed_run_has_the_same_masks_at_every_later_step() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.safetensors");
    let allocations = vec![Allocation::Uniform, Allocation::Erk, Allocation::Global];
    let inputs = (schedules(), 0_usize..3, proptest::sample::select(allocations), 0_u64..60);
    check_law(inputs, |(schedule, kind, allocation, interrupted)| {
        let allocation = if kind == 2 { Allocation::Uniform } else { allocation };
        let (mut whole, mut run) = (net(), session(kind, &schedule, allocation));
        let (mut resumed, mut resumed_run) = (net(), session(kind, &schedule, allocation));
        train(&mut resumed, 99);
        for step in 0..60 {
            if step == interrupted {
                save_session(&run, &whole, &path).unwrap();
                let report = load_session(&path, &mut resumed, &mut resumed_run).unwrap();
                assert!(report.is_complete(), "{report}");
                assert_eq!(resumed_run.state(), run.state());
            }
            train(&mut whole, step);
            let pruned = run.step(&mut whole).unwrap();
            if step >= interrupted {
                train(&mut resumed, step);
                assert_eq!(resumed_run.step(&mut resumed).unwrap(), pruned);
                for ((name, ours), (_, theirs)) in states(&whole).into_iter().zip(states(&resumed)) {
                    assert_eq!((ours.0, ours.1, ours.2), (theirs.0, theirs.1, theirs.2), "{name} at {step}");
                }
            }
        }
    });
}

#[test]
fn files_of_other_sessions_and_models_are_refused() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("run.safetensors");
    let schedule = Schedule::once(1, 0.5)?;
    let new = || session(0, &schedule, Allocation::Uniform);
    let (mut saved, mut run) = (net(), new());
    run.step(&mut saved)?;
    run.step(&mut saved)?;
    save_session(&run, &saved, &path)?;

    let refused = |mut net: ParameterStore<f32>, mut session: Session<f32>| {
        let (before, state) = (states(&net), session.state());
        let error = load_session(&path, &mut net, &mut session).unwrap_err();
        assert_eq!((states(&net), session.state()), (before, state));
        let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        format!("{error}{source}")
    };
    let bounded = new().bounds(Bounds { min: 0.1, max: 1.0 });
    assert_eq!(
        refused(net(), bounded),
        "file is of another session: bounds of the session is `0.1..1`, but that of the state is `0..1`"
    );
    let other = session(0, &Schedule::once(2, 0.5)?, Allocation::Uniform);
    assert!(refused(net(), other).contains("schedule of the session is `once 0.5 @ 2`"));
    let mut larger = net();
    larger.insert("a", weights(&[9, 16], 1));
    assert!(refused(larger, new()).contains("has shape"));
    let mut more = net();
    more.insert("d", weights(&[3], 1));
    let mut with_d = Session::new(&["a", "b"], schedule.clone(), |due| L1Unstructured::new(due.amount));
    let report = load_session(&path, &mut more, &mut with_d)?;
    assert_eq!(report.missing, ["d"], "a parameter that is not pruned may be missing");

    save_file(&net(), &path)?;
    assert_eq!(refused(net(), new()), "file has no state of a session: no metadata `nn-prune.next`");
    std::fs::write(&path, b"no file")?;
    assert!(matches!(load_session(&path, &mut net(), &mut new()), Err(StateDictError::Truncated { .. })));
    Ok(())
}

/// A parameter of the session that the file lacks, or that only the module has pruned, would go on with a wrong mask.
#[test]
fn a_parameter_of_the_session_must_be_loaded() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("run.safetensors");
    let new = || session(0, &Schedule::once(5, 0.5).unwrap(), Allocation::Uniform);
    save_session(&new(), &net(), &path)?;
    let mut pruned = net();
    pruned["b"].prune(L1Unstructured::new(0.5)?)?;
    let before = states(&pruned);
    let error = load_session(&path, &mut pruned, &mut new()).unwrap_err();
    assert_eq!(error.to_string(), "parameter `b` of the session cannot be loaded from the file");
    assert_eq!(states(&pruned), before);

    let mut less = net();
    less.take("b");
    save_session(&new(), &less, &path)?;
    assert!(matches!(load_session(&path, &mut net(), &mut new()), Err(StateDictError::NotLoaded { .. })));
    Ok(())
}

/// Files may be untrusted: metadata of any content is read or refused.
#[test]
fn metadata_of_any_content() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("run.safetensors");
    let new = || session(0, &Schedule::once(5, 0.5).unwrap(), Allocation::Uniform);
    save_session(&new(), &net(), &path)?;
    let bytes = std::fs::read(&path)?;
    for (key, values) in [
        ("next\":\"0", ["next\":\"x", "next\":\"-", "next\":\" "]),
        ("schedule\":\"once 0.5", ["schedule\":\"once 9.5", "schedule\":\"never0.5", "schedule\":\"once NaN"]),
        ("allocation\":\"uniform", ["allocation\":\"uniforn", "allocation\":\"       ", "allocation\":\"globals"]),
        ("bounds\":\"0..1", ["bounds\":\"0.11", "bounds\":\"x..1", "bounds\":\"0.,1"]),
        ("names\":\"[\\\"a", ["names\":\"{\\\"a", "names\":\"[\\\"b", "names\":\"[\\\"c"]),
    ] {
        for value in values {
            assert_eq!(key.len(), value.len(), "{key}, {value}");
            let at = bytes.windows(key.len()).position(|window| window == key.as_bytes()).ok_or(key)?;
            let mut damaged = bytes.clone();
            damaged[at..at + key.len()].copy_from_slice(value.as_bytes());
            std::fs::write(&path, damaged)?;
            let (mut net, mut session) = (net(), new());
            let before = states(&net);
            let error = load_session(&path, &mut net, &mut session).unwrap_err();
            let known = matches!(error, StateDictError::NoSession { .. } | StateDictError::Session { .. });
            assert!(known, "{value}: {error}");
            assert_eq!(states(&net), before);
        }
    }
    Ok(())
}
