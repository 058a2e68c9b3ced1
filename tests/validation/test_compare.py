"""Where two runs part, and how often: the numbers of a validation on made-up answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnkit.validation.compare import Answers, PairCounts, first_divergence

Array = np.ndarray[Any, Any]
T, B, N = 4, 3, 2
ORDER = ["a", "b"]


def answers(answer: list[int] | None = None, **layers: Array) -> Answers:
    spikes = {name: layers.get(name, np.zeros((T, B, N), np.uint8)) for name in ORDER}
    return Answers(spikes, np.array(answer or [0] * B))


def with_spikes(*places: tuple[int, int, int]) -> Array:
    out = np.zeros((T, B, N), np.uint8)
    for place in places:
        out[place] = 1
    return out


def test_equal_runs() -> None:
    counts = PairCounts()
    counts.add(answers(), answers(), np.zeros(B, int), ORDER, 0)
    assert counts.to_dict() == {"total": 0, "of": 2 * T * B * N, "layers": {"a": 0, "b": 0}}
    assert counts.first is None
    assert counts.changes() == {"changed": 0, "right_to_wrong": 0, "wrong_to_right": 0}


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        # the earliest step wins, in whichever layer; then the layer nearest to the input; then sample and neuron
        ([(2, 0, 0)], [(1, 2, 1)], ("b", 1, 2, 1)),
        ([(1, 2, 1)], [(1, 0, 0)], ("a", 1, 2, 1)),
        ([(0, 1, 1), (0, 1, 0), (0, 2, 0)], [], ("a", 0, 1, 0)),
        ([], [(3, 2, 1)], ("b", 3, 2, 1)),
    ],
)
def test_first_divergence(a: list[Any], b: list[Any], expected: tuple[str, int, int, int]) -> None:
    found = first_divergence(answers(a=with_spikes(*a), b=with_spikes(*b)), answers(), ORDER, first_sample=100)
    assert found is not None
    layer, step, sample, neuron = expected
    assert (found["layer"], found["step"], found["sample"], found["neuron"]) == (layer, step, 100 + sample, neuron)
    assert found["spike"] == [1, 0]
    assert "v" not in found


def test_first_divergence_gives_the_membrane_in_units_of_the_threshold() -> None:
    v = np.arange(T * B * N, dtype=np.float32).reshape(T, B, N)
    one = Answers({"a": with_spikes((2, 1, 0))}, np.zeros(B, int), {"a": v}, {"a": np.array([2.0, 5.0])})
    other = Answers({"a": with_spikes()}, np.zeros(B, int), {"a": 64 * v}, {"a": np.array([128, 320])})
    found = first_divergence(one, other, ["a"])
    assert found is not None
    assert found["v"] == [14.0, 64 * 14.0]
    assert found["v_before"] == [8.0, 64 * 8.0]
    assert found["v_over_threshold"] == [7.0, 7.0]
    assert found["v_before_over_threshold"] == [4.0, 4.0]
    at_start = first_divergence(
        Answers({"a": with_spikes((0, 0, 0))}, np.zeros(B, int), {"a": v}), other, ["a"], first_sample=0
    )
    assert at_start is not None
    assert at_start["v_before"] == [0.0, 0.0]
    assert "v_over_threshold" not in at_start


def test_changed_predictions_and_batches_add_up() -> None:
    counts = PairCounts()
    labels = np.array([1, 2, 0])
    #                       right→wrong, wrong→right, wrong→another wrong
    counts.add(answers([1, 0, 1]), answers([0, 2, 2]), labels, ORDER, 0)
    assert counts.changes() == {"changed": 3, "right_to_wrong": 1, "wrong_to_right": 1}
    one = answers([1, 2, 0], b=with_spikes((3, 0, 1), (3, 1, 1)))
    counts.add(one, answers([1, 2, 1]), labels, ORDER, 3)
    assert counts.changes() == {"changed": 4, "right_to_wrong": 2, "wrong_to_right": 1}
    assert counts.to_dict() == {"total": 2, "of": 4 * T * B * N, "layers": {"a": 0, "b": 2}}
    assert counts.first is not None
    assert counts.first["sample"] == 3
    counts.add(answers([1, 2, 0], a=with_spikes((0, 0, 0))), answers([1, 2, 0]), labels, ORDER, 6)
    assert counts.first["sample"] == 3  # the first batch that differs keeps its place
    assert counts.total == 3
