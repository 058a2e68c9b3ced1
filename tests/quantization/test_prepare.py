"""prepare and convert: the training layers hold the integers that the targets' quantisers choose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from snnkit import nn as snn
from snnkit.errors import FindingsError, ParameterError, UsageError
from snnkit.export import to_graph
from snnkit.graph.model import Graph
from snnkit.graph.run import run
from snnkit.models import CrossbarClassifier
from snnkit.passes import add_lag, gate_bias
from snnkit.quantization import RowWeights, WholeUnits, convert, prepare, quantize_weights, unquantized
from snnkit.quantization.weights import few_bits
from snnkit.targets import registry
from snnkit.targets.truenorth import integers


def fire(**more: Any) -> snn.LIF:
    return snn.LIF(decay=1.0, **more)


def conv_net(bias: bool = False, reset: str = "zero") -> nn.Sequential:
    return nn.Sequential(
        snn.Conv2d(2, 6, 3, padding=1, stride=2, bias=bias), fire(threshold=0.3, reset=reset),
        snn.Conv2d(6, 8, 3, padding=1, groups=2, bias=bias), fire(threshold=0.2, reset=reset),
        snn.Flatten(), snn.Linear(8 * 16, 20, bias=bias, fan_in=60), fire(threshold=0.1, reset=reset),
    )  # fmt: skip


def flat(graph: Graph) -> dict[str, bytes]:
    """Every array of an integer graph, by place."""
    out = {}
    for p in graph.populations:
        out |= {f"{p.name}.{k}": np.asarray(v).tobytes() for k, v in vars(p.neuron).items()} | {p.name: bytes([p.lag])}
    for c in graph.connections:
        m = c.synapse.matrix().tocsr()
        out |= {f"{c.name}.{k}": getattr(m, k).tobytes() for k in ("data", "indices", "indptr")}
        out[c.name] = np.asarray(c.delay).tobytes()
    return out


def direct(model: nn.Module, shape: tuple[int, ...], target: str, bits: int | None = None, **options: Any) -> Any:
    """The quantised export of a model, on the ordinary road."""
    graph, _ = to_graph(model, shape, **options)
    assert graph is not None
    chip = registry.get(target)
    chosen = chip.part("quantize").QuantizeOptions(bits=bits) if bits else None
    return chip.quantize(gate_bias(add_lag(graph)), None, chosen)


@pytest.mark.parametrize("bits", [None, 2, 4])
@pytest.mark.parametrize(("seed", "bias", "reset"), [(0, False, "zero"), (1, True, "zero"), (2, True, "subtract")])
def test_convert_is_the_quantised_export(bits: int | None, seed: int, bias: bool, reset: str) -> None:
    torch.manual_seed(seed)
    model = conv_net(bias, reset).eval()
    for layer in (model[0], model[2], model[5]) if bias else ():
        layer.bias.data.abs_().mul_(0.2)  # a negative one would need a long way up before frame 0
    prepared = prepare(model, "truenorth", bits=bits)
    made = convert(prepared, (2, 8, 8), "truenorth", steps=6)
    assert flat(made.graph) == flat(direct(model, (2, 8, 8), "truenorth", bits, steps=6).graph)
    assert all(row["exact_weights"] for row in made.report)
    assert all(row["exact"] for row in made.report) or bias, "biases are rounded"
    assert not any(isinstance(m, RowWeights) for m in model.modules()), "the model itself stays as it was"


@pytest.mark.parametrize(("target", "bits"), [("truenorth", 2), ("truenorth", 4), ("loihi", None)])
def test_the_prepared_model_fires_as_the_integer_graph(target: str, bits: int | None) -> None:
    torch.manual_seed(1)
    prepared = prepare(conv_net(), target, bits=bits).eval()
    made = convert(prepared, (2, 8, 8), target, steps=8)
    x = (torch.rand(8, 12, 2, 8, 8) < 0.3).float()
    with torch.no_grad(), snn.record(prepared, spikes=True) as seen:
        prepared(x)
    trace = run(made.graph, {made.graph.inputs[0].name: x.numpy().astype(np.uint8)})
    for p in made.graph.populations:
        spikes = seen.spikes[p.name].flatten(2).numpy().astype(np.uint8)
        assert spikes.any()
        assert np.array_equal(spikes, trace.aligned(p.name)), p.name


def test_norms_are_folded_and_biases_follow() -> None:
    torch.manual_seed(2)
    model = nn.Sequential(snn.Linear(20, 30), snn.BatchNorm(30), fire(), snn.Linear(30, 10), fire())
    model[1].running_mean.uniform_(-0.1, 0.1)
    model[1].running_var.uniform_(0.5, 2)
    prepared = prepare(model.eval(), "truenorth", bits=2)
    made = convert(prepared, (20,), "truenorth", steps=6)
    k = [(c.synapse.matrix() != 0).toarray() for c in made.graph.connections]
    wanted = [
        (c.synapse.matrix() != 0).toarray() for c in direct(model, (20,), "truenorth", 2, steps=6).graph.connections
    ]
    assert all(np.array_equal(a, b) for a, b in zip(k, wanted))
    for target in ("loihi", "spinnaker"):
        made = convert(prepare(model, target), (20,), target, steps=6)
        assert all(row["exact_weights"] for row in made.report)


def test_gradients_pass_the_rounding_unchanged() -> None:
    torch.manual_seed(0)
    layer = quantize_weights(snn.Linear(12, 5, bias=False), bits=2)
    x = torch.rand(3, 2, 12)
    layer(x).square().sum().backward()
    through = layer.parametrizations.weight.original.grad
    plain = snn.Linear(12, 5, bias=False)
    plain.weight.data = layer.weight.detach().clone()
    plain(x).square().sum().backward()
    assert torch.equal(through, plain.weight.grad)


@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 4]), st.integers(1, 140))
@settings(max_examples=60)
def test_rows_are_those_of_the_quantiser(seed: int, bits: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    w = torch.from_numpy(rng.normal(size=(4, n)).astype(np.float32))
    w[0] = torch.from_numpy(rng.integers(-8, 8, n).astype(np.float32)) * 0.3
    w[1] = (w[1] * 3).round() * 0.25
    made = RowWeights(bits)(w).numpy()
    for row, found in zip(w.numpy(), made):
        mine = integers.exact(row) or integers.nearest(row, bits, np.ones(n))
        assert np.array_equal(found, (mine.unit * mine.k).astype(np.float32)) or (
            mine.exact and np.array_equal(found, row)
        )


@given(st.floats(1e-6, 1e6), st.lists(st.integers(-8, 8), min_size=1, max_size=500))
def test_float32_adds_units_without_rounding(value: float, k: list[int]) -> None:
    unit = float(few_bits(torch.tensor(value, dtype=torch.float64)))
    assert unit == integers.few_bits(value)
    assert abs(unit - value) <= value * 2.0**-integers.UNIT_BITS
    total = np.float32(0)
    for each in k:
        total = np.float32(total + np.float32(each * unit))
    assert float(total) == sum(k) * unit


def test_thresholds_are_whole_units() -> None:
    made = WholeUnits(0.25)(torch.tensor([0.0, 0.3, 0.9]))
    assert made.tolist() == [0.25, 0.25, 1.0]
    assert WholeUnits(1.0, most=5)(torch.tensor([9.0])).tolist() == [5.0]


def test_unquantized_gives_the_trained_weights_back() -> None:
    layer = snn.Linear(8, 4)
    before = layer.weight.detach().clone()
    model = nn.Sequential(quantize_weights(layer))
    assert not torch.equal(model[0].weight, before)
    assert torch.equal(unquantized(model)[0].weight, before)


@pytest.mark.parametrize(
    ("call", "error", "what"),
    [
        (lambda: prepare(snn.Linear(4, 2), "loihi", bits=4), ParameterError, "bits=4"),
        (lambda: prepare(snn.Linear(4, 2), "truenorth", bits=3), ParameterError, "bits=3"),
        (lambda: prepare(snn.Linear(4, 2), "trunorth"), UsageError, "truenorth"),
        (lambda: prepare(nn.Sequential(snn.BatchNorm(3), fire()), "truenorth"), ParameterError, "batch norm"),
        (lambda: RowWeights(unit=0.0), ParameterError, "unit"),
        (lambda: WholeUnits(-1.0), ParameterError, "unit"),
    ],
)
def test_what_cannot_be_is_refused(call: Any, error: type[Exception], what: str) -> None:
    with pytest.raises(error, match=what):
        call()


def test_a_model_that_does_not_fit_is_a_list_of_findings() -> None:
    model = nn.Sequential(snn.Linear(10, 5), snn.LIF(decay=0.5))
    with pytest.raises(FindingsError) as caught:
        convert(prepare(model, "truenorth"), (10,), "truenorth", steps=4)
    assert {f.code for f in caught.value.findings} == {"DECAY"}


@pytest.mark.parametrize("bits", [2, 4])
def test_the_crossbar_classifier_is_the_chip_spike_for_spike(bits: int) -> None:
    torch.manual_seed(bits)
    model = CrossbarClassifier(
        (2, 10, 10), 4, channels=(6, 7), kernels=(3, 3), strides=(2, 2), groups=(1, 1), votes=3, fan_in=60, bits=bits,
        threshold=0.5,
    ).eval()  # fmt: skip
    made = convert(model, (2, 10, 10), "truenorth", steps=6, readout="count")
    assert all(row["exact"] for row in made.report)
    assert max(row["fan_in_max"] for row in made.report) <= 60
    x = (torch.rand(6, 8, 2, 10, 10) < 0.3).float()
    with torch.no_grad():
        votes = model(x).sum(0).numpy()
    trace = run(made.graph, {made.graph.inputs[0].name: x.numpy().astype(np.uint8)})
    assert votes.any()
    assert np.array_equal(trace.scores(), votes)
    largest = max(np.abs(c.synapse.matrix().data).max() for c in made.graph.connections)
    assert largest == 1 if bits == 2 else largest > 1
