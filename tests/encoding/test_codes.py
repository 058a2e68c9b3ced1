"""Each code against its definition written out in plain Python; shapes, types, devices, seeds, gradients, bad input."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from snnkit import encoding
from snnkit import nn as snn
from snnkit.errors import ParameterError, ShapeError

VALUES = torch.rand(3, 2, 5, generator=torch.Generator().manual_seed(0))
VALUES[0, 0, :4] = torch.tensor([0.0, 1.0, 0.5, 0.5])
T = 8

CODES: dict[str, Callable[[Tensor], Tensor]] = {
    "bernoulli": lambda v: encoding.encode_bernoulli(v, T, 0.7, seed=3),
    "poisson": lambda v: encoding.encode_poisson(v, T, 1.5, seed=3),
    "poisson counts": lambda v: encoding.encode_poisson(v, T, 1.5, True, seed=3),
    "latency": lambda v: encoding.encode_latency(v, T, 0.2),
    "rank order": lambda v: encoding.encode_rank_order(v, T),
    "phase": lambda v: encoding.encode_phase(v, T, 4),
    "burst": lambda v: encoding.encode_burst(v, T),
    "population": lambda v: encoding.encode_population(v, T, 4),
    "direct": lambda v: encoding.encode_direct(v, T),
}
MODULES: dict[str, encoding.Encoder] = {
    "bernoulli": encoding.Bernoulli(T, 0.7, seed=3),
    "poisson": encoding.Poisson(T, 1.5, seed=3),
    "poisson counts": encoding.Poisson(T, 1.5, True, seed=3),
    "latency": encoding.Latency(T, 0.2),
    "rank order": encoding.RankOrder(T),
    "phase": encoding.Phase(T, 4),
    "burst": encoding.Burst(T),
    "population": encoding.Population(T, 4),
    "direct": encoding.Direct(T),
}
DETERMINISTIC = ["latency", "rank order", "phase", "burst", "population", "direct"]
RANDOM = ["bernoulli", "poisson", "poisson counts"]


def each(values: Tensor, code: Callable[[float], list[int]]) -> Tensor:
    """A code of single values, written in plain Python, on a tensor: [T, *values.shape]."""
    rows = torch.tensor([code(float(v)) for v in values.double().reshape(-1)], dtype=torch.float32)
    return rows.T.reshape(-1, *values.shape)


# ---------------------------------------------------------------------------------------------------- the definitions
def test_latency_by_definition() -> None:
    def plain(v: float) -> list[int]:
        return [int(v >= 0.2 and t == math.floor((1 - v) * (T - 1) + 0.5)) for t in range(T)]

    assert torch.equal(encoding.encode_latency(VALUES, T, 0.2), each(VALUES, plain))
    assert encoding.encode_latency(torch.tensor([[1.0, 0.0]]), 4).tolist() == [[[1, 0]], [[0, 0]], [[0, 0]], [[0, 1]]]


def test_rank_order_by_definition() -> None:
    v = torch.tensor([[0.3, 0.9, 0.3, -2.0], [5.0, 5.0, 5.0, 5.0]])
    spikes = encoding.encode_rank_order(v)
    assert spikes.argmax(0).tolist() == [[1, 0, 2, 3], [0, 1, 2, 3]], "ties go to the lowest index"
    assert spikes.sum(0).eq(1).all()
    n = VALUES[0].numel()
    for steps in (1, 4, 10, 25):
        out = encoding.encode_rank_order(VALUES, steps)
        for b, sample in enumerate(VALUES.reshape(3, -1).tolist()):
            order = sorted(range(n), key=lambda i: (-sample[i], i))
            for rank, i in enumerate(order):
                train = [0] * steps
                train[rank * steps // n] = 1
                assert out.reshape(steps, 3, n)[:, b, i].tolist() == train


def test_phase_by_definition() -> None:
    def plain(v: float) -> list[int]:
        return [int(b) for b in f"{min(int(v * 16), 15):04b}"] * 2

    assert torch.equal(encoding.encode_phase(VALUES, T, 4), each(VALUES, plain))
    assert encoding.phase_weights(8, 4).tolist() == [0.25, 0.125, 0.0625, 0.03125] * 2
    deep = encoding.encode_phase(torch.tensor([[1 - 2**-24]]), 24, 24)
    assert deep.sum() == 24


def test_burst_by_definition() -> None:
    def plain(v: float) -> list[int]:
        r, g, out = v, 1 / 16, []
        for _ in range(T):
            out.append(int(r >= g))
            r, g = (r - g, 2 * g) if r >= g else (r, 1 / 16)
        return out

    dyadic = (VALUES * 256).round() / 256
    assert torch.equal(encoding.encode_burst(dyadic, T), each(dyadic, plain))
    train = torch.tensor([1.0, 1, 0, 1, 1, 1]).view(6, 1, 1)
    assert encoding.burst_weights(train, 3.0, 0.1).flatten().tolist() == pytest.approx([0.1, 0.3, 0.9, 0.1, 0.3, 0.9])


def test_population_by_definition() -> None:
    centres = encoding.field_centres(6, -1.0, 3.0)
    assert centres.tolist() == [-1.5, -0.5, 0.5, 1.5, 2.5, 3.5]
    v = torch.tensor([[0.5, -1.0, 2.0]])
    fields = encoding.receptive_fields(v, 6, -1.0, 3.0, 1.5)
    expected = [[math.exp(-(((x - m) * 1.5) ** 2) / 2) for m in centres.tolist()] for x in v[0].tolist()]
    np.testing.assert_allclose(fields[0].numpy(), expected, rtol=1e-6)
    spikes = encoding.encode_population(v, 10, 6, -1.0, 3.0)
    assert spikes.shape == (10, 1, 3, 6)
    assert spikes[0, 0, 0].tolist() == [0, 0, 1, 0, 0, 0], "a value on a centre fires that neuron at once"
    assert torch.equal(spikes, encoding.encode_latency(fields, 10, 0.1))


@pytest.mark.parametrize("counts", [False, True])
def test_delta_by_definition(counts: bool) -> None:
    rng = np.random.default_rng(1)
    x = np.round(np.cumsum(rng.normal(0, 0.5, (40, 2, 3)), 0) * 64) / 64
    out = encoding.encode_delta(torch.from_numpy(x).float(), 0.25, 0.0, counts)
    assert out.shape == (40, 2, 2, 3)
    for b in range(2):
        for i in range(3):
            reference = 0.0
            for t in range(40):
                e = x[t, b, i] - reference
                n = math.floor(abs(e) / 0.25) if counts else int(abs(e) >= 0.25)
                on, off = (n, 0) if e > 0 else (0, n)
                assert out[t, b, :, i].tolist() == [off, on]
                reference += 0.25 * (on - off)
    assert out.max() > 1 if counts else out.max() == 1


def test_delta_starts_where_it_is_told() -> None:
    x = torch.full((3, 1, 2), 5.0)
    assert encoding.encode_delta(x, 1.0).sum() == 0
    assert encoding.encode_delta(x, 1.0, 0.0)[:, 0, 1, 0].tolist() == [1, 1, 1]
    assert encoding.encode_delta(x, 1.0, torch.tensor([[5.0, 6.0]]))[:, 0, 0].tolist() == [[0, 1], [0, 0], [0, 0]]
    module = encoding.Delta(1.0, 0.0)
    assert torch.equal(module(x), encoding.encode_delta(x, 1.0, 0.0))
    assert repr(module) == "Delta(threshold=1.0, start=0.0, counts=False)"


def test_rates_are_those_of_the_definition() -> None:
    v = torch.linspace(0, 1, 11).repeat(1, 200)
    steps = 500
    for out, mean, variance in [
        (encoding.encode_bernoulli(v, steps, 0.8, seed=1), 0.8 * v, 0.8 * v * (1 - 0.8 * v)),
        (encoding.encode_poisson(v, steps, 2.0, seed=1), 1 - (-2 * v).exp(), (-2 * v).exp() * (1 - (-2 * v).exp())),
        (encoding.encode_poisson(v, steps, 2.0, True, seed=1), 2 * v, 2 * v),
    ]:
        measured = out.mean(0).view(200, 11).mean(0)
        error = (variance[0, :11] / (steps * 200)).sqrt()
        assert ((measured - mean[0, :11]).abs() <= 4 * error + 1e-7).all()
        spread = out.var((0, 1)).view(200, 11).mean(0)
        assert torch.allclose(spread, variance[0, :11], rtol=0.03)
        # steps and neurons are independent: neighbours are not correlated
        a = out[:-1].view(-1, 200, 11)[..., 5] - mean[0, 5]
        b = out[1:].view(-1, 200, 11)[..., 5] - mean[0, 5]
        assert abs(float((a * b).mean())) < 5 * float(variance[0, 5]) / math.sqrt(a.numel())
    assert encoding.encode_bernoulli(torch.ones(1, 50), 50, seed=0).eq(1).all()
    assert encoding.encode_bernoulli(torch.zeros(1, 50), 50, seed=0).eq(0).all()


# --------------------------------------------------------------------------------------- shapes, types, devices, seeds
@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_shape_type_and_module(name: str, dtype: torch.dtype) -> None:
    v = VALUES.to(dtype)
    out = CODES[name](v)
    module = MODULES[name]
    assert out.dtype == dtype
    assert out.shape == (T, 3, *module.output_shape((2, 5)))
    assert torch.equal(module(v), out)
    assert list(module.parameters()) == []
    assert list(module.buffers()) == []
    if module.binary:
        assert set(out.unique().tolist()) <= {0.0, 1.0}
    # codes compute in float32 at least: a narrow type gives the spikes of the same values in float32
    if dtype in (torch.bfloat16, torch.float16) and name not in RANDOM and name != "population":
        assert torch.equal(out.float(), CODES[name](v.float()))


@pytest.mark.parametrize("name", CODES)
def test_no_values_and_no_features(name: str) -> None:
    for shape in ((0, 4), (2,), (2, 0)):
        out = MODULES[name](torch.rand(shape))
        assert out.shape == (T, shape[0], *MODULES[name].output_shape(shape[1:]))


@pytest.mark.parametrize("name", CODES)
def test_nothing_is_copied_to_the_host(name: str) -> None:
    """The meta device has no values: whatever asks for one fails."""
    module = encoding.from_description(encoding.describe(MODULES[name]))
    module.seed = None
    v = VALUES.to("meta").requires_grad_()
    assert module(v).device.type == "meta"


def test_decoders_and_delta_copy_nothing_to_the_host() -> None:
    s, lengths = torch.empty(T, 3, 2, 5, device="meta"), torch.empty(3, dtype=torch.int64, device="meta")
    outs = [
        encoding.decode_rate(s, lengths=lengths),
        encoding.decode_first_spike(s, lengths),
        encoding.decode_weighted(s, encoding.burst_weights(s)),
        encoding.decode_weighted(s, encoding.phase_weights(T, device="meta")),
        encoding.encode_delta(s, 0.1),
        encoding.decode_delta(s, 0.1),
        encoding.decode_population(s, encoding.field_centres(5, device="meta")),
    ]
    assert {o.device.type for o in outs} == {"meta"}


@pytest.mark.parametrize("name", RANDOM)
def test_seeds(name: str) -> None:
    module = MODULES[name]
    torch.manual_seed(1)
    before = torch.get_rng_state()
    out = module(VALUES)
    assert torch.equal(torch.get_rng_state(), before), "torch's own generator is left alone"
    torch.manual_seed(2)
    assert torch.equal(module(VALUES), out), "the same seed, the same bits, whatever torch's own generator did"
    by_generator = module(VALUES, torch.Generator().manual_seed(3))
    assert torch.equal(by_generator, out)
    assert not torch.equal(module(VALUES, torch.Generator().manual_seed(4)), out)
    free = encoding.from_description({**encoding.describe(module), "init_args": {**module.settings(), "seed": None}})
    torch.manual_seed(5)
    first, second = free(VALUES), free(VALUES)
    assert not torch.equal(first, second)
    torch.manual_seed(5)
    assert torch.equal(free(VALUES), first)
    generator = torch.Generator().manual_seed(3)
    assert not torch.equal(module(VALUES, generator), module(VALUES, generator)), "a generator goes on"


@pytest.mark.parametrize("name", ["bernoulli", "latency", "rank order", "phase", "burst", "population", "direct"])
def test_compiled_whole(name: str) -> None:
    module = encoding.from_description(encoding.describe(MODULES[name]))
    if name == "bernoulli":
        module.seed = None
    torch.manual_seed(0)
    expected = module(VALUES)
    torch.manual_seed(0)
    compiled = torch.compile(module, backend="eager", fullgraph=True)
    assert torch.equal(compiled(VALUES), expected)
    if module.binary and name != "rank order":
        beyond = compiled(torch.full((3, 2, 5), 7.0))  # a compiled graph cannot raise: it clamps
        assert torch.equal(beyond, compiled(torch.ones(3, 2, 5))) or module.random


# ------------------------------------------------------------------------------------------------------------ gradients
def test_gradients_where_they_make_sense() -> None:
    weights = torch.rand(T, 3, 2, 5)

    def gradient(code: Callable[[Tensor], Tensor]) -> Tensor:
        v = VALUES.clone().requires_grad_()
        (code(v) * weights).sum().backward()
        assert v.grad is not None
        return v.grad

    total = weights.sum(0)
    assert torch.allclose(gradient(CODES["direct"]), total)
    assert torch.allclose(gradient(CODES["bernoulli"]), 0.7 * total)
    assert torch.allclose(gradient(CODES["poisson"]), 1.5 * (-1.5 * VALUES).exp() * total)
    assert torch.allclose(gradient(CODES["poisson counts"]), 1.5 * total)
    v = VALUES.clone().requires_grad_()
    assert torch.equal(CODES["bernoulli"](v), CODES["bernoulli"](VALUES)), "a gradient changes no spike"
    for name in ("latency", "rank order", "phase", "burst", "population"):
        assert not CODES[name](v).requires_grad
    fields = encoding.receptive_fields(v.double(), 5)
    assert fields.requires_grad
    double = VALUES.double().clamp(0.01, 0.99).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: encoding.receptive_fields(x, 5), double)


def test_in_front_of_a_model() -> None:
    model = torch.nn.Sequential(
        encoding.Bernoulli(T, seed=0), snn.Flatten(), snn.Linear(10, 4), snn.LIF(), snn.Linear(4, 2), snn.LI()
    )
    v = VALUES.clone().requires_grad_()
    out = model(v)
    assert out.shape == (T, 3, 2)
    out.sum().backward()
    assert v.grad is not None
    assert v.grad.abs().sum() > 0
    assert torch.equal(model(v.detach()), out)


def test_a_code_inside_a_model_does_not_go_to_a_chip() -> None:
    from snnkit.export import to_graph

    model = torch.nn.Sequential(encoding.Latency(T), snn.Flatten(), snn.Linear(10, 4), snn.LIF())
    graph, findings = to_graph(model.eval(), (2, 5), strict=False, steps=T)
    assert graph is None
    assert [(f.code, f.where) for f in findings] == [("UNKNOWN_MODULE", "0")]
    assert "the host" in findings[0].what
    assert "encoding:" in findings[0].remedy


# ------------------------------------------------------------------------------------------------------------ bad input
@pytest.mark.parametrize("name", [n for n in CODES if n not in ("rank order", "direct")])
@pytest.mark.parametrize("bad", [-0.01, 1.01, math.nan, math.inf, -math.inf])
def test_values_outside_the_range(name: str, bad: float) -> None:
    v = VALUES.clone()
    v[1, 1, 1] = bad
    with pytest.raises(ParameterError, match="was given values from") as caught:
        CODES[name](v)
    assert caught.value.fix


def test_values_that_have_no_order() -> None:
    with pytest.raises(ParameterError, match="finite"):
        encoding.encode_rank_order(torch.tensor([[1.0, math.nan]]))
    with pytest.raises(ParameterError, match="finite"):
        encoding.encode_delta(torch.tensor([[1.0], [math.inf]]), 0.1)


@pytest.mark.parametrize("name", CODES)
def test_whole_numbers_are_no_values(name: str) -> None:
    with pytest.raises(ParameterError, match=r"type (torch\.)?uint8"):
        CODES[name](torch.zeros(2, 3, dtype=torch.uint8))
    with pytest.raises(ShapeError):
        CODES[name](torch.tensor(0.5))


@pytest.mark.parametrize(
    "make",
    [
        lambda: encoding.Latency(1),
        lambda: encoding.Latency(8.0),  # type: ignore[arg-type]
        lambda: encoding.Latency(8, silence=1.5),
        lambda: encoding.Bernoulli(0),
        lambda: encoding.Bernoulli(8, 0.0),
        lambda: encoding.Bernoulli(8, 1.1),
        lambda: encoding.Bernoulli(8, math.nan),
        lambda: encoding.Poisson(8, -1.0),
        lambda: encoding.Poisson(8, math.inf),
        lambda: encoding.RankOrder(0),
        lambda: encoding.Phase(10, 8),
        lambda: encoding.Phase(25, 25),
        lambda: encoding.Burst(8, 0.5),
        lambda: encoding.Burst(8, 2.0, 0.0),
        lambda: encoding.Population(8, 2),
        lambda: encoding.Population(8, 5, 1.0, 1.0),
        lambda: encoding.Population(8, width=0.0),
        lambda: encoding.Direct(True),
        lambda: encoding.Delta(0.0),
        lambda: encoding.Delta(0.1, "first"),  # type: ignore[arg-type]
        lambda: encoding.encode_bernoulli(VALUES, 8, seed=-1),
        lambda: encoding.encode_bernoulli(VALUES, 8, seed=1, generator=torch.Generator()),
        lambda: encoding.encode_latency(VALUES, 1),
        lambda: encoding.decode_first_spike(torch.zeros(1, 2, 3)),
        lambda: encoding.decode_rate(torch.zeros(3, 2, 3), 0.0),
    ],
)
def test_impossible_settings(make: Callable[[], Any]) -> None:
    with pytest.raises(ParameterError) as caught:
        make()
    assert caught.value.fix


@pytest.mark.parametrize(
    "make",
    [
        lambda: encoding.decode_rate(torch.zeros(3)),
        lambda: encoding.decode_rate(torch.zeros(0, 2, 3)),
        lambda: encoding.decode_rate(torch.zeros(4, 2, 3), lengths=torch.tensor([1, 2, 3])),
        lambda: encoding.decode_weighted(torch.zeros(4, 2, 3), torch.zeros(5)),
        lambda: encoding.decode_weighted(torch.zeros(4, 2, 3), torch.zeros(4, 2)),
        lambda: encoding.decode_population(torch.zeros(4, 2), torch.zeros(3)),
        lambda: encoding.decode_delta(torch.zeros(4, 2, 3), 0.1),
        lambda: encoding.encode_delta(torch.zeros(4), 0.1),
        lambda: encoding.encode_delta(torch.zeros(0, 4), 0.1),
        lambda: encoding.encode_delta(torch.zeros(3, 4, 2), 0.1, torch.zeros(4)),
        lambda: encoding.burst_weights(torch.zeros(3)),
    ],
)
def test_shapes_that_do_not_fit(make: Callable[[], Any]) -> None:
    with pytest.raises(ShapeError) as caught:
        make()
    assert caught.value.fix


# --------------------------------------------------------------------------------------------------------- descriptions
@pytest.mark.parametrize("name", CODES)
def test_a_description_makes_the_same_code(name: str) -> None:
    module = MODULES[name]
    again = encoding.from_description(encoding.describe(module))
    assert type(again) is type(module)
    assert again.settings() == module.settings()
    assert torch.equal(again(VALUES), module(VALUES))


def test_descriptions_name_codes_only() -> None:
    for path in ("torch.nn.Linear", "snnkit.encoding.Delta", "snnkit.encoding.base.Encoder", None, ["x"]):
        with pytest.raises(ParameterError):
            encoding.from_description({"class_path": path, "init_args": {}})
    with pytest.raises(ParameterError, match=r"did you mean 'snnkit\.encoding\.Latency'"):
        encoding.from_description({"class_path": "snnkit.encoding.Latenc"})
    for args in ({"T": 8, "speed": 1}, {"T": "8"}, {}, 5):
        with pytest.raises(ParameterError):
            encoding.from_description({"class_path": "snnkit.encoding.Latency", "init_args": args})


def test_encoders_are_complete() -> None:
    exported = {n for n in encoding.__all__ if isinstance(getattr(encoding, n), type)}
    assert {path.rsplit(".", 1)[1] for path in encoding.ENCODERS} == exported - {"Encoder", "Delta"}
    assert {type(m) for m in MODULES.values()} == set(encoding.ENCODERS.values())
