//! A checkpoint of 1 GiB in two shards: an interrupted and resumed run, and its peak memory as the operating system
//! counts it.
//!
//! The first shard is one tensor that is too large to stay in memory between selection and writing. The second has eight
//! tensors of the largest size that does.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::{Folder, INDEX, SHARDS, program};

#[path = "../../../../tests/pytorch/legacy.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod legacy;

const ENTRIES: usize = 1 << 27; // of each shard: 512 MiB in F32
const CHUNK: usize = 1 << 18;
const LIMIT: u64 = 256 << 20;

/// Set in the environment of a process that runs only this test.
const ALONE: &str = "NN_PRUNE_TEST_ALONE";

#[test]
fn a_large_checkpoint_takes_little_memory_and_can_be_interrupted() {
    if std::env::var_os(ALONE).is_none() {
        // A forked child has the memory of its parent until it runs the program, and that memory is counted. The parent
        // must therefore be a process without the memory of other tests.
        let mut alone = Command::new(std::env::current_exe().unwrap());
        let name = "memory::a_large_checkpoint_takes_little_memory_and_can_be_interrupted";
        let run = crate::Run::of(alone.args(["--exact", name, "--nocapture"]).env(ALONE, "1"));
        assert!(run.code == Some(0) && run.out.contains("1 passed"), "{}\n{}", run.out, run.err);
        print!("{}", run.out);
        return;
    }
    let folder = Folder::new();
    std::fs::create_dir(folder.path("in")).unwrap();
    SHARDS.iter().enumerate().for_each(|(number, shard)| write_shard(&folder.path(&format!("in/{shard}")), number));
    let options = ["prune", "in", "-o", "out", "--method", "l1", "--amount", "0.5", "--scope", "global"];

    // Interrupt the run when the first shard exists: the shard stays, temporary files do not.
    let mut child = program().args(options).current_dir(folder.0.path()).stderr(Stdio::piped()).spawn().unwrap();
    while !folder.path(&format!("out/{}", SHARDS[0])).exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it had written anything");
        sleep(Duration::from_millis(1));
    }
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let interrupted = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&interrupted.stderr), "error: stopped before it was finished\n");
    assert_eq!(interrupted.status.code(), Some(130));
    let inputs = SHARDS.map(|shard| format!("in/{shard}"));
    let left = ["out/.nn-prune-run.json".to_owned(), format!("out/{}", SHARDS[0])];
    assert_eq!(folder.files(), [inputs.to_vec(), left.to_vec()].concat());

    let modified = || folder.path(&format!("out/{}", SHARDS[0])).metadata().unwrap().modified().unwrap();
    let first = modified();
    let message = "error: output directory `out` contains an unfinished run\n  hint: --resume continues the run, ";
    folder.run_with(options).fails(1, message);
    let report = folder.run_with(options.iter().chain(&["--resume", "--json"])).json();
    assert_eq!(report["resumed"].as_array().unwrap().len(), 1);
    assert_eq!(report["pruned"], ENTRIES);
    assert_eq!(modified(), first);
    let outputs = [SHARDS[0], SHARDS[1], INDEX].map(|name| format!("out/{name}"));
    assert_eq!(folder.files(), [inputs.to_vec(), outputs.to_vec()].concat());

    check_output(&folder);
    // Tensor scope reads the files in another order.
    folder.run("prune in -o masks -q --format masks --method l1 --amount 0.5").ok();
    folder.run("pack out -o packed --signs -q").ok();
    folder.run("unpack packed -o dense -q").ok();
    folder.run("diff out dense -q").ok();
    // Columns of all tensors and rows of the largest one, of which none is in one place.
    write_coupling(&folder);
    folder.run("compact out -o small -q --coupling net.json --keep plan.json").ok();
    let small = folder.path("small").join(SHARDS[0]).metadata().unwrap().len();
    assert!(small > 4 * 10_922 * 4096 && small < 4 * 10_922 * 4096 + 1000, "{small}");
    // A file of PyTorch: a matrix, and the same storage as its transpose, of which no row is in one place.
    write_pytorch(&folder.path("model.pt"));
    folder.run("prune model.pt -q --dry-run --method l1 --amount 0.5 --scope global").ok();
    // The largest of all children of this process.
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss();
    let unit = if cfg!(target_vendor = "apple") { 1 } else { 1024 };
    let peak = u64::try_from(peak).unwrap() * unit;
    println!("peak resident memory: {:.1} MiB", peak as f64 / f64::from(1 << 20));
    assert!(peak <= LIMIT, "peak resident memory: {peak} bytes");
}

