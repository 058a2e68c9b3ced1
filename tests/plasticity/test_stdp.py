"""STDP: against the plain loop in float64, against the formula, against spikingjelly; batches, bounds, bad input."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from snnkit import nn as snn
from snnkit.errors import ParameterError, StateError, UsageError
from snnkit.kernels import reference_only
from snnkit.plasticity import STDP, reference

# every pair of values occurs: layer × mode × pairing × same_step × bound × lengths
CASES = [
    ("linear", "batch", "all", "potentiate", "hard", False),
    ("linear", "online", "nearest", "both", "soft", True),
    ("linear", "batch", "nearest", "neither", "none", True),
    ("linear", "online", "all", "neither", "hard", False),
    ("linear", "batch", "all", "both", "soft", False),
    ("linear", "online", "all", "potentiate", "none", True),
    ("conv", "online", "all", "neither", "soft", False),
    ("conv", "batch", "nearest", "potentiate", "soft", True),
    ("conv", "online", "nearest", "both", "none", False),
    ("conv", "batch", "all", "neither", "hard", True),
    ("conv", "online", "nearest", "potentiate", "hard", True),
    ("conv", "batch", "all", "both", "none", False),
    ("grouped", "online", "all", "potentiate", "soft", True),
    ("grouped", "batch", "nearest", "both", "hard", False),
]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """The plain loops are thousands of tiny operations; on a busy machine threads wait for each other in every one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def spikes(*shape: int, seed: int = 0, share: float = 0.2) -> Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < share).double()


def pair(layer: str, seed: int = 0) -> tuple[torch.nn.Sequential, Tensor]:
    """A synapse with its neuron in float64, about one spike in five steps, and an input of 30 steps and 4 samples."""
    torch.manual_seed(seed)
    if layer == "linear":
        synapse: Any = snn.Linear(12, 7)
        x = spikes(30, 4, 12, seed=seed)
    else:
        synapse = snn.Conv2d(2, 4, 3, stride=(2, 1), padding=1, groups=2 if layer == "grouped" else 1)
        x = spikes(30, 4, 2, 6, 5, seed=seed)
    torch.nn.init.uniform_(synapse.weight, 0.05, 0.6)
    return torch.nn.Sequential(synapse, snn.LIF(tau=3.0, threshold=2.0)).double(), x


def fire(model: torch.nn.Sequential, x: Tensor) -> reference.Fire:
    """The pair, one step at a time, for weights of the caller's."""
    synapse: Any = model[0]
    neuron: Any = model[1]
    state: list[Any] = []

    def step(t: int, weight: Tensor) -> Tensor:
        flat = x[t]
        if isinstance(synapse, snn.Linear):
            y = torch.nn.functional.linear(flat, weight, synapse.bias)
        else:
            y = synapse._conv_forward(flat, weight, synapse.bias)
        if not state:
            state.append(neuron.initial_state(y[None]))
        out, state[0] = neuron.step(y, state[0], neuron.params(y[None]))
        return out.detach()

    return step


@pytest.mark.parametrize("case", CASES, ids=lambda c: "-".join(map(str, c)))
def test_equals_the_plain_loop(case: Any) -> None:
    layer, mode, pairing, same_step, bound, with_lengths = case
    model, x = pair(layer)
    rule = STDP(
        model[0], model[1], a_plus=0.03, a_minus=0.02, tau_pre=4.0, decay_post=0.6,
        pairing=pairing, same_step=same_step, bound=bound, w_max=0.65, mu=0.5, mode=mode,
    )  # fmt: skip
    lengths = torch.tensor([30, 9, 0, 21]) if with_lengths else None
    before = model[0].weight.detach().clone()
    expected = reference.stdp(rule, before, x, fire(model, x), lengths)
    with torch.no_grad(), snn.learning(model), snn.valid_lengths(model, lengths):
        out = model(x)
    assert 0.02 < out.mean() < 0.8
    assert (expected - before).abs().max() > 1e-3
    torch.testing.assert_close(model[0].weight.detach(), expected, rtol=1e-12, atol=1e-12)
    if mode == "batch":  # the weights were frozen over the sequence
        with torch.no_grad():
            model[0].weight.copy_(before)
        assert torch.equal(out, model(x))


