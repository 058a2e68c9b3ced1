"""From a model to a descriptor: spikes equal to torch's through copies, relays, loops; findings for the rest."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from snnkit import nn as snn
from snnkit.errors import FindingsError
from snnkit.targets.truenorth import codes, integers
from snnkit.validation.pipeline import to_chip

from .networks import deploy, fire
from .networks import integers as whole


class Skip(nn.Module):
    """A path that has to wait for the other one."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (whole(snn.Linear(i, o)) for i, o in ((40, 30), (30, 30), (30, 10)))
        self.n1, self.n2, self.n3 = fire(), fire(), fire()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.n1(self.a(x))
        return self.n3(self.c(self.n2(self.b(h)) + h))


def dense(*sizes: int, **more: Any) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [whole(snn.Linear(a, b), **more), fire(0.5 if len(layers) % 4 else 0.75)]
    return nn.Sequential(*layers)


MODELS = {
    "trinary": (lambda: dense(100, 96, 60, 10), (100,)),
    "subtract": (lambda: nn.Sequential(whole(snn.Linear(50, 20)), fire(0.75, reset="subtract")), (50,)),
    "four bits": (lambda: dense(60, 50, 10, unit=0.125, low=-8, high=7, share=1.0), (60,)),
    "conv": (
        lambda: nn.Sequential(
            whole(snn.Conv2d(2, 8, 3, padding=1, stride=2, bias=False)), fire(), whole(snn.Conv2d(8, 12, 3, stride=2)),
            fire(1.0), snn.Flatten(), whole(snn.Linear(108, 10)), fire(),
        ),
        (2, 16, 16),
    ),
    "fan-out over cores": (lambda: dense(40, 64, 400), (40,)),
    "fan-in that needs a core per neuron": (lambda: nn.Sequential(whole(snn.Linear(400, 6)), fire()), (400,)),
    "loop": (
        lambda: nn.Sequential(
            whole(snn.Linear(40, 90)), snn.Recurrent(fire(), whole(snn.Linear(90, 90))), whole(snn.Linear(90, 10)),
            fire(),
        ),
        (40,),
    ),
    "skip": (Skip, (40,)),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_spikes_are_those_of_the_model(name: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    make, shape = MODELS[name]
    chip, made, differ = deploy(make(), shape, tmp_path / "a.snnx")
    assert all(row["exact"] for row in chip.report)
    assert all(wrong == 0 for wrong, _ in differ.values()), differ
    assert all(spikes for _, spikes in differ.values())
    assert made.manifest.chip["run_ticks"] is not None


def test_relays_where_they_need_fewer_cores(tmp_path: Path) -> None:
    torch.manual_seed(0)
    chip, made, differ = deploy(dense(128, 120, 120, 1500), (128,), tmp_path / "a.snnx", batch=2)
    assert [row["relayed"] for row in chip.report] == [False, True, False]
    assert [layer.lag for layer in made.manifest.layers] == [0, 1, 3]
    assert all(wrong == 0 for wrong, _ in differ.values())
    assert len(made.manifest.resources.per_core) == made.manifest.resources.totals["cores"]


def test_biases_are_leaks_or_gate_lines(tmp_path: Path) -> None:
    torch.manual_seed(1)
    chip, _, differ = deploy(dense(40, 30, 30, 30, 10), (40,), tmp_path / "a.snnx")
    assert all(wrong == 0 for wrong, _ in differ.values())
    assert any(row["gated_bias"] for row in chip.report)  # the leak's warm-up would have fired
    assert not chip.report[0]["gated_bias"]


def random_model(seed: int) -> tuple[nn.Sequential, int]:
    """Layers of any width, trinary or 4-bit, dense or sparse, with or without biases and loops."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    sizes = [int(rng.integers(1, 130)), *(int(n) for n in rng.integers(1, 90, rng.integers(1, 5)))]
    layers: list[nn.Module] = []
    for k, (a, b) in enumerate(pairwise(sizes)):
        low, high = (-8, 7) if a <= 64 and rng.random() < 0.4 else (-1, 1)
        layers.append(whole(snn.Linear(a, b, bool(rng.integers(2))), 0.25, low, high, float(rng.choice([0.3, 0.6, 1]))))
        neuron = fire(float(rng.choice([0.25, 0.5, 1.25])), reset=str(rng.choice(["zero", "subtract"])))
        loop = rng.random() < 0.2 and k < len(sizes) - 2
        layers.append(snn.Recurrent(neuron, whole(snn.Linear(b, b), share=0.4)) if loop else neuron)
    return nn.Sequential(*layers), sizes[0]


@pytest.mark.parametrize("seed", [0, 9, 17, 27, 40, 99, 106, 200])
def test_random_networks_map_exactly(seed: int, tmp_path: Path) -> None:
    model, n = random_model(seed)
    chip, _, differ = deploy(model, (n,), tmp_path / "a.snnx", batch=2, seed=seed)
    assert all(row["exact"] for row in chip.report)
    assert all(wrong == 0 for wrong, _ in differ.values()), differ


def test_deep_biases_beside_4_bit_weights_take_several_axons(tmp_path: Path) -> None:
    torch.manual_seed(5)
    model = dense(40, 40, 40, 40, unit=0.25, low=-8, high=7, share=1.0)
    with torch.no_grad():
        model[4].bias.mul_(3)
    chip, made, differ = deploy(model, (40,), tmp_path / "a.snnx")
    assert chip.report[2]["gated_bias"]
    assert sum(c.src.startswith("bias") for c in chip.graph.connections) > 1
    assert [p.gate_from for p in made.manifest.ports if p.gate_from is not None]
    assert all(wrong == 0 for wrong, _ in differ.values())


def test_two_exports_are_equal_bytes(tmp_path: Path) -> None:
    torch.manual_seed(2)
    model = dense(50, 40, 10)
    for name in "ab":
        deploy(model, (50,), tmp_path / f"{name}.snnx")
    for file in sorted((tmp_path / "a.snnx").iterdir()):
        assert file.read_bytes() == (tmp_path / "b.snnx" / file.name).read_bytes()


def test_other_weights_are_rounded_and_counted(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(snn.Linear(120, 50), fire(0.3), snn.Linear(50, 10), fire(0.2))
    chip, _, _ = deploy(model, (120,), tmp_path / "a.snnx")
    assert [row["exact"] for row in chip.report] == [False, False]
    first, second = (row["connections"][row["layer"]] for row in chip.report)
    assert first["zeroed"] > 0  # trinary
    assert second["rms_error_of_rms"] < 0.1  # 4 bits
    assert {f.code for f in chip.findings} == {"ROUNDED"}
    assert all(f.severity == "note" for f in chip.findings)


@pytest.mark.parametrize(
    ("model", "shape", "code"),
    [
        (nn.Sequential(snn.Linear(40, 10), snn.LIF(decay=0.9)), (40,), "DECAY"),
        (nn.Sequential(snn.Linear(40, 10), snn.LIF(decay=1.0, refractory=2)), (40,), "REFRACTORY"),
        (nn.Sequential(snn.Linear(40, 10), snn.CubaLIF(decay_syn=0.5, decay_mem=1.0)), (40,), "NEURON"),
        (nn.Sequential(snn.Linear(40, 10), fire(), snn.Linear(10, 4), snn.LI(decay=1.0)), (40,), "LI_READOUT"),
        (nn.Sequential(whole(snn.Linear(600, 10, bias=False), low=1), fire()), (600,), "FAN_IN"),
        (nn.Sequential(whole(snn.Linear(40, 10)), fire(2.0**18)), (40,), "THRESHOLD_SCALE"),
    ],
)
def test_what_does_not_fit_is_a_finding_with_its_remedy(model: nn.Module, shape: tuple[int, ...], code: str) -> None:
    with pytest.raises(FindingsError) as caught:
        to_chip(model, shape, "truenorth", np.zeros((4, 1, *shape), np.uint8), steps=16)
    mine = [f for f in caught.value.findings if f.code == code]
    assert mine, caught.value.findings
    assert all(f.remedy for f in mine)


def test_a_run_without_end_needs_its_length() -> None:
    torch.manual_seed(0)
    model = dense(40, 10)
    with pytest.raises(FindingsError) as caught:
        to_chip(model, (40,), "truenorth", np.zeros((4, 1, 40), np.uint8))
    assert {f.code for f in caught.value.findings} == {"RUN_LENGTH"}
    with pytest.raises(FindingsError) as caught:
        to_chip(model, (40,), "truenorth", np.zeros((4, 1, 40), np.uint8), steps=100_000)
    assert {f.code for f in caught.value.findings} == {"POTENTIAL_RANGE"}


@given(st.lists(st.integers(-8, 7), min_size=1, max_size=40), st.integers(1, 31))
def test_every_4_bit_row_has_a_code(row: list[int], factor: int) -> None:
    values = np.array(row) * factor
    weights = codes.basis(values)
    assert weights is not None
    for value, mask in zip(values, codes.masks(values, weights)):
        assert value == sum(w for k, w in enumerate(weights) if mask >> k & 1)
    distinct = {int(v) for v in values} - {0}
    assert sum(w != 0 for w in weights) <= max(1 if len(distinct) < 2 else len(distinct), 0)


@given(st.lists(st.integers(-8, 7), min_size=1, max_size=30), st.floats(0.01, 10))
def test_rows_of_integers_are_found_exactly(row: list[int], unit: float) -> None:
    found = integers.exact(np.array(row) * np.float32(unit))
    assert found is not None
    assert np.allclose(found.k * found.unit, np.array(row) * unit, rtol=1e-5)


@given(st.integers(0, 2**32 - 1))
def test_nearest_trinary_row_is_the_best_of_all(seed: int) -> None:
    v = np.random.default_rng(seed).normal(size=7)
    made = integers.nearest(v, integers.TRINARY, np.ones(7))
    error = ((made.k * made.unit - v) ** 2).sum()
    for kept in range(1, 8):
        order = np.argsort(-np.abs(v))[:kept]
        k = np.zeros(7)
        k[order] = np.sign(v[order])
        # the unit has few bits: each of 7 weights may be off by half of its last one
        lost = 7 * (made.unit * 2.0**-integers.UNIT_BITS) ** 2
        assert error <= ((k * np.abs(v[order]).mean() - v) ** 2).sum() + lost
