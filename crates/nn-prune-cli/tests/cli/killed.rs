//! Runs that are killed at random moments, before they can clean up.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::{Folder, numbers, program};

const SHARDS: usize = 6;
const KILLS: usize = 20;
/// The fewest kills that must land after a run has started to write and before it has finished.
const IN_THE_MIDDLE: usize = 5;
/// The most kills to try. If they do not suffice, the machine cannot run this test.
const MAX_KILLS: usize = 200;

const RUN_FILE: &str = ".nn-prune-run.json";

/// The stage of a run at which a kill landed.
#[derive(Clone, Copy, PartialEq)]
enum Landed {
    BeforeTheFirstFile,
    InTheMiddle,
    AfterTheEnd,
}

impl Landed {
    fn of(running: bool, begun: bool) -> Self {
        match (running, begun) {
            (true, true) => Self::InTheMiddle,
            (true, false) => Self::BeforeTheFirstFile,
            (false, _) => Self::AfterTheEnd,
        }
    }
}

/// Draws random moments.
struct Moments {
    state: u64,
    /// The latest moment.
    longest: Duration,
}

impl Moments {
    /// Returns moments up to the duration of an undisturbed run.
    fn of(longest: Duration) -> Self {
        let seed: u64 = match std::env::var("NN_PRUNE_SEED") {
            Ok(seed) => seed.parse().unwrap(),
            Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos().into(),
        };
        println!("seed: {seed} (set NN_PRUNE_SEED to use it again), moments up to {longest:?}");
        Self { state: seed | 1 << 32, longest }
    }

    fn next(&mut self) -> Duration {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.longest.mul_f64((self.state >> 11) as f64 / (1_u64 << 53) as f64)
    }

    /// Runs the program and kills it at a random moment. Returns `true` if it was still running.
    fn kill(&mut self, folder: &Folder, arguments: &str) -> bool {
        let mut child = program()
            .args(arguments.split_whitespace())
            .current_dir(folder.0.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        sleep(self.next());
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap().code().is_none()
    }
}

/// Calls `kill` until enough kills have landed in the middle of a run. The others test little.
fn kill_often(kills: usize, moments: &mut Moments, mut kill: impl FnMut(&mut Moments) -> Landed) {
    let mut all = Vec::new();
    let count = |all: &[Landed], when| all.iter().filter(|&&landed| landed == when).count();
    while all.len() < MAX_KILLS {
        all.push(kill(moments));
        let landed = count(&all, Landed::InTheMiddle);
        if all.len() >= kills && landed >= IN_THE_MIDDLE {
            println!("{landed} of {} kills landed in the middle", all.len());
            return;
        }
        if all.len() % kills == 0 {
            // The machine is now faster or slower than when the undisturbed run was measured.
            let last = &all[all.len() - kills..];
            let late = count(last, Landed::AfterTheEnd) > count(last, Landed::BeforeTheFirstFile);
            moments.longest = if late { moments.longest / 2 } else { moments.longest * 2 };
        }
    }
    panic!("of {MAX_KILLS} kills too few landed in the middle");
}

fn write_shard(path: &Path, number: usize) {
    let tensor = ndarray::Array::from_shape_vec((1024, 1024), numbers(1024 * 1024, number as u64 + 1)).unwrap();
    let other = ndarray::Array::from_shape_vec((256, 512), numbers(256 * 512, number as u64 + 9)).unwrap();
    let names = [format!("{number}.a.weight"), format!("{number}.b.weight")];
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let tensors = names.into_iter().zip([tensor, other]);
    prune::safetensors::save_file(&prune::ParameterStore::from_iter(tensors), path).unwrap();
}

fn write_model(folder: &Folder) {
    let mut map = serde_json::Map::new();
    for number in 0..SHARDS {
        let shard = format!("{number}.safetensors");
        write_shard(&folder.path("in").join(&shard), number);
        map.insert(format!("{number}.a.weight"), shard.clone().into());
        map.insert(format!("{number}.b.weight"), shard.into());
    }
    folder.write("in/model.safetensors.index.json", json!({ "weight_map": map }).to_string());
}

fn contents(folder: &Folder, place: &str) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(folder.path(place)) else { return Vec::new() };
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names.into_iter().map(|name| (name.clone(), folder.read(&format!("{place}/{name}")))).collect()
}

