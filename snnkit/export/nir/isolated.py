"""Reading `.nir` files in a process of its own, because libhdf5 may crash or never end on a damaged file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from snnkit._isolated import messages
from snnkit._isolated.client import BrokenError, Session
from snnkit.errors import NirError
from snnkit.export.nir.model import Array, Document, Net, Node

TASK = "snnkit.export.nir.task:read"
MOST = 2**31
"""Most bytes of a graph and its arrays."""
DAMAGED = "the file is damaged; write it again"


def read_file(path: str | Path) -> Document:
    """The graph of a `.nir` file with its arrays in memory, every size checked before it is read.

    Raises:
        NirError: no HDF5, damaged, another layout or version, beyond the limits, or a file that breaks libhdf5.
        FileNotFoundError: there is no such file.
    """
    with open(path, "rb"):
        pass
    try:
        with Session(TASK, Path(path), {}) as session:
            version, (plain, *arrays) = messages.receive(session, MOST)
            with session.checked():
                net = _build(json.loads(plain.tobytes()), iter(arrays).__next__)
    except BrokenError as error:
        raise NirError(f"{path} cannot be read: its HDF5 breaks the library", why=str(error), fix=DAMAGED) from None
    assert isinstance(net, Net)
    return Document(net, str(version))


def _build(value: Any, take: Callable[[], Array]) -> Any:
    """The graph of a message, with arrays taken in order."""
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return take()
    if "mapping" in value:
        return {k: _build(v, take) for k, v in value["mapping"].items()}
    if "nodes" in value:
        nodes = {k: _build(v, take) for k, v in value["nodes"].items()}
        return Net(nodes, tuple((a, b) for a, b in value["edges"]), _build(value["metadata"], take))
    return Node(value["type"], _build(value["fields"], take), _build(value["metadata"], take))