@given(
    reset=st.sampled_from(["zero", "subtract"]),
    refractory=st.integers(0, 2),
    per_neuron=st.booleans(),
    bias=st.booleans(),
    bound=st.sampled_from(["hard", "soft", "none"]),
    mu=st.sampled_from([1.0, 0.5]),
    pairing=st.sampled_from(["all", "nearest"]),
    same_step=st.sampled_from(["potentiate", "both", "neither"]),
    threads=st.sampled_from([1, 3]),
    seed=st.integers(0, 1 << 20),
)
@settings(max_examples=30)
def test_online_in_one_call_equals_step_by_step(
    reset: str, refractory: int, per_neuron: bool, bias: bool, bound: str, mu: float, pairing: str, same_step: str,
    threads: int, seed: int,
) -> None:  # fmt: skip
    """Spikes, membranes, states, weights; in two parts, with lengths, and inputs that are not only 0 and 1."""
    torch.manual_seed(seed)
    x = spikes(14, 3, 9, seed=seed, share=0.4) * torch.where(torch.rand(14, 3, 9) < 0.2, 2.0, 1.0).double()
    outputs = 37 if threads > 1 else 5
    threshold = torch.rand(outputs) + 0.8 if per_neuron else 1.0
    results = []
    for step_by_step in (False, True):
        torch.manual_seed(seed)
        model = torch.nn.Sequential(
            snn.Linear(9, outputs, bias=bias),
            snn.LIF(tau=3.0, threshold=threshold, reset=reset, refractory=refractory),
        ).double()
        torch.nn.init.uniform_(model[0].weight, 0.1, 0.5)
        STDP(
            model[0], model[1], a_plus=0.05, a_minus=0.03, tau_pre=4.0, tau_post=6.0, pairing=pairing,
            same_step=same_step, bound=bound, w_min=0.1, w_max=0.5, mu=mu, mode="online",
        )  # fmt: skip
        before = model[0].weight.detach().clone()
        torch.set_num_threads(1 if step_by_step else threads)
        with torch.no_grad(), snn.learning(model, carry=True), snn.record(model, v=True) as rec:
            with reference_only() if step_by_step else contextlib.nullcontext():
                first, states = snn.run(model, x[:6], lengths=torch.tensor([6, 2, 0]))
                second, states = snn.run(model, x[6:], states)
        results.append([first, second, *states["1"], rec.v["1"], model[0].weight.detach()])
        assert not torch.equal(model[0].weight, before)
    for a, b in zip(*results):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@given(distance=st.integers(-12, 12), pairing=st.sampled_from(["all", "nearest"]))
@settings(max_examples=30)
def test_the_window(distance: int, pairing: str) -> None:
    """One pair of spikes, `distance` steps from pre to post, changes the weight by the exponential window."""
    model = torch.nn.Sequential(snn.Linear(1, 1), snn.LIF())
    for same_step, at_zero in (("potentiate", 0.5), ("both", 0.5 - 0.25), ("neither", 0.0)):
        pre, post = torch.zeros(30, 1, 1), torch.zeros(30, 1, 1)
        pre[14] = post[14 + distance] = 1
        with STDP(
            model[0], model[1], a_plus=0.5, a_minus=0.25, tau_pre=5.0, tau_post=8.0,
            pairing=pairing, same_step=same_step, bound="none",
        ) as rule:  # fmt: skip
            change, _ = rule.change(pre, post)
        d = torch.tensor(float(distance))
        window = 0.5 * torch.exp(-d / 5) if distance > 0 else -0.25 * torch.exp(d / 8)
        torch.testing.assert_close(change[0, 0], window if distance else torch.tensor(at_zero))


@pytest.mark.parametrize("bound", ["none", "soft"])
@pytest.mark.parametrize("layer", ["linear", "conv"])
def test_a_batch_is_the_mean_of_its_samples(layer: str, bound: str) -> None:
    torch.manual_seed(0)
    if layer == "linear":
        synapse: Any = snn.Linear(50, 40)
        pre, post = spikes(100, 32, 50, seed=1, share=0.1), spikes(100, 32, 40, seed=2, share=0.1)
    else:
        synapse = snn.Conv2d(2, 6, 3)
        pre, post = spikes(50, 32, 2, 8, 8, seed=1, share=0.1), spikes(50, 32, 6, 6, 6, seed=2, share=0.1)
    pre, post = pre.float(), post.float()
    torch.nn.init.uniform_(synapse.weight, 0, 1)
    rule = STDP(synapse, snn.LIF(), a_plus=0.005, a_minus=0.004, bound=bound)
    whole, _ = rule.change(pre, post)
    singles = torch.stack([rule.change(pre[:, b : b + 1], post[:, b : b + 1])[0] for b in range(32)])
    assert whole.abs().max() > 0.01
    torch.testing.assert_close(whole, singles.mean(0), rtol=1e-5, atol=1e-6)


