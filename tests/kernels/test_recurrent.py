"""The fused recurrent layers against the loop over steps: spikes and states bit for bit, gradients to rounding."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from snnkit import nn as snn
from snnkit import surrogate
from snnkit.errors import ShapeError, UsageError
from snnkit.kernels import recurrent, reference_only, threads
from snnkit.kernels.recurrent import gather
from snnkit.kernels.recurrent.feed import feed

from .covering import pairwise, product
from .options import OPTIONS, assert_close, assert_same, build, input_for, name_of, random_state

NEURONS = ("LIF", "CubaLIF", "ALIF", "LI")
FEATURES = 7
CHOICES = {
    neuron: {name: values for name, values in OPTIONS[neuron].items() if name != "features"}
    | {"where": ("layer", "neuron"), "synapse": ("plain", "bias", "limited")}
    for neuron in NEURONS
}


FORWARD = {getattr(torch.ops.snnkit, f"recurrent_{neuron.lower()}").default for neuron in NEURONS}


class Operators(TorchDispatchMode):
    """Counts the passes that went through the operator."""

    calls = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls += func in FORWARD
        return func(*args, **(kwargs or {}))


def recur(neuron: Any, features: int, synapse: str = "plain", dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(0)
    fan_in = max(1, features // 2) if synapse == "limited" else None
    layer = snn.Recurrent(neuron, snn.Linear(features, features, bias=synapse == "bias", fan_in=fan_in))
    return layer.to(torch.float64 if dtype == torch.float64 else torch.float32)


def check(neuron: str, case: dict[str, Any]) -> None:
    case = case | {"features": (FEATURES,)}
    layer, x = recur(build(neuron, case), FEATURES, case["synapse"], case["dtype"]), input_for(case)
    state = random_state(layer, x) if case["state"] == "given" else None
    with Operators() as seen:
        layer(x)
    assert seen.calls == 1
    outputs = assert_same(layer, x, state, 1e-12 if case["dtype"] == torch.float64 else 1e-6)
    if layer.spiking:
        assert 0.02 < outputs[0].float().mean() < 0.9


@pytest.mark.parametrize(
    ("neuron", "case"),
    [(neuron, case) for neuron, choices in CHOICES.items() for case in pairwise(choices)],
    ids=lambda value: value if isinstance(value, str) else name_of(value),
)
def test_equal_the_loop(neuron: str, case: dict[str, Any]) -> None:
    """Every pair of option values of every neuron."""
    check(neuron, case)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("neuron", NEURONS)
def test_equal_the_loop_with_any_options(neuron: str) -> None:
    """Every combination of option values."""
    for case in product(CHOICES[neuron]):
        check(neuron, case)


@settings(max_examples=25)
@given(
    steps=st.integers(1, 9),
    batch=st.integers(1, 5),
    width=st.integers(1, 90),
    cut=st.integers(1, 8),
    zero=st.booleans(),
    bias=st.booleans(),
    refractory=st.integers(0, 2),
    seed=st.integers(0, 2**31),
)
def test_spikes_are_bit_equal(
    steps: int, batch: int, width: int, cut: int, zero: bool, bias: bool, refractory: int, seed: int
) -> None:
    """Of any sizes, in one call and in two."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(steps, batch, width, generator=generator)
    decay = torch.rand(width, generator=generator)
    reset = "zero" if zero else "subtract"
    for neuron in (
        snn.LIF(decay=decay, reset=reset, refractory=refractory),
        snn.CubaLIF(decay_syn=decay, reset=reset, refractory=refractory),
        snn.ALIF(decay_adapt=decay, reset=reset, refractory=refractory),
        snn.LI(decay=decay),
    ):
        layer = recur(neuron, width, "bias" if bias else "plain")
        out, state = layer(x, layer.initial_state(x))
        with reference_only():
            plain, expected = layer(x, layer.initial_state(x))
        first, after = layer(x[:cut], layer.initial_state(x))
        parts = [first]
        if cut < steps:
            rest, after = layer(x[cut:], after)
            parts.append(rest)
        assert torch.equal(out, plain)
        assert torch.equal(out, torch.cat(parts))
        for a, b, c in zip(tree_leaves(state), tree_leaves(expected), tree_leaves(after)):
            assert torch.equal(a, b)
            assert torch.equal(a, c)


