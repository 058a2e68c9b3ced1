"""Reference architectures: sequences of snnkit layers that train well and export to chips."""

from snnkit.models.conv import ConvClassifier
from snnkit.models.crossbar import CrossbarClassifier
from snnkit.models.dense import DenseClassifier

__all__ = ["ConvClassifier", "CrossbarClassifier", "DenseClassifier"]
