//! The program on a terminal: the width of its tables, its progress, and its colours.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

use nix::pty::{OpenptyResult, Winsize, openpty};

use crate::{Folder, folder_with_model, program};

/// Runs the program on a terminal of this many columns. Returns all that it writes there.
fn on_a_terminal(folder: &Folder, columns: u16, arguments: &str, variables: &[(&str, &str)]) -> String {
    let size = Winsize { ws_row: 40, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let OpenptyResult { master, slave } = openpty(&size, None).unwrap();
    let end = |terminal: &OwnedFd| terminal.try_clone().unwrap();
    let mut command = program();
    command.args(arguments.split(' ')).current_dir(folder.path("")).env("TERM", "xterm").env_remove("NO_COLOR");
    command.envs(variables.iter().copied()).stdout(end(&slave)).stderr(end(&slave));
    let mut child = command.spawn().unwrap();
    drop((command, slave)); // so that reading ends when the program does
    let mut written = Vec::new();
    let mut master = File::from(master);
    let mut block = [0; 4096];
    // At the end, Linux returns an error.
    while let Ok(length @ 1..) = master.read(&mut block) {
        written.extend_from_slice(&block[..length]);
    }
    child.wait().unwrap();
    String::from_utf8(written).unwrap()
}

/// Returns the text without escape sequences, cut where a line begins.
fn lines(written: &str) -> Vec<String> {
    let mut text = String::new();
    let mut parts = written.split("\u{1b}[");
    text += parts.next().unwrap();
    for part in parts {
        let end = part.find(|c: char| c.is_ascii_alphabetic()).unwrap();
        text += &part[end + 1..];
    }
    text.split(['\r', '\n']).map(str::to_owned).collect()
}

#[test]
fn tables_are_as_wide_as_the_terminal() {
    let folder = folder_with_model();
    let inspect = "inspect model.safetensors";
    let wide = folder.run(inspect).ok();
    for (columns, variables) in [(80, &[][..]), (200, &[("COLUMNS", "80")])] {
        let found = lines(&on_a_terminal(&folder, columns, inspect, variables));
        let mut tables = found.iter().filter(|line| !line.starts_with("reading "));
        assert!(tables.all(|line| line.chars().count() <= 80), "{found:?}");
        let totals = found.iter().find(|line| line.starts_with("dtype")).unwrap();
        assert!(totals.ends_with("smallest") && !totals.contains("dense"), "{totals}");
    }
    let found = lines(&on_a_terminal(&folder, 200, inspect, &[]));
    assert!(wide.lines().all(|line| found.iter().any(|found| found == line)), "{found:?}");
}

#[test]
fn each_phase_has_a_bar() {
    let folder = folder_with_model();
    folder.run("prune model.safetensors -o pruned --method l1 --amount 0.5 --format pytorch").ok();
    for columns in [40, 80, 200] {
        let command = "prune pruned -o out --force --method l1 --amount 0.5 --scope global --summary";
        let found = lines(&on_a_terminal(&folder, columns, command, &[("NO_COLOR", "1")]));
        let last = found.iter().position(|line| line.starts_with("requested: ")).unwrap();
        let bars = found[..last].iter().filter(|line| !line.trim().is_empty());
        let mut labels: Vec<&str> = bars
            .map(|line| {
                assert!(line.chars().count() <= columns.into(), "{line:?}");
                assert!(line.contains(if columns < 72 { " %" } else { " of " }), "{line:?}");
                line.split(' ').next().unwrap()
            })
            .collect();
        labels.dedup();
        assert_eq!(labels, ["counting", "ranking", "pruning"], "{found:?}");
    }
    let quiet = on_a_terminal(&folder, 80, "inspect pruned --quiet", &[]);
    assert_eq!(quiet, "");
}

#[test]
fn colours_can_be_turned_off() {
    let folder = folder_with_model();
    for (arguments, variables, expected) in [
        ("inspect --help", &[][..], true),
        ("inspect --help", &[("NO_COLOR", "1")], false),
        ("inspect --plot", &[("NO_COLOR", "1")], false),
        ("inspect model.safetensors", &[("NO_COLOR", "1")], false),
        ("inspect model.safetensors", &[], false),
    ] {
        let written = on_a_terminal(&folder, 80, arguments, variables);
        let coloured = written
            .split("\u{1b}[")
            .skip(1)
            .any(|part| part.trim_start_matches(|c: char| !c.is_ascii_alphabetic()).starts_with('m'));
        assert_eq!(coloured, expected, "{arguments} {variables:?} {written:?}");
    }
}
