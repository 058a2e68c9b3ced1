"""Reference architectures run, learn, stream, are recorded, and refuse settings that make no network."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snnkit import models
from snnkit import nn as snn
from snnkit.errors import ParameterError, ShapeError, SnnkitError

SMALL: dict[str, tuple[type[nn.Module], tuple[int, ...], dict[str, Any]]] = {
    "plif": (models.PLIFNet, (2, 8, 8), {"channels": 4, "hidden": 16, "votes": 2}),
    "vgg": (models.SpikingVGG, (2, 8, 8), {"hidden": 16}),
    "sew add": (models.SEWResNet, (2, 16, 16), {"width": 4}),
    "sew iand": (models.SEWResNet, (2, 8, 8), {"width": 4, "stem": "small", "join": "iand"}),
    "ms": (models.MSResNet, (2, 8, 8), {"width": 4, "stem": "small"}),
    "spikformer": (models.Spikformer, (2, 16, 16), {"dim": 16, "heads": 4, "depth": 1}),
    "recurrent": (models.RecurrentClassifier, (12,), {"hidden": (8,)}),
    "delays": (
        models.RecurrentClassifier, (12,),
        {"hidden": (8, 8), "recurrent": False, "decay_syn": None, "norm": True, "max_delay": 5, "dropout": 0.1},
    ),
    "taps": (models.RecurrentClassifier, (1, 12), {"hidden": (8,), "max_delay": 4, "taps": 3}),
}  # fmt: skip

T, B, CLASSES = 6, 3, 4


def made(name: str) -> tuple[nn.Module, Tensor]:
    cls, shape, settings = SMALL[name]
    torch.manual_seed(1)
    net = cls(input_shape=shape, num_classes=CLASSES, **settings)
    return net, (torch.rand(T, B, *shape, generator=torch.Generator().manual_seed(0)) < 0.4).float()


@pytest.mark.parametrize("name", SMALL)
def test_it_learns_and_every_parameter_has_a_gradient(name: str) -> None:
    net, x = made(name)
    snn.check_model(net, x)
    out = net.train()(x)
    assert out.shape == (T, B, CLASSES)
    torch.nn.functional.cross_entropy(out.sum(0), torch.arange(B)).backward()
    grads = {n: p.grad for n, p in net.named_parameters()}
    assert all(g is not None and bool(torch.isfinite(g).all()) for g in grads.values())
    if name != "ms":  # its blocks begin as shortcuts: gains of 0 hide what is before them
        assert sum(bool(g.any()) for g in grads.values() if g is not None) > 0.7 * len(grads)


@pytest.mark.parametrize("name", SMALL)
def test_streams_as_it_runs_and_is_recorded(name: str) -> None:
    net, x = made(name)
    for module in net.modules():
        if isinstance(module, snn.BatchNorm):
            torch.nn.init.constant_(module.weight, 2.0)
    with torch.no_grad():
        for _ in range(20):
            net.train()(x)  # statistics of the norms, so that neurons fire
    net.eval()
    with torch.no_grad(), snn.record(net, spikes=True) as rec:
        whole, final = snn.run(net, x)
    assert rec.spikes
    assert sum(float(s.sum()) for s in rec.spikes.values()) > 0
    with torch.no_grad():
        parts = list(snn.stream(net, x.split([1, 2, 3])))
    torch.testing.assert_close(torch.cat([out for out, _ in parts]), whole, rtol=1e-5, atol=1e-5)
    assert set(parts[-1][1]) == set(final)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: models.PLIFNet((2, 8, 8), blocks=4), "cannot pool"),
        (lambda: models.PLIFNet(channels=0), "size below 1"),
        (lambda: models.SpikingVGG(depth=12), "depth 5, 11, 13 or 16"),  # type: ignore[arg-type]
        (lambda: models.SpikingVGG((3, 16, 16), depth=16), "cannot pool"),
        (lambda: models.SEWResNet(depth=50), "depth 18 or 34"),  # type: ignore[arg-type]
        (lambda: models.SEWResNet((2, 8, 8), join="iadn"), "did you mean 'iand'"),  # type: ignore[arg-type]
        (lambda: models.MSResNet(stem="big"), "stem large or small"),  # type: ignore[arg-type]
        (lambda: models.Spikformer(dim=100), "multiple of 8"),
        (lambda: models.Spikformer((2, 8, 8)), "4 max pools"),
        (lambda: models.RecurrentClassifier(taps=3), "3 taps for delays from 0 to 0"),
        (lambda: models.RecurrentClassifier(hidden=()), "out of range"),
    ],
)
def test_bad_settings(make: Any, message: str) -> None:
    with pytest.raises(SnnkitError, match=message) as caught:
        make()
    assert isinstance(caught.value, ParameterError | ShapeError)


def test_sew_blocks_compute_the_papers_functions() -> None:
    """ADD counts, AND and IAND are logic of the same two spike trains."""
    torch.manual_seed(0)
    body, x = nn.Sequential(snn.Linear(5, 5), snn.LIF()), (torch.rand(T, B, 5) < 0.5).float()
    a = body(4 * x)
    for join, expected in (("add", a + x), ("and", a * x), ("iand", (1 - a) * x)):
        out = snn.Residual(_Times(4.0), *body, join=join)(x)  # type: ignore[arg-type]
        assert torch.equal(out, expected)
    assert a.any()
    with pytest.raises(ParameterError, match="did you mean 'iand'"):
        snn.Residual(body, join="iandd")  # type: ignore[arg-type]


class _Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


@pytest.mark.parametrize("tokens", [(2, 2), (5, 7)])
def test_attention_is_the_papers_equation(tokens: tuple[int, int]) -> None:
    """scale · q kᵀ v per head, whichever product comes first; of spikes exactly."""
    q, k, v = ((torch.rand(T, B, 8, *tokens) < 0.5).float() for _ in range(3))
    layer = snn.Attention(_Given(q), _Given(k), _Given(v), heads=2, scale=0.25)
    out = layer(torch.zeros(T, B, 3, *tokens))
    expected = torch.zeros(T, B, 8, q[0, 0, 0].numel())
    for h in range(2):
        part = slice(4 * h, 4 * h + 4)
        a, b, c = (t.flatten(3)[:, :, part].transpose(2, 3) for t in (q, k, v))  # [T, B, N, d]
        expected[:, :, part] = (0.25 * (a @ b.transpose(2, 3)) @ c).transpose(2, 3)
    assert torch.equal(out, expected.unflatten(3, tokens))


class _Given(nn.Module):
    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        return self.value


def test_attention_refuses_what_does_not_fit() -> None:
    same = nn.Identity()
    with pytest.raises(ParameterError, match="heads"):
        snn.Attention(same, same, same, heads=0)
    with pytest.raises(ShapeError, match="heads divide"):
        snn.Attention(same, same, same, heads=3)(torch.zeros(1, 1, 4, 2))
    with pytest.raises(ShapeError, match="query, key and value"):
        snn.Attention(same, snn.Conv1d(4, 2, 1), same)(torch.zeros(1, 1, 4, 2))


def test_plif_starts_as_the_papers_net() -> None:
    """Equal to spikingjelly's network of the same weights: there the neuron divides its input by τ, here weights do."""
    from snnkit._compat import prepare_torchvision

    prepare_torchvision()
    pytest.importorskip("spikingjelly.activation_based", reason="spikingjelly is not installed")
    from spikingjelly.activation_based import functional, neuron
    from spikingjelly.activation_based.model import parametric_lif_net

    from snnkit.training.weights import pair

    torch.manual_seed(0)
    theirs = parametric_lif_net.NMNISTNet(channels=4, spiking_neuron=neuron.ParametricLIFNode).eval()
    functional.set_step_mode(theirs, "m")
    ours = models.PLIFNet(channels=4).eval()
    state, own = theirs.state_dict(), ours.state_dict()
    pairs = pair(own, state, {}, "order")
    assert {n for n in own if n not in pairs} == {n for n in own if n.endswith(("decay_logit", "threshold"))}
    for n, m in pairs.items():
        if n.endswith(("weight", "bias")):
            state[m] = 4 * state[m]  # so that neurons fire
        divided = n.startswith(("norm", "linear", "head")) and n.endswith(("weight", "bias"))
        own[n] = state[m] * (0.5 if divided else 1.0)
    theirs.load_state_dict(state)
    ours.load_state_dict(own)
    x = (torch.rand(8, 2, 2, 34, 34) < 0.3).float()
    with torch.no_grad():
        expected, got = theirs(x), ours(x)
    assert got.sum() > 0
    assert float(((got / 10 - expected).abs() > 1e-6).float().mean()) < 0.01
