"""Partition, place, route: within limits, complete, deterministic; on chips that do not exist."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit.mapping import Over, fan_out, fits, over, partition, place, total


def measure_by(weight: np.ndarray) -> object:
    return lambda neurons: {"slots": len(neurons), "memory": int(weight[neurons].sum())}


@given(
    n=st.integers(1, 60), slots=st.integers(1, 20), memory=st.integers(5, 40), seed=st.integers(0, 99),
    grid=st.booleans(),
)  # fmt: skip
@settings(max_examples=30)
def test_every_neuron_is_placed_once_within_the_limits(n: int, slots: int, memory: int, seed: int, grid: bool) -> None:
    shape = (2, n, 3) if grid else (n,)
    weight = np.random.default_rng(seed).integers(0, 6, int(np.prod(shape)))
    limits = {"slots": slots, "memory": memory}
    result = partition(shape, measure_by(weight), limits, slots="slots")  # type: ignore[arg-type]
    assert not result.over
    assert np.array_equal(np.sort(np.concatenate(result.tiles)), np.arange(weight.size))
    assert all(fits({"slots": len(t), "memory": int(weight[t].sum())}, limits) for t in result.tiles)
    again = partition(shape, measure_by(weight), limits, slots="slots")  # type: ignore[arg-type]
    assert [t.tolist() for t in again.tiles] == [t.tolist() for t in result.tiles]


def test_equal_neurons_take_the_fewest_cores_evenly() -> None:
    result = partition((100,), lambda t: {"slots": len(t)}, {"slots": 30}, slots="slots")
    assert [len(t) for t in result.tiles] == [25] * 4


def test_one_neuron_too_many() -> None:
    weight = np.array([1, 2, 9, 3])
    result = partition((4,), measure_by(weight), {"slots": 4, "memory": 8}, slots="slots")  # type: ignore[arg-type]
    assert result.tiles == ()
    assert (result.neuron, result.over) == (2, (Over("memory", 9, 8),))


def test_an_order_keeps_like_neurons_together() -> None:
    kind = np.arange(40) % 10

    def measure(neurons: np.ndarray) -> dict[str, int]:
        return {"slots": len(neurons), "kinds": len(np.unique(kind[neurons]))}

    limits = {"slots": 40, "kinds": 5}
    order = np.argsort(kind, kind="stable")
    assert len(partition((40,), measure, limits, order=order, slots="slots").tiles) == 2
    assert len(partition((40,), measure, limits, slots="slots").tiles) == 8


def test_grids_prefer_the_cut_that_needs_least() -> None:
    """A tile needs one axon per row it sees: cutting rows is better than cutting columns."""

    def measure(neurons: np.ndarray) -> dict[str, int]:
        rows = np.unique(neurons // 8)
        return {"slots": len(neurons), "axons": len(rows)}

    result = partition((1, 8, 8), measure, {"slots": 16, "axons": 100}, slots="slots")
    assert len(result.tiles) == 4
    assert all(len(np.unique(t // 8)) == 2 for t in result.tiles)


def test_place_fills_chips_in_order() -> None:
    sites = place([("a", 3), ("b", 2)], 4)
    assert [(s.core, s.chip, s.slot, s.layer, s.tile) for s in sites] == [
        (0, 0, 0, "a", 0), (1, 0, 1, "a", 1), (2, 0, 2, "a", 2), (3, 0, 3, "b", 0), (4, 1, 0, "b", 1),
    ]  # fmt: skip


def test_fan_out_and_totals() -> None:
    slots = fan_out(4, [(np.array([0, 1]), 1), (np.array([1, 1, 3]), 2)])
    assert slots.tolist() == [1, 5, 0, 2]
    assert total([{"a": 1}, {"a": 2, "b": 3}]) == {"a": 3, "b": 3}
    assert over({"a": 5}, {"a": 4, "b": 0}) == (Over("a", 5, 4),)
