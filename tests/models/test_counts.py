"""Parameters of the reference architectures: by formulas of the papers, as they state them, and spikingjelly's."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch

from snnkit.errors import ParameterError
from snnkit.models import CATALOG, find
from snnkit.models.resnet import BLOCKS
from snnkit.models.vgg import STAGES


def plif(c: int, blocks: int, pixels: int, hidden: int, classes: int) -> int:
    """Fang et al. 2021, table 1: 3×3 convolutions without bias, norms, two linear layers, a decay per neuron layer."""
    convolutions = 2 * c * 9 + (blocks - 1) * c * c * 9 + 2 * c * blocks
    return convolutions + c * pixels * hidden + hidden + hidden * 10 * classes + 10 * classes + blocks + 2


def resnet(depth: int, membrane: bool) -> int:
    """He et al. 2016: stem, blocks of two 3×3 convolutions, 1×1 convolutions between stages; a norm behind each.

    MS-ResNet halves the picture in the first stage instead of by a pool, so that stage has a 1×1 convolution too."""
    total, c = 3 * 64 * 49 + 2 * 64, 64
    for k, blocks in enumerate(BLOCKS[depth]):
        n = 64 * 2**k
        total += c * n * 9 + (2 * blocks - 1) * n * n * 9 + 2 * blocks * 2 * n
        total += c * n + 2 * n if c != n or membrane else 0
        c = n
    return total + 512 * 1000 + 1000


def vgg(depth: int) -> int:
    """Simonyan & Zisserman 2015, table 1; convolutions have a norm in place of their bias."""
    total, c = 0, 3
    for n in (n for stage in STAGES[depth] for n in stage):
        total, c = total + c * n * 9 + 2 * n, n
    return total + 512 * 49 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 1000 + 1000


def spikformer(channels: int, dim: int, depth: int, bias: bool = False) -> int:
    """Zhou et al. 2023: 3×3 convolutions of dim/8 … dim channels, four 1×1 layers and an MLP of 4·dim per block."""
    widths = [channels, dim // 8, dim // 4, dim // 2, dim, dim]
    patches = sum(9 * a * b + 2 * b for a, b in pairwise(widths))
    block = 12 * dim * dim + 2 * 9 * dim + (9 * dim if bias else 0)
    return patches + depth * block + dim * 10 + 10


def dense(*sizes: int, recurrent: bool = False, norms: bool = False) -> int:
    hidden = sizes[1:-1]
    extra = sum(n * n for n in hidden) * recurrent + sum(2 * n for n in hidden) * norms
    return sum(a * b for a, b in pairwise(sizes)) + extra


FORMULAS: dict[str, int] = {
    "plif-nmnist": plif(128, 2, 8 * 8, 2048, 10),
    "plif-cifar10dvs": plif(128, 4, 8 * 8, 512, 10),
    "plif-gesture": plif(128, 5, 4 * 4, 512, 11),
    "sew-resnet18": resnet(18, False),
    "sew-resnet34": resnet(34, False),
    "ms-resnet18": resnet(18, True),
    "ms-resnet34": resnet(34, True),
    "vgg11": vgg(11),
    "vgg13": vgg(13),
    "vgg16": vgg(16),
    "spikformer-2-256": spikformer(2, 256, 2),
    "spikformer-4-256": spikformer(3, 256, 4),
    "spikformer-4-384": spikformer(3, 384, 4),
    "recurrent-shd": dense(700, 128, 20, recurrent=True),  # Cramer et al. 2020: 700 inputs, 128 hidden, no bias
    "recurrent-ssc": dense(700, 128, 35, recurrent=True),
    "delays-shd": dense(140, 256, 256, 20, norms=True),  # Hammouamri et al. 2023: 700 / 5 inputs, 256 hidden
    "delays-ssc": dense(140, 512, 512, 35, norms=True),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_parameters_follow_the_papers(name: str) -> None:
    assert find(name).sizes.parameters == FORMULAS[name]


@pytest.mark.parametrize(
    ("name", "stated", "tolerance"),
    [
        ("sew-resnet34", 21.79e6, 0.01e6),  # Zhou et al. 2026, arXiv:2304.11954v5, table 2
        ("sew-resnet34", 21797672, 0),  # a ResNet-34: num_params of torchvision/models/resnet.py
        ("vgg11", 132863336, 0.01e6),  # num_params of torchvision/models/vgg.py; ours has norms in place of biases
        ("vgg13", 133047848, 0.01e6),
        ("vgg16", 138357544, 0.01e6),
    ],
)
def test_parameters_are_as_stated(name: str, stated: float, tolerance: float) -> None:
    assert abs(find(name).sizes.parameters - stated) <= tolerance


@pytest.mark.parametrize(("settings", "stated"), [((2, 256, 2), 2.57), ((3, 256, 4), 4.15), ((3, 384, 4), 9.32)])
def test_spikformer_is_as_stated_but_for_the_biases_that_its_norms_make_idle(
    settings: tuple[int, int, int], stated: float
) -> None:
    """Zhou et al. 2026, arXiv:2304.11954v5, table 3 (2.57, 9.32), and the README of its code (4.15) count biases of the
    1×1 layers, which have a norm behind them here."""
    assert spikformer(*settings, bias=True) / 1e6 == pytest.approx(stated, abs=0.01)
    assert spikformer(*settings) / spikformer(*settings, bias=True) > 0.997


def test_delays_double_the_parameters_where_they_are_learned() -> None:
    """Queant et al. 2025, arXiv:2509.24852, table 2: 0.22 M, a weight and a position per synapse; ours has the
    weights."""
    assert 2 * find("delays-shd").sizes.synapses == pytest.approx(0.22e6, rel=0.05)


def test_what_is_stated_has_a_source() -> None:
    for a in CATALOG.values():
        assert not a.stated or any(w in a.stated for w in ("arXiv:", "doi:", "github.com/")), a.name


def test_sizes_are_those_of_the_network_itself() -> None:
    """What is worked out without memory equals what a network that is built has."""
    for name in ("plif-gesture-lean", "recurrent-delays-shd", "sew-resnet18-small", "crossbar"):
        a = find(name)
        net = a.build()
        assert a.sizes.parameters == sum(p.numel() for p in net.parameters())
        assert all(p.device.type == "cpu" for p in net.parameters())
    dense = find("dense").sizes
    assert (dense.neurons, dense.synapses) == (256 + 10, 2312 * 256 + 256 * 10)
    shd = find("recurrent-shd").sizes
    assert (shd.neurons, shd.synapses) == (128 + 20, 700 * 128 + 128 * 128 + 128 * 20)


def test_names() -> None:
    assert list(CATALOG) == [a.name for a in CATALOG.values()]
    assert all(a.paper for a in CATALOG.values())
    with pytest.raises(ParameterError, match="did you mean 'plif-gesture'"):
        find("plif-gestur")


def peers() -> dict[str, Callable[[Any, Any], torch.nn.Module]]:
    """spikingjelly's networks of the same papers: (models, neurons) → network."""
    return {
        "plif-nmnist": lambda m, n: m.parametric_lif_net.NMNISTNet(spiking_neuron=n.ParametricLIFNode),
        "plif-cifar10dvs": lambda m, n: m.parametric_lif_net.CIFAR10DVSNet(spiking_neuron=n.ParametricLIFNode),
        "plif-gesture": lambda m, n: m.parametric_lif_net.DVSGestureNet(spiking_neuron=n.ParametricLIFNode),
        "sew-resnet18": lambda m, n: m.sew_resnet.sew_resnet18(spiking_neuron=n.IFNode, cnf="ADD"),
        "ms-resnet18": lambda m, n: m.ms_resnet.ms_resnet18(spiking_neuron=n.LIFNode),
    }


@pytest.mark.parametrize("name", peers())
def test_parameters_equal_those_of_spikingjelly(name: str) -> None:
    from snnkit._compat import prepare_torchvision

    prepare_torchvision()
    base = pytest.importorskip("spikingjelly.activation_based", reason="spikingjelly is not installed")
    import importlib

    for module in ("parametric_lif_net", "sew_resnet", "ms_resnet"):
        importlib.import_module(f"{base.__name__}.model.{module}")
    from spikingjelly.activation_based import model, neuron

    net = peers()[name](model, neuron)
    assert find(name).sizes.parameters == sum(p.numel() for p in net.parameters())