@pytest.mark.parametrize(("batch", "width"), [(64, 512), (33, 130), (1, 300), (17, 1)])
def test_sizes_of_the_matrix_product(batch: int, width: int) -> None:
    """Those at which a matrix product changes its way of computing."""
    x = torch.randn(4, batch, width, generator=torch.Generator().manual_seed(6)) * 0.8 + 0.3
    layer = recur(snn.CubaLIF(decay_syn=0.3, reset="subtract"), width)
    assert_same(layer, x, random_state(layer, x), 2e-6)


@pytest.mark.parametrize("shape", [(1, 3, 4), (5, 1, 4), (1, 1, 1)])
@pytest.mark.parametrize("neuron", [snn.LIF, snn.CubaLIF, snn.ALIF, snn.LI])
def test_one_step_one_sample_one_neuron(neuron: Any, shape: tuple[int, int, int]) -> None:
    layer = recur(neuron(learn_decay=True), shape[2], "bias")
    x = torch.randn(shape, generator=torch.Generator().manual_seed(6)) + 0.5
    assert_same(layer, x, random_state(layer, x), 1e-6)


def test_no_steps_and_no_samples() -> None:
    layer = recur(snn.ALIF(learn_decay=True, refractory=1), 3)
    with pytest.raises(ShapeError, match="at least one time step"):
        layer(torch.zeros(0, 2, 3))
    x = torch.zeros(4, 0, 3, requires_grad=True)
    out, state = layer(x, layer.initial_state(x))
    assert out.shape == x.shape
    assert state.out.shape == (0, 3)
    out.sum().backward()
    assert layer.synapse.weight.grad.abs().sum() == 0
    x = torch.zeros(0, 2, 3, requires_grad=True)
    before = torch.full((2, 3), 0.5, requires_grad=True)
    state = snn.LIF().initial_state(torch.zeros(1, 2, 3))
    weight = torch.eye(3, requires_grad=True)
    out, after, last = recurrent.sequence(x, state._replace(v=before), None, snn.LIF().params(x), weight, None)
    assert out.shape == x.shape
    assert torch.equal(after.v, before)
    (after.v.sum() + last.sum()).backward()  # type: ignore[union-attr]
    assert torch.equal(before.grad, torch.ones(2, 3))  # type: ignore[arg-type]
    assert torch.equal(weight.grad, torch.zeros(3, 3))  # type: ignore[arg-type]


@pytest.mark.parametrize("neuron", [snn.LIF, snn.CubaLIF, snn.ALIF, snn.LI])
def test_the_loop_has_the_gradients_of_finite_differences(neuron: Any) -> None:
    """With smooth spikes, in float64; of outputs and final states in everything."""
    layer = recur(neuron(learn_decay=True), 3, "bias", torch.float64)
    if layer.spiking:
        layer.neuron.surrogate = surrogate.Smooth(layer.neuron.surrogate)
    x = torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(6)).double() + 0.4
    state = random_state(layer, x)
    leaves, spec = torch.utils._pytree.tree_flatten(state)
    held = [leaf.requires_grad for leaf in leaves]
    names = [name for name, _ in layer.named_parameters()]

    def function(x: Tensor, *values: Tensor) -> list[Tensor]:
        given = iter(values)
        start = [next(given) if want else leaf for leaf, want in zip(leaves, held)]
        parameters = dict(zip(names, given))
        inputs = (x, torch.utils._pytree.tree_unflatten(start, spec))
        out, final = torch.func.functional_call(layer, parameters, inputs)
        return [out, *(leaf for leaf in tree_leaves(final) if leaf.is_floating_point())]

    inputs = [x.requires_grad_(), *(leaf for leaf in leaves if leaf.requires_grad), *layer.parameters()]
    assert torch.autograd.gradcheck(function, inputs, eps=1e-7, atol=1e-6)