/// Writes matrices of at most 2^24 different numbers, so that many entries tie with any threshold.
fn write_shard(path: &Path, number: usize) {
    let mut out = BufWriter::new(File::create(path).unwrap());
    out.write_all(&header(number)).unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 + number as u64;
    let mut chunk = Vec::with_capacity(4 * CHUNK);
    for _ in 0..ENTRIES / CHUNK {
        chunk.clear();
        for _ in 0..CHUNK {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let number = (state >> 40) as f32 / (1 << 23) as f32 - 1.0;
            chunk.extend_from_slice(&number.to_le_bytes());
        }
        out.write_all(&chunk).unwrap();
    }
    out.flush().unwrap();
}

fn write_pytorch(path: &Path) {
    let entries = 8192 * 10_240;
    let views = [(&[8192, 10_240], &[10_240, 1]), (&[10_240, 8192], &[1, 10_240])];
    let views = views.map(|(shape, strides)| legacy::view(entries, 0, shape, strides));
    let names = ["a.weight", "b.weight"].map(legacy::text);
    let items = names.iter().zip(&views).flat_map(|(name, view)| [&name[..], view, b"s"].concat());
    let pickle = [b"\x80\x02}".to_vec(), items.collect(), b".".to_vec()].concat();
    let file = legacy::file(&pickle, entries as u64, &[]);
    std::fs::write(path, &file).unwrap();
    // Zeros that take no space on a disk.
    File::options().write(true).open(path).unwrap().set_len(file.len() as u64 + 4 * entries as u64).unwrap();
}

fn header(shard: usize) -> Vec<u8> {
    let tensors = [1, 8][shard];
    let bytes = 4 * ENTRIES / tensors;
    let rows = ENTRIES / tensors / 8192;
    let entry = |number: usize| {
        let (start, end) = (number * bytes, (number + 1) * bytes);
        format!(r#""{shard}.{number}.weight":{{"dtype":"F32","shape":[{rows},8192],"data_offsets":[{start},{end}]}}"#)
    };
    let json = format!("{{{}}}", (0..tensors).map(entry).collect::<Vec<_>>().join(","));
    [&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat()
}

fn write_coupling(folder: &Folder) {
    let columns = [1, 8].into_iter().enumerate();
    let columns = columns.flat_map(|(shard, tensors)| (0..tensors).map(move |number| (shard, number)));
    let column = |(shard, number)| json!({ "tensor": format!("{shard}.{number}.weight"), "axis": 1, "role": "in" });
    let dimensions = json!([
        { "name": "columns", "open": true, "uses": columns.map(column).collect::<Vec<_>>() },
        { "name": "rows", "open": true, "uses": [{ "tensor": "0.0.weight", "axis": 0, "role": "out" }] },
    ]);
    let kept = |all: usize, keep: fn(&usize) -> bool| (0..all).filter(keep).collect::<Vec<_>>();
    let (columns, rows) = (kept(8192, |unit| unit % 2 == 0), kept(16384, |unit| unit % 3 != 0));
    folder.write("net.json", json!({ "dimensions": dimensions }).to_string());
    folder.write("plan.json", json!({ "keep": { "columns": columns, "rows": rows } }).to_string());
}

/// Asserts that half of the entries are zero, that the others are unchanged and that none of them is below a pruned one.
fn check_output(folder: &Folder) {
    let (mut zeros, mut largest_pruned, mut smallest_kept) = (0, 0.0_f32, f32::INFINITY);
    for (number, shard) in SHARDS.iter().enumerate() {
        let open = |place: &str| {
            let mut file = BufReader::new(File::open(folder.path(&format!("{place}/{shard}"))).unwrap());
            let mut found = header(number);
            file.read_exact(&mut found).unwrap();
            assert_eq!(found, header(number));
            file
        };
        let (mut before, mut after) = (open("in"), open("out"));
        let (mut a, mut b) = (vec![0; 4 * CHUNK], vec![0; 4 * CHUNK]);
        for _ in 0..ENTRIES / CHUNK {
            before.read_exact(&mut a).unwrap();
            after.read_exact(&mut b).unwrap();
            for (a, b) in a.chunks_exact(4).zip(b.chunks_exact(4)) {
                let [a, b] = [a, b].map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
                if b == 0.0 {
                    zeros += 1;
                    largest_pruned = largest_pruned.max(a.abs());
                } else {
                    assert_eq!(a.to_bits(), b.to_bits());
                    smallest_kept = smallest_kept.min(a.abs());
                }
            }
        }
        assert_eq!((before.read(&mut a).unwrap(), after.read(&mut b).unwrap()), (0, 0));
    }
    assert_eq!(zeros, ENTRIES);
    assert!(largest_pruned <= smallest_kept, "{largest_pruned} {smallest_kept}");
}
