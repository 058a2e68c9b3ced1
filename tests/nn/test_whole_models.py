"""Models with every layer: compiled without a graph break, copied, pickled to workers, and with stable state dicts."""

from __future__ import annotations

import copy
import json
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snnkit import nn as snn

from .layers import EXAMPLES, FEATURES, every_layer

STATE_DICTS = Path(__file__).with_name("state_dicts.json")


def stimulus(steps: int = 2, batch: int = 2) -> Tensor:
    g = torch.Generator().manual_seed(3)
    return (torch.rand(steps, batch, *FEATURES, generator=g) < 0.5).float()


def gradients(model: nn.Module, x: Tensor, of: Any = None) -> list[Tensor]:
    torch.manual_seed(1)  # of dropout
    model.zero_grad()
    (model if of is None else of)(x).square().sum().backward()
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_a_model_with_every_layer_compiles_to_one_graph(mode: str) -> None:
    """Forward and backward, traced by the compiler and run by torch's own operators: no graph break, equal values."""
    torch._dynamo.reset()
    model = every_layer().train(mode == "train")
    x = stimulus()
    other = copy.deepcopy(model)
    graphs: list[Any] = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return torch._dynamo.lookup_backend("aot_eager")(graph, inputs)

    compiled: Any = torch.compile(other, backend=backend, fullgraph=True)
    if mode == "train":
        expected, got = gradients(model, x), gradients(other, x, compiled)
        assert len(expected) == len(got) == len(list(model.parameters()))
        assert sum(bool(g.any()) for g in expected) > 0.8 * len(expected)
        for a, b in zip(got, expected):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(other.state_dict(), model.state_dict())
    else:
        with torch.no_grad():
            torch.testing.assert_close(compiled(x), model(x))
    assert len(graphs) == 1
    names = {str(node.target) for node in graphs[0].graph.nodes}
    assert {"snnkit.lif.default", "snnkit.cubalif.default", "snnkit.li.default"} <= names  # one node each, not a loop


@pytest.mark.filterwarnings("ignore")
def test_explicit_states_compile() -> None:
    torch._dynamo.reset()
    layers: list[Any] = [
        snn.LIF(refractory=1),
        snn.Delay([1, 2, 0]),
        snn.Recurrent.dense(snn.CubaLIF(), 3),
        snn.Dropout(),
    ]
    x = torch.rand(4, 2, 3)
    for layer in layers:
        layer.eval()
        state = layer.initial_state(x)
        compiled: Any = torch.compile(layer, backend="aot_eager", fullgraph=True)
        out, after = compiled(x, state)
        expected, final = layer(x, state)
        assert torch.equal(out, expected)
        leaves = torch.utils._pytree.tree_leaves
        assert all(torch.equal(a, b) for a, b in zip(leaves(after), leaves(final), strict=True))


@pytest.mark.parametrize("name", [*EXAMPLES, "every layer"])
def test_copies_are_equal_and_independent(name: str) -> None:
    """By deepcopy and by pickle, of the module alone and after it has run."""
    if name == "every layer":
        model, x = every_layer(), stimulus()
    else:
        model, x = EXAMPLES[name].layer(), EXAMPLES[name].x()
    snn.run(model, x)
    model.eval()
    expected = model(x)
    for made in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert repr(made) == repr(model)
        assert torch.equal(made(x), expected)
        with torch.no_grad():
            for p in made.parameters():
                p.add_(1)
            for b in made.buffers():
                b.add_(1)
    assert torch.equal(model(x), expected)


def test_states_are_copied_and_pickled_too() -> None:
    model, x = every_layer().eval(), stimulus()
    _, states = snn.run(model, x)
    for made in (copy.deepcopy({k: s.detach() for k, s in states.items()}), pickle.loads(pickle.dumps(states))):
        assert {k: type(s) for k, s in made.items()} == {k: type(s) for k, s in states.items()}
        assert torch.equal(snn.run(model, x, made)[0], snn.run(model, x, states)[0])


def test_a_spawned_worker_is_given_a_model() -> None:
    """A worker process that shares nothing with this one, as DataLoaders start them on some systems."""
    model, x = every_layer().eval().requires_grad_(False), stimulus()
    whole, states = snn.run(model, x)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        out, theirs = pool.submit(snn.run, model, x).result(timeout=50)
    torch.testing.assert_close(out, whole)
    assert set(theirs) == set(states)


def shapes(module: nn.Module) -> dict[str, list[int]]:
    return {key: list(value.shape) for key, value in module.state_dict().items()}


def test_state_dicts_are_stable() -> None:
    """Names and shapes of every layer's parameters and buffers: a checkpoint of today has to load tomorrow.

    A new layer gets its entry by writing `shapes` of its example into state_dicts.json. An entry that changes breaks
    users' checkpoints: keep the old names loadable (`_load_from_state_dict`) instead of changing the file.
    """
    kept = json.loads(STATE_DICTS.read_text(encoding="utf-8"))
    now = {name: shapes(example.layer()) for name, example in EXAMPLES.items()} | {"every layer": shapes(every_layer())}
    assert {name: kept.get(name) for name in now} == now
    assert set(kept) == set(now)


def test_state_dicts_load_strictly_into_a_new_model() -> None:
    first = every_layer()
    snn.run(first, stimulus())
    torch.manual_seed(9)
    second = every_layer()
    with torch.no_grad():
        for p in second.parameters():
            p.mul_(0.5)
    second.load_state_dict(first.state_dict(), strict=True)
    assert torch.equal(second.eval()(stimulus()), first.eval()(stimulus()))