fn is_temporary(name: &str) -> bool {
    name.starts_with(".nn-prune-") && name.ends_with(".tmp")
}

/// Measures the second of two undisturbed runs, because the first is slower.
fn time_of(folder: &Folder, run: &str) -> Duration {
    folder.run(run).ok();
    let start = Instant::now();
    folder.run(&format!("{run} --force")).ok();
    start.elapsed()
}

/// A coupling that takes each third row of the large tensors.
fn write_coupling(folder: &Folder) {
    let names = (0..SHARDS).map(|number| format!("{number}.a.weight"));
    let dimension =
        |name: String| json!({ "name": name, "open": true, "uses": [{ "tensor": name, "axis": 0, "role": "out" }] });
    let kept: Vec<usize> = (0..1024).filter(|unit| unit % 3 != 0).collect();
    let keep: serde_json::Map<_, _> = names.clone().map(|name| (name, json!(kept))).collect();
    folder.write("net.json", json!({ "dimensions": names.map(dimension).collect::<Vec<_>>() }).to_string());
    folder.write("plan.json", json!({ "keep": keep }).to_string());
}

#[test]
fn shards_are_complete_or_absent_and_the_run_is_resumed() {
    shards_survive_kills("prune in -q --method l1 --amount 0.5 --scope global --format pytorch");
}

#[test]
fn compacted_shards_are_complete_or_absent_and_the_run_is_resumed() {
    shards_survive_kills("compact in -q --coupling net.json --keep plan.json");
}

fn shards_survive_kills(options: &str) {
    let folder = Folder::new();
    write_model(&folder);
    write_coupling(&folder);
    let mut moments = Moments::of(time_of(&folder, &format!("{options} -o whole")));
    let whole = contents(&folder, "whole");
    assert_eq!(whole.len(), SHARDS + 1);

    kill_often(KILLS, &mut moments, |moments| {
        let running = moments.kill(&folder, &format!("{options} -o out"));
        let left = contents(&folder, "out");
        let begun = left.iter().any(|(name, _)| name == RUN_FILE);
        for found in left.iter().filter(|(name, _)| name != RUN_FILE && !is_temporary(name)) {
            assert!(whole.contains(found), "{} is not what it should be", found.0);
        }
        // Kill the resumed run too, then resume it without a kill.
        if begun {
            moments.kill(&folder, &format!("{options} -o out --resume"));
        }
        if contents(&folder, "out") != whole {
            folder.run(&format!("{options} -o out --resume")).ok();
        }
        assert!(contents(&folder, "out") == whole);
        fs::remove_dir_all(folder.path("out")).unwrap();
        Landed::of(running, begun)
    });
}

#[test]
fn a_file_is_complete_or_absent_old_or_new() {
    let folder = Folder::new();
    write_shard(&folder.path("in/in"), 1);
    let options = "prune in/in -q --method l1 --amount 0.5";
    let mut moments = Moments::of(time_of(&folder, &format!("{options} -o whole")));
    let whole = folder.read("whole");
    let old = b"old".repeat(1_000_000);

    for before in [None, Some(&old)] {
        let force = if before.is_some() { " --force" } else { "" };
        kill_often(KILLS / 2, &mut moments, |moments| {
            if let Some(before) = before {
                folder.write("out/out", before);
            } else {
                fs::create_dir(folder.path("out")).unwrap();
            }
            let running = moments.kill(&folder, &format!("{options} -o out/out{force}"));
            let left = contents(&folder, "out");
            let temporary = left.iter().filter(|(name, _)| is_temporary(name)).count();
            let found = left.iter().find(|(name, _)| name == "out").map(|(_, bytes)| bytes);
            assert_eq!(left.len(), temporary + usize::from(found.is_some()));
            let is_new = found == Some(&whole);
            assert!(is_new || found == before, "neither old nor new");
            // The next run gives the same output and removes whatever was left, but nothing that was left of other files.
            folder.write("out/.nn-prune-0123456789abcdef-x.tmp", "");
            folder.run(&format!("{options} -o out/out --force")).ok();
            assert!(folder.read("out/out") == whole);
            assert_eq!(contents(&folder, "out").len(), 2);
            fs::remove_dir_all(folder.path("out")).unwrap();
            Landed::of(running, temporary > 0)
        });
    }
}
