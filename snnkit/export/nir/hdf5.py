"""`.nir` files: the HDF5 layout of nir 1.0.8 (`nir/serialization.py`), written in the same way and read strictly.

    version             text
    node/type           "NIRGraph"
    node/nodes/NAME/    type, one data set per parameter, metadata/
    node/edges          text [n, 2]: from, to
    node/metadata/      text, arrays, groups

A file may come from a stranger: links out of the file or across it, data kept elsewhere, filters that would load code,
types other than numbers and text, and sizes beyond the limits are refused before anything is allocated. Nothing in a
file is executed. HDF5 itself is parsed by libhdf5, which a damaged file can make fail or never end: see `isolated`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from snnkit._io import atomic_path
from snnkit.errors import NirError
from snnkit.export.nir.model import TYPES, VERSION, Array, Document, Net, Node

MAX_BYTES = 2**30
"""Most bytes of arrays in a file, as they declare themselves."""
MAX_ITEMS = 100_000
"""Most groups and data sets, and most edges."""
MAX_DEPTH = 16
MAX_AXES = 8
MAX_CHUNK = 2**26
MAX_NAME = 512
SIGNATURE = b"\x89HDF\r\n\x1a\n"
FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 4: "szip", 32000: "lzf"}
"""Built into libhdf5 and h5py; any other number would make it look for a plug-in to load."""
DAMAGED = "the file is damaged or was changed; write it again"


# ------------------------------------------------------------------------------------------------------------- reading
def parse(path: str | Path) -> Document:
    """The graph of a `.nir` file with its arrays in memory, every size checked before it is read.

    Raises:
        NirError: no HDF5, damaged, another layout or version, or beyond the limits.
        FileNotFoundError: there is no such file.
    """
    path = Path(path)
    with open(path, "rb") as f:
        start = f.read(len(SIGNATURE))
    if start != SIGNATURE:
        raise NirError(f"{path} is no HDF5 file, so it is no NIR file", fix="give a file written by nir or snnkit")
    try:
        with h5py.File(path, "r") as f:
            return _Reader(path).document(f)
    except NirError:
        raise
    except (
        OSError,
        RuntimeError,
        KeyError,
        ValueError,
        TypeError,
        OverflowError,
        MemoryError,
        AttributeError,
    ) as error:
        first = (str(error).splitlines() or [""])[0]
        raise NirError(f"{path} cannot be read", why=f"{type(error).__name__}: {first}", fix=DAMAGED) from error


class _Reader:
    """Reads one file and counts what it has taken."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.room = MAX_BYTES
        self.items = 0
        self.size = max(path.stat().st_size, 1)

    def bad(self, where: str, what: str, fix: str = DAMAGED, why: str = "") -> NirError:
        return NirError(f"{self.path}: {where} {what}", why=why, fix=fix)

    def document(self, f: h5py.File) -> Document:
        self._names(f, "the file")
        if "node" not in f or "version" not in f:
            raise self.bad("it", "has no `version` and `node`", "give a file written by nir 1.0")
        version = self._text(self._item(f, "version", "version"), "version")
        parts = version.split(".")
        if len(parts) < 2 or not all(p.isdigit() for p in parts[:2]):
            raise self.bad("its version", f"is {version[:40]!r}", "give a file written by nir 1.0")
        if (int(parts[0]), int(parts[1])) != (1, 0):
            raise self.bad("its version", f"is {version[:40]}; versions 1.0.x are read", "write it again with nir 1.0")
        node = self._node(self._group(f, "node", "node"), "node", 0)
        if not isinstance(node, Net):
            raise self.bad(
                "its root", f"is a {node.type}, not a NIRGraph", "wrap the node in a NIRGraph with Input and Output"
            )
        return Document(node, version)

    # ------------------------------------------------------------------------------------------------------ structure
    def _names(self, group: h5py.Group, where: str) -> list[str]:
        """Names in a group, after counting them."""
        self.items += len(group)
        if self.items > MAX_ITEMS:
            raise self.bad(where, f"brings more than {MAX_ITEMS:,} groups and data sets", "such a file is not read")
        names = list(group)
        for name in names:
            try:
                name.encode("utf-8")
            except UnicodeEncodeError:
                raise self.bad(where, "has a name that is no UTF-8 text") from None
        return names

    def _item(self, group: h5py.Group, name: str, where: str) -> Any:
        if len(name) > MAX_NAME:
            raise self.bad(where, f"has a name of {len(name)} letters")
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise self.bad(where, "is a link to another place", "copy what it points to into the file",
                           "a link can lead out of the file")  # fmt: skip
        return group[name]

    def _group(self, group: h5py.Group, name: str, where: str) -> h5py.Group:
        item = self._item(group, name, where)
        if not isinstance(item, h5py.Group):
            raise self.bad(where, "is no group")
        return item

    def _node(self, group: h5py.Group, where: str, depth: int) -> Node | Net:
        if depth > MAX_DEPTH:
            raise self.bad(where, f"is nested more than {MAX_DEPTH} deep")
        names = self._names(group, where)
        if "type" not in names:
            raise self.bad(where, "has no type")
        kind = self._text(self._item(group, "type", f"{where}/type"), f"{where}/type")
        metadata: dict[str, Any] = {}
        if "metadata" in names:
            metadata = self._mapping(self._group(group, "metadata", f"{where}/metadata"), f"{where}/metadata", depth)
        rest = [n for n in names if n not in ("type", "metadata")]
        if kind == "NIRGraph":
            if sorted(rest) != ["edges", "nodes"]:
                raise self.bad(
                    where, f"is a NIRGraph with {', '.join(sorted(rest)) or 'nothing'}; it needs nodes and edges"
                )
            inner = self._group(group, "nodes", f"{where}/nodes")
            nodes: dict[str, Node | Net] = {}
            for name in self._names(inner, f"{where}/nodes"):
                place = f"{where}/nodes/{name[:MAX_NAME]}"
                nodes[name] = self._node(self._group(inner, name, place), place, depth + 1)
            return Net(nodes, self._edges(self._item(group, "edges", f"{where}/edges"), f"{where}/edges"), metadata)
        if kind not in TYPES:
            return Node(kind[:60], {}, metadata)  # `nodes.check` names all of them at once
        fields = {n: self._value(self._item(group, n, f"{where}/{n}"), f"{where}/{n}") for n in rest}
        return Node(kind, fields, metadata)

    def _mapping(self, group: h5py.Group, where: str, depth: int) -> dict[str, Any]:
        if depth > MAX_DEPTH:
            raise self.bad(where, f"is nested more than {MAX_DEPTH} deep")
        out: dict[str, Any] = {}
        for name in self._names(group, where):
            item, place = self._item(group, name, f"{where}/{name[:MAX_NAME]}"), f"{where}/{name[:MAX_NAME]}"
            out[name] = (
                self._mapping(item, place, depth + 1) if isinstance(item, h5py.Group) else self._value(item, place)
            )
        return out

    # ----------------------------------------------------------------------------------------------------------- data
    def _check(self, item: Any, where: str) -> None:
        if not isinstance(item, h5py.Dataset):
            raise self.bad(where, "is no data set")
        if item.is_virtual or item.external:
            raise self.bad(where, "keeps its data in another file", "write it again into one file")
        plan = item.id.get_create_plist()
        for k in range(plan.get_nfilters()):
            code = plan.get_filter(k)[0]
            if code not in FILTERS:
                raise self.bad(
                    where, f"is packed with filter {code}, which needs a plug-in", "write it again with gzip"
                )
        if item.shape is None or len(item.shape) > MAX_AXES:
            raise self.bad(where, f"has the shape {item.shape}")
        text = h5py.check_string_dtype(item.dtype) is not None
        if not text and (item.dtype.kind not in "fiub" or item.dtype.itemsize > 8):
            raise self.bad(where, f"has the type {item.dtype}", "NIR holds numbers and text only")
        width = item.dtype.itemsize
        if item.chunks is not None and math.prod(item.chunks) * width > MAX_CHUNK:
            raise self.bad(where, f"is stored in blocks of {math.prod(item.chunks) * width:,} bytes")
        size = math.prod(item.shape) * width
        if size > self.room:
            raise self.bad(where, f"declares {size:,} bytes; a file may hold {MAX_BYTES:,} in all", "split the network")
        self.room -= size

    def _value(self, item: Any, where: str) -> Array | str:
        self._check(item, where)
        if h5py.check_string_dtype(item.dtype) is not None:
            return self._text(item, where, checked=True)
        value = np.asarray(item[()])
        return np.asarray(value.astype(value.dtype.newbyteorder("=")))

    def _text(self, item: Any, where: str, checked: bool = False) -> str:
        if not checked:
            self._check(item, where)
        if item.shape != () or h5py.check_string_dtype(item.dtype) is None:
            raise self.bad(where, f"is no text but {item.dtype} of shape {item.shape}")
        return self._decode(item[()], where)

    def _decode(self, value: Any, where: str) -> str:
        try:
            return value if isinstance(value, str) else bytes(value).decode("utf-8")
        except UnicodeDecodeError:
            raise self.bad(where, "is no UTF-8 text") from None

    def _edges(self, item: Any, where: str) -> tuple[tuple[str, str], ...]:
        self._check(item, where)
        if 0 in item.shape:
            return ()
        if len(item.shape) != 2 or item.shape[1] != 2 or h5py.check_string_dtype(item.dtype) is None:
            raise self.bad(where, f"are {item.dtype} of shape {item.shape}; they must be pairs of names [n, 2]")
        if item.shape[0] > MAX_ITEMS:
            raise self.bad(where, f"are {item.shape[0]:,}; at most {MAX_ITEMS:,} are read", "such a file is not read")
        edges: list[tuple[str, str]] = []
        rows = max(1, min(1024, MAX_BYTES // (4 * self.size)))  # many rows may point to one long text of the file
        for start in range(0, item.shape[0], rows):
            for a, b in item[start : start + rows]:
                pair = self._decode(a, where), self._decode(b, where)
                if max(map(len, pair)) > MAX_NAME * MAX_DEPTH:
                    raise self.bad(where, f"name a node with {max(map(len, pair))} letters")
                edges.append(pair)
        return tuple(edges)


# ------------------------------------------------------------------------------------------------------------- writing
def write_file(path: str | Path, net: Net) -> None:
    """Write a graph; the same graph gives the same bytes. On any error the file is as before."""
    with atomic_path(path) as temp, h5py.File(temp, "w") as f:
        f.create_dataset("version", data=VERSION, dtype=h5py.string_dtype())
        _write_net(f.create_group("node"), net)


def _write_net(group: h5py.Group, net: Net) -> None:
    _text(group, "type", "NIRGraph")
    nodes = group.create_group("nodes")
    for name, node in net.nodes.items():
        inner = nodes.create_group(name)
        if isinstance(node, Net):
            _write_net(inner, node)
            continue
        _text(inner, "type", node.type)
        _write_mapping(inner, node.fields)
        if node.metadata:
            _write_mapping(inner.create_group("metadata"), node.metadata)
    pairs = np.array(net.edges, dtype=object).reshape(len(net.edges), 2)
    group.create_dataset("edges", data=pairs, dtype=h5py.string_dtype())
    if net.metadata:
        _write_mapping(group.create_group("metadata"), net.metadata)


def _write_mapping(group: h5py.Group, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, Mapping):
            _write_mapping(group.create_group(name), value)
        elif isinstance(value, str):
            _text(group, name, value)
        else:
            array = np.asarray(value)
            pack = {"compression": "gzip"} if array.ndim and array.size else {}
            group.create_dataset(name, data=array, **pack)


def _text(group: h5py.Group, name: str, value: str) -> None:
    group.create_dataset(name, data=value, dtype=h5py.string_dtype())
