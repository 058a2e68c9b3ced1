"""Neurons from a step: equal to snn.LIF for its step, all that comes with a layer, and clear errors."""

from __future__ import annotations

import copy
import functools
import pickle
import warnings
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from snnkit import nn as snn
from snnkit import surrogate
from snnkit.errors import ParameterError, ShapeError, SnnkitError, StateError, UsageError
from snnkit.export import to_graph
from snnkit.kernels import alif, chunks, cubalif, li, lif
from snnkit.nn.neurons.own_builtin import as_built_in


class State(NamedTuple):
    """A membrane and what past spikes left."""

    v: Tensor
    trace: Tensor = 0.5  # type: ignore[assignment]
    count: Tensor = 0  # type: ignore[assignment]


def step(x: Tensor, state: State, params: Any) -> tuple[Tensor, State]:
    v = params["decay"] * state.v + x - params["strength"] * state.trace
    s = surrogate.spike(v - params["threshold"], params["surrogate"])
    return s, State(v * (1 - s), 0.9 * state.trace + s, state.count + 1)


PARAMS = {"decay": 0.9, "strength": [0.1, 0.2, 0.3], "threshold": 1.0, "surrogate": surrogate.get("arctan")}


def own(**changes: Any) -> Any:
    given: dict[str, Any] = {"state": State, "params": PARAMS, "learn": {"decay": "sigmoid", "strength": "positive"}}
    return snn.neuron(step, **(given | changes))


def as_lif(reset: str, detach: bool, refractory: int, learn: bool, **more: Any) -> Any:
    return snn.neuron(
        lif.step,
        state=functools.partial(lif.initial_state, refractory=refractory),
        params=lif.LIFParams(0.8, 0.9, reset == "zero", detach, refractory, surrogate.get("sigmoid")),  # type: ignore[arg-type]
        learn={"decay": "sigmoid", "threshold": "free"} if learn else (),
        **more,
    )


def outcome(layer: Any, x: Tensor) -> tuple[Tensor, Any, list[Tensor]]:
    """Spikes, final state, and gradients of the input, the first state and the parameters (sorted by name)."""
    x = x.clone().requires_grad_()
    start = layer.initial_state(x)
    start = start._replace(v=(start.v + 0.25).requires_grad_())
    out, final = layer(x, start)
    (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().add(final.v.sum()).backward()
    learned = [p.grad for _, p in sorted(layer.named_parameters())]
    return out, final, [g for g in (x.grad, start.v.grad, *learned) if g is not None]


# ------------------------------------------------------------------------------------------------- equal to our own
@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize(("detach", "refractory", "learn"), [(True, 0, True), (False, 2, True), (True, 1, False)])
@settings(max_examples=8)
@given(seed=st.integers(0, 2**20), steps=st.integers(1, 9), batch=st.integers(1, 3))
def test_lifs_step_gives_lif(
    reset: str, detach: bool, refractory: int, learn: bool, seed: int, steps: int, batch: int
) -> None:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(steps, batch, 4, 2, generator=g)
    fused = snn.LIF(
        decay=0.8, threshold=0.9, reset=reset, detach_reset=detach, refractory=refractory, surrogate="sigmoid",
        learn_decay=learn, learn_threshold=learn,
    )  # fmt: skip
    a, b = outcome(as_lif(reset, detach, refractory, learn), x), outcome(fused, x)
    assert torch.equal(a[0], b[0])
    assert torch.equal(a[1].v, b[1].v)
    assert torch.equal(a[1].wait, b[1].wait)
    fused.zero_grad()
    a, b = outcome(as_lif(reset, detach, refractory, learn), x.double()), outcome(fused, x.double())
    assert torch.equal(a[0], b[0])
    assert len(a[2]) == len(b[2]) == (4 if learn else 2)
    for mine, theirs in zip(a[2], b[2], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-6 if mine.dtype == torch.float32 else 1e-12)


def test_nested_parameters_give_alif_and_cubalif() -> None:
    x = torch.rand(6, 2, 3)
    firing: Any = lif.LIFParams(0.8, 0.9, True, True, 0, surrogate.get("arctan"))  # type: ignore[arg-type]
    layers = [
        (
            alif,
            alif.ALIFParams(0.7, 0.2, firing),
            snn.ALIF(decay_mem=0.8, decay_adapt=0.7, adaptation=0.2, threshold=0.9),
        ),  # type: ignore[arg-type]
        (cubalif, cubalif.CubaLIFParams(0.7, firing), snn.CubaLIF(decay_mem=0.8, decay_syn=0.7, threshold=0.9)),  # type: ignore[arg-type]
    ]
    for kernel, params, theirs in layers:
        start = functools.partial(kernel.initial_state, refractory=0)  # type: ignore[attr-defined]
        mine: Any = snn.neuron(kernel.step, start, params, learn={"lif.decay": "sigmoid"})  # type: ignore[attr-defined]
        assert list(dict(mine.named_parameters())) == ["lif_decay_logit"]
        assert torch.equal(mine(x), theirs(x))
        assert type(as_built_in(mine)) is type(theirs)
        assert torch.equal(as_built_in(mine)(x), theirs(x))


# ------------------------------------------------------------------------------------------------- what comes with it
def test_streaming_running_and_recording() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(snn.Linear(4, 3), own(), snn.Linear(3, 2), snn.LI())
    x = torch.rand(9, 2, 4) * 3
    with snn.record(model, v=["1"]) as rec:
        _, states = snn.run(model, x)
    assert rec.spikes["1"].sum() > 0
    assert torch.equal(rec.v["1"][-1], states["1"].v)
    assert torch.equal(states["1"].count, torch.full((2, 3), 9, dtype=torch.int32))
    parts = torch.cat([out for out, _ in snn.stream(model, x.split([2, 1, 6]))])
    assert torch.equal(parts, model(x))
    snn.check_model(model, x)
    with pytest.raises(ShapeError, match="layer '1' OwnNeuron"):
        snn.check_model(nn.Sequential(snn.Linear(4, 5), own()), x)


def test_parameters_are_learned_within_their_bounds() -> None:
    layer = own(shape=(3,))
    assert {n: tuple(p.shape) for n, p in layer.named_parameters()} == {"decay_logit": (3,), "strength_log": (3,)}
    assert set(dict(layer.named_buffers())) == {"threshold_fixed"}
    torch.testing.assert_close(layer.value("strength"), torch.tensor([0.1, 0.2, 0.3]))
    optimiser = torch.optim.SGD(layer.parameters(), 100.0)
    layer(torch.rand(7, 2, 3) * 2).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in layer.parameters())
    optimiser.step()
    assert bool(((layer.value("decay") >= 0) & (layer.value("decay") <= 1)).all())
    assert bool((layer.value("strength") >= 0).all())
    other = own(shape=(3,))
    other.load_state_dict(layer.state_dict(), strict=True)
    assert torch.equal(other.value("decay"), layer.value("decay"))


