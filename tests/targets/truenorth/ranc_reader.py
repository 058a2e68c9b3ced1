"""A small interpreter of RANC's two files, written from notes on its simulator and not from ours: one tick at a time,
lists of Python integers, packets walked over the grid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CORE_KEYS = {"coordinates", "neurons", "connections", "axons"}
NEURON_KEYS = {
    "reset_potential", "weights", "leak", "positive_threshold", "negative_threshold", "destination_core_offset",
    "destination_axon", "destination_tick", "current_potential", "reset_mode",
}  # fmt: skip


class Grid:
    """A network of RANC; `run` gives the lines of the output bus that fired, per tick."""

    def __init__(self, folder: Path) -> None:
        self.config = json.loads((folder / "config.json").read_text())
        self.network = json.loads((folder / "input.json").read_text())
        self.size = (self.config["num_cores_x"], self.config["num_cores_y"])
        self.bus = tuple(self.network["output_bus"]["coordinates"])
        self.cores = {tuple(core["coordinates"]): core for core in self.network["cores"]}
        self.check()

    def check(self) -> None:
        """What RANC's reader refuses, and what it would read past the end of."""
        c = self.config
        assert c["neuron_reset_type"] == 0
        assert len(self.cores) == len(self.network["cores"])
        assert self.bus not in self.cores
        for place in (*self.cores, self.bus):
            assert all(0 <= k < size for k, size in zip(place, self.size))
        for place, core in self.cores.items():
            assert set(core) == CORE_KEYS
            assert len(core["neurons"]) == len(core["connections"]) <= c["num_neurons"]
            assert len(core["axons"]) <= c["num_axons"]
            assert all(0 <= kind < c["num_weights"] for kind in core["axons"])
            for bits, neuron in zip(core["connections"], core["neurons"]):
                assert set(neuron) == NEURON_KEYS
                assert len(bits) <= len(core["axons"])
                assert set(bits) <= {0, 1}
                assert len(neuron["weights"]) == c["num_weights"]
                assert neuron["reset_mode"] in (0, 1)
                assert all(type(v) is int for k, v in neuron.items() if k not in ("weights", "destination_core_offset"))
                target = tuple(a + b for a, b in zip(place, neuron["destination_core_offset"]))
                assert all(0 <= k < size for k, size in zip(target, self.size))
                lines = self.network["output_bus"]["num_outputs"] if target == self.bus else c["num_axons"]
                assert 0 <= neuron["destination_axon"] < lines
                assert 0 <= neuron["destination_tick"] < c["max_tick_offset"] - 1

    def run(self, packets: list[list[dict[str, Any]]], ticks: int) -> list[list[int]]:
        """Outputs of every tick from the potentials in the file."""
        v = {place: [n["current_potential"] for n in core["neurons"]] for place, core in self.cores.items()}
        words: dict[tuple[Any, int], set[int]] = {}
        for index, row in enumerate(packets):
            for p in row:
                key = (tuple(p["destination_core"]), index + p["destination_tick"])
                words.setdefault(key, set()).add(p["destination_axon"])
        outputs = []
        for tick in range(ticks):
            out: set[int] = set()
            for place, core in self.cores.items():
                active = words.pop((place, tick), set())
                for i, neuron in enumerate(core["neurons"]):
                    bits = core["connections"][i]
                    v[place][i] += sum(neuron["weights"][core["axons"][a]] for a in active if a < len(bits) and bits[a])
                    v[place][i] += neuron["leak"]
                    if self.fires(neuron, v[place], i):
                        target = tuple(a + b for a, b in zip(place, neuron["destination_core_offset"]))
                        if target == self.bus:
                            out.add(neuron["destination_axon"])
                        else:
                            key = (target, tick + 1 + neuron["destination_tick"])
                            words.setdefault(key, set()).add(neuron["destination_axon"])
            outputs.append(sorted(out))
        return outputs

    @staticmethod
    def fires(neuron: dict[str, Any], v: list[int], i: int) -> bool:
        """Compare and reset."""
        absolute, now = neuron["reset_mode"] == 0, v[i]
        if now >= neuron["positive_threshold"]:
            v[i] = neuron["reset_potential"] if absolute else now - neuron["positive_threshold"]
            return True
        if now < neuron["negative_threshold"]:
            v[i] = -neuron["reset_potential"] if absolute else now - neuron["negative_threshold"]
        return False
