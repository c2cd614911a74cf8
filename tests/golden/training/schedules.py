"""Records the levels of torch.ao.pruning.CubicSL, and the zeros of the training loops that it is made for.

usage: schedules.py OUT.json [SEED]     needs torch and numpy; schedules.json was recorded with torch 2.15.0 and seed 1
"""
import json
import sys

import numpy as np
import torch
from torch import nn
from torch.ao.pruning import CubicSL, WeightNormSparsifier

STEPS = [-1, 0, 1, 2, 3, 4, 5, 7, 10, 13, 20, 23, 29, 30, 31, 40, 43, 44, 100]


def level(s_0, s_f, t, t_0, dt, n, zero):
    try:
        return CubicSL.sparsity_compute_fn(s_0, s_f, t, t_0, dt, n, zero)
    except Exception as error:
        return type(error).__name__


def cubic(seed):
    g = np.random.default_rng(seed + 5)
    rows = []

    def add(s_0, s_f, t_0, dt, n, zero, ts):
        levels = [level(s_0, s_f, t, t_0, dt, n, zero) for t in ts]
        rows.append({"from": s_0, "to": s_f, "begin": t_0, "delta_t": dt, "total_t": n, "initially_zero": zero, "t": ts, "level": levels})

    for s_0, s_f in ((0.0, 0.8), (0.2, 0.9), (0.5, 0.5), (0.9, 0.5), (0.0, 1.0), (-0.1, 0.3)):
        for t_0 in (0, 3):
            for dt, n in ((1, 1), (1, 10), (10, 4), (3, 7), (0, 5), (5, 0)):
                for zero in (False, True):
                    add(s_0, s_f, t_0, dt, n, zero, STEPS)
    for _ in range(60):
        s = sorted(round(float(v), 3) for v in g.random(2))
        t_0, dt, n = int(g.integers(0, 50)), int(g.integers(1, 20)), int(g.integers(1, 30))
        zero = bool(g.random() < 0.5)
        add(s[0], s[1], t_0, dt, n, zero, [int(v) for v in sorted(g.integers(0, 300, 12))])
    return rows


def loops(seed):
    """The loop that torch means: sparsifier.step(); scheduler.step(). The level and the zeros of each turn."""
    g = np.random.default_rng(seed + 9)
    rows = []
    for init_t, delta_t, total_t, init_sl, zero in ((0, 1, 5, 0.0, False), (2, 2, 3, 0.0, False), (2, 2, 3, 0.25, True), (2, 2, 3, 0.25, False), (0, 10, 1, 0.1, False)):
        m = nn.Sequential(nn.Linear(16, 10, bias=False))
        m[0].weight = nn.Parameter(torch.from_numpy(g.standard_normal((10, 16))).float())
        s = WeightNormSparsifier(0.8, (1, 1))
        s.prepare(m, None)
        c = CubicSL(s, init_sl=init_sl, init_t=init_t, delta_t=delta_t, total_t=total_t, initially_zero=zero)
        turns = []
        for _ in range(12):
            used = s.groups[0]["sparsity_level"]
            s.step()
            turns.append([used, int((m[0].parametrizations.weight[0].mask == 0).sum())])
            c.step()
        rows.append({"to": 0.8, "from": init_sl, "begin": init_t, "delta_t": delta_t, "total_t": total_t, "entries": 160, "turns": turns})
    return rows


def lines(rows):
    return "[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]"


if __name__ == "__main__":
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    with open(sys.argv[1], "w") as out:
        out.write(f'{{"torch":{json.dumps(torch.__version__)},\n"cubic":{lines(cubic(seed))},\n"loops":{lines(loops(seed))}}}\n')
