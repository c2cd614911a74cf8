//! Writing of files: a file is replaced as a whole, and keeps its mode and the links to it.

use std::fs;
use std::path::Path;

use prune::safetensors::{
    apply_masks, load_file, load_file_into, load_masks, masks_to_bytes, save_file, save_masks, to_bytes,
};
use tempfile::tempdir;

use super::{layer, unpruned_layer};

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn files_hold_what_the_bytes_do() {
    let directory = tempdir().unwrap();
    let (state, masks) = (directory.path().join("state"), directory.path().join("masks"));
    save_file(&layer(), &state).unwrap();
    save_masks(&layer(), &masks).unwrap();
    assert_eq!(fs::read(&state).unwrap(), to_bytes(&layer()).unwrap());
    assert_eq!(fs::read(&masks).unwrap(), masks_to_bytes(&layer()).unwrap());
    assert_eq!(names_in(directory.path()), ["masks", "state"]);

    let (store, report) = load_file::<f32>(&state).unwrap();
    assert!(report.is_complete());
    assert_eq!(to_bytes(&store).unwrap(), to_bytes(&layer()).unwrap());
    let mut module = unpruned_layer();
    assert!(load_file_into(&mut module, &state).unwrap().is_complete());
    assert_eq!(to_bytes(&module).unwrap(), to_bytes(&layer()).unwrap());
    let mut module = unpruned_layer();
    assert_eq!(apply_masks(&mut module, load_masks(&masks).unwrap()).unwrap().applied, ["weight"]);
    assert_eq!(module["weight"].mask(), layer()["weight"].mask());
}

#[test]
fn a_file_is_replaced() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("layer");
    save_file(&unpruned_layer(), &path).unwrap();
    save_file(&layer(), &path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), to_bytes(&layer()).unwrap());
    assert_eq!(names_in(directory.path()), ["layer"]);
}

#[test]
fn a_folder_that_does_not_exist_is_an_error() {
    let directory = tempdir().unwrap();
    assert!(save_file(&layer(), directory.path().join("none").join("layer")).is_err());
    assert!(save_masks(&layer(), directory.path().join("none").join("layer")).is_err());
    assert!(names_in(directory.path()).is_empty());
}

#[cfg(unix)]
mod unix {
    use std::fs::{File, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use ndarray::Array;
    use prune::ParameterStore;
    use prune::safetensors::StateDictError;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_new_file_has_the_mode_of_any_new_file() {
        let directory = tempdir().unwrap();
        let (ours, other) = (directory.path().join("layer"), directory.path().join("other"));
        File::create(&other).unwrap();
        save_file(&layer(), &ours).unwrap();
        assert_eq!(mode(&ours), mode(&other));
    }

    #[test]
    fn a_replaced_file_keeps_its_mode() {
        let directory = tempdir().unwrap();
        let path = directory.path().join("layer");
        for wanted in [0o600, 0o640, 0o666, 0o755] {
            fs::write(&path, "old").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(wanted)).unwrap();
            save_file(&layer(), &path).unwrap();
            assert_eq!(mode(&path), wanted);
        }
    }

    #[test]
    fn symbolic_links_stay() {
        let directory = tempdir().unwrap();
        fs::create_dir(directory.path().join("data")).unwrap();
        let target = directory.path().join("data").join("layer");
        let (link, link_to_link) = (directory.path().join("link"), directory.path().join("link to link"));
        symlink("data/layer", &link).unwrap();
        symlink(&link, &link_to_link).unwrap();
        // The links lead to no file at first.
        for module in [unpruned_layer(), layer()] {
            save_file(&module, &link_to_link).unwrap();
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            assert!(fs::symlink_metadata(&link_to_link).unwrap().is_symlink());
            assert!(fs::symlink_metadata(&target).unwrap().is_file());
            assert_eq!(fs::read(&link).unwrap(), to_bytes(&module).unwrap());
            assert_eq!(names_in(&directory.path().join("data")), ["layer"]);
        }
    }

    #[test]
    fn links_in_a_circle_are_an_error() {
        let directory = tempdir().unwrap();
        let (a, b) = (directory.path().join("a"), directory.path().join("b"));
        symlink(&a, &b).unwrap();
        symlink(&b, &a).unwrap();
        assert!(save_file(&layer(), &a).is_err());
        assert_eq!(names_in(directory.path()), ["a", "b"]);
    }

    /// A socket stands for devices: a bug would replace real devices of the machine.
    #[test]
    fn what_is_no_file_is_not_replaced() {
        let directory = tempdir().unwrap();
        let path = directory.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let error = save_file(&layer(), &path).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot write `{}`", path.display()));
        assert!(!fs::metadata(&path).unwrap().is_file());
        assert_eq!(names_in(directory.path()), ["socket"]);
    }

    #[test]
    fn a_hard_link_keeps_the_old_file() {
        let directory = tempdir().unwrap();
        let (path, other) = (directory.path().join("layer"), directory.path().join("other"));
        fs::write(&path, "old").unwrap();
        fs::hard_link(&path, &other).unwrap();
        save_file(&layer(), &path).unwrap();
        assert_eq!(fs::read(&other).unwrap(), b"old");
    }

    /// The environment variable that makes this program save files, in the directory that it names.
    const DIRECTORY: &str = "NN_PRUNE_TEST_DIRECTORY";

    /// Not a test by itself: the next test runs it with a limit on the length of files.
    #[test]
    fn saves_where_it_is_told_to() {
        let Some(directory) = std::env::var_os(DIRECTORY) else { return };
        let path = |name| Path::new(&directory).join(name);
        let mut large = ParameterStore::from_iter([("w", Array::<f32, _>::ones(1_000_000))]);
        prune::identity(&mut large, "w").unwrap();
        let write = |result| {
            let StateDictError::Write { source, .. } = Result::unwrap_err(result) else { panic!() };
            assert_eq!(source.kind(), std::io::ErrorKind::FileTooLarge, "{source}");
        };
        for name in ["old", "new"] {
            write(save_file(&large, path(name)));
        }
        // Masks take one bit per entry, so they fit the limit.
        save_masks(&large, path("masks")).unwrap();
    }

    #[test]
    fn a_full_disk_leaves_what_was_there() {
        let directory = tempdir().unwrap();
        fs::write(directory.path().join("old"), "old").unwrap();
        // The unit is 512 or 1024 bytes. If the signal is ignored, writing returns an error, as on a full disk.
        let script = "ulimit -f 2000 && trap '' XFSZ && exec \"$@\"";
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", script, "sh"]).arg(std::env::current_exe().unwrap());
        shell.args(["--exact", "state_dict::files::unix::saves_where_it_is_told_to"]).env(DIRECTORY, directory.path());
        let output = shell.output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && printed.contains("1 passed"), "{output:?}");
        assert_eq!(names_in(directory.path()), ["masks", "old"]);
        assert_eq!(fs::read(directory.path().join("old")).unwrap(), b"old");
    }
}
