"""What a published workload takes: 2312-512-10, dense, which sPyNNaker 7.4.1 holds in 6.28 MB, counted alike."""

from __future__ import annotations

import numpy as np

from snnkit.graph.model import Connection, Graph, Input, Population, Readout
from snnkit.graph.neurons import LI, LIF
from snnkit.graph.synapses import Dense
from snnkit.passes import add_lag
from snnkit.targets.spinnaker.lower import LowerOptions, lower
from snnkit.targets.spinnaker.quantize import quantize


def test_the_dense_network_is_small() -> None:
    rng = np.random.default_rng(0)
    hidden = LIF(np.full(512, 0.8, np.float32), np.ones(512, np.float32))
    graph = Graph(
        "dense",
        (Input("in", (2312,)),),
        (Population("hidden", (512,), hidden), Population("out", (10,), LI(np.full(10, 0.9, np.float32)))),
        (
            Connection("a", "in", "hidden", Dense(rng.normal(0, 0.05, (512, 2312)))),
            Connection("b", "hidden", "out", Dense(rng.normal(0, 0.05, (10, 512)))),
        ),
        Readout("out", "last"),
        steps=20,
    )
    made = quantize(add_lag(graph), {"in": np.full(2312, 0.05), "hidden": np.full(512, 0.05)})
    lowered = lower(made.graph)
    assert lowered.ok, lowered.findings
    used = lowered.resources()
    assert used["cores"] == 4
    assert used["total"]["sdram_bytes"] <= 4_900_000
    many = lower(made.graph, LowerOptions(neurons_per_core=32))
    assert many.ok, many.findings
    assert many.resources()["total"]["router_entries"] <= 24
