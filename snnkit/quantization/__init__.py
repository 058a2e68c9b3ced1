"""Hardware-aware training: chips' integers and mismatch inside torch layers. The one bridge of training to the targets.

Names load when first used.
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "MismatchTraining": "mismatch",
    "fake_quantise": "mismatch",
    "mismatch_training": "analogue",
}

__all__ = [
    "MismatchTraining",
    "fake_quantise",
    "mismatch_training",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'snnkit.quantization' has no attribute {name!r}")
    return getattr(importlib.import_module(f"snnkit.quantization.{_WHERE[name]}"), name)
