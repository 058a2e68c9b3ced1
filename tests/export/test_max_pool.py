"""Max pooling of spikes on every chip: an OR of the window, spike for spike, one tick later or none at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from snnkit import emulator
from snnkit import nn as snn
from snnkit.export import to_graph
from snnkit.graph.neurons import TrueNorthAxon
from snnkit.graph.run import run
from snnkit.passes import add_lag
from snnkit.targets.truenorth import TARGET as TRUENORTH
from snnkit.targets.truenorth.layer import QuantizeOptions
from snnkit.validation.pipeline import ChipGraph, to_chip, write_descriptor


def network(kernel: int, stride: int, padding: int) -> nn.Sequential:
    conv1 = snn.Conv2d(2, 6, 3, padding=1, bias=False)
    conv2 = snn.Conv2d(6, 8, 3, padding=1, bias=False)
    for layer in (conv1, conv2):
        layer.weight.data = torch.randint(-1, 2, layer.weight.shape).float() * 0.25
    return nn.Sequential(
        conv1, snn.LIF(decay=1.0, threshold=0.5), snn.MaxPool2d(kernel, stride, padding), conv2,
        snn.LIF(decay=1.0, threshold=0.5), snn.Flatten(),
    )  # fmt: skip


@pytest.mark.parametrize("target", ["loihi", "spinnaker", "truenorth"])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1)])
def test_pooled_spikes_are_those_of_the_model(
    target: str, kernel: int, stride: int, padding: int, tmp_path: Path
) -> None:
    torch.manual_seed(kernel)
    model = network(kernel, stride, padding)
    x = (torch.rand(10, 4, 2, 8, 8) < 0.2).float()
    raster = x.numpy().astype(np.uint8)
    pooled: list[torch.Tensor] = []
    model[2].register_forward_hook(lambda m, args, out: pooled.append(out))
    with torch.no_grad(), snn.record(model, spikes=True) as seen:
        model(x)
    chip = to_chip(model[:5], (2, 8, 8), target, raster, steps=10)
    path = tmp_path / "a.snnx"
    made = write_descriptor(path, chip, target, raster)
    assert emulator.verify(path).ok
    result = emulator.open(path).run({made.manifest.ports[0].name: raster.reshape(10, 4, -1)})
    wanted = {"1": seen.spikes["1"], "2": pooled[0], "4": seen.spikes["4"]}
    for name, spikes in wanted.items():
        assert np.array_equal(result.aligned(name), spikes.flatten(2).numpy().astype(np.uint8)), name
    assert wanted["4"].any()
    lags = [layer.lag for layer in made.manifest.layers]
    assert lags[1] == lags[0] + 1, "what is pooled arrives a tick later"


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 1, 1)])
def test_on_truenorth_the_sources_of_a_window_share_axons(
    kernel: int, stride: int, padding: int, tmp_path: Path
) -> None:
    torch.manual_seed(kernel)
    model = network(kernel, stride, padding)[:5]
    x = (torch.rand(10, 4, 2, 8, 8) < 0.2).float()
    raster = x.numpy().astype(np.uint8)
    with torch.no_grad(), snn.record(model, spikes=True) as seen:
        model(x)
    graph, _ = to_graph(model, (2, 8, 8), steps=10)
    assert graph is not None
    made = {}
    for way in (True, False):
        chosen = TRUENORTH.quantize(add_lag(graph), None, QuantizeOptions(shared_axons=way))
        assert not chosen.findings
        chip = ChipGraph(graph, chosen.graph, chosen.report)
        path = tmp_path / f"{way}.snnx"
        written = write_descriptor(path, chip, "truenorth", raster)
        assert emulator.verify(path).ok
        result = emulator.open(path).run({written.manifest.ports[0].name: raster.reshape(10, 4, -1)})
        for name in ("1", "4"):
            assert np.array_equal(result.aligned(name), seen.spikes[name].flatten(2).numpy().astype(np.uint8)), name
        trace = run(chosen.graph, {written.manifest.ports[0].name: raster})
        assert np.array_equal(trace.aligned("2"), result.aligned("2"))
        made[way] = written.manifest, result
    assert any(isinstance(p.neuron, TrueNorthAxon) for p in chosen.graph.populations) is False
    lags = {way: [layer.lag for layer in m.layers] for way, (m, _) in made.items()}
    assert lags[True][2] == lags[True][1], "the crossbar reads a shared axon in the tick in which it becomes active"
    assert lags[False][2] > lags[False][1]
    assert np.array_equal(made[True][1].aligned("2"), made[False][1].aligned("2"))
    assert made[True][1].totals()["merged_spikes"] > 0


def test_pooled_input_events_share_axons(tmp_path: Path) -> None:
    torch.manual_seed(0)
    conv = snn.Conv2d(2, 4, 3, bias=False)
    conv.weight.data = torch.randint(-1, 2, conv.weight.shape).float() * 0.25
    model = nn.Sequential(snn.MaxPool2d(2), conv, snn.LIF(decay=1.0, threshold=0.25))
    x = (torch.rand(8, 3, 2, 8, 8) < 0.2).float()
    raster = x.numpy().astype(np.uint8)
    chip = to_chip(model, (2, 8, 8), "truenorth", raster, steps=8)
    assert chip.report[0]["shared_axons"]
    made = write_descriptor(tmp_path / "a.snnx", chip, "truenorth", raster)
    assert emulator.verify(tmp_path / "a.snnx").ok
    result = emulator.open(tmp_path / "a.snnx").run({made.manifest.ports[0].name: raster.reshape(8, 3, -1)})
    assert np.array_equal(result.aligned("2"), model(x).flatten(2).detach().numpy().astype(np.uint8))
    assert [layer.lag for layer in made.manifest.layers] == [0, 0]
