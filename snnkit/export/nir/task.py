"""The task of `isolated`: parses one `.nir` file, and sends its graph."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from h5py import h5pl

from snnkit._isolated import messages
from snnkit._isolated.link import Link
from snnkit.errors import NirError
from snnkit.export.nir.hdf5 import parse
from snnkit.export.nir.isolated import DAMAGED
from snnkit.export.nir.model import Array, Net, Node


def read(asked: dict[str, Any], link: Link) -> None:
    """One message: the version, and arrays: the graph as JSON in UTF-8, then the arrays it names, in order."""
    while h5pl.size():  # no filter is looked for on the disk
        h5pl.remove(0)
    try:
        document = parse(asked["path"])
    except OSError as error:
        raise NirError(f"{asked['path']} cannot be read", why=str(error), fix=DAMAGED) from error
    arrays: list[Array] = []
    net = json.dumps(_plain(document.net, arrays)).encode()
    messages.send(link, str(document.version), [np.frombuffer(net, np.uint8), *arrays])


def _plain(value: Any, arrays: list[Array]) -> Any:
    """A graph as JSON, its arrays put aside in order."""
    if isinstance(value, Net):
        nodes = {k: _plain(v, arrays) for k, v in value.nodes.items()}
        return {"nodes": nodes, "edges": value.edges, "metadata": _plain(value.metadata, arrays)}
    if isinstance(value, Node):
        fields = _plain(value.fields, arrays)
        return {"type": value.type, "fields": fields, "metadata": _plain(value.metadata, arrays)}
    if isinstance(value, Mapping):
        return {"mapping": {k: _plain(v, arrays) for k, v in value.items()}}
    if isinstance(value, str):
        return value
    arrays.append(value)
    return {"array": len(arrays)}
