"""The functions for checkpoints."""

import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import nn_prune


@pytest.fixture
def model(tmp_path):
    generator = np.random.default_rng(0)
    tensors = {
        "fc1.weight": generator.standard_normal((30, 20)).astype(np.float32),
        "fc1.bias": generator.standard_normal(30).astype(np.float32),
        "fc2.weight": generator.standard_normal((10, 30)).astype(np.float16),
    }
    path = tmp_path / "model.safetensors"
    save_file(tensors, path)
    return path, tensors


def test_prune(model, tmp_path):
    path, tensors = model
    out = tmp_path / "out.safetensors"
    report = nn_prune.prune_checkpoint(path, out, amount=0.5)
    written = load_file(out)
    for name in ("fc1.weight", "fc2.weight"):
        mask = nn_prune.l1_unstructured(tensors[name], 0.5)
        assert np.array_equal(written[name], tensors[name] * mask)
    assert np.array_equal(written["fc1.bias"], tensors["fc1.bias"])
    assert (report["unit"], report["entries"], report["pruned_before"], report["pruned"]) == ("entries", 900, 0, 450)
    by_name = {tensor["name"]: tensor for tensor in report["tensors"]}
    assert by_name["fc1.weight"]["pruned"] == 300 and by_name["fc1.weight"]["shape"] == [30, 20]
    assert by_name["fc1.bias"]["reason"] == "vector" and by_name["fc1.bias"]["pruned"] is None


def test_options(model, tmp_path):
    path, tensors = model
    prune = nn_prune.prune_checkpoint
    assert prune(path, amount=0.5, scope="global")["threshold"] > 0
    assert prune(path, sparsity=0.25)["pruned"] == 225
    assert prune(path, amount={"fc1.*": 10, "*": 0.1})["pruned"] == 40
    assert prune(path, method="nm", pattern=(2, 4), include="fc1.*")["pruned"] == 300
    assert prune(path, method="random", amount=3, seed=5, exclude=["fc2.*"])["pruned"] == 3
    assert prune(path, method="block", amount=1, block=(10, 10), only="fc1.weight")["pruned"] == 100
    assert prune(path, amount=0.5, allocation="erk")["pruned"] == 450
    channels = prune(path, method="ln", amount=3, n=1, only="fc*.weight")
    assert channels["unit"] == "channels" and {tensor["axis"] for tensor in channels["tensors"]} == {0, None}
    masks = tmp_path / "masks.safetensors"
    prune(path, masks, amount=0.5, format="masks")
    assert prune(path, tmp_path / "masked.safetensors", masks=masks)["pruned"] == 450
    prune(path, tmp_path / "torch.safetensors", amount=0.5, format="pytorch")
    assert set(load_file(tmp_path / "torch.safetensors")) == {
        "fc1.weight_orig",
        "fc1.weight_mask",
        "fc1.bias",
        "fc2.weight_orig",
        "fc2.weight_mask",
    }


