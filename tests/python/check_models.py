"""Checks that transformers loads what `nn-prune prune` writes, and that only what the report says has changed.

Usage: check_models.py PROGRAM [DIRECTORY ...]

For every given directory with a model, and every tiny model of tests/golden/compact/hf, prunes half of the weights by
magnitude and a quarter of the channels by norm into a directory, and loads it. Fails if a key is missing, unexpected or
mismatched, if a tensor differs that was not pruned, if a pruned tensor has another number of zeros than the report, or if
the model computes something that is not finite. Needs torch, transformers 5 and safetensors; it is not part of CI.
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

HF = Path(__file__).resolve().parent.parent / "golden" / "compact" / "hf"
ENCODERS = ("bert", "roberta", "vit")
METHODS = (["--method", "l1", "--amount", "0.5"], ["--method", "ln", "--amount", "25%"])


def tensors(folder):
    return {name: tensor for path in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(path).items()}


def forward(model, config):
    with torch.no_grad():
        if config.model_type == "vit":
            shape = (1, config.num_channels, config.image_size, config.image_size)
            return model(pixel_values=torch.linspace(-1, 1, torch.Size(shape).numel()).reshape(shape))[0]
        return model(input_ids=torch.arange(5, 13).reshape(1, 8) % config.vocab_size)[0]


def check(program, folder, method):
    """Returns the number of pruned tensors."""
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "out"
        command = [program, "prune", folder, "-o", f"{out}/", "--json", *method]
        report = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        before, after = tensors(folder), tensors(out)
        assert before.keys() == after.keys()
        for entry in report["tensors"]:
            old, new = before[entry["name"]], after[entry["name"]]
            if entry["pruned"] is None:
                assert torch.equal(old, new), entry["name"]
            else:
                assert torch.equal(new, torch.where(new == 0, 0, old)), entry["name"]
                assert int((new == 0).sum()) == int(((new == 0) | (old == 0)).sum()) >= entry["pruned"], entry["name"]
        config = AutoConfig.from_pretrained(out)
        kind = AutoModel if config.model_type in ENCODERS else AutoModelForCausalLM
        model, info = kind.from_pretrained(out, output_loading_info=True)
        heads = {"pooler.dense.weight", "pooler.dense.bias"}
        wrong = {key: set(names) - heads for key, names in info.items() if key.endswith("_keys")}
        assert not any(wrong.values()), wrong
        assert torch.isfinite(forward(model.eval(), config)).all()
        return sum(entry["pruned"] is not None for entry in report["tensors"])


def main():
    program, *folders = sys.argv[1:]
    folders = [Path(folder) for folder in folders] + sorted(HF.glob("*/dense"))
    for folder in folders:
        counts = [check(Path(program).resolve(), folder, method) for method in METHODS]
        print(f"{folder}: {counts[0]} tensors by magnitude, {counts[1]} by channel")
    print(f"{len(folders)} models load")


if __name__ == "__main__":
    main()
