"""A small interpreter of the files for lava: dense loops in lava's order of a step, for tests without lava."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from snnkit.targets.loihi import spec


def dec(x: np.ndarray, d: int) -> np.ndarray:
    return np.sign(x) * (np.abs(x) * (4096 - d) >> 12)


class Interpreter:
    """The files as dense matrices and plain loops, in lava's order: `steps` of sources, synapses late by one, LIF."""

    def __init__(self, folder: Path) -> None:
        self.net = json.loads((folder / "network.json").read_text())
        self.arrays = dict(np.load(folder / "network.npz"))
        self.vectors = dict(np.load(folder / "vectors.npz"))

    def run(self, b: int) -> list[np.ndarray]:
        """Spikes [ticks, n] of every layer."""
        net, a, steps = self.net, self.arrays, self.net["ticks"] + 1
        kinds = {"ports": net["ports"], "layers": net["layers"]}
        live = [[g for g, e in enumerate(net["neurons"]) if e["layer"] == j] for j in range(len(net["layers"]))]
        v = [a[f"neurons{k}.v"].astype(np.int64) for k in range(len(net["neurons"]))]
        u = [x * 0 for x in v]
        bias = [a[f"neurons{k}.bias_mant"].astype(np.int64) << a[f"neurons{k}.bias_exp"] for k in range(len(v))]
        arriving = [np.zeros((steps + 64, len(x)), np.int64) for x in v]
        fired = [np.zeros((steps, len(x)), np.uint8) for x in v]
        data = self.rasters(b, steps)
        for t in range(steps):
            for k, entry in enumerate(net["neurons"]):
                u[k] = dec(u[k], entry["du"] + 1) + (arriving[k][t] << 6)
                v[k] = np.clip(dec(v[k], entry["dv"]) + u[k] + bias[k], -(2**23) + 1, 2**23 - 1)
                fired[k][t] = v[k] > entry["vth"] << 6
                v[k][fired[k][t] == 1] = 0
            for c, entry in enumerate(net["connections"]):
                kind, k = entry["from"]
                assert k < len(kinds[kind])
                out = data[k][t] if kind == "ports" else np.sum([fired[g][t] for g in live[k]], 0)
                row, col, weight, delay = (a[f"connection{c}.{x}"] for x in ("row", "col", "weight", "delay"))
                self.programmable(weight, delay, entry)
                unit = 2.0 ** entry["weight_exp"]
                np.add.at(arriving[entry["to"]], (t + 1 + delay.astype(int), row),
                          (weight * unit).astype(np.int64) * out[col])  # fmt: skip
        return [
            np.stack([fired[g][1:, i] for i, g in enumerate(a[f"layer{j}"])], 1) for j in range(len(net["layers"]))
        ]  # the first step is lava's own

    def rasters(self, b: int, steps: int) -> list[np.ndarray]:
        length = next(len(x) for k, x in self.vectors.items() if k.startswith("port"))
        result = []
        for k, port in enumerate(self.net["ports"]):
            raster = np.zeros((steps, port["n"]), np.int64)
            if port["gate_from"] is None:
                raster[:length] = self.vectors[f"port{k}"][:, b]
            else:
                raster[port["gate_from"] : port["gate_from"] + length] = 1
            result.append(raster)
        return result

    @staticmethod
    def programmable(weight: np.ndarray, delay: np.ndarray, entry: dict[str, Any]) -> None:
        """Whole numbers in lava's range, from which it drops nothing."""
        low, high = spec.MANTISSA_RANGE[entry["sign_mode"]]
        assert low <= weight.min() <= weight.max() <= high
        assert entry["sign_mode"] != spec.MIXED or not (weight % 2).any()
        assert not (weight.astype(int) % (1 << max(-entry["weight_exp"], 0))).any()
        assert delay.max(initial=0) <= spec.DELAY_MAX
