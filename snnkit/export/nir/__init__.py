"""NIR files: read and write networks of other frameworks (`nir.read`, `nir.write`), and run them with our layers.

>>> from snnkit.export import nir
>>> graph, findings = nir.read("model.nir", dt=1e-3, reset="zero")
>>> nir.write("again.nir", graph, dialect="norse")
>>> model = nir.to_module(graph)  # a torch module that can be trained on

Reading and writing need numpy and h5py, not torch. NIR is continuous in time: it has no step, no reset by subtraction,
no refractory period, no read-out and no bit widths. Ours stand in a file's metadata, so that it comes back bit for bit.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snnkit.export.nir.dialects import DIALECTS
    from snnkit.export.nir.module import load, to_module
    from snnkit.export.nir.reader import encode, read, write

_WHERE = {
    "DIALECTS": "dialects",
    "encode": "reader",
    "load": "module",
    "read": "reader",
    "to_module": "module",
    "write": "reader",
}
__all__ = ["DIALECTS", "encode", "load", "read", "to_module", "write"]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(f"snnkit.export.nir.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'snnkit.export.nir' has no attribute {name!r}")
