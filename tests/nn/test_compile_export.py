"""The reference models under torch.compile, torch.export, gradient checkpointing and torch.func: equal values."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from snnkit import nn as snn
from snnkit.models.conv import ConvClassifier
from snnkit.models.dense import DenseClassifier
from snnkit.models.recurrent import RecurrentClassifier
from snnkit.models.resnet import MSResNet, SEWResNet

MODELS: dict[str, tuple[Callable[[], nn.Sequential], tuple[int, ...]]] = {
    "dense": (lambda: DenseClassifier((2, 4, 4), 3, (8,)), (2, 4, 4)),
    "conv": (lambda: ConvClassifier((2, 8, 8), 3, (3, 4)), (2, 8, 8)),
    "recurrent": (lambda: RecurrentClassifier((6,), 3, (5,)), (6,)),
    "residual": (lambda: SEWResNet(num_classes=3, width=4, stem="small"), (2, 8, 8)),
    "membrane residual": (lambda: MSResNet(num_classes=3, width=4, stem="small"), (2, 8, 8)),
}
STEPS = 3
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("conv", "residual", "membrane residual")]
LIGHT = ["dense", "conv", "recurrent"]

quiet = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


def made(name: str) -> nn.Sequential:
    torch.manual_seed(0)
    return MODELS[name][0]()


def frames(name: str, batch: int) -> Tensor:
    g = torch.Generator().manual_seed(batch)
    return (torch.rand(STEPS, batch, *MODELS[name][1], generator=g) < 0.5).float()


def gradients(model: nn.Module, of: Any, x: Tensor) -> list[Tensor]:
    torch.manual_seed(1)  # of dropout
    model.zero_grad()
    of(x).sub(1).square().sum().backward()
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


def compare(got: list[Tensor], expected: list[Tensor]) -> None:
    assert len(got) == len(expected)
    assert any(bool(g.any()) for g in expected)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@quiet
@pytest.mark.parametrize("name", ["dense", "recurrent", *SLOW])
def test_compiled_to_one_graph(name: str) -> None:
    """Without a graph break, in training, for several batch sizes; run by torch's own operators."""
    torch._dynamo.reset()
    model = made(name)
    other = copy.deepcopy(model)
    compiled: Any = torch.compile(other, backend="aot_eager", fullgraph=True)
    for batch in (2, 3, 5):
        x = frames(name, batch)
        compare(gradients(other, compiled, x), gradients(model, model, x))
    torch.testing.assert_close(other.state_dict(), model.state_dict())


@quiet
@pytest.mark.slow
@pytest.mark.parametrize("name", list(MODELS))
def test_compiled_by_inductor(name: str) -> None:
    torch._dynamo.reset()
    model = made(name).eval()
    compiled: Any = torch.compile(model, fullgraph=True)
    for batch in (2, 3):
        x = frames(name, batch)
        torch.testing.assert_close(compiled(x), model(x), rtol=1e-4, atol=1e-4)


@quiet
@pytest.mark.parametrize("name", [*LIGHT, *SLOW[1:]])
def test_exported_for_any_batch(name: str) -> None:
    """torch.export with a symbolic batch: the program is equal for batches it has not seen, the neuron one operator."""
    model = made(name).eval()
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(model, (frames(name, 3),), dynamic_shapes=({1: batch},))
    run = program.module()
    with torch.no_grad():
        for size in (1, 2, 7):
            assert torch.equal(run(frames(name, size)), model(frames(name, size)))
    if name != "recurrent":
        assert "snnkit.lif.default" in {str(node.target) for node in program.graph.nodes}


@pytest.mark.parametrize("name", [*LIGHT, *SLOW[1:]])
def test_checkpointed_blocks_have_equal_gradients(name: str) -> None:
    """Whether the states are at rest, or taken and left by `snn.run`."""
    model, x = made(name), frames(name, 2)
    expected = gradients(model, model, x)

    class Blocks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers = list(copy.deepcopy(model))
            self.first, self.second = nn.Sequential(*layers[:4]), nn.Sequential(*layers[4:])

        def forward(self, x: Tensor) -> Tensor:
            for block in (self.first, self.second):
                x = checkpoint(block, x, use_reentrant=False)
            return x

    plain = Blocks()
    compare(gradients(plain, plain, x), expected)
    carried = Blocks()
    compare(gradients(carried, lambda x: snn.run(carried, x)[0], x), expected)


@pytest.mark.parametrize("name", [*LIGHT, *SLOW[1:]])
def test_functional_call_and_its_gradient(name: str) -> None:
    model, x = made(name).eval(), frames(name, 2)
    values = {k: p.detach().clone() * 1.1 for k, p in model.named_parameters()}

    def loss(values: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(model, values, (x,)).sub(1).square().sum()

    got = torch.func.grad(loss)(values)
    changed = copy.deepcopy(model)
    changed.load_state_dict(values, strict=False)
    assert torch.equal(loss(values), changed(x).sub(1).square().sum())
    compare([got[k] for k in values], gradients(changed, changed, x))
