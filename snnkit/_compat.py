"""Makes torchvision importable beside a CPU build of torch.

torchvision's wheels on PyPI are built for CUDA; beside a CPU-only torch their compiled operators do not load, and
`import torchvision` raises because it registers shape rules for operators that are then missing. lightning imports
torchvision (through torchmetrics) when it is installed, so that failure would take training down with it. We declare
the missing names first; image operators stay unavailable, everything else in torchvision works.
"""

from __future__ import annotations

import importlib
import re
import sys
from typing import Any

_libraries: list[Any] = []


def prepare_torchvision() -> None:
    """Import torchvision if it is installed, declaring operators that its build cannot provide. Idempotent."""
    import torch

    for _ in range(32):
        try:
            importlib.import_module("torchvision")
            return
        except ModuleNotFoundError:
            return
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if missing is None:
                raise
            library = torch.library.Library("torchvision", "FRAGMENT")
            library.define(f"{missing.group(1)}(Tensor a, Tensor b, float c) -> Tensor")
            _libraries.append(library)
            for name in [m for m in sys.modules if m == "torchvision" or m.startswith("torchvision.")]:
                del sys.modules[name]
