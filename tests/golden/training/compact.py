"""Keeps of a recording of record.py what the test replays: python compact.py golden/ao_s1

Weights of one dtype become one tensor, and masks become hexadecimal digits, the first entry in the highest bit. Cases that cannot be
constructed, and steps that fail or whose mask does not fit the weight, are left out and counted.
"""
import json, sys
import torch
from safetensors.torch import load_file, save_file

base = sys.argv[1]
doc, tensors = json.load(open(base + ".json")), load_file(base + ".safetensors")
flat, cases, left_out = {}, [], {"error": 0, "mask of another shape": 0}


def hexadecimal(bits):
    bits = bits.replace("|", "")
    bits += "0" * (-len(bits) % 4)
    return "".join("%x" % int(bits[i:i + 4], 2) for i in range(0, len(bits), 4))


for case in doc["weight_norm"]:
    weight, steps, dtype = tensors[case["weight"]], [], case["dtype"]
    for step in case["steps"]:
        # What PyTorch ranks is of the dtype that the weight has become in the step before.
        is_half, dtype = dtype in ("f16", "bf16", "float16", "bfloat16"), step.get("weight_dtype")
        if "error" in step:
            left_out["error"] += 1
        elif tuple(step["mask_shape"]) != tuple(weight.shape):
            left_out["mask of another shape"] += 1
        else:
            masks = {"mask": hexadecimal(step["mask"])}
            if (promised := step.get("exact" if is_half else "lowest")) is not None:
                masks["promised"] = hexadecimal(promised)
            steps.append({"level": step["sparsity_level"], "revived": step.get("revived", False), **masks})
    if not steps:
        continue
    parts = flat.setdefault(case["dtype"], [])
    at = sum(part.numel() for part in parts)
    parts.append(weight.flatten())
    zeros = case["zeros_per_block"]
    cases.append({"dtype": case["dtype"], "at": at, "shape": list(weight.shape), "block": case["block"],
                  "zeros": case["block"][0] * case["block"][1] if zeros is None else zeros, "norm": case["norm"], "steps": steps})
save_file({dtype: torch.cat(parts) for dtype, parts in flat.items()}, "weight_norm.safetensors")
with open("weight_norm.json", "w") as f:
    out = {"torch": doc["torch"], "seed": doc["seed"], "left_out": left_out}
    f.write(json.dumps(out)[:-1] + ', "cases": [\n' + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]}\n")
print(len(cases), "cases", sum(len(case["steps"]) for case in cases), "steps", left_out)
