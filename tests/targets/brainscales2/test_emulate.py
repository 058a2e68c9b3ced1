"""Descriptors on chips: parts, loops, joined circuits, virtual chips, and what the images say against what runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnkit import descriptor, emulator
from snnkit.descriptor import Descriptor
from snnkit.emulator import Emulator
from snnkit.errors import UsageError
from snnkit.graph.run import run
from snnkit.targets.brainscales2 import TARGET, spec
from snnkit.targets.brainscales2.mismatch import Mismatch, virtual_chip
from snnkit.targets.brainscales2.replay import compare
from snnkit.targets.manifest import build_manifest

from .networks import chain, counts, layer, open_graph, stimulus

Array = np.ndarray[Any, Any]


def weights(rng: np.random.Generator, n: int, sources: int, spread: float = 20.0) -> Array:
    return np.clip(np.rint(rng.normal(5, spread, (n, sources))), -63, 63).astype(np.int32)


def spikes_of(rng: np.random.Generator, steps: int, batch: int, lines: int, rate: float = 0.3) -> Array:
    return (rng.random((steps, batch, lines)) < rate).astype(np.uint8)


@pytest.mark.parametrize("sources", [100, 200, 500])
def test_fan_in_beyond_a_circuit_joins_circuits(sources: int) -> None:
    """128 signed inputs fit a circuit, 256 a vertical pair, more several columns: the spikes are those of the graph."""
    rng = np.random.default_rng(sources)
    graph = layer(weights(rng, 20, sources, 8), gain=0.3)
    emu = open_graph(graph)
    neuron = emu.descriptor.arrays["neuron"]
    columns = 1 if sources <= 256 else 2
    assert neuron[0, :, 6].sum() == (0 if sources <= 128 else 20 * columns)
    assert neuron[0, :, 7].sum() == 20 * (columns - 1)
    x = {"in": spikes_of(rng, 10, 2, sources)}
    result = emu.run(x)
    assert counts(result.spikes) > 20
    assert compare(graph, x, result) == []


def test_more_neurons_than_a_part_holds_split_outputs() -> None:
    rng = np.random.default_rng(5)
    graph = chain([weights(rng, 600, 60, 8), weights(rng, 40, 600, 3)], steps=5, gain=0.5)
    emu = open_graph(graph)
    parts = len(emu.descriptor.arrays["neuron"])
    assert parts > 1
    placed = emu.descriptor.arrays["placement.h0"]
    assert len(np.unique(placed, axis=0)) == 600
    assert np.bincount(placed[:, 0]).max() == 512
    assert len(emu.descriptor.arrays["replay"]) >= 512
    x = {"in": spikes_of(rng, 5, 1, 60)}
    result = emu.run(x)
    assert min(int(s.sum()) for s in result.spikes.values()) > 20
    assert compare(graph, x, result) == []
    used = emu.descriptor.arrays["synapse_weight"] > 0
    for part in range(parts):  # every source of a neuron is in its part
        assert used[part].sum() > 0


def test_layers_and_loops_share_a_part_over_the_crossbar() -> None:
    rng = np.random.default_rng(6)
    graph = chain(
        [weights(rng, 60, 30), weights(rng, 20, 60, 10)], gain=1.0, loop=weights(rng, 60, 60, 6) - 6, tau_syn_i=3.0
    )
    emu = open_graph(graph)
    assert len(emu.descriptor.arrays["neuron"]) == 1
    assert len(emu.descriptor.arrays["replay"]) == 0
    x = {"in": spikes_of(rng, 12, 3, 30)}
    result = emu.run(x)
    assert compare(graph, x, result) == []
    assert int(result.counters["core_packets"].sum()) > 50


def test_a_part_of_its_own_changes_no_spike() -> None:
    """The second layer over the crossbar, and replayed from records: the time stamps are the same."""
    rng = np.random.default_rng(7)
    first, second = weights(rng, 40, 20), weights(rng, 30, 40)
    together = open_graph(chain([first, second]))
    wide = np.concatenate([first, np.zeros((480, 20), np.int32)])
    apart = open_graph(chain([wide, np.concatenate([second, np.zeros((30, 480), np.int32)], 1)]))
    assert len(together.descriptor.arrays["neuron"]) == 1
    assert len(apart.descriptor.arrays["neuron"]) == 2
    x = {"in": spikes_of(rng, 12, 2, 20)}
    one, two = together.run(x), apart.run(x)
    assert one.spikes["h1"].sum() > 50
    np.testing.assert_array_equal(one.spikes["h1"], two.spikes["h1"])


def test_zero_mismatch_is_the_ideal_chip() -> None:
    rng = np.random.default_rng(8)
    graph = chain([weights(rng, 40, 20), weights(rng, 10, 40)])
    emu = open_graph(graph)
    work = stimulus(spikes_of(rng, 12, 3, 20), record=np.arange(5))
    chips = emu.chip.virtual([3, 17], Mismatch().scaled(0))  # type: ignore[attr-defined]
    traces = emu.chip.run_chips(work, [None, *chips])  # type: ignore[attr-defined]
    for other in traces[1:]:
        np.testing.assert_array_equal(other.spikes, traces[0].spikes)
        np.testing.assert_array_equal(other.v, traces[0].v)
    real = emu.chip.run_chips(work, emu.chip.virtual([3, 17]))  # type: ignore[attr-defined]
    assert (real[0].spikes != traces[0].spikes).any()
    assert (real[0].spikes != real[1].spikes).any()


def test_virtual_chips_are_reproducible_and_do_not_depend_on_the_batch() -> None:
    rng = np.random.default_rng(9)
    emu = open_graph(layer(weights(rng, 30, 20), fires=False, gain=0.05, v_leak=120.0, v_reset=120.0))
    x = spikes_of(rng, 10, 6, 20)
    whole = emu.run({"in": x}, draws=5, probes=("v",)).v["out"]
    halves = [emu.run({"in": x[:, part]}, draws=5, probes=("v",)).v["out"] for part in (slice(0, 2), slice(2, 6))]
    np.testing.assert_array_equal(whole, np.concatenate(halves, 1))
    assert (whole != emu.run({"in": x}, draws=6, probes=("v",)).v["out"]).any()
    for draws in (-1, spec.CHIP_SEEDS):
        with pytest.raises(UsageError, match="no virtual chip"):
            emu.run({"in": x}, draws=draws)


def test_deviations_have_the_stated_sigmas() -> None:
    chips = [virtual_chip(seed) for seed in range(30)]
    for name, sigma in (
        ("tau_mem", spec.SIGMA_TAU_MEM),
        ("tau_syn_e", spec.SIGMA_TAU_SYN),
        ("gain", spec.SIGMA_GAIN_NEURON),
        ("driver", spec.SIGMA_GAIN_DRIVER),
    ):
        z = np.log(np.concatenate([getattr(c, name) for c in chips]))
        assert abs(z.std() / sigma - 1) < 0.05
        assert abs(z.mean()) < 0.05 * sigma
    for name, sigma in (("threshold", spec.SIGMA_THRESHOLD), ("reset", spec.SIGMA_RESET), ("leak", spec.SIGMA_LEAK)):
        z = np.concatenate([getattr(c, name) for c in chips])
        assert abs(z.std() / sigma - 1) < 0.05
    off = np.abs(np.concatenate([c.threshold for c in chips])) > 8
    assert off.mean() < 0.05  # calix: at most 5 % of the neurons off by more than 8 codes


def test_the_adc_reads_8_bits() -> None:
    rng = np.random.default_rng(10)
    graph = layer(weights(rng, 5, 10), fires=False, gain=3.0, v_leak=120.0, v_reset=120.0)
    x = {"in": spikes_of(rng, 20, 2, 10)}
    emu = open_graph(graph)
    result = emu.run(x, probes=("v",))
    assert result.v["out"].min() >= 0
    assert result.v["out"].max() == 255
    assert int(result.counters["adc_clips"].sum()) > 0
    np.testing.assert_array_equal(result.v["out"], run(graph, x).v["out"])


def test_a_wrong_image_shows_as_a_wrong_spike(tmp_path: Path) -> None:
    """Labels, masks, crossbar and switches decide what happens: each changed one changes the spikes."""
    rng = np.random.default_rng(11)
    graph = chain([weights(rng, 30, 150, 8), weights(rng, 10, 30)], gain=0.6, loop=weights(rng, 30, 30, 6))
    lowered = TARGET.lower(graph)
    path = tmp_path / "a.snnx"
    x = {"in": spikes_of(rng, 10, 2, 150)}
    descriptor.write(path, build_manifest(TARGET, graph, lowered), lowered.arrays, {})
    good = emulator.open(path).run(x)
    assert compare(graph, x, good) == []
    opened = descriptor.load(path)

    def change(name: str, where: Any, value: Any) -> None:
        changed = opened.arrays[name].copy()
        assert (changed[where] != value).any()
        changed[where] = value
        got = Emulator(Descriptor(opened.manifest, {**opened.arrays, name: changed})).run(x)
        assert compare(graph, x, got) != [], (name, where)

    change("driver", (0, 0, 0, 0), 0)
    change("driver", (0, slice(None), slice(None), 1), spec.ROW_INHIBITORY)
    change("crossbar", (0, slice(24, 60), 1), 16383)
    change("crossbar", (0, slice(0, 24), 1), 16383)
    change("synapse_label", (0, slice(None), slice(0, 8)), 63)
    change("synapse_weight", (0, slice(None), slice(0, 8)), 0)
    change("neuron", (0, slice(None), 6), 0)
    change("neuron", (0, slice(None), 2), 1)
    change("host_input", (slice(0, 20), 4), 0)