def test_directories(model, tmp_path):
    path, _ = model
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    path.rename(folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    save_file({"x": np.ones(3, np.float32)}, folder / "adapter_model.safetensors")
    out.mkdir()
    report = nn_prune.prune_checkpoint(folder, out, amount=0.5)
    assert report["copied"] == ["config.json"] and (out / "config.json").exists()
    with pytest.raises(FileExistsError, match="already exists"):
        nn_prune.prune_checkpoint(folder, out, amount=0.5)
    nn_prune.prune_checkpoint(str(folder), str(out), amount=0.5, force=True)
    with pytest.raises(FileNotFoundError, match="no .safetensors file"):
        nn_prune.prune_checkpoint(tmp_path / "out" / "..", amount=0.5)


def test_pack_and_unpack(model, tmp_path):
    path, _ = model
    pruned, packed, unpacked = (tmp_path / name for name in ("p.safetensors", "q.safetensors", "u.safetensors"))
    nn_prune.prune_checkpoint(path, pruned, amount=0.9)
    report = nn_prune.pack(pruned, packed, signs=True)
    assert report["packed"] == 2 and report["bytes"] < report["bytes_before"] / 2
    assert nn_prune.unpack(packed, unpacked)["tensors"] == ["fc1.weight", "fc2.weight"]
    assert {name: array.tobytes() for name, array in load_file(unpacked).items()} == {
        name: array.tobytes() for name, array in load_file(pruned).items()
    }
    with pytest.raises(ValueError):
        nn_prune.pack(path)


def test_compact(model, tmp_path):
    path, tensors = model
    coupling = tmp_path / "coupling.json"
    use = {"axis": 0, "role": "out"}
    dimension = {
        "name": "hidden",
        "uses": [
            {"tensor": "fc1.weight", **use},
            {"tensor": "fc1.bias", "axis": 0, "role": "follow"},
            {"tensor": "fc2.weight", "axis": 1, "role": "in"},
        ],
    }
    coupling.write_text(json.dumps({"dimensions": [dimension]}))
    keep = tmp_path / "keep.json"
    keep.write_text(json.dumps({"keep": {"hidden": [0, 1, 5]}}))
    out = tmp_path / "small.safetensors"
    report = nn_prune.compact_checkpoint(path, out, coupling=coupling, keep=keep)
    assert report["dimensions"] == [{"name": "hidden", "units": 30, "kept": 3}]
    assert np.array_equal(load_file(out)["fc2.weight"], tensors["fc2.weight"][:, [0, 1, 5]])
    assert report["entries"] == 3 * 20 + 3 + 10 * 3


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda path: nn_prune.prune_checkpoint("nowhere.safetensors", amount=0.5), FileNotFoundError, "cannot read"),
        (lambda path: nn_prune.prune_checkpoint([], amount=0.5), ValueError, "no input file given"),
        (lambda path: nn_prune.prune_checkpoint(path, path, amount=0.5), ValueError, "would overwrite the input"),
        (lambda path: nn_prune.prune_checkpoint(path, amount=float("nan")), ValueError, "not a fraction"),
        (
            lambda path: nn_prune.prune_checkpoint(path, amount=10_000),
            ValueError,
            "cannot prune tensor .*: amount 10000",
        ),
        (lambda path: nn_prune.prune_checkpoint(path), ValueError, "amount"),
        (lambda path: nn_prune.prune_checkpoint(path, method="magic", amount=1), ValueError, "magic"),
        (lambda path: nn_prune.prune_checkpoint(path, amount=1, dim=0), ValueError, "dim"),
        (lambda path: nn_prune.prune_checkpoint(path, amount=1, scope="all"), ValueError, "scope `all` is not one of"),
        (lambda path: nn_prune.prune_checkpoint(path, amount=1, include="x*"), ValueError, "matches no tensor"),
        (lambda path: nn_prune.prune_checkpoint(path, amount=1, masks="m"), TypeError, "applied as they are"),
        (lambda path: nn_prune.compact_checkpoint(path, "out", ffn=0.5), FileNotFoundError, "config.json"),
        (lambda path: nn_prune.unpack(path, None), TypeError, "needs an output"),
    ],
)
def test_errors_say_what_is_wrong(model, call, error, message):
    path, _ = model
    before = path.read_bytes()
    with pytest.raises(error, match=message):
        call(path)
    assert path.read_bytes() == before and [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_file_that_is_no_checkpoint(tmp_path):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(b"no checkpoint at all")
    with pytest.raises(ValueError, match="is not a valid safetensors file: "):
        nn_prune.prune_checkpoint(path, amount=0.5)


def test_progress_and_its_exceptions(model, tmp_path):
    path, _ = model
    calls = []
    nn_prune.prune_checkpoint(path, amount=0.5, progress=lambda *progress: calls.append(progress))
    phase, done, total = calls[-1]
    assert phase == "processing" and done == total > 0

    def stop(*_):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        nn_prune.prune_checkpoint(path, tmp_path / "out.safetensors", amount=0.5, progress=stop)


INTERRUPTED = """
import os, signal, sys, threading
import nn_prune
# A shell has it ignored by what it runs in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Before the first look at signals, so that a run of any length is interrupted then.
threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    nn_prune.prune_checkpoint(sys.argv[1], sys.argv[2], amount=0.5, scope="global")
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
def test_control_c(tmp_path):
    path, out = tmp_path / "large.safetensors", tmp_path / "out.safetensors"
    tensor = np.random.default_rng(0).standard_normal((4096, 4096)).astype(np.float32)
    save_file({f"fc{i}.weight": tensor for i in range(6)}, path)
    # A run may be over before the first look, or begin after the signal; then it is tried again.
    for _ in range(10):
        command = [sys.executable, "-c", INTERRUPTED, path, out]
        child = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=120)
        if child.returncode == 0 and not out.exists():
            assert child.stdout == "interrupted\n"
            assert sorted(file.name for file in tmp_path.iterdir()) == ["large.safetensors"]
            return
        out.unlink(missing_ok=True)
    pytest.fail("no run was interrupted")
