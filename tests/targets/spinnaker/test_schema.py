"""Damaged images are refused or run; nothing else happens."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit.descriptor import Descriptor
from snnkit.emulator.chip import Stimulus
from snnkit.errors import DescriptorError
from snnkit.passes import add_lag
from snnkit.targets.manifest import build_manifest
from snnkit.targets.spinnaker import TARGET
from snnkit.targets.spinnaker.emulate import open_chip
from snnkit.targets.spinnaker.lower import lower
from snnkit.targets.spinnaker.quantize import quantize
from tests.targets.spinnaker.test_rules import float_graph


@pytest.fixture(scope="module")
def net():
    graph = quantize(add_lag(float_graph())).graph
    lowered = lower(graph)
    return build_manifest(TARGET, graph, lowered), lowered.arrays


def opened(net, **changes):
    manifest, arrays = net
    arrays = {k: a.copy() for k, a in arrays.items()} | changes
    return open_chip(Descriptor(manifest, {k: a for k, a in arrays.items() if a is not None}))


def test_two_lowerings_are_equal(net):
    again = lower(quantize(add_lag(float_graph())).graph).arrays
    assert all(np.array_equal(a, again[k]) for k, a in net[1].items())
    assert opened(net).n_neurons == 8


DAMAGE = [
    ("core", (0, 0), 9), ("core", (1, 2), 18), ("core", (1, 3), 9), ("core", (1, 4), 0), ("core", (1, 4), 5),
    ("core_ptr", (1, 0), 10**6), ("core_params", (0,), 77), ("core_params", (1,), 5), ("synapse_params", (2,), 14),
    ("synapse_params", (4,), 0), ("synapse_params", (7,), 32), ("neuron_params", (0,), 2), ("neuron_params", (3,), 0),
    ("population_table", (0,), 9), ("population_table", (4,), 0xFFFFFFFF), ("synaptic_matrix", (0,), 200),
    ("synaptic_matrix", (1,), 250), ("synaptic_matrix", (2,), 9), ("host_key", (0, 0), 4), ("host_key", (0, 1), 99),
    ("host_key", (0, 2), 1), ("host_key", (0, 3), -1), ("router", (0, 0), 7), ("router", (0, 3), -1),
    ("router", (0, 4), 1 << 30), ("router", (0, 4), 1 << 3), ("placement.a", (0, 0), 0), ("placement.a", (0, 1), 4),
]  # fmt: skip


@pytest.mark.parametrize(("table", "where", "value"), DAMAGE)
def test_impossible_words_are_refused(net, table, where, value):
    a = net[1][table].copy()
    if (table, where) == ("core_params", (0,)):
        a = a[:-1]
    a[where] = value if a.dtype != np.uint32 else np.uint32(value)
    with pytest.raises(DescriptorError):
        opened(net, **{table: a})


def test_missing_unknown_and_mistyped_tables(net):
    for change in ({"core": None}, {"secret": np.zeros(1)}, {"router": net[1]["router"].astype(np.int32)}):
        with pytest.raises(DescriptorError):
            opened(net, **change)


@settings(max_examples=150)
@given(st.integers(0, 2**32 - 1))
def test_any_damage_is_refused_or_runs(net, seed):
    rng = np.random.default_rng(seed)
    name = list(net[1])[rng.integers(len(net[1]))]
    a = net[1][name].copy()
    if not a.size:
        return
    if a.dtype == np.uint32:
        a.reshape(-1)[rng.integers(a.size)] ^= np.uint32(1 << rng.integers(32))
    else:
        a.reshape(-1)[rng.integers(a.size)] = rng.choice(np.array([-1, 0, 1, 3, 7, 64, 255, 2**30]))
    try:
        chip = opened(net, **{name: a})
    except DescriptorError:
        return
    none = np.zeros(0, np.int64)
    chip.run(Stimulus(np.ones((6, 2, 4), np.uint8), 1, none, none, 6, None, np.arange(chip.n_neurons)))