def test_recurrent_copies_and_precision() -> None:
    torch.manual_seed(0)
    layer = snn.Recurrent.dense(own(), 3)
    x = torch.rand(5, 2, 3)
    expected = layer(x)
    for made in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(made(x), expected)
    assert own()(x.to(torch.bfloat16)).dtype == torch.bfloat16
    assert own().double()(x.double()).dtype == torch.float64
    assert "step, decay=0.9 (learned), strength=<3> (learned), threshold=1" in repr(own())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_model_around_it_is_one_graph() -> None:
    torch._dynamo.reset()
    torch.manual_seed(0)
    model = nn.Sequential(snn.Linear(4, 3), own(compiled=True))
    whole: Any = torch.compile(model, backend="aot_eager", fullgraph=True)
    x = torch.rand(3, 2, 4) * 3
    with torch.no_grad():
        assert torch.equal(whole(x), nn.Sequential(model[0], own())(x))


def test_transforms_of_torch() -> None:
    layer, x = own(), torch.rand(5, 2, 3)
    values = dict(layer.named_parameters())

    def loss(values: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(layer, values, (x,)).square().mul(torch.arange(1.0, 4)).sum()

    got = torch.func.grad(loss)({k: v.detach() for k, v in values.items()})
    loss(values).backward()
    for name, p in values.items():
        torch.testing.assert_close(got[name], p.grad)


# -------------------------------------------------------------------------------------------------------------- export
def test_export_names_the_step_unless_it_is_ours() -> None:
    graph, findings = to_graph(nn.Sequential(snn.Linear(4, 3), own()).eval(), (4,), strict=False)
    assert graph is None
    (finding,) = findings
    assert (finding.code, finding.where) == ("OWN_NEURON", "1")
    assert "step (" in finding.what
    assert "test_own_neuron.py:" in finding.what
    torch.manual_seed(0)
    linear = snn.Linear(4, 3)
    theirs = snn.LIF(decay=0.8, threshold=0.9, refractory=1, surrogate="sigmoid")
    for neuron, ours in (
        (as_lif("zero", True, 1, True), theirs),
        (snn.Recurrent(as_lif("zero", True, 1, True), snn.Linear(3, 3)), None),
    ):
        graph, _ = to_graph(nn.Sequential(linear, neuron).eval(), (4,))
        assert graph is not None
        if ours is not None:
            expected, _ = to_graph(nn.Sequential(linear, ours).eval(), (4,))
            assert expected is not None
            assert repr(graph.populations) == repr(expected.populations)
    shifted = snn.neuron(li.step, lambda x: li.LIState(torch.ones(x.shape[1:])), li.LIParams(0.5))  # type: ignore[arg-type]
    assert as_built_in(shifted) is shifted  # it does not start at rest


# -------------------------------------------------------------------------------------------------------------- errors
def two_arguments(x: Tensor, state: Any) -> Any:
    return x, state


def in_place(x: Tensor, state: Any, params: Any) -> Any:
    state.v.mul_(0.5).add_(x)
    return state.v, state


def in_place_of_input(x: Tensor, state: Any, params: Any) -> Any:
    x += state.v
    return x, state


def by_assignment(x: Tensor, state: Any, params: Any) -> Any:
    state.v += x
    return x, state


def no_pair(x: Tensor, state: Any, params: Any) -> Any:
    return x


def summed(x: Tensor, state: Any, params: Any) -> Any:
    return x.sum(-1), state


def bare_state(x: Tensor, state: Any, params: Any) -> Any:
    return x, state.v + x


def drifting(x: Tensor, state: Any, params: Any) -> Any:
    return x, state._replace(v=(state.v + x).sum(0))


def narrowing(x: Tensor, state: Any, params: Any) -> Any:
    return x, state._replace(v=(state.v + x).half())


def failing(x: Tensor, state: Any, params: Any) -> Any:
    return x @ torch.ones(7), state


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (in_place, UsageError, "changes state.v in place"),
        (in_place_of_input, UsageError, "changes its input x in place"),
        (by_assignment, UsageError, "changes state.v in place"),
        (no_pair, UsageError, "no_pair of layer OwnNeuron.* returns a Tensor"),
        (summed, ShapeError, r"output of shape \(1,\) for x of shape \(1, 3\)"),
        (bare_state, StateError, "a state that is a Tensor, it was given a LIState"),
        (drifting, StateError, r"changes the shape of v from \(1, 3\) to \(3,\)"),
        (narrowing, StateError, "changes the dtype of v from torch.float32 to torch.float16"),
    ],
)
def test_a_step_that_breaks_the_contract(bad: Any, error: type[SnnkitError], message: str) -> None:
    layer, x = snn.neuron(bad), torch.ones(4, 2, 3)
    for _ in range(2):  # every time, not the first time only
        with pytest.raises(error, match=message) as caught:
            layer(x)
        assert caught.value.fix
    assert torch.equal(x, torch.ones(4, 2, 3))


