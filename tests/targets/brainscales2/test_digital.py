"""The digital layer against a brute-force evaluation of its rules, event by event and synapse by synapse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnkit._dialect import instantiate
from snnkit.targets.brainscales2 import arithmetic, digital, spec

Array = np.ndarray[Any, Any]


def node_list() -> list[tuple[int, int]]:
    """The crossbar as its documents describe it, in words: inputs 0-7 neurons, 8-11 links, 12-19 background."""
    found = []
    for k in range(8):
        found += [(k, ("bus", 0, k % 4)), (k, ("bus", 1, k % 4)), (k, ("link", k % 4))]
    for k in range(4):
        found += [(8 + k, ("bus", half, bus)) for half in (0, 1) for bus in range(4)] + [(8 + k, ("link", k))]
    for k in range(8):
        found += [(12 + k, ("bus", 0 if k < 4 else 1, k % 4)), (12 + k, ("link", k % 4))]
    return found  # type: ignore[return-value]


def brute_force(config: dict[str, Array], source: int, label: int, event: int) -> list[tuple[int, ...]]:
    """(event, half, row, column, excitatory, inhibitory) of every synapse that acts on one event."""
    acts = set()
    row_select, low = label // 64 % 32, label % 64
    for node, (entry, where) in enumerate(node_list()):
        mask, target = (int(x) for x in config["crossbar"][node])
        if entry != source or (label & mask) != target or where[0] == "link":  # type: ignore[index]
            continue
        _, half, bus = where  # type: ignore[misc]
        for index in range(32):
            driver = 4 * index + bus
            on, even, odd, compare = (int(x) for x in config["driver"][half, driver])
            if not on or (row_select & compare) != (index & compare):
                continue
            for row, mode in ((2 * driver, even), (2 * driver + 1, odd)):
                if mode == 0:
                    continue
                for column in np.flatnonzero(config["synapse_label"][half, row] == low).tolist():
                    weight = int(config["synapse_weight"][half, row, column])
                    if weight:
                        acts.add((event, half, row, column, weight * (mode in (1, 3)), weight * (mode in (2, 3))))
    return sorted(acts)


def random_config(rng: np.random.Generator) -> dict[str, Array]:
    """Any registers; labels from few values, masks and weights of every size, so that all rules decide something."""
    labels = rng.integers(0, 64, rng.integers(1, 6))
    weight = rng.integers(0, 200, (2, 256, 256), np.uint8)
    weight[weight > 63] = 0
    driver = np.stack(
        [rng.integers(0, 2, (2, 128)), rng.integers(0, 4, (2, 128)), rng.integers(0, 4, (2, 128)),
         rng.choice([0, 3, 24, 31, 30, 15], (2, 128))], 2,
    ).astype(np.uint8)  # fmt: skip
    mask = rng.choice([0, 0x3800, 0x700, 0x7FF, 0x3FFF, 1], 76)
    target = np.where(rng.random(76) < 0.5, mask & rng.integers(0, 2**14, 76), rng.integers(0, 2**14, 76))
    target = np.where(rng.random(76) < 0.3, 0, target)
    return {
        "synapse_weight": weight,
        "synapse_label": labels.astype(np.uint8)[rng.integers(0, len(labels), (2, 256, 256), np.uint8)],
        "driver": driver,
        "crossbar": np.stack([mask, target], 1).astype(np.int32),
        "labels": labels,
    }


def events(rng: np.random.Generator, config: dict[str, Array], count: int) -> tuple[Array, Array]:
    source = rng.integers(0, spec.CROSSBAR_INPUTS, count)
    label = rng.integers(0, 2**14, count)
    known = (label & ~63) | rng.choice(config["labels"], count)
    target = config["crossbar"][rng.integers(0, 76, count), 1]
    label = np.where(rng.random(count) < 0.8, known, label)
    return source, np.where(rng.random(count) < 0.2, (target & ~63) | (label & 63), label)


def compare(seeds: range) -> tuple[int, int]:
    """Deliveries that were equal, and how many of the events reached a synapse."""
    equal = reached = 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        config = random_config(rng)
        source, label = events(rng, config, 2)
        want = [row for k in range(2) for row in brute_force(config, int(source[k]), int(label[k]), k)]
        got = [tuple(row) for row in digital.deliver(config, source, label).rows().tolist()]
        assert got == want, seed
        equal += 1
        reached += len({row[0] for row in want})
    return equal, reached


def test_delivery_equals_brute_force_on_1000_configurations() -> None:
    equal, reached = compare(range(1000))
    assert equal == 1000
    assert reached > 300


def test_nodes() -> None:
    where = [(0 if w[0] == "bus" else 8) + (4 * w[1] + w[2] if w[0] == "bus" else w[1]) for _, w in node_list()]  # type: ignore[index,misc]
    expected = [(entry, to) for (entry, _), to in zip(node_list(), where)]
    assert digital.nodes().tolist() == [list(pair) for pair in expected]
    assert len({tuple(pair) for pair in digital.nodes().tolist()}) == spec.CROSSBAR_NODES == 76


@pytest.mark.parametrize("form", ["python", "numpy", "numba", "torch"])
def test_arithmetic_on_edge_values(form: str) -> None:
    import numba
    import torch

    labels = [0, 1, 63, 64, 2047, 2048, 16383, 16384, 49152, 65535, 0b10110_101010]
    others = [0, 1, 3, 31, 63, 0x700, 0x7FF, 0x3FFF, 5, 30, 24]
    forms = {
        "python": lambda: (instantiate(arithmetic, where=arithmetic.where), None),
        "numpy": lambda: (instantiate(arithmetic, where=np.where), lambda a: np.array(a, np.int64)),
        "torch": lambda: (instantiate(arithmetic, where=torch.where), lambda a: torch.tensor(a)),
        "numba": lambda: (instantiate(arithmetic, where=numba.njit(arithmetic.where), compiler=numba.njit), None),
    }
    namespace, pack = forms[form]()

    def values(name: str, *columns: list[int]) -> list[Any]:
        f = getattr(namespace, name)
        if pack is None:
            return [f(*row) for row in zip(*columns)]
        out = f(*(pack(c) for c in columns))
        return list(zip(*(o.tolist() for o in out))) if isinstance(out, tuple) else out.tolist()

    pairs = [(a, b) for a in labels for b in others]
    a, b = [x for x, _ in pairs], [x for _, x in pairs]
    target = [(x * 7 + y) % 16384 for x, y in pairs]
    assert values("row_select", labels) == [x // 64 % 32 for x in labels]
    assert values("forwarded", labels) == [x % 64 for x in labels]
    assert values("link_of", labels) == [x // 16384 for x in labels]
    assert values("link_label", labels) == [x % 16384 for x in labels]
    assert [bool(x) for x in values("passes", a, b, target)] == [(x & y) == t for x, y, t in zip(a, b, target)]
    expected = [(x // 64 % 32 & y) == ((y + 1) % 32 & y) for x, y in pairs]
    assert [bool(x) for x in values("takes", a, [(y + 1) % 32 for y in b], b)] == expected
    assert values("neuron_label", [0, 3, 7], [0, 200, 255]) == [0, 968, 2047]
    assert [tuple(x) for x in values("signed", [9] * 4, [0, 1, 2, 3])] == [(0, 0), (9, 0), (0, 9), (9, 9)]
    assert values("clamp", [-1000, -129, -128, 0, 127, 128, 1000]) == [-128, -128, -128, 0, 127, 127, 127]


def test_constants_of_the_arithmetic_are_those_of_the_specification() -> None:
    assert spec.ROW_SELECT_SHIFT == 6
    assert spec.ROW_SELECT_MASK == 31
    assert spec.LABEL_MAX == 63
    assert (spec.LINK_SHIFT, spec.LINK_LABEL_MASK) == (14, 16383)
    assert spec.NEURON_FREE_BITS == 8
    assert (spec.MATRIX_LOW, spec.MATRIX_HIGH) == (-128, 127)
