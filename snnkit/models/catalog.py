"""The reference architectures at the sizes of their papers: what `snnkit models` lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import torch

from snnkit.errors import ParameterError, did_you_mean
from snnkit.models.conv import ConvClassifier
from snnkit.models.crossbar import CrossbarClassifier
from snnkit.models.dense import DenseClassifier
from snnkit.models.plif import PLIFNet
from snnkit.models.recurrent import RecurrentClassifier
from snnkit.models.resnet import MSResNet, SEWResNet
from snnkit.models.spikformer import Spikformer
from snnkit.models.vgg import SpikingVGG
from snnkit.nn.neurons.base import Neuron
from snnkit.nn.synapses.recurrent import Recurrent


class Sizes(NamedTuple):
    """Of a network: parameters that are learned, neurons, and synapses (borders of convolutions counted in full)."""

    parameters: int
    neurons: int
    synapses: int


@dataclass(frozen=True)
class Architecture:
    """One network of a class of `snnkit.models`, with its source.

    Attributes:
        name: by which it is found. model: its class. settings: the arguments of the class.
        input_shape, num_classes: of the data that the figures are for.
        paper: where it is from. stated: parameters as a source gives them, which follows in
            brackets; "" where none was found that does.
    """

    name: str
    model: type[torch.nn.Module]
    input_shape: tuple[int, ...]
    num_classes: int
    paper: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    stated: str = ""

    def build(self, input_shape: tuple[int, ...] | None = None, num_classes: int | None = None) -> torch.nn.Module:
        """The network with random weights, for these data or others."""
        shape = self.input_shape if input_shape is None else input_shape
        classes = self.num_classes if num_classes is None else num_classes
        return self.model(input_shape=shape, num_classes=classes, **self.settings)

    @cached_property
    def sizes(self) -> Sizes:
        """Parameters, neurons and synapses, worked out without memory for the weights."""
        with torch.device("meta"):
            net = self.build().eval()
            neurons, synapses = 0, 0

            def neuron(module: torch.nn.Module, inputs: Any, out: Any) -> None:
                nonlocal neurons, synapses
                neurons += out[0, 0].numel()
                if isinstance(module, Recurrent):
                    synapses += sum(w.numel() for w in module.synapse.parameters() if w.dim() > 1)

            def synapse(module: Any, inputs: Any, out: Any) -> None:
                nonlocal synapses
                fan_in = getattr(module, "fan_in", None) or module.weight[0].numel()
                synapses += out[0, 0].numel() * fan_in

            inside = {id(n) for m in net.modules() if isinstance(m, Recurrent) for n in m.modules() if n is not m}
            for module in net.modules():
                if id(module) in inside:
                    continue
                if isinstance(module, Neuron | Recurrent):
                    module.register_forward_hook(neuron)
                elif isinstance(module, torch.nn.Linear | torch.nn.modules.conv._ConvNd):
                    module.register_forward_hook(synapse)
            with torch.no_grad():
                net(torch.zeros(1, 1, *self.input_shape))
        return Sizes(sum(p.numel() for p in net.parameters()), neurons, synapses)


_PLIF = "Fang et al. 2021, doi:10.1109/ICCV48922.2021.00266"
_SEW = "Fang et al. 2021, arXiv:2102.04159"
_MS = "Hu et al. 2024, doi:10.1109/TNNLS.2024.3355393"
_VGG = "Simonyan & Zisserman 2015, arXiv:1409.1556"
_TRANSFORMER = "Zhou et al. 2023, arXiv:2209.15425"
_SHD = "Cramer et al. 2020, doi:10.1109/TNNLS.2020.3044364"
_DELAYS = "after Hammouamri et al. 2023, arXiv:2306.17670"
_OURS = "snnkit"
_TORCHVISION = "num_params of github.com/pytorch/vision, torchvision/models/"
_SPIKINGFORMER = "Zhou et al. 2026, arXiv:2304.11954v5"
_DELREC = "Queant et al. 2025, arXiv:2509.24852"

_NMNIST, _DVS, _IMAGE = (2, 34, 34), (2, 128, 128), (3, 224, 224)
_WIDE = {"grid": 7, "hidden": 4096}
_DELAYED = {"recurrent": False, "decay_syn": None, "norm": True, "max_delay": 25, "dropout": 0.4}

_ALL = (
    Architecture("conv", ConvClassifier, _NMNIST, 10, _OURS),
    Architecture("crossbar", CrossbarClassifier, _NMNIST, 10, _OURS),
    Architecture("dense", DenseClassifier, _NMNIST, 10, _OURS),
    Architecture("plif-nmnist", PLIFNet, _NMNIST, 10, _PLIF),
    Architecture("plif-cifar10dvs", PLIFNet, _DVS, 10, _PLIF, {"blocks": 4, "hidden": 512}),
    Architecture("plif-gesture", PLIFNet, _DVS, 11, _PLIF, {"blocks": 5, "hidden": 512}),
    Architecture("plif-gesture-lean", PLIFNet, (2, 32, 32), 11, f"{_OURS}, after {_PLIF}",
                 {"channels": 32, "blocks": 3, "hidden": 128, "votes": 4}),
    Architecture("vgg-small", SpikingVGG, _NMNIST, 10, _OURS),
    Architecture("vgg11", SpikingVGG, _IMAGE, 1000, _VGG, {"depth": 11, **_WIDE}, f"132.86 M ({_TORCHVISION}vgg.py)"),
    Architecture("vgg13", SpikingVGG, _IMAGE, 1000, _VGG, {"depth": 13, **_WIDE}, f"133.05 M ({_TORCHVISION}vgg.py)"),
    Architecture("vgg16", SpikingVGG, _IMAGE, 1000, _VGG, {"depth": 16, **_WIDE}, f"138.36 M ({_TORCHVISION}vgg.py)"),
    Architecture("sew-resnet18", SEWResNet, _IMAGE, 1000, _SEW),
    Architecture("sew-resnet34", SEWResNet, _IMAGE, 1000, _SEW, {"depth": 34},
                 f"21.79 M ({_SPIKINGFORMER}, table 2)"),
    Architecture("sew-resnet18-small", SEWResNet, _NMNIST, 10, f"{_OURS}, after {_SEW}",
                 {"width": 8, "stem": "small", "join": "iand"}),
    Architecture("ms-resnet18", MSResNet, _IMAGE, 1000, _MS),
    Architecture("ms-resnet34", MSResNet, _IMAGE, 1000, _MS, {"depth": 34}),
    Architecture("ms-resnet18-small", MSResNet, _NMNIST, 10, f"{_OURS}, after {_MS}", {"width": 8, "stem": "small"}),
    Architecture("spikformer-2-256", Spikformer, _DVS, 10, _TRANSFORMER, {}, f"2.57 M ({_SPIKINGFORMER}, table 3)"),
    Architecture("spikformer-4-256", Spikformer, (3, 32, 32), 10, _TRANSFORMER,
                 {"depth": 4, "heads": 8, "pools": 2},
                 "4.15 M (Spikingformer of this size: github.com/zhouchenlin2096/Spikingformer, README.md at 0435d86)"),
    Architecture("spikformer-4-384", Spikformer, (3, 32, 32), 10, _TRANSFORMER,
                 {"dim": 384, "depth": 4, "heads": 12, "pools": 2}, f"9.32 M ({_SPIKINGFORMER}, table 3)"),
    Architecture("recurrent-shd", RecurrentClassifier, (700,), 20, _SHD),
    Architecture("recurrent-ssc", RecurrentClassifier, (700,), 35, _SHD),
    Architecture("delays-shd", RecurrentClassifier, (140,), 20, _DELAYS, {**_DELAYED, "hidden": (256, 256)},
                 f"0.22 M, half of them delays ({_DELREC}, table 2)"),
    Architecture("delays-ssc", RecurrentClassifier, (140,), 35, _DELAYS, {**_DELAYED, "hidden": (512, 512)}),
    Architecture("recurrent-delays-shd", RecurrentClassifier, (140,), 20, f"{_OURS}, after both of the above",
                 {"hidden": (128,), "max_delay": 25, "norm": True, "dropout": 0.4}),
)  # fmt: skip

CATALOG: dict[str, Architecture] = {a.name: a for a in _ALL}
"""The reference architectures by name."""


def find(name: str) -> Architecture:
    """An architecture of the catalogue.

    Raises:
        ParameterError: there is none of that name.
    """
    if name not in CATALOG:
        raise ParameterError(
            f"there is no architecture {name!r}{did_you_mean(name, CATALOG)}", fix="known: " + ", ".join(CATALOG)
        )
    return CATALOG[name]