def test_an_error_of_the_step_itself_names_it() -> None:
    with pytest.raises(RuntimeError) as caught:
        snn.neuron(failing)(torch.ones(4, 2, 3))
    assert "in the step failing of layer OwnNeuron" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"step": two_arguments}, "two_arguments.* fix: def step|two_arguments"),
        ({"step": nn.ReLU()}, "the step is a ReLU"),
        ({"step": nn.ReLU}, "the step is the class ReLU"),
        ({"state": ("v",)}, "neither a NamedTuple class nor a function"),
        ({"state": dict}, "neither a NamedTuple class nor a function"),
        ({"params": [0.5]}, "params is a list"),
        ({"params": {"a": nn.Parameter(torch.ones(()))}}, "is a torch.nn.Parameter"),
        ({"params": {"a": torch.ones(2).int()}}, "tensor of torch.int32"),
        ({"params": {"decay": 0.5}, "learn": ["decai"]}, "did you mean 'decay'"),
        ({"params": {"decay": 0.5}, "learn": {"decay": "sigmod"}}, "did you mean 'sigmoid'"),
        ({"params": {"decay": 1.5}, "learn": {"decay": "sigmoid"}}, "not strictly between 0 and 1"),
        ({"params": {"n": 3}, "learn": "n"}, "no number among the parameters"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        snn.neuron(**({"step": step} | arguments))


def test_states_that_are_not_its_own() -> None:
    layer, x = own(), torch.rand(3, 2, 3)
    good = layer.initial_state(x)
    for bad, message in (
        (li.LIState(good.v), "a LIState instead of a State"),
        (good._replace(v=good.v[:1]), "v has shape"),
        (good._replace(count=good.count.long()), "count is int64"),
    ):
        with pytest.raises(StateError, match=message):
            layer(x, bad)
    with pytest.raises(StateError, match="which is a Tensor"):
        snn.neuron(step, lambda x: x[0])(x)
    without: Any = snn.neuron(step, lambda x: State(x[0], x[0], None))  # type: ignore[arg-type]
    with pytest.raises(StateError, match="whose count is a NoneType"):
        without(x)


class Silent(NamedTuple):
    """No membrane."""

    level: Tensor


def levels(x: Tensor, state: Silent, params: Any) -> tuple[Tensor, Silent]:
    level = state.level * 0.5 + x
    return level, Silent(level)


def test_a_state_without_v_is_not_recorded() -> None:
    model = nn.Sequential(snn.neuron(levels, Silent, spiking=False), snn.LIF())
    with snn.record(model, v=True) as rec:
        model(torch.rand(3, 2, 4))
    assert (set(rec.v), set(rec.spikes)) == ({"1"}, {"1"})
    with pytest.raises(ParameterError, match="no membrane to record at '0'"):
        with snn.record(model, v=["0"]):
            pass
    hidden = nn.Sequential(snn.neuron(levels, lambda x: Silent(torch.zeros_like(x[0]))))
    with snn.record(hidden, v=True), pytest.raises(ParameterError, match="has no v to record, only level"):
        hidden(torch.rand(3, 2, 4))


# ------------------------------------------------------------------------------------------------------------ compiled
@given(st.lists(st.integers(1, 300), min_size=1, max_size=20))
def test_pieces_cover_the_sequence_with_few_lengths(sequences: list[int]) -> None:
    known: set[int] = set()
    for steps in sequences:
        cut = chunks.pieces(steps, known)
        assert sum(length for length, _ in cut) == steps
        assert all(0 < length <= chunks.LONGEST for length, compiled in cut if compiled)
        known |= {length for length, compiled in cut if compiled}
    assert len(known) <= chunks.LENGTHS


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_compiled_chunks_give_lif_for_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three sizes, one compilation each way: chunks of 2 steps and one step over."""
    monkeypatch.setattr(chunks, "LONGEST", 3)
    chunks.compiled_steps.cache_clear()
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    layer = as_lif("zero", True, 0, True, compiled=True)
    fused = snn.LIF(decay=0.8, threshold=0.9, surrogate="sigmoid", learn_decay=True, learn_threshold=True)
    g = torch.Generator().manual_seed(0)
    for steps, batch, features in ((4, 3, 3), (5, 3, 4), (5, 19, 7)):
        x = torch.randn(steps, batch, features, generator=g)
        layer.zero_grad()
        fused.zero_grad()
        a, b = outcome(layer, x), outcome(fused, x)
        assert torch.equal(a[0], b[0])
        assert torch.equal(a[1].v, b[1].v)
        for mine, theirs in zip(a[2], b[2], strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)
    assert chunks.compiled_steps(lif.step).works
    assert chunks.compiled_steps(lif.step).lengths == {2}
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 2  # the first chunk's state needs no gradient


def branching(x: Tensor, state: Any, params: Any) -> Any:
    v = state.v * 0.5 + x
    if v.sum() > 0:
        v = v - 0.1
    return v, state._replace(v=v)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_what_cannot_be_compiled_stays_eager_with_one_warning() -> None:
    layer, x = snn.neuron(branching, compiled=True, spiking=False), torch.rand(5, 2, 3)
    with pytest.warns(UserWarning, match="does not take the step branching, which stays eager"):
        out = layer(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(layer(x), out)
        assert torch.equal(snn.neuron(branching, spiking=False)(x), out)


def test_without_a_compiler_it_stays_eager_with_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import cpp_builder

    def none() -> str:
        raise RuntimeError("No working C++ compiler found")

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", none)
    monkeypatch.setattr(chunks, "_warned_of_compiler", False)
    chunks._missing.cache_clear()
    try:
        x = torch.rand(5, 2, 3)
        with pytest.warns(UserWarning, match="stay eager, and slower: no C\\+\\+ compiler is found"):
            out = own(compiled=True)(x)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            snn.neuron(levels, Silent, compiled=True)(x)
        assert torch.equal(out, own()(x))
    finally:
        chunks._missing.cache_clear()
