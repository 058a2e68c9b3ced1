"""Gradient checkpointing: outputs, gradients, states and running statistics are those without it, bit for bit."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.checkpoint import checkpoint as torch_checkpoint

from snnkit import nn as snn
from snnkit.kernels import reference_only

Forward = Callable[[nn.Module, Tensor], tuple[list[Tensor], list[Tensor]]]


class Blocks(nn.Module):
    """Blocks one after another, checkpointed or not."""

    def __init__(self, *blocks: nn.Module, keep: bool = False) -> None:
        super().__init__()
        self.blocks, self.keep, self.again = nn.ModuleList(blocks), keep, 0

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x) if self.keep else snn.checkpoint(block, x)
        return x


def convolutional() -> tuple[nn.Module, Tensor]:
    """Norm, neuron and pool as one kernel; dropout; a delay; a read-out."""
    first = snn.Sequential(snn.Conv2d(2, 4, 3, padding=1), snn.BatchNorm(4), snn.LIF(tau=3.0), snn.AvgPool2d(2))
    second = snn.Sequential(snn.Conv2d(4, 3, 3), snn.ThresholdBatchNorm(3), snn.ALIF(refractory=1), snn.Dropout(0.3))
    third = snn.Sequential(snn.Flatten(), snn.Delay(2), snn.Linear(12, 3), snn.LI(learn_decay=True))
    return Blocks(first, second, third), spikes(7, 3, 2, 8, 8)


def recurrent() -> tuple[nn.Module, Tensor]:
    """The recurrent operator, a loop over steps, and a residual."""
    first = snn.Sequential(snn.Linear(5, 6), snn.Recurrent.dense(snn.CubaLIF(learn_decay=True), 6))
    second = nn.Sequential(snn.BatchNorm(6), snn.Recurrent.one_to_one(snn.LIF(), 6))
    third = snn.Residual(nn.Sequential(snn.Linear(6, 6), snn.LIF(learn_threshold=True)))
    return Blocks(first, second, third, snn.LI()), spikes(7, 3, 5)


MODELS = {"convolutional": convolutional, "recurrent": recurrent}
EVERY = pytest.mark.parametrize("name", list(MODELS))


def spikes(*shape: int) -> Tensor:
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(0)) < 0.4).float()


def made(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    return MODELS[name]()


def both(name: str, forward: Callable[[nn.Module, Tensor, bool], list[Tensor]], train: bool = True) -> None:
    """forward(model, x, plain) → outputs to differentiate; compares everything with and without checkpointing."""
    found = []
    for plain in (True, False):
        model, x = made(name)
        model.train(train)
        model.keep = plain
        x = x.requires_grad_()
        torch.manual_seed(3)  # of dropout
        outputs = forward(model, x, plain)
        wanted = [out for out in outputs if out.requires_grad]
        generator = torch.Generator().manual_seed(4)
        loss = sum((torch.randn(out.shape, generator=generator) * out).sum() for out in wanted)
        leaves = [x, *model.parameters(), *(leaf for leaf in getattr(model, "given", ()))]
        grads = torch.autograd.grad(loss, leaves, allow_unused=True)  # type: ignore[arg-type]
        found.append((outputs, grads, list(model.state_dict().values())))
    for a, b in zip(found[0], found[1], strict=True):
        for left, right in zip(a, b, strict=True):
            assert (left is None) == (right is None)
            assert left is None or torch.equal(left, right)
    grads = [g for g in found[0][1] if g is not None]
    assert sum(bool(g.any()) for g in grads) > len(grads) * 0.8


def given_states(model: nn.Module, x: Tensor) -> dict[str, Any]:
    """States as in the middle of a sequence, which want gradients."""
    with torch.no_grad():
        _, states = snn.run(model.eval(), x)
    model.given = []

    def own(t: Tensor) -> Tensor:
        if not t.is_floating_point():
            return t.clone()
        model.given.append((t + 0.1).requires_grad_())
        return model.given[-1]

    return {path: tree_map(own, state) for path, state in states.items()}


@EVERY
@pytest.mark.parametrize("train", [True, False])
def test_at_rest(name: str, train: bool) -> None:
    both(name, lambda model, x, plain: [model(x)], train)


@EVERY
def test_states_left_to_a_run(name: str) -> None:
    """Gradients of final states too."""

    def forward(model: nn.Module, x: Tensor, plain: bool) -> list[Tensor]:
        out, states = snn.run(model, x)
        return [out, *tree_leaves(states)]

    both(name, forward)


@EVERY
def test_states_given_to_a_run(name: str) -> None:
    """Initial states reach the layers a second time, and get gradients; norms use their running statistics."""

    def forward(model: nn.Module, x: Tensor, plain: bool) -> list[Tensor]:
        out, states = snn.run(model, x.detach(), given_states(model, x.detach()))
        return [out, *tree_leaves(states)]

    both(name, forward, train=False)


@EVERY
def test_parts_of_a_sequence(name: str) -> None:
    """Back through both parts at once, though the second pass is over when the first runs again."""

    def forward(model: nn.Module, x: Tensor, plain: bool) -> list[Tensor]:
        first, states = snn.run(model, x[:4])
        second, _ = snn.run(model, x[4:], states)
        return [first, second]

    both(name, forward, train=False)


@EVERY
@pytest.mark.parametrize("where", ["run", "around"])
def test_lengths(name: str, where: str) -> None:
    """Norms leave out the same steps a second time, when `valid_lengths` is over."""
    lengths = torch.tensor([7, 2, 5])

    def forward(model: nn.Module, x: Tensor, plain: bool) -> list[Tensor]:
        if where == "run":
            return [snn.run(model, x, lengths=lengths)[0]]
        with snn.valid_lengths(model, lengths):
            return [model(x)]

    both(name, forward)


@EVERY
def test_a_run_inside(name: str) -> None:
    """Chunks of time: the states go through the checkpointed function."""

    def forward(model: nn.Module, x: Tensor, plain: bool) -> list[Tensor]:
        inner = copy.copy(model)
        inner.keep = True
        call = (lambda f, *args: f(*args)) if plain else snn.checkpoint
        first, states = call(snn.run, inner, x[:3])
        second, states = call(snn.run, inner, x[3:], states)
        return [first, second, *tree_leaves(states)]

    both(name, forward, train=False)


@EVERY
def test_who_records_sees_one_pass(name: str) -> None:
    """Backward within the recording, and forward within another; where recording decides how layers run, it still
    does."""
    seen = []

    def forward(model: nn.Module, x: Tensor, plain: bool) -> list[Tensor]:
        with snn.record(model) as rec:
            out = model(x)
        seen.append(dict(rec.spikes))
        return [out, *rec.spikes.values()]

    both(name, forward)
    assert seen[0]
    assert seen[0].keys() == seen[1].keys()
    model, x = made(name)
    out = model(x)
    with snn.record(model) as rec:
        out.sum().backward()
    assert not rec.spikes


@EVERY
@pytest.mark.parametrize("fused", [True, False])
def test_kernels_are_chosen_as_in_the_first_pass(name: str, fused: bool) -> None:
    model, x = made(name)
    model.keep = True
    with reference_only():
        expected = torch.autograd.grad(model(x).sum(), list(model.parameters()))
    model, x = made(name)
    if fused:
        out = model(x)
        with reference_only():
            found = torch.autograd.grad(out.sum(), list(model.parameters()))
    else:
        with reference_only():
            out = model(x)
        found = torch.autograd.grad(out.sum(), list(model.parameters()))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_it_keeps_the_arguments_alone() -> None:
    model, x = made("convolutional")
    held = {}

    def pack(t: Tensor) -> Tensor:
        held[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    sizes = []
    for keep in (True, False):
        model.keep = keep
        held.clear()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            model(x.clone().requires_grad_())
        sizes.append(sum(held.values()))
    inputs = [x]
    with torch.no_grad():
        for block in model.blocks[:-1]:
            inputs.append(block(inputs[-1]))
    assert sizes[1] == sum(t.nbytes for t in inputs)
    assert sizes[0] > 2 * sizes[1]


def test_without_gradients_under_transforms_and_compiled() -> None:
    model, x = made("recurrent")
    model.eval()
    plain = copy.copy(model)
    plain.keep = True
    with torch.no_grad():
        assert torch.equal(model(x), plain(x))
    along = torch.func.jvp(model, (x,), (torch.ones_like(x),))[1]
    assert torch.equal(along, torch.func.jvp(plain, (x,), (torch.ones_like(x),))[1])
    block, x = snn.Sequential(snn.Linear(5, 4), snn.LIF()), spikes(3, 2, 5).requires_grad_()
    compiled: Any = torch.compile(Blocks(block), backend="aot_eager", fullgraph=True)
    (found,) = torch.autograd.grad(compiled(x).sum(), x)
    (expected,) = torch.autograd.grad(block(x).sum(), x)
    torch.testing.assert_close(found, expected)


def test_torch_s_own_says_that_something_differs() -> None:
    """It does not hand on given states: no silent wrong gradient."""
    model, x = made("recurrent")

    class Torch(Blocks):
        def forward(self, x: Tensor) -> Tensor:
            for block in self.blocks:
                x = torch_checkpoint(block, x, use_reentrant=False)
            return x

    blocks = Torch(*model.blocks).eval()
    out, _ = snn.run(blocks, x, given_states(blocks, x))
    with pytest.raises(torch.utils.checkpoint.CheckpointError):
        out.sum().backward()
