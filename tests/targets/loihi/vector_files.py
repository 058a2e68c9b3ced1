"""Makes files of reference vectors for tests, with traces from a simulation in plain Python integers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

VMIN, VMAX = -(2**23) + 1, 2**23 - 1


def effective(w: int, exponent: int, sign_mode: int, bits: int) -> int:
    """A weight in units of u, with Python's integers."""
    lsb = 8 - bits + (sign_mode == 1)
    if sign_mode == 3:
        w = -((min(-w, 255) >> lsb) << lsb)
    else:
        w = (w >> lsb) << lsb
    w = w << exponent if exponent >= 0 else w >> -exponent
    limit = 2**21 - 2**6
    return max(-limit, min(limit, w << 6))


def _wrap(x: int, bits: int) -> int:
    x &= (1 << bits) - 1
    return x - (1 << bits) if x >> (bits - 1) else x


def _dec(x: int, d: int) -> int:
    y = abs(x) * (4096 - d) >> 12
    return y if x >= 0 else -y


def simulate(spec: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Add s, u, v and Weff to the arrays."""
    steps = spec["T"]
    lif = [p for p in spec["populations"] if p["kind"] == "lif"]
    raster = {p["name"]: arrays[f"in_{p['name']}"] for p in spec["populations"] if p["kind"] == "input"}
    for p in lif:
        for what, dtype in (("s", np.uint8), ("u", np.int32), ("v", np.int32)):
            arrays[f"{what}_{p['name']}"] = np.zeros((steps, p["n"]), dtype)
        raster[p["name"]] = arrays[f"s_{p['name']}"]
    wires = []
    for c in spec["connections"]:
        k = c["id"]
        w = arrays[f"W{k}"]
        weff = np.array(
            [[effective(int(x), c["wgt_exp"], c["sign_mode"], c["num_weight_bits"]) for x in row] for row in w]
        ).reshape(w.shape)
        arrays[f"Weff{k}"] = weff.astype(np.int32)
        delay = arrays.get(f"D{k}", np.zeros(w.shape, np.uint8)).astype(int)
        late = 0 if f"in_{c['src']}" in arrays else 1
        wires.append((c["src"], c["dst"], weff.astype(np.int64), delay + late))
    state = {p["name"]: [[0] * p["n"] for _ in range(3)] for p in lif}
    for t in range(steps):
        fired = {}
        for p in lif:
            name = p["name"]
            u, v, r = state[name]
            q = np.zeros(p["n"], np.int64)
            for src, dst, weff, delay in wires:
                if dst == name:
                    for d in np.unique(delay):
                        if t >= d:
                            on = np.flatnonzero(raster[src][t - d])
                            q += np.where(delay[on] == d, weff[on], 0).sum(0)
            noise = arrays.get(f"noise_{name}")
            for i in range(p["n"]):
                draw = 0 if noise is None else int(noise[t, i])
                at_v = p.get("noise_at_membrane", 0)
                x = _wrap(int(q[i]) + (0 if at_v else draw), 22)
                u[i] = _wrap(_dec(u[i], int(arrays[f"du_{name}"][i]) + p.get("ds_offset", 1)) + x, 24)
                bias = int(arrays[f"bias_mant_{name}"][i]) << int(arrays[f"bias_exp_{name}"][i])
                g = _wrap(u[i] + bias + (draw if at_v else 0), 24)
                v[i] = max(p.get("vmin", VMIN), min(p.get("vmax", VMAX), _dec(v[i], int(arrays[f"dv_{name}"][i])) + g))
                if r[i] > 0:
                    v[i] = 0
                spike = v[i] > int(arrays[f"vth_{name}"][i]) * 64
                if spike:
                    v[i], r[i] = 0, int(arrays[f"refract_{name}"][i])
                r[i] = max(r[i] - 1, 0)
                fired[name, i] = spike
                arrays[f"u_{name}"][t, i], arrays[f"v_{name}"][t, i] = u[i], v[i]
        for (name, i), spike in fired.items():
            arrays[f"s_{name}"][t, i] = spike


def population(
    arrays: dict[str, np.ndarray], rng: np.random.Generator, name: str, n: int, *, varied: bool = False, **settings: Any
) -> dict[str, Any]:
    """Registers of a population, equal or different in every neuron; returns its entry of `populations`."""

    def draw(low: int, high: int) -> np.ndarray:
        return rng.integers(low, high, n if varied else 1).astype(np.int32) * np.ones(n, np.int32)

    arrays[f"du_{name}"] = draw(0, 4096)
    arrays[f"dv_{name}"] = draw(0, 4096)
    arrays[f"vth_{name}"] = draw(1, 400)
    arrays[f"bias_mant_{name}"] = rng.integers(-300, 300, n).astype(np.int32)
    arrays[f"bias_exp_{name}"] = rng.integers(0, 3, n).astype(np.int32)
    arrays[f"refract_{name}"] = draw(1, 4)
    return {"name": name, "kind": "lif", "n": n, **settings}


def connection(
    arrays: dict[str, np.ndarray],
    rng: np.random.Generator,
    k: int,
    src: dict[str, Any],
    dst: dict[str, Any],
    *,
    exponent: int = 0,
    sign_mode: int = 1,
    bits: int = 8,
    density: float = 1.0,
    max_delay: int = 0,
) -> dict[str, Any]:
    """Random weights (and delays); returns the entry of `connections`."""
    low, high = {1: (-256, 256), 2: (0, 256), 3: (-256, 1)}[sign_mode]
    shape = (src["n"], dst["n"])
    arrays[f"W{k}"] = (rng.integers(low, high, shape) * (rng.random(shape) < density)).astype(np.int16)
    if max_delay:
        arrays[f"D{k}"] = rng.integers(0, max_delay + 1, shape).astype(np.uint8)
    return {
        "id": k, "src": src["name"], "dst": dst["name"], "wgt_exp": exponent, "sign_mode": sign_mode,
        "num_weight_bits": bits, "has_delay": bool(max_delay),
    }  # fmt: skip


def source(
    arrays: dict[str, np.ndarray], rng: np.random.Generator, name: str, n: int, steps: int, rate: float = 0.3
) -> dict[str, Any]:
    """An input with a random raster; returns its entry of `populations`."""
    arrays[f"in_{name}"] = (rng.random((steps, n)) < rate).astype(np.uint8)
    return {"name": name, "kind": "input", "n": n}


def save(path: Path, spec: dict[str, Any], arrays: dict[str, np.ndarray], *, traces: bool = True) -> Path:
    """Simulate and write the file."""
    if traces:
        simulate(spec, arrays)
    np.savez(path, spec=np.array(json.dumps(spec)), **arrays)  # type: ignore[arg-type]
    return path
