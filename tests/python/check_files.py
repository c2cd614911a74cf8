"""Checks with numpy what Rust writes: the state dict and the mask file of examples/state_dict.rs.

    python -m venv VENV && VENV/bin/pip install numpy safetensors
    VENV/bin/python tests/python/check_files.py

Needs cargo, writes only into a temporary folder.
"""

import json
import runpy
import subprocess
import tempfile
from pathlib import Path

import numpy
from safetensors import safe_open
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[2]
# The example in the documentation of `save_masks`.
read_masks = runpy.run_path(str(ROOT / "src/safetensors/read_masks.py"))["read_masks"]


def write(model, folder):
    """Lets Rust prune a half of what is left in all matrices together."""
    command = ["cargo", "run", "--quiet", "--all-features", "--example", "state_dict", str(model), str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return folder / "model.safetensors", folder / "masks.safetensors"


def raw(path):
    """Names to dtypes, shapes and bytes, by the description of the format alone."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    assert start % 8 == 0, "the data is aligned"
    header = json.loads(content[8:start])
    assert "__metadata__" not in header
    places = [(tensor["data_offsets"], tensor) for tensor in header.values()]
    assert [begin for (begin, _), _ in places] == [0] + [end for (_, end), _ in places[:-1]], "in order, without gaps"
    data = content[start:]
    assert len(data) == max([end for (_, end), _ in places], default=0), "to the end of the file"
    return {
        name: (tensor["dtype"], tuple(tensor["shape"]), data[slice(*place)])
        for name, (place, tensor) in zip(header, places)
    }


def values(tensor):
    """A float tensor as float32, exactly, of which numpy has no bfloat16."""
    dtype, shape, data = tensor
    if dtype == "BF16":
        return (numpy.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").reshape(shape)
    return numpy.frombuffer(data, {"F32": "<f4", "I64": "<i8"}[dtype]).astype("<f4").reshape(shape)


def check(fixture, folder):
    before = raw(ROOT / f"tests/state_dict/{fixture}.safetensors")
    model, masks = write(ROOT / f"tests/state_dict/{fixture}.safetensors", folder)
    after = raw(model)
    dtype = after["head.bias"][0]
    assert {dtype for dtype, _, _ in after.values()} == {dtype}, "masks have the dtype of the weights"

    # safetensors reads it all, and the same.
    with safe_open(model, framework="numpy") as file:
        assert set(file.keys()) == set(after) and file.metadata() is None
        for name, (expected, shape, _) in after.items():
            part = file.get_slice(name)
            assert part.get_dtype() == expected and tuple(part.get_shape()) == shape, name
            if expected == "F32":
                assert file.get_tensor(name).tobytes() == after[name][2], name

    # Weights are bit for bit what they were; a parameter that is newly pruned has its two names where its own stood.
    names = {name.removesuffix("_orig").removesuffix("_mask") for name in after}
    assert names == {name.removesuffix("_orig").removesuffix("_mask") for name in before}
    for name in names:
        was = before.get(name + "_orig", before.get(name))
        assert after.get(name + "_orig", after.get(name)) == was, name

    # The masks are right: a half of all entries that were left in matrices, those of lowest magnitude.
    pruned = [name for name in after if name.endswith("_mask")]
    assert list(after).index("head.weight_mask") == list(after).index("head.weight_orig") + 1
    scores, old, new = [], [], []
    for name in pruned:
        stem = name.removesuffix("_mask")
        orig, mask = values(after[stem + "_orig"]), values(after[name])
        was = values(before[name]) if name in before else numpy.ones_like(mask)
        assert set(numpy.unique(mask)) <= {0, 1}, name
        if mask.ndim >= 2:
            scores.append(numpy.abs(orig).ravel())
            old.append(was.ravel() == 1)
            new.append(mask.ravel() == 1)
        else:
            assert (mask == was).all(), name
    scores, old, new = map(numpy.concatenate, (scores, old, new))
    assert not (new & ~old).any(), "nothing is revived"
    gone = old & ~new
    assert gone.sum() == round(0.5 * old.sum()), "exactly a half, rounded half to even"
    assert scores[gone].max() <= scores[new].min(), "the lowest"

    # The mask file says the same with a bit for each entry.
    packed = read_masks(masks)
    assert {name + "_mask" for name in packed} == set(pruned)
    for name, mask in packed.items():
        assert mask.dtype == bool and (mask == values(after[name + "_mask"])).all(), name
    assert sum(bits.size for name, bits in load_file(masks).items() if name.endswith("_bits")) < old.size / 8 + len(
        packed
    )
    print(f"{fixture}: {len(after)} tensors, {len(packed)} masks, {new.sum()} of {new.size} entries kept: as expected")


def main():
    for fixture in ["pruned_f32", "pruned_bf16"]:
        with tempfile.TemporaryDirectory() as folder:
            check(fixture, Path(folder))


if __name__ == "__main__":
    main()
