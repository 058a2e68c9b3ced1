"""Reference architectures: sequences of snnkit layers that train well and export to chips."""

from snnkit.models.conv import ConvClassifier
from snnkit.models.crossbar import CrossbarClassifier
from snnkit.models.dense import DenseClassifier
from snnkit.models.fusion import Branch, FusionClassifier

__all__ = ["Branch", "ConvClassifier", "CrossbarClassifier", "DenseClassifier", "FusionClassifier"]
