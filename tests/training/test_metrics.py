"""Firing rates, silent and saturated neurons, confusion."""

from __future__ import annotations

import torch

from snnkit import nn as snn
from snnkit.training import Activity, Evaluation
from snnkit.training.metrics import warnings_about


def test_activity_counts_by_definition_and_honours_lengths() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(snn.Linear(6, 8), snn.LIF(), snn.Linear(8, 4), snn.LIF(), snn.LI())
    x = torch.rand(5, 3, 6) * 3
    lengths = torch.tensor([5, 2, 4])
    activity = Activity()
    with activity.watch(model, lengths), snn.record(model, spikes=True) as record:
        model.eval()(x)
    assert list(activity.layers) == ["1", "3"]
    for path, layer in activity.layers.items():
        expected = sum(record.spikes[path][: int(n), b].double().sum(0) for b, n in enumerate(lengths))
        assert torch.equal(layer.spikes, expected)
        assert layer.steps == 11
    before = activity.layers["1"].spikes.clone()
    with activity.watch(model):
        model(x[:, :1])
    assert activity.layers["1"].steps == 16
    assert bool((activity.layers["1"].spikes >= before).all())


def test_silent_and_saturated_layers_are_reported() -> None:
    activity = Activity()
    activity.add("dead", torch.zeros(10, 2, 4), None)
    activity.add("busy", torch.ones(10, 2, 4), None)
    activity.add("fine", torch.eye(10)[:, None, :].expand(10, 2, 10), None)
    summary = activity.summary()
    assert summary["dead"] == {"rate": 0.0, "silent": 1.0, "saturated": 0.0}
    assert summary["busy"] == {"rate": 1.0, "silent": 0.0, "saturated": 1.0}
    assert summary["fine"]["rate"] == 0.1
    texts = warnings_about(activity)
    assert any("dead never fires" in t for t in texts)
    assert any("busy" in t and "100%" in t for t in texts)
    assert not any("fine" in t for t in texts)


def test_confusion() -> None:
    answers = Evaluation(0.0, torch.tensor([0, 1, 1, 2]), torch.tensor([0, 1, 2, 2]), 3, Activity(), 1.0)
    assert answers.confusion == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    assert answers.accuracy == 0.75