def test_infinite_and_not_a_number() -> None:
    values = [1.0, 1e-42, -1e-42, 3e38, float("inf"), float("-inf"), float("nan"), -0.0, 0.5]
    x = torch.tensor(values).repeat(4, 2, 1)
    x[:, 1] = 0.5
    for neuron in (snn.LIF(decay=0.5), snn.CubaLIF(reset="subtract"), snn.ALIF(refractory=1), snn.LI()):
        layer = recur(neuron, len(values))
        with reference_only():
            plain = layer(x)
        assert plain[:, 0].isnan().any()
        torch.testing.assert_close(layer(x), plain, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("neuron", [snn.CubaLIF, snn.ALIF])
def test_on_two_threads(neuron: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "WORTH", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        layer = recur(neuron(learn_decay=True, learn_threshold=True), 24)
        x = torch.randn(6, 9, 24, generator=torch.Generator().manual_seed(6)) + 0.3
        assert_same(layer, x, random_state(layer, x), 1e-6)
    finally:
        torch.set_num_threads(before)


def test_strides_of_input_and_weight() -> None:
    torch.manual_seed(0)
    layer = recur(snn.LIF(), 6)
    layer.synapse.weight = torch.nn.Parameter(torch.randn(6, 6).t())
    for x in (torch.randn(3, 5, 6).transpose(0, 1), torch.randn(5, 3, 12)[..., ::2], torch.randn(6).expand(5, 3, 6)):
        assert_same(layer, x, None, 1e-6)


def test_missing_synapses_get_no_gradient() -> None:
    layer = recur(snn.LIF(), 8, "limited")
    layer(torch.rand(5, 3, 8)).sum().backward()
    grad, mask = layer.synapse.weight.grad, layer.synapse.mask
    assert (grad[mask == 0] == 0).all()
    assert (grad[mask == 1] != 0).any()


@pytest.mark.parametrize(("neuron", "units"), [("LI", 1), ("LIF", 2), ("CubaLIF", 2), ("ALIF", 2)])
def test_what_is_kept_for_the_backward_pass(neuron: str, units: int) -> None:
    """The output and one value more per neuron and step, and no input, whatever learns; LI's output alone."""
    layer = recur(getattr(snn, neuron)(learn_decay=True), 16)
    x = torch.randn(50, 8, 16)
    held = {}

    def pack(t: Tensor) -> Tensor:
        held[t.untyped_storage().data_ptr()] = t
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        layer(x.requires_grad_())
    assert sum(t.numel() for t in held.values() if t.shape == x.shape) == units * x.numel()
    assert sum(t.numel() for t in held.values() if t.shape != x.shape) < x.numel() / 4
    with Operators(), torch.no_grad():
        one = torch.ones(1)
        kept = torch.ops.snnkit.recurrent_lif(
            x.detach(), layer.synapse.weight, None, None, None, None, one, 1, one, 1, True, True, 0, 0, 1.0, 1.0,
            False, False,
        )[1]  # fmt: skip
    assert kept.numel() == 0


def test_who_goes_step_by_step() -> None:
    """Whatever is no plain matrix, or has someone listening: the loop, with the same values."""
    torch.manual_seed(0)
    x = torch.randn(4, 2, 3) + 0.4
    seen = []

    class Own(snn.LIF):
        def step(self, x: Tensor, state: Any, params: Any) -> Any:
            seen.append("step")
            return super().step(x, state, params)

    hooked = recur(snn.LIF(), 3)
    hooked.synapse.register_forward_hook(lambda *_: seen.append("hook"))
    normed = recur(snn.LIF(), 3)
    torch.nn.utils.parametrizations.weight_norm(normed.synapse)
    custom = recur(snn.LIF(surrogate=surrogate.Smooth(surrogate.Arctan())), 3)
    plain = recur(snn.LIF(), 3)
    loops = [
        hooked,
        normed,
        custom,
        recur(Own(), 3),
        snn.Recurrent.one_to_one(snn.LIF(), 3),
        snn.Recurrent(snn.LIF(), torch.nn.Sequential(snn.Linear(3, 3))),
        snn.Recurrent(snn.LinearLeakIF(), snn.Linear(3, 3)),
    ]
    contexts: list[Any] = [(layer, contextlib.nullcontext()) for layer in loops]
    contexts += [(plain, reference_only()), (plain, torch.autocast("cpu", torch.bfloat16))]
    for layer, context in contexts:
        with Operators() as operators, context:
            out = layer(x)
        assert operators.calls == 0
        if context.__class__ is contextlib.nullcontext:
            with reference_only():
                assert torch.equal(out, layer(x))
    assert {"step", "hook"} == set(seen)
    with Operators() as operators:
        plain(x)
    assert operators.calls == 1
    with Operators() as operators, pytest.raises(RuntimeError, match="dtype"):
        plain(x.double())
    assert operators.calls == 0


def test_rules_of_learning_go_step_by_step() -> None:
    """A recurrent synapse that learns by a local rule is asked at every step."""
    model = torch.nn.Sequential(recur(snn.LIF(), 3))
    called = []

    class Learner:
        def knows(self, module: Any) -> bool:
            return module is model[0].synapse

        def through(self, synapse: Any, run: Any, x: Tensor) -> Tensor:
            called.append(synapse)
            return run(x)

        def sequence(self, *args: Any) -> Any:
            raise AssertionError

    from snnkit.nn.context import enter_learner

    with enter_learner(Learner()):
        model(torch.rand(4, 2, 3))
    assert len(called) == 4


def test_transforms_and_second_derivatives() -> None:
    """torch.func sees the loop; a second derivative of the operator is refused."""
    layer = recur(snn.LIF(), 3)
    x = torch.rand(4, 2, 3, requires_grad=True)
    many = torch.func.vmap(layer, in_dims=0)(torch.stack([x.detach(), 2 * x.detach()]))
    assert torch.equal(many[1], layer(2 * x.detach()))
    _, tangent = torch.func.jvp(layer, (x.detach(),), (torch.ones(4, 2, 3),))
    assert tangent.isfinite().all()
    (first,) = torch.autograd.grad(layer(x).sum(), x, create_graph=True)
    with pytest.raises(UsageError, match="reference_only"):
        torch.autograd.grad(first.square().sum(), x)


def test_recording_and_runs_see_the_layer() -> None:
    """Outputs and membranes of a fused pass, and states carried by `snn.run`."""
    model = torch.nn.Sequential(recur(snn.CubaLIF(), 5))
    x = torch.randn(6, 3, 5) + 0.5
    with Operators() as seen, snn.record(model, v=True) as rec:
        out = model(x)
    assert seen.calls == 1
    assert torch.equal(rec.spikes["0"], out)
    assert rec.v["0"].shape == x.shape
    with Operators() as seen:
        _, states = snn.run(model, x[:4])
        rest, _ = snn.run(model, x[4:], states)
    assert seen.calls == 2
    assert torch.equal(rest, out[4:])


def test_compiled_to_one_node() -> None:
    """torch.compile sees one operator instead of T steps, forward and backward."""
    layer = recur(snn.ALIF(learn_decay=True), 4, "bias")
    found: list[int] = []

    def backend(graph: Any, inputs: Any) -> Any:
        found.append(sum("recurrent" in str(node.target) for node in graph.graph.nodes))
        return graph.forward

    x = torch.randn(20, 3, 4, requires_grad=True)
    compiled = torch.compile(layer, backend=backend, fullgraph=True)
    out = compiled(x)
    assert found == [1]
    assert torch.equal(out, layer(x))
    given = torch.autograd.grad(torch.compile(layer, backend="aot_eager", fullgraph=True)(x).sum(), x)
    torch.testing.assert_close(given, torch.autograd.grad(layer(x).sum(), x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("rows", "width", "active"), [(300, 128, 0.1), (1, 131, 0.2), (128, 200, 0.0), (129, 130, 0.19)]
)
def test_sums_are_the_matrix_product(
    rows: int, width: int, active: float, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of few spikes; with any number of threads bit for bit."""
    generator = torch.Generator().manual_seed(7)
    g = torch.randn(rows, width, generator=generator).to(dtype)
    s = (torch.rand(rows, width, generator=generator) < active).to(dtype)
    s = s[:, : width - 3]
    found = gather.product(g, s.contiguous(), active)
    expected = g.double().t() @ s.double()
    tolerance = 1e-6 if dtype == torch.float32 else 1e-13
    assert (found - expected).abs().max() <= tolerance * max(1, expected.abs().max())
    monkeypatch.setattr(threads, "WORTH", 1)
    before = torch.get_num_threads()
    try:
        for number in (2, 3):
            torch.set_num_threads(number)
            assert torch.equal(gather.product(g, s.contiguous(), active), found)
    finally:
        torch.set_num_threads(before)


def test_sums_hide_no_number_that_is_none() -> None:
    g, s = torch.randn(40, 140), (torch.rand(40, 140) < 0.1).float()
    g[3, 5] = float("inf")
    assert torch.equal(gather.product(g, s, 0.1).isnan(), (g.t() @ s).isnan())
    assert gather.product(g, s, 0.1)[5].isnan().any()


@pytest.mark.parametrize("drive", [-0.6, 0.4])
def test_weights_learn_the_same_from_few_and_many_spikes(drive: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer wide enough for sums takes them where few neurons fire, and the product where many do."""
    taken = []
    product = torch.mm

    def watch(a: Tensor, b: Tensor, **kwargs: Any) -> Tensor:
        taken.append(not kwargs)
        return product(a, b, **kwargs)

    x = torch.randn(12, 6, 130, generator=torch.Generator().manual_seed(6)) * 0.7 + drive
    layer = recur(snn.ALIF(learn_decay=True), 130)
    outputs = assert_same(layer, x, random_state(layer, x), 1e-6)
    few = bool(outputs[0].mean() < gather.MOST_ACTIVE)
    assert few == (drive < 0)
    monkeypatch.setattr(torch, "mm", watch)
    layer(x).sum().backward()
    assert any(taken) != few


def test_what_spikes_are() -> None:
    generator = torch.Generator().manual_seed(1)
    for rows in (1, 128, 300):
        x = (torch.rand(rows, 7, generator=generator) < 0.3).float()
        assert gather.spikes(x) == pytest.approx(x.mean().item())
        for other in (2.0, 0.5, -1.0, float("nan"), float("inf")):
            y = x.clone()
            y[-1, -1] = other
            assert gather.spikes(y) == 1.0
    assert gather.spikes(torch.zeros(3, 2)) == 0.0


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("active", [0.05, 0.6])
def test_a_matrix_in_front_learns_from_few_spikes(active: float, dtype: torch.dtype, bias: bool) -> None:
    """As the layers one by one: outputs bit for bit, gradients too where spikes are many, else up to rounding."""
    torch.manual_seed(0)
    model = snn.Sequential(snn.Linear(40, 130, bias=bias), recur(snn.LIF(), 130)).to(dtype)
    one_by_one = torch.nn.Sequential(*model)
    x = (torch.rand(9, 5, 40, generator=torch.Generator().manual_seed(2)) < active).to(dtype).requires_grad_()
    results = []
    for each in (model, one_by_one):
        out = each(x)
        results.append((out, *torch.autograd.grad(out.sum(), [x, *model.parameters()])))
    found = is_fed(model, x)
    assert found == (active < gather.MOST_ACTIVE)
    (out, *gradients), (expected, *others) = results
    assert torch.equal(out, expected)
    for a, b in zip(gradients, others, strict=True):
        if found:
            assert_close(a, b, 1e-6 if dtype == torch.float32 else 1e-12, x)
        else:
            assert torch.equal(a, b)


def is_fed(model: torch.nn.Sequential, x: Tensor) -> bool:
    """Whether the matrix in front of the layer takes its gradient by sums."""
    nodes: list[Any] = [model(x).grad_fn]
    seen: set[Any] = set()
    while nodes:
        node = nodes.pop()
        if node is not None and node not in seen:
            seen.add(node)
            nodes += [part for part, _ in node.next_functions]
    return any(type(node).__name__ == "_FeedBackward" for node in seen)


def test_a_matrix_that_is_looked_at_or_frozen_goes_alone() -> None:
    model = snn.Sequential(snn.Linear(40, 130), recur(snn.LIF(), 130))
    x = (torch.rand(9, 5, 40) < 0.05).float()
    assert is_fed(model, x)
    assert not is_fed(model, x * 0.5)
    handle = model[0].register_forward_hook(lambda *_: None)
    assert not is_fed(model, x)
    handle.remove()
    with reference_only():
        assert not is_fed(model, x)
    assert not is_fed(snn.Sequential(snn.Linear(40, 130), snn.LIF()), x)
    assert not is_fed(snn.Sequential(snn.Linear(40, 130, groups=2), recur(snn.LIF(), 130)), x)
    model[0].weight.requires_grad_(False)
    assert not is_fed(model, x)


def test_second_derivatives_of_a_matrix_in_front() -> None:
    weight = torch.randn(130, 6, dtype=torch.float64, requires_grad=True)
    x = (torch.rand(4, 3, 6, generator=torch.Generator().manual_seed(3)) < 0.1).double()
    again = feed(x, weight, None)
    assert again is not None
    (first,) = torch.autograd.grad(again.pow(3).sum(), weight, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), weight)
    plain = torch.nn.functional.linear(x, weight)
    (first,) = torch.autograd.grad(plain.pow(3).sum(), weight, create_graph=True)
    (expected,) = torch.autograd.grad(first.square().sum(), weight)
    torch.testing.assert_close(second, expected, rtol=1e-10, atol=1e-10)
