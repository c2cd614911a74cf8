//! `nn-prune remove` and `nn-prune masks`.

use prune::safetensors;

use crate::{Folder, INDEX, SHARDS, WEIGHTS, folder_with_model, model, write_shards};

#[test]
fn remove_gives_what_would_have_been_written_at_once() {
    let folder = folder_with_model();
    let options = "prune model.safetensors --method l1 --amount 0.5";
    folder.run(&format!("{options} -o pytorch --format pytorch")).ok();
    folder.run(&format!("{options} -o weights")).ok();
    let report = folder.run("remove pytorch -o removed --json").json();
    assert_eq!(report["tensors"], serde_json::json!(WEIGHTS));
    folder.run("diff weights removed").ok();
    folder.run("remove pytorch -o removed").fails(1, "error: output `removed` already exists\n");
    let printed = folder.run("remove pytorch -o removed --force").ok();
    assert!(printed.ends_with("wrote 3 tensors to removed\n"), "{printed}");
}

#[test]
fn remove_keeps_shards() {
    let folder = Folder::new();
    write_shards(&folder.path("in"));
    folder.run("prune in -o pytorch --method l1 --amount 0.5 --format pytorch").ok();
    folder.run("prune in -o weights --method l1 --amount 0.5").ok();
    folder.run("remove pytorch -o removed").ok();
    folder.run("diff weights removed").ok();
    for name in [SHARDS[0], SHARDS[1], INDEX] {
        assert!(folder.path(&format!("removed/{name}")).exists(), "{name}");
    }
}

#[test]
fn masks_go_to_another_checkpoint() {
    let folder = folder_with_model();
    let mut expected = model();
    WEIGHTS.iter().for_each(|name| prune::l1_unstructured(&mut expected, name, 0.5).unwrap());
    let expected = safetensors::masks_to_bytes(&expected).unwrap();
    folder.run("prune model.safetensors -o pytorch --method l1 --amount 0.5 --format pytorch").ok();
    folder.run("prune model.safetensors -o weights --method l1 --amount 0.5").ok();

    folder.run("masks pytorch -o masks").ok();
    assert_eq!(folder.read("masks"), expected);
    folder.run("masks pytorch -o masks").fails(1, "error: output `masks` already exists\n");

    // Masks from the zeros of tensors without masks.
    let message = "error: the checkpoint has no masks: ";
    folder.run("masks weights -o zeros").fails(1, message);
    folder.run("masks weights -o zeros --zeros").ok();
    folder.run("prune model.safetensors -o again --method mask --mask zeros").ok();
    folder.run("diff weights again").ok();
    let report = folder.run("masks weights -o zeros --force --zeros --include *conv* --json").json();
    assert_eq!(report["tensors"], serde_json::json!(["encoder.0.conv.weight"]));
}
