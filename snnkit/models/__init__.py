"""Reference architectures: sequences of snnkit layers that train well and export to chips."""

from snnkit.models.conv import ConvClassifier
from snnkit.models.dense import DenseClassifier

__all__ = ["ConvClassifier", "DenseClassifier"]
