"""One network on several chips: what the table says is what an export and a run of its emulator give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnkit import emulator
from snnkit.graph.findings import Finding
from snnkit.graph.model import Connection, Graph, Input, Population, Readout
from snnkit.graph.neurons import LIF
from snnkit.graph.synapses import Dense
from snnkit.targets import registry
from snnkit.targets.costs import latency
from snnkit.validation.fits import RUN_SAMPLES, compare, fit, unexported
from snnkit.validation.pipeline import graph_to_chip, write_descriptor

pytestmark = pytest.mark.timeout(180)  # three chips' kernels are compiled where they are not cached yet

Array = np.ndarray[Any, Any]
STEPS, BATCH = 7, 12


def network(weight: float = 1.0, decay: float = 1.0) -> Graph:
    rng = np.random.default_rng(3)

    def neuron(n: int) -> LIF:
        return LIF(np.full(n, decay, np.float32), np.full(n, 2, np.float32))

    return Graph(
        "net",
        (Input("in", (30,)),),
        (Population("hidden", (12,), neuron(12)), Population("out", (4,), neuron(4))),
        (
            Connection("a", "in", "hidden", Dense(rng.choice([-1, 0, 1], (12, 30)) * weight)),
            Connection("b", "hidden", "out", Dense(rng.choice([-1, 0, 1], (4, 12)) * weight)),
        ),
        Readout("out", "count"),
        steps=STEPS,
    )


@pytest.fixture(scope="module")
def samples() -> Array:
    return (np.random.default_rng(1).random((STEPS, BATCH, 30)) < 0.3).astype(np.uint8)


def test_a_trinary_network_goes_everywhere(samples: Array, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    targets = [registry.get(n) for n in ("loihi", "spinnaker", "truenorth")]
    fits = compare(network(), targets, samples, progress=lambda *stage: told.append(stage))
    assert [f.target for f in fits] == [t.name for t in targets]
    assert told[0] == ("chips", 0, 3)
    assert told[-1] == ("chips", 3, 3)
    for target, f in zip(targets, fits):
        assert f.fits, f.findings
        path = tmp_path / f"{f.target}.snnx"
        manifest = write_descriptor(path, graph_to_chip(network(), target, samples), target, samples[:, :2]).manifest
        result = emulator.open(path).run({"in": samples[:, :RUN_SAMPLES]})
        totals, energy = result.totals(), target.part("energy")
        estimate = energy.estimate(totals, samples=RUN_SAMPLES)
        sets = [v for v in estimate.values() if isinstance(v, dict) and "low" in v]
        assert f.energy is not None
        assert (f.energy.low, f.energy.high) == (min(v["low"] for v in sets), max(v["high"] for v in sets))
        assert 0 < f.energy.low <= f.energy.high
        assert f.latency is not None
        assert 0 < f.latency.low <= f.latency.high
        assert f.latency.source
        assert f.cores == manifest.resources.totals["cores"]
        assert f.memory == energy.memory_bytes(manifest.resources.totals)
        assert f.memory > 0
        assert f.lag == max(layer.lag for layer in manifest.layers)
        assert f.weights == sum(np.count_nonzero(c.synapse.matrix().toarray()) for c in network().connections) or (
            f.target == "loihi" and f.weights == 30 * 12 + 12 * 4  # a dense list holds its zeros
        )
        assert f.clipped == 0
        name, share, core = f.worst or ("", 0.0, -1)
        row = next(r for r in manifest.resources.per_core if r["core"] == core)
        assert share == row[name] / manifest.resources.budget[name]
        assert 0 < share <= 1
        assert f.changes is None
        assert f.to_dict()["energy"]["unit"].startswith("uJ")


def test_what_does_not_fit_says_why_and_what_to_change(samples: Array) -> None:
    (f,) = compare(network(decay=0.5), [registry.get("truenorth")], samples)
    assert not f.fits
    assert {x.code for x in f.findings} == {"DECAY"}
    assert f.changes is not None
    assert [c.where for c in f.changes] == ["hidden", "out"]
    assert f.energy is None
    assert f.cores is None
    with np.errstate(invalid="ignore"):
        endless = network(weight=float("inf"))
    broken = fit(endless, registry.get("loihi"), samples)
    assert not broken.fits
    assert broken.changes is None


def test_findings_on_the_way_are_kept(samples: Array) -> None:
    note = Finding("SOMETHING", "net", "was left out", severity="note")
    loihi = registry.get("loihi")
    assert note in fit(network(), loihi, samples, findings=[note]).findings
    stop = Finding("SOMETHING", "net", "was lost")
    refused = fit(network(), loihi, samples, findings=[stop])
    assert not refused.fits
    assert refused.findings == (stop,)
    nothing = unexported(loihi, [stop])
    assert (nothing.fits, nothing.findings, nothing.neurons) == (False, (stop,), 0)


def test_latency_is_a_range_with_its_source() -> None:
    assert latency(1.0, 2.0, "assumed", "nobody") == {
        "unit": "ms", "low": 1.0, "high": 2.0, "quality": "assumed", "source": "nobody",
    }  # fmt: skip


def test_a_busier_loihi_takes_longer() -> None:
    energy = registry.get("loihi").part("energy")
    idle = {"synaptic_events": 0, "neuron_updates": 0}
    busy = {"synaptic_events": 10**6, "neuron_updates": 10**4}
    still, moving = (energy.latency(c, samples=2, ticks=10, cores=4) for c in (idle, busy))
    assert still["low"] == pytest.approx(10 * 0.6e-3)
    assert still["high"] == pytest.approx(10 * 1.8e-3)
    assert moving["low"] == pytest.approx(0.006 + (5e5 * 3.5 + 5e3 * 5.3) * 1e-6 / 4)
    assert moving["high"] == pytest.approx(0.018 + (5e5 * 3.5 + 5e3 * 8.4) * 1e-6)
