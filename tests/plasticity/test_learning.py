"""`snn.learning`: when rules learn, what they receive, gradients beside them, streams, copies, wrong use."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

from snnkit import nn as snn
from snnkit.errors import ShapeError, UsageError
from snnkit.nn import context
from snnkit.plasticity import STDP, Rule


def network(first: int = 8) -> torch.nn.Sequential:
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        snn.Linear(first, 10), snn.LIF(tau=3.0), snn.Linear(10, 6), snn.LIF(tau=3.0), snn.Linear(6, 3), snn.LI()
    )
    for k in (0, 2):
        torch.nn.init.uniform_(model[k].weight, 0, 0.8)
    return model


def spikes(*shape: int, seed: int = 0) -> Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.3).float()


def weights(model: torch.nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters()]


class Witness(Rule):
    """Changes nothing, keeps what it receives."""

    wants_v = True

    def __init__(self, *pair: Any, mode: str = "batch") -> None:
        self.seen: list[Any] = []
        super().__init__(*pair, mode=mode)

    def learn(self, pre: Tensor, post: Tensor, v: Tensor | None, lengths: Tensor | None, memory: Any) -> Any:
        self.seen.append((pre, post, v, lengths, memory))
        return len(self.seen)


def test_only_inside_the_block_and_only_the_pair() -> None:
    model, x = network(), spikes(12, 4, 8)
    rule = STDP(model[2], model[3], a_plus=0.05)
    before = weights(model)
    model(x)
    assert all(torch.equal(a, b) for a, b in zip(weights(model), before))
    with snn.learning(model):
        model(x)
    changed = [not torch.equal(a, b) for a, b in zip(weights(model), before)]
    assert changed == [name == "2.weight" for name, _ in model.named_parameters()]
    assert model[2].weight.requires_grad
    after = weights(model)
    model(x)
    rule.detach()
    with pytest.raises(UsageError, match="no rule is attached"), snn.learning(model):
        pass
    assert all(torch.equal(a, b) for a, b in zip(weights(model), after))


def test_off_costs_nothing() -> None:
    """Outside of the block no hook is registered and nobody is asked: the layers see one flag."""
    model = network()
    STDP(model[0], model[1])
    assert not context._busy
    assert context.learner_of(model[0]) is None
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    with snn.learning(model):
        assert context.learner_of(model[0]) is not None
        assert context.learner_of(model[2]) is None
    assert not context._busy


def test_a_rule_as_context_manager() -> None:
    model, x = network(), spikes(12, 4, 8)
    with STDP(model[0], model[1]) as rule, snn.learning(model):
        assert rule.attached
        model(x)
    assert not rule.attached
    with rule:
        assert rule.attached
    assert not rule.attached


@pytest.mark.parametrize("mode", ["batch", "online"])
def test_what_a_rule_receives(mode: str) -> None:
    model, x = network().double(), spikes(9, 3, 8).double()
    witness = Witness(model[2], model[3], mode=mode)
    lengths = torch.tensor([9, 4, 0])
    with snn.record(model, v=["3"]) as plain:
        expected = model(x)
    with snn.learning(model), snn.record(model, v=["3"]) as rec:
        out, states = snn.run(model, x, lengths=lengths)
    torch.testing.assert_close(out, expected)
    pre, post, v = (torch.cat([seen[k] for seen in witness.seen]) for k in range(3))
    assert torch.equal(pre, plain.spikes["1"])
    assert torch.equal(post, plain.spikes["3"])
    torch.testing.assert_close(v, plain.v["3"])
    assert not any(t.requires_grad for t in (pre, post, v))
    torch.testing.assert_close(rec.v["3"], plain.v["3"])
    torch.testing.assert_close(states["3"].v, plain.v["3"][-1])
    found = [seen[3].tolist() for seen in witness.seen]
    memories = [seen[4] for seen in witness.seen]
    if mode == "batch":
        assert (found, memories) == ([[9, 4, 0]], [None])
    else:
        assert found == [[1, int(t < 4), 0] for t in range(9)]
        assert memories == [None, *range(1, 9)]


@pytest.mark.parametrize("mode", ["batch", "online"])
def test_gradients_are_those_of_the_forward_pass(mode: str) -> None:
    """STDP on two layers, of which one lies in the middle, and the gradient of all: as if weights had changed after."""
    x = spikes(12, 4, 8).double()
    plain, model = network().double(), network().double()
    if mode == "batch":
        STDP(model[0], model[1], a_plus=0.3, a_minus=0.2)
    STDP(model[2], model[3], a_plus=0.3 if mode == "batch" else 0.0, a_minus=0.0, mode=mode)
    plain(x).square().sum().backward()
    with snn.learning(model):
        out = model(x)
    out.square().sum().backward()
    if mode == "batch":
        assert not torch.equal(model[2].weight, plain[2].weight)
    for a, b in zip(model.parameters(), plain.parameters()):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-12, atol=1e-12)


def test_online_gradients_use_the_weights_of_each_step() -> None:
    """Weights change inside the sequence; the backward pass of a step sees those that the step had."""
    x = spikes(8, 3, 8).double()
    model, plain = network().double(), network().double()
    STDP(model[2], model[3], a_plus=0.2, a_minus=0.1, mode="online")
    with snn.learning(model):
        out = model(x)
    out.square().sum().backward()
    # the same by hand: one leaf per step, advanced by a rule that is told the spikes of the step
    rule = STDP(plain[2], plain[3], a_plus=0.2, a_minus=0.1, mode="online")
    hidden = plain[1](plain[0](x))
    state, traces, outs, leaves = plain[3].initial_state(hidden.new_zeros(8, 3, 6)), None, [], []
    for h in hidden.unbind(0):
        leaf = plain[2].weight.detach().clone().requires_grad_()
        s, state = plain[3](torch.nn.functional.linear(h, leaf, plain[2].bias)[None], state)
        traces = rule.learn(h[None].detach(), s.detach(), None, None, traces)
        outs.append(s)
        leaves.append(leaf)
    expected = plain[5](plain[4](torch.cat(outs)))
    torch.testing.assert_close(out, expected)
    expected.square().sum().backward()
    torch.testing.assert_close(model[2].weight.detach(), plain[2].weight.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(model[2].weight.grad, torch.stack([leaf.grad for leaf in leaves]).sum(0))  # type: ignore[misc]
    for k in (0, 4):
        torch.testing.assert_close(model[k].weight.grad, plain[k].weight.grad, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode", ["batch", "online"])
def test_a_training_step_with_both(mode: str) -> None:
    """STDP on the first layer, gradient on the last: the optimizer adds its part to weights that have learned."""
    model, x = network(), spikes(12, 8, 8)
    STDP(model[0], model[1], mode=mode)
    optimizer = torch.optim.SGD([*model[4].parameters(), model[2].weight], lr=1.0)
    y = torch.arange(8) % 3
    for _ in range(3):
        before = [p.detach().clone() for p in model.parameters()]
        with snn.learning(model):
            loss = torch.nn.functional.cross_entropy(model(x)[-1], y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        for (name, p), old in zip(model.named_parameters(), before):
            if name in ("2.weight", "4.weight", "4.bias"):
                torch.testing.assert_close(p.detach(), old - p.grad)  # type: ignore[operator]
            else:
                assert torch.equal(p, old) == (name != "0.weight"), name


def test_parts_of_a_stream_learn_as_the_whole() -> None:
    x = spikes(20, 3, 8).double()
    whole, parts = (network().double() for _ in range(2))
    for model in (whole, parts):
        STDP(model[0], model[1], a_plus=0.02, mode="online")
    with torch.no_grad(), snn.learning(whole):
        out = whole(x)
    with torch.no_grad(), snn.learning(parts, carry=True):
        found = torch.cat([o for o, _ in snn.stream(parts, x.split(7))])
    assert torch.equal(whole[0].weight, parts[0].weight)
    torch.testing.assert_close(found, out)
    with torch.no_grad(), snn.learning(parts):  # without carry each call starts anew
        for _ in snn.stream(parts, x.split(7)):
            pass
    assert not torch.equal(whole[0].weight, parts[0].weight)


def test_many_batches_in_one_block_start_anew() -> None:
    one, other = network(), network()
    for model in (one, other):
        STDP(model[0], model[1])
    batches = [spikes(12, n, 8, seed=n) for n in (4, 2, 4)]
    with torch.no_grad():
        with snn.learning(one):
            for x in batches:
                one(x)
        for x in batches:
            with snn.learning(other):
                other(x)
    assert torch.equal(one[0].weight, other[0].weight)


def test_something_between_that_keeps_the_shape() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(snn.Conv2d(1, 3, 3), snn.BatchNorm(3), snn.LIF())
    rule = STDP(model[0], model[2], bound="none")
    before = model[0].weight.detach().clone()
    with torch.no_grad(), snn.learning(model):
        assert model(spikes(6, 2, 1, 6, 6)).any()
    assert not torch.equal(model[0].weight, before)
    rule.detach()
    STDP(model[0], model[2], bound="none", mode="online")
    with pytest.raises(UsageError, match="not the output of the synapse itself"), snn.learning(model):
        model(spikes(6, 2, 1, 6, 6))


def test_two_synapses_of_one_neuron() -> None:
    class Two(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b, self.neuron = snn.Linear(8, 5), snn.Linear(8, 5), snn.LIF()
            for layer in (self.a, self.b):
                torch.nn.init.uniform_(layer.weight, 0, 0.5)

        def forward(self, x: Tensor) -> Tensor:
            return self.neuron(self.a(x) + self.b(x.flip(0)))

    model, x = Two(), spikes(12, 4, 8)
    one, other = STDP(model.a, model.neuron), STDP(model.b, model.neuron)
    with torch.no_grad():
        out = model(x)
        expected = [one.change(x, out)[0] + model.a.weight, other.change(x.flip(0), out)[0] + model.b.weight]
        with snn.learning(model):
            model(x)
    assert torch.equal(model.a.weight, expected[0].clamp(0, 1))
    assert torch.equal(model.b.weight, expected[1].clamp(0, 1))


def test_rules_go_along_with_copies() -> None:
    model, x = network(), spikes(12, 4, 8)
    STDP(model[0], model[1])
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        with torch.no_grad(), snn.learning(twin):
            twin(x)
        assert not torch.equal(twin[0].weight, model[0].weight)
        assert set(twin.state_dict()) == set(network().state_dict())


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_model_learns() -> None:
    """Learning that begins after compilation is not lost."""
    model, plain = network(), network()
    for m in (model, plain):
        STDP(m[0], m[1])
    x = spikes(12, 4, 8)
    compiled: Any = torch.compile(model, backend="eager")
    with torch.no_grad():
        compiled(x)
        with snn.learning(model):
            compiled(x)
        with snn.learning(plain):
            plain(x)
    assert torch.equal(model[0].weight, plain[0].weight)


def test_a_failing_pass_teaches_nothing() -> None:
    """`snn.run` explains a failure by a tiny pass of the model; the rules do not see it."""
    model = network()
    witness = Witness(model[0], model[1])
    broken = torch.nn.Sequential(model, torch.nn.Linear(99, 1))
    with pytest.raises(ShapeError, match="Linear"), snn.learning(broken):
        snn.run(broken, spikes(12, 4, 8))
    assert [seen[0].shape[0] for seen in witness.seen] == [12]


def test_pairs_that_do_not_belong_together() -> None:
    x = spikes(12, 4, 8)
    model = network()
    with STDP(model[0], model[3]), snn.learning(model), pytest.raises(ShapeError, match=r"'0' \(Linear\).*'3' \(LIF\)"):
        model(x)
    with (
        STDP(model[4], model[1], bound="none"),
        pytest.raises(UsageError, match="has not run before it"),
        snn.learning(model),
    ):
        model(x)
    with STDP(model[2], snn.LIF()), pytest.raises(UsageError, match="has its neuron outside"), snn.learning(model):
        pass
    with STDP(model[0], model[1]), pytest.raises(UsageError, match="has run, the neuron of its rule"):
        with snn.learning(model):
            model[0](x)
    with STDP(model[0], model[1]), snn.learning(model):
        with pytest.raises(UsageError, match="learning already"), snn.learning(model):
            pass
    with STDP(model[0], model[1]), snn.learning(model):
        model[0](x)
        with pytest.raises(UsageError, match="called again before its neuron"):
            model[0](x)
        model[1](torch.zeros(12, 4, 10))


def test_rules_of_one_synapse_share_neuron_and_mode() -> None:
    model = network()
    rule = STDP(model[0], model[1])
    Witness(model[0], model[1])  # another rule on the same pair
    rule.detach()
    with pytest.raises(UsageError, match="another mode"):
        STDP(model[0], model[1], mode="online")


def test_who_reads_the_output_of_an_online_synapse_gets_no_number() -> None:
    """Its values do not exist before the neuron runs; nothing else may take them for granted."""

    class Leak(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.synapse, self.neuron = snn.Linear(8, 5), snn.LIF()
            torch.nn.init.uniform_(self.synapse.weight, 0, 0.5)

        def forward(self, x: Tensor) -> Tensor:
            y = self.synapse(x)
            return self.neuron(y) + y

    model, x = Leak(), spikes(12, 4, 8)
    STDP(model.synapse, model.neuron, mode="online")
    with torch.no_grad(), snn.learning(model):
        assert model(x).isnan().all()