def test_padding_is_a_shorter_sample() -> None:
    model, x = pair("linear")
    rule = STDP(model[0], model[1])
    post = model(x).detach()
    lengths = torch.tensor([30, 12, 5, 0])
    singles = [rule.change(x[:n, b : b + 1], post[:n, b : b + 1])[0] for b, n in enumerate(lengths.tolist()) if n]
    torch.testing.assert_close(rule.change(x, post, lengths)[0], torch.stack(singles).sum(0) / 4)


def test_one_call_where_it_can_and_equal_bits_for_any_number_of_threads() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(snn.Linear(40, 300), snn.LIF(tau=5.0))
    torch.nn.init.uniform_(model[0].weight, 0, 0.3)
    rule = STDP(model[0], model[1], mode="online")
    x = spikes(40, 8, 40).float()
    state = model[1].initial_state(torch.zeros(40, 8, 300))
    assert rule.run(x, state, None, None) is None  # gradients are wanted
    begin, found = model[0].weight.detach().clone(), []
    with torch.no_grad():
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            model[0].weight.copy_(begin)
            done = rule.run(x, state, None, None)
            assert done is not None
            current, out, after, traces = done
            found.append([current, out, *after, *traces, model[0].weight.clone()])
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other))


def test_weights_that_a_graph_still_needs_are_known_to_have_changed() -> None:
    """The one call writes into the weights' memory; autograd hears of it and refuses an older graph."""
    model, x = pair("linear")
    older = model[0].weight.square().sum()
    STDP(model[0], model[1], mode="online")
    with torch.no_grad(), snn.learning(model):
        model(x)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        older.backward()


def test_bounds_hold() -> None:
    for bound in ("hard", "soft"):
        model, x = pair("linear")
        with torch.no_grad():
            model[0].weight[0, :2] = torch.tensor([0.05, 0.6], dtype=torch.float64)
        STDP(model[0], model[1], a_plus=5.0, a_minus=5.0, bound=bound, w_min=0.05, w_max=0.6, mode="online")
        with torch.no_grad(), snn.learning(model):
            model(x)
        assert model[0].weight.min() >= 0.05
        assert model[0].weight.max() <= 0.6
    # mu = 0 is the additive rule
    model, x = pair("linear")
    post = model(x).detach()
    with STDP(model[0], model[1], bound="hard") as rule:
        hard, _ = rule.change(x, post)
    torch.testing.assert_close(STDP(model[0], model[1], bound="soft", mu=0.0).change(x, post)[0], hard)


