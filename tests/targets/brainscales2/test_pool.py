"""Max pooling of spikes: an OR of the sources in continuous time, and how far that is from an OR of steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from snnkit import nn as snn
from snnkit.descriptor import Descriptor
from snnkit.emulator import Emulator
from snnkit.graph.model import Connection, Graph, Input, Population, Readout
from snnkit.graph.neurons import LIF
from snnkit.graph.synapses import Dense
from snnkit.passes import add_lag
from snnkit.targets.brainscales2 import TARGET, spec
from snnkit.targets.brainscales2.quantize import quantize
from snnkit.targets.brainscales2.replay import compare
from snnkit.targets.manifest import build_manifest
from snnkit.validation.pipeline import ChipGraph, to_chip

from .networks import stimulus

Array = np.ndarray[Any, Any]
STEPS, BATCH = 10, 2


def frames(rate: float, size: int = 8) -> Array:
    return (np.random.default_rng(3).random((STEPS, BATCH, 2, size, size)) < rate).astype(np.uint8)


def emulated(chip: ChipGraph) -> Emulator:
    lowered = TARGET.lower(chip.graph)
    assert lowered.ok, [str(f) for f in lowered.findings]
    return Emulator(Descriptor(build_manifest(TARGET, chip.graph, lowered), lowered.arrays))


def pooled(x: Array, kernel: int, stride: int, padding: int) -> Array:
    flat = torch.as_tensor(x.astype(np.float32)).flatten(0, 1)
    out: Array = nn.functional.max_pool2d(flat, kernel, stride, padding).numpy()
    return out.reshape(*x.shape[:2], -1).astype(np.int64)


def conv(inputs: int, outputs: int) -> snn.Conv2d:
    made = snn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    made.weight.data = torch.randint(-1, 2, made.weight.shape).float() * 0.25
    return made


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1)])
def test_input_events_that_are_pooled_are_an_or_of_each_step(kernel: int, stride: int, padding: int) -> None:
    """At the begin of a step the pool hears all of it together: equal at 5 % events, up to 1.5 % of the spikes off at
    20 %, where neighbouring steps and full windows meet; virtual chips about the same."""
    torch.manual_seed(kernel)
    model = nn.Sequential(snn.MaxPool2d(kernel, stride, padding), conv(2, 4), snn.LIF(decay=0.9, threshold=0.5))
    chip = to_chip(model, (2, 8, 8), "brainscales2", frames(0.1), steps=STEPS)
    engine = emulated(chip)
    port = engine.descriptor.manifest.ports[0].name
    for rate, most in ((0.05, 0.0), (0.2, 0.015)):
        x = frames(rate)
        raster = {port: x.reshape(STEPS, BATCH, -1)}
        wanted = pooled(x, kernel, stride, padding)
        result = engine.run(raster)
        assert np.abs(result.spikes["0"].astype(int) - wanted).sum() <= most * wanted.sum()
        assert compare(chip.graph, raster, result) == []
        for seed in (0, 1):
            real = engine.run(raster, draws=seed).spikes["0"].astype(int)
            assert np.abs(real - wanted).sum() <= (most + 0.02) * wanted.sum()


def test_spikes_that_are_pooled_follow_their_sources() -> None:
    """In real time: nine of ten spikes of the pool come at most 0.25 us after one of its sources, none without, and
    their number is that of an OR of steps to 10 %. In steps a spike may fall into the next one, where it counts as two
    that differ: 251 of 1576 in a network of integrators, and in this one with decays 146 of 323."""
    torch.manual_seed(2)
    model = nn.Sequential(conv(2, 4), snn.LIF(decay=0.9, threshold=0.5), snn.MaxPool2d(2), conv(4, 4),
                          snn.LIF(decay=0.9, threshold=0.5))  # fmt: skip
    x = frames(0.2)
    chip = to_chip(model, (2, 8, 8), "brainscales2", x, steps=STEPS)
    engine = emulated(chip)
    raster = {engine.descriptor.manifest.ports[0].name: x.reshape(STEPS, BATCH, -1)}
    result = engine.run(raster)
    assert compare(chip.graph, raster, result) == []
    wanted = pooled(np.minimum(result.spikes["1"], 1).reshape(STEPS, BATCH, 4, 8, 8), 2, 2, 0)
    got = result.spikes["2"].astype(int)
    assert wanted.sum() > 300
    assert np.abs(got - wanted).sum() < 0.5 * wanted.sum()
    assert abs(got.sum() - wanted.sum()) < 0.1 * wanted.sum()
    place = engine.chip.placement  # type: ignore[attr-defined]
    window = np.zeros((4, 4, 4, 4), np.int64)
    number = np.arange(256).reshape(4, 8, 8)
    for k, (a, b) in enumerate(np.ndindex(2, 2)):
        window[..., k] = number[:, a::2, b::2]
    late, alone, total = 0, 0, 0
    for when, who in engine.chip.spike_times(stimulus(raster[next(iter(raster))])):  # type: ignore[attr-defined]
        for n, sources in zip(place["2"].tolist(), place["1"][window.reshape(64, 4)].tolist()):
            mine, theirs = when[who == n], when[np.isin(who, sources)]
            before = theirs[None] <= mine[:, None]
            wait = np.where(before, mine[:, None] - theirs[None], np.inf).min(1, initial=np.inf)
            alone += int(np.isinf(wait).sum())
            late += int((wait > 0.25).sum())
            total += len(mine)
    assert total > 300
    assert alone == 0
    assert late < 0.1 * total


def one_layer(weights: Array, **changes: Any) -> Graph:
    n = len(weights)
    cell = LIF(np.full(n, 0.5, np.float32), np.ones(n, np.float32), "zero", changes.pop("refractory", 0))
    return Graph(
        "one", (Input("in", (weights.shape[1],)),), (Population("out", (n,), cell, **changes),),
        (Connection("w", "in", "out", Dense(weights)),), Readout("out", "count"), steps=5,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("graph", "relay"),
    [
        (one_layer(np.full((3, 4), 1.0)), True),
        (one_layer(np.array([[1.0, 2.5, 0.0], [0.0, 3.0, 1.0]])), True),
        (one_layer(np.array([[1.0, 0.9]])), False),
        (one_layer(np.array([[1.0, -1.0]])), False),
        (one_layer(np.full((1, 2), 1.0), refractory=1), False),
        (one_layer(np.full((1, 2), 1.0), bias=np.full(1, 0.1, np.float32)), False),
        (one_layer(np.zeros((1, 2))), False),
    ],
)
def test_what_never_integrates_is_known_by_its_weights(graph: Graph, relay: bool) -> None:
    made = quantize(add_lag(graph))
    neuron = made.graph.populations[0].neuron
    assert ("relay" in made.report[0]) is relay
    assert bool((neuron.tau_mem == spec.TAU_MEM_PS[0]).all()) is relay  # type: ignore[union-attr]
    if relay:
        weakest = np.min(np.asarray(made.graph.connections[0].synapse.matrix().data))
        peak = neuron.gain[0] * 1e-6 * weakest * 0.5 / np.e  # type: ignore[union-attr]
        assert peak == pytest.approx(1.5 * (spec.THRESHOLD_CODE - spec.LEAK_CODE), rel=1e-3)


def test_a_pool_of_its_own_lines_is_replaceable() -> None:
    """Scaling weights and threshold together changes nothing."""
    a, b = one_layer(np.full((3, 4), 1.0)), one_layer(np.full((3, 4), 4.0))
    cell = replace(b.populations[0].neuron, threshold=np.full(3, 4.0, np.float32))  # type: ignore[type-var]
    b = b.with_(populations=(replace(b.populations[0], neuron=cell),))
    one, two = (quantize(add_lag(g)).graph.populations[0].neuron for g in (a, b))
    np.testing.assert_array_equal(one.gain, two.gain)  # type: ignore[union-attr]
