"""The three-way comparison finds what is wrong, and says where."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from snnkit import nn as snn
from snnkit._io import canonical_json
from snnkit.errors import DescriptorError
from snnkit.validation import to_chip, write_descriptor
from snnkit.validation.pipeline import ChipGraph
from snnkit.validation.threeway import torch_answers, validate

STEPS = 8
Case = tuple[nn.Module, Sequence[Any], Any]


def exported(case: Case, path: Path, **options: Any) -> ChipGraph:
    model, shape, samples = case
    chip = to_chip(model, shape, "loihi", samples, steps=STEPS, **options)
    write_descriptor(path, chip, "loihi", samples)
    return chip


def test_a_descriptor_of_another_model_shows_at_its_first_spike(dense_network: Case, tmp_path: Path) -> None:
    model, _, samples = dense_network
    chip = exported(dense_network, tmp_path / "a.snnx")
    labels = np.array([0, 1, 2, 3, 0])
    with torch.no_grad():
        model[2].weight[1] += 2  # type: ignore[operator,index]
    other = exported(dense_network, tmp_path / "b.snnx")
    result = validate(model, other, tmp_path / "a.snnx", [(samples, labels)])
    assert result["differing_spikes"]["torch-graph"]["total"] == 0
    pair = result["differing_spikes"]["graph-emulator"]
    assert pair["layers"]["1"] == 0
    assert pair["layers"]["3"] == pair["total"] > 0
    first = result["first_divergence"]["graph-emulator"]
    assert (first["layer"], first["neuron"]) == ("3", 1)
    assert first["spike"][0] != first["spike"][1]
    assert all(len(first[key]) == 2 for key in ("v", "v_before", "v_over_threshold"))
    assert result["first_divergence"]["torch-graph"] is None
    assert chip.graph.max_lag == 1


def test_batches_are_one_run(dense_network: Case, tmp_path: Path) -> None:
    """The result does not depend on how the samples are cut into batches."""
    model, _, samples = dense_network
    chip = exported(dense_network, tmp_path / "a.snnx")
    labels = np.array([0, 1, 2, 3, 0])
    ticks: list[int] = []
    whole = validate(model, chip, tmp_path / "a.snnx", [(samples, labels)], progress=ticks.append)
    parts = [(samples[:, k : k + 2], labels[k : k + 2]) for k in range(0, 5, 2)]
    cut = validate(model, chip, tmp_path / "a.snnx", parts, progress=ticks.append)
    assert ticks == [5, 2, 2, 1]
    for key in ("samples", "steps", "accuracy", "changed", "differing_spikes", "first_divergence", "counters"):
        assert whole[key] == cut[key], key
    assert whole["raster"]["label"] == 0
    assert whole["samples"] == 5


def test_the_result_is_plain_and_complete(dense_network: Case, tmp_path: Path) -> None:
    model, _, samples = dense_network
    chip = exported(dense_network, tmp_path / "a.snnx")
    result = validate(model, chip, tmp_path / "a.snnx", [(samples, np.zeros(5, np.int64))])
    assert json.loads(canonical_json(result))
    assert result["target"] == "loihi"
    assert result["evidence"] == "open-simulator"
    assert result["resources"]["totals"]["compartments"] == 14
    layers = [name for core in result["resources"]["cores"] for name in core["layer"].split(", ")]
    assert sorted(layers) == ["1", "3"]
    raster = result["raster"]
    assert set(raster["layers"]) == {"1", "3"}
    assert raster["layers"]["1"]["n"] == 10
    assert raster["layers"]["1"]["torch"] == raster["layers"]["1"]["emulator"]
    assert len(raster["input"]) == int(samples[:, 0].sum())
    assert set(result["seconds"]) == {"torch", "graph", "emulator"}


def test_no_samples_at_all(dense_network: Case, tmp_path: Path) -> None:
    model, _, _ = dense_network
    chip = exported(dense_network, tmp_path / "a.snnx")
    result = validate(model, chip, tmp_path / "a.snnx", [])
    assert result["samples"] == 0
    assert result["accuracy"] == {"torch": 0.0, "graph": 0.0, "emulator": 0.0}


def test_a_damaged_descriptor_is_refused(dense_network: Case, tmp_path: Path) -> None:
    model, _, samples = dense_network
    chip = exported(dense_network, tmp_path / "a.snnx")
    file = tmp_path / "a.snnx" / "arrays.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DescriptorError):
        validate(model, chip, tmp_path / "a.snnx", [(samples, np.zeros(5, np.int64))])


@pytest.mark.parametrize("rule", ["last", "mean", "max", "count", "first"])
def test_every_read_out_rule_gives_the_same_class_three_times(rule: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    last = snn.LIF(decay=1.0, threshold=2.0) if rule in ("count", "first") else snn.LI(decay=1.0)
    model = nn.Sequential(snn.Linear(12, 20), snn.LIF(decay=1.0), snn.Linear(20, 6), last)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randint(-8, 9, p.shape) / 8)
        model[2].bias.zero_()  # type: ignore[union-attr,operator]
    samples = (np.random.default_rng(0).random((STEPS, 30, 12)) < 0.4).astype(np.uint8)
    chip = exported((model, (12,), samples), tmp_path / "a.snnx", readout=rule)
    labels = np.random.default_rng(1).integers(0, 6, 30)
    result = validate(model, chip, tmp_path / "a.snnx", [(samples, labels)])
    assert len(set(result["accuracy"].values())) == 1
    assert all(c["changed"] == 0 for c in result["changed"].values())
    said = torch_answers(model, chip.float_graph, samples)
    assert len(set(said.answer.tolist())) > 1


def test_ties_go_to_the_lowest_class(tmp_path: Path) -> None:
    model = nn.Sequential(snn.Linear(4, 3, bias=False), snn.LIF(decay=1.0))
    nn.init.constant_(model[0].weight, 0.5)  # type: ignore[arg-type]
    samples = np.ones((STEPS, 2, 4), np.uint8)
    chip = exported((model, (4,), samples), tmp_path / "a.snnx")
    result = validate(model, chip, tmp_path / "a.snnx", [(samples, np.zeros(2, np.int64))])
    assert result["accuracy"] == {"torch": 1.0, "graph": 1.0, "emulator": 1.0}


def test_the_model_is_compared_in_evaluation_mode(dense_network: Case) -> None:
    model, shape, samples = dense_network
    chip = to_chip(model, shape, "loihi", samples, steps=STEPS)
    model.insert(1, snn.Dropout(0.9))  # type: ignore[operator]
    renamed = {"1": "2", "3": "4"}
    graph = chip.float_graph
    moved = graph.with_(
        populations=tuple(replace(p, name=renamed[p.name]) for p in graph.populations),
        readout=replace(graph.readout, population="4"),  # type: ignore[type-var]
    )
    said = torch_answers(model.train(), moved, samples)
    again = torch_answers(model.train(), moved, samples)
    assert np.array_equal(said.spikes["2"], again.spikes["2"])
    assert model.training
    assert model[1].training  # type: ignore[index]