def test_bf16_spikes_change_float32_weights() -> None:
    model, x = pair("linear")
    model.float()
    rule = STDP(model[0], model[1])
    post = model(x.float()).detach()
    expected, _ = rule.change(x.float(), post)
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = rule.change(x.bfloat16(), post.bfloat16())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("layer", ["linear", "conv"])
def test_the_same_as_spikingjelly(layer: str) -> None:
    pytest.importorskip("spikingjelly", reason="spikingjelly is not installed")
    from spikingjelly.activation_based import layer as layers
    from spikingjelly.activation_based import learning, neuron

    model, x = pair(layer)
    synapse: Any = model[0]
    if layer == "linear":
        theirs: Any = layers.Linear(12, 7, step_mode="m")
    else:
        theirs = layers.Conv2d(2, 4, 3, stride=(2, 1), padding=1, step_mode="m")
    theirs.double().load_state_dict(synapse.state_dict())
    node = neuron.LIFNode(tau=1 / (1 - 0.75), decay_input=False, v_threshold=2.0, v_reset=0.0, step_mode="m")
    learner = learning.STDPLearner(
        "m", theirs, node, tau_pre=4.0, tau_post=2.5, f_pre=lambda w: 0.02, f_post=lambda w: 0.03
    )
    model[1] = snn.LIF(decay=0.75, threshold=2.0).double()
    rule = STDP(
        model[0], model[1], a_plus=0.03, a_minus=0.02, decay_pre=1 - 1 / 4, decay_post=1 - 1 / 2.5,
        same_step="both", bound="none",
    )  # fmt: skip
    with torch.no_grad():
        out = node(theirs(x))
        assert torch.equal(out, model(x))
        change = learner.step(on_grad=False)
    torch.testing.assert_close(rule.change(x, out)[0] * x.shape[1], change, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bound": "hart"}, "did you mean 'hard'"),
        ({"pairing": "neerest"}, "did you mean 'nearest'"),
        ({"same_step": "bothe"}, "did you mean 'both'"),
        ({"mode": "onlin"}, "did you mean 'online'"),
        ({"tau_pre": 0.0}, "tau_pre=0.0 is not positive"),
        ({"tau_post": 3.0, "decay_post": 0.5}, "both tau_post"),
        ({"decay_pre": 1.5}, "decay_pre=1.5 is outside"),
        ({"a_plus": float("nan")}, "a_plus=nan is not a finite number"),
        ({"a_minus": "much"}, "a_minus='much' is not a finite number"),
        ({"w_min": 1.0, "w_max": 0.5}, "is not below"),
        ({"bound": "soft", "w_max": float("inf")}, "give finite bounds"),
        ({"bound": "soft", "mu": -1.0}, "not an exponent"),
        ({"w_max": 0.3}, "weights from .* are outside the bounds"),
    ],
)
def test_bad_parameters(options: dict[str, Any], message: str) -> None:
    model, _ = pair("linear")
    with pytest.raises(ParameterError, match=message):
        STDP(model[0], model[1], **options)
    STDP(model[0], model[1])  # nothing was left attached


def test_unsupported_layers() -> None:
    model, _ = pair("linear")
    with pytest.raises(ParameterError, match=r"torch\.nn\.Linear[\s\S]*snn\.Linear or snn\.Conv2d"):
        STDP(torch.nn.Linear(12, 7), model[1])
    with pytest.raises(ParameterError, match="cannot change a Conv1d"):
        STDP(snn.Conv1d(2, 2, 1), model[1])
    with pytest.raises(ParameterError, match="needs a layer that spikes behind the synapse, not a LI"):
        STDP(model[0], snn.LI())
    with pytest.raises(ParameterError, match=r"not a torch\.nn\.ReLU"):
        STDP(model[0], torch.nn.ReLU())
    recurrent = snn.Recurrent(snn.LIF(), snn.Linear(7, 7))
    with pytest.raises(ParameterError, match="cannot learn the synapse inside a Recurrent"):
        STDP(recurrent.synapse, recurrent)
    with pytest.raises(UsageError, match="computed from others"):
        STDP(torch.nn.utils.parametrizations.weight_norm(snn.Linear(12, 7)), model[1])
    with pytest.raises(UsageError, match="computed from others"):
        STDP(snn.Conv2d(2, 2, 3, standardise=True), model[1])


def test_frozen_and_twice() -> None:
    model, _ = pair("linear")
    frozen, _ = pair("linear")
    frozen[0].weight.requires_grad_(False)
    with pytest.raises(UsageError, match="frozen"):
        STDP(frozen[0], frozen[1])
    rule = STDP(model[0], model[1])
    with pytest.raises(UsageError, match="attached to this pair already"):
        STDP(model[0], model[1], a_plus=0.1)
    with pytest.raises(UsageError, match="this very rule"):
        rule.attach()
    with pytest.raises(UsageError, match="another neuron"):
        STDP(model[0], snn.LIF())
    rule.detach()
    rule.detach()  # already is
    assert not rule.attached
    assert rule.attach() is rule
    model[0].weight.requires_grad_(False)
    with pytest.raises(UsageError, match="frozen"), snn.learning(model):
        pass


def test_traces_of_another_batch() -> None:
    model, x = pair("linear")
    rule = STDP(model[0], model[1])
    post = model(x).detach()
    _, traces = rule.change(x, post)
    with pytest.raises(StateError, match="the parts of a stream have one batch size"):
        rule.change(x[:, :2], post[:, :2], None, traces)


def test_repr_names_the_pair_and_the_numbers() -> None:
    model, _ = pair("linear")
    text = repr(STDP(model[0], model[1], bound="soft", mode="online"))
    assert text.startswith("STDP(Linear [7 × 12] → LIF, a_plus=0.005")
    assert "bound='soft', w_min=0, w_max=1, mu=1, mode='online'" in text
