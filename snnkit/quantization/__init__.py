"""Hardware-aware training: chips' integers and mismatch inside torch layers. The one bridge of training to the targets.

Names load when first used, so that a model of trinary layers brings no chip's exporter along.
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "GridWeights": "weights",
    "RowWeights": "weights",
    "WholeUnits": "weights",
    "quantize_weights": "weights",
    "quantize_threshold": "weights",
    "unquantized": "weights",
    "convert": "bridge",
    "fold_norms": "bridge",
    "prepare": "bridge",
    "MismatchTraining": "mismatch",
    "fake_quantise": "mismatch",
    "mismatch_training": "analogue",
}

__all__ = [
    "GridWeights",
    "MismatchTraining",
    "RowWeights",
    "WholeUnits",
    "convert",
    "fake_quantise",
    "fold_norms",
    "mismatch_training",
    "prepare",
    "quantize_threshold",
    "quantize_weights",
    "unquantized",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'snnkit.quantization' has no attribute {name!r}")
    return getattr(importlib.import_module(f"snnkit.quantization.{_WHERE[name]}"), name)
