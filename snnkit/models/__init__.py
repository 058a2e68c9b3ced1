"""Reference architectures: sequences of snnkit layers that train well, and networks of papers with their sources.

`snnkit models` lists them with parameters, neurons and the chips that take them; so does `catalog`.
"""

from snnkit.models.band import BandClassifier
from snnkit.models.catalog import CATALOG, Architecture, find
from snnkit.models.conv import ConvClassifier
from snnkit.models.crossbar import CrossbarClassifier
from snnkit.models.dense import DenseClassifier
from snnkit.models.fusion import Branch, FusionClassifier
from snnkit.models.plif import PLIFNet
from snnkit.models.recurrent import RecurrentClassifier
from snnkit.models.resnet import MSResNet, SEWResNet
from snnkit.models.spikformer import Spikformer
from snnkit.models.vgg import SpikingVGG

__all__ = [
    "CATALOG",
    "Architecture",
    "BandClassifier",
    "Branch",
    "ConvClassifier",
    "CrossbarClassifier",
    "DenseClassifier",
    "FusionClassifier",
    "MSResNet",
    "PLIFNet",
    "RecurrentClassifier",
    "SEWResNet",
    "Spikformer",
    "SpikingVGG",
    "find",
]
