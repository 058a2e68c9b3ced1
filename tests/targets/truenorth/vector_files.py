"""Makes files of reference vectors for tests, with traces from a simulation in plain Python integers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np


def sgn(x: int) -> int:
    return (x > 0) - (x < 0)


def tick(p: dict[str, Any], v: int, x: int, rho_leak: int, rho_thr: int, *, stop: bool = False) -> tuple[int, int]:
    """One neuron, with Python's integers: (potential, fired)."""
    v += x
    leak = p["leak"]
    if p["leak_stoch"]:
        leak = sgn(leak) if abs(leak) >= rho_leak else 0
    after = v + (sgn(v) if p["leak_reversal"] else 1) * leak
    if stop and p["leak_reversal"] and v * after < 0:
        after = 0
    v = after
    eta = rho_thr & (2 ** p["thr_mask_bits"] - 1)
    alpha, beta, mode = p["threshold"] + eta, p["neg_threshold"], p["reset_mode"]
    if v >= alpha:
        return (p["reset_value"] if mode == 0 else v - alpha if mode == 1 else v), 1
    if p["neg_saturate"]:
        return (-beta if v < -beta else v), 0
    if v < -(beta + eta):
        return (-p["reset_value"] if mode == 0 else v + beta + eta if mode == 1 else v), 0
    return v, 0


NEURON = (
    "leak", "leak_reversal", "leak_stoch", "threshold", "thr_mask_bits", "neg_threshold", "neg_saturate", "reset_mode",
    "reset_value", "v_init",
)  # fmt: skip


def simulate(a: dict[str, np.ndarray], steps: int, *, stop: bool = False) -> dict[str, np.ndarray]:
    """v, fired, axon_active, out_tick, out_index."""
    cores, axons, neurons = a["conn"].shape
    active = np.zeros((steps + 16, cores, axons), np.uint8)
    active[a["in_tick"], a["in_core"], a["in_axon"]] = 1
    v = a["v_init"].astype(object).copy()
    out: dict[str, Any] = {k: np.zeros((steps, cores, neurons), np.int32) for k in ("v", "fired")}
    lines = []
    drawn = "prn_syn" in a
    for t in range(steps):
        for c in range(cores):
            on = np.flatnonzero(active[t, c])
            for n in range(neurons):
                x = 0
                for i in on:
                    if not a["conn"][c, i, n]:
                        continue
                    s, kind = int(a["weight"][c, n, a["axon_type"][c, i]]), a["axon_type"][c, i]
                    if a["syn_stoch"][c, n, kind]:
                        s = sgn(s) if abs(s) >= int(a["prn_syn"][t, c, i, n]) else 0
                    x += s
                p = {k: int(a[k][c, n]) for k in NEURON}
                draws = (int(a["prn_leak"][t, c, n]), int(a["prn_thr"][t, c, n])) if drawn else (0, 0)
                v[c, n], fired = tick(p, int(v[c, n]), x, *draws, stop=stop)
                out["v"][t, c, n], out["fired"][t, c, n] = v[c, n], fired
                if fired and a["dest_core"][c, n] >= 0:
                    active[t + a["delay"][c, n], a["dest_core"][c, n], a["dest_axon"][c, n]] = 1
                elif fired:
                    lines.append((t, int(a["dest_axon"][c, n])))
    lines.sort()
    out["axon_active"] = active[:steps]
    out["out_tick"], out["out_index"] = (np.array([x[k] for x in lines], np.int32) for k in (0, 1))
    return out


def random_arrays(rng: np.random.Generator, *, stochastic: bool) -> tuple[dict[str, np.ndarray], int]:
    """A random network of a few small cores with every mode, and its stimulus."""
    cores, axons, neurons = int(rng.integers(1, 5)), int(rng.integers(1, 20)), int(rng.integers(1, 20))
    steps = int(rng.integers(5, 30))

    def draw(low: int, high: int, *more: int) -> np.ndarray:
        return rng.integers(low, high + 1, (cores, neurons, *more)).astype(np.int32)

    strong = int(rng.choice([6, 60, 255]))
    chance = int(stochastic)
    a = {
        "conn": (rng.random((cores, axons, neurons)) < 0.5).astype(np.uint8),
        "axon_type": rng.integers(0, 4, (cores, axons)).astype(np.uint8),
        "weight": draw(-strong, strong, 4), "syn_stoch": draw(0, chance, 4), "leak": draw(-9, 9),
        "leak_reversal": draw(0, 1), "leak_stoch": draw(0, chance), "threshold": draw(0, 3 * strong),
        "thr_mask_bits": draw(0, 17 if rng.random() < 0.3 else 5) * chance, "neg_threshold": draw(0, 3 * strong),
        "neg_saturate": draw(0, 1), "reset_mode": draw(0, 2), "reset_value": draw(-20, 20), "v_init": draw(-30, 30),
        "dest_core": draw(-1, cores - 1), "dest_axon": draw(0, axons - 1), "delay": draw(1, 15),
    }  # fmt: skip
    outside = a["dest_core"] < 0
    a["dest_axon"][outside] = rng.integers(0, 300, outside.sum())  # several neurons may share a line
    count = int(rng.integers(0, 3 * steps * cores))
    for name, most in (("in_tick", steps), ("in_core", cores), ("in_axon", axons)):
        a[name] = rng.integers(0, most, count).astype(np.int32)
    xy = rng.permutation(64)[:cores]
    a["core_xy"] = np.stack([xy % 8, xy // 8], 1).astype(np.int16)
    port = np.array([9, 3])
    place = np.where(outside[:, :, None], port, a["core_xy"][np.maximum(a["dest_core"], 0)])
    hop = place - a["core_xy"][:, None]
    a["dest_dx"], a["dest_dy"] = hop[:, :, 0].astype(np.int16), hop[:, :, 1].astype(np.int16)
    if stochastic:
        a["prn_syn"] = rng.integers(0, 256, (steps, cores, axons, neurons)).astype(np.uint8)
        a["prn_leak"] = rng.integers(0, 256, (steps, cores, neurons)).astype(np.uint8)
        a["prn_thr"] = rng.integers(0, 2**17, (steps, cores, neurons)).astype(np.int32)
    return a, steps


def random_file(path: Path, seed: int) -> Path:
    """A file of the format with traces; every third has the other reading of the leak as `alt_`."""
    rng = np.random.default_rng(seed)
    a, steps = random_arrays(rng, stochastic=bool(seed % 2))
    a |= {f"exp_{k}": x for k, x in simulate(a, steps).items()}
    if seed % 3 == 0:
        a |= {f"alt_{k}": x for k, x in simulate(a, steps, stop=True).items()}
    return save(path, a, {"name": f"random {seed}", "ticks": steps, "output_xy": [9, 3], "leak_zero_rule": "paper"})


def save(path: Path, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> Path:
    np.savez(path, meta=np.array(json.dumps(meta)), **arrays)  # type: ignore[arg-type]
    return path
