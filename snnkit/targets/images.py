"""What the chips' `schema.py` and `emulate.py` files share: checks of memory images that come from strangers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from snnkit.descriptor import Manifest
from snnkit.errors import DescriptorError

Array = np.ndarray[Any, Any]
S = TypeVar("S", bound=BaseModel)

FIX = "the file is damaged; export it again"
"""How to fix an image that no exporter wrote."""


def bad(name: str, what: str) -> DescriptorError:
    """An error about one image."""
    return DescriptorError(f"arrays.safetensors: {name} {what}", fix=FIX)


def typed_section(model: type[S], manifest: Manifest) -> S:
    """The `chip` section of a manifest as the chip's own type.

    Raises:
        DescriptorError: it is of another version, or not this chip's.
    """
    try:
        return model.model_validate(manifest.chip)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(p) for p in first["loc"])
        raise DescriptorError(f"manifest.json: chip.{where}: {first['msg']}", fix=FIX) from None


# --------------------------------------------------------------------------------------------------------------- shapes
def check_shapes(arrays: Mapping[str, Array], shapes: Mapping[str, tuple[str, tuple[int | None, ...]]]) -> None:
    """Raise DescriptorError unless these and no other images are there, with this type and shape (None: any length)."""
    for name in {*shapes, *arrays}:
        if name not in shapes:
            raise bad(name, "is not a memory image of this chip")
        if name not in arrays:
            raise bad(name, "is missing")
        dtype, shape = shapes[name]
        a = arrays[name]
        same = a.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, a.shape))
        if a.dtype != np.dtype(dtype) or not same:
            raise bad(name, f"has type {a.dtype} and shape {list(a.shape)}, expected {dtype} and {list(shape)}")


def check_tables(arrays: Mapping[str, Array], tables: Mapping[str, tuple[str, int]], placement: str, chip: str) -> None:
    """Raise DescriptorError unless the images are these tables, with any number of rows, and tables of placement.

    Args:
        tables: type and number of columns (0: one-dimensional) by name.
        placement: how the names of tables of placement start. chip: for the message.
    """
    for name, (dtype, columns) in tables.items():
        if name not in arrays:
            raise bad(name, "is missing")
        a = arrays[name]
        if a.dtype != np.dtype(dtype) or a.ndim != (2 if columns else 1) or (columns and a.shape[1] != columns):
            raise bad(name, f"has type {a.dtype} and shape {list(a.shape)}, expected {dtype} with {columns} columns")
    unknown = [n for n in arrays if n not in tables and not n.startswith(placement)]
    if unknown:
        raise bad(unknown[0], f"is not a memory image of {chip}")


# --------------------------------------------------------------------------------------------------------------- values
def check_range(name: str, field: str, values: Array, low: int, high: int, *, rows: bool = False) -> None:
    """Raise DescriptorError at the first value outside `low` to `high`; `rows`: its position is worth telling."""
    flat = np.asarray(values).reshape(-1)
    wrong = np.flatnonzero((flat < low) | (flat > high))
    if wrong.size:
        row = f"row {wrong[0]} " if rows else ""
        raise bad(name, f"{row}has {field} {int(flat[wrong[0]])}, expected {low}..{high}")


def check_columns(name: str, columns: Sequence[str], table: Array, low: Sequence[int], high: Sequence[int]) -> None:
    """`check_range` of every column of a table [..., columns]."""
    for k, column in enumerate(columns):
        check_range(name, column, table[..., k], low[k], high[k])


# ---------------------------------------------------------------------------------------------------- ports and layers
def first_lines(ports: Sequence[Any]) -> tuple[Array, int, int]:
    """First line of each port (data ports first, then gate ports), and the numbers of data and of gate lines."""
    data = sum(p.n for p in ports if p.gate_from is None)
    starts, at, gate = [], 0, data
    for p in ports:
        starts.append(at if p.gate_from is None else gate)
        at, gate = (at + p.n, gate) if p.gate_from is None else (at, gate + p.n)
    return np.array(starts, np.int64), data, gate - data


def host_lines(name: str, table: Array, ports: Sequence[Any]) -> tuple[Array, int, int]:
    """Line of every row of the host's table, whose first columns are port and line; numbers of data and gate lines.

    Raises:
        DescriptorError: a row names a port or a line that there is not.
    """
    host = table[:, :2].astype(np.int64)
    sizes = np.array([p.n for p in ports], np.int64)
    if len(host) and host[:, 0].max() >= len(ports):
        raise bad(name, f"names port {int(host[:, 0].max())}")
    if len(host) and (host[:, 1] >= sizes[host[:, 0]]).any():
        raise bad(name, "names a line its port does not have")
    starts, data, gates = first_lines(ports)
    return starts[host[:, 0]] + host[:, 1] if len(host) else np.zeros(0, np.int64), data, gates


def placement_table(arrays: Mapping[str, Array], name: str, n: int) -> Array:
    """The table that places a layer's n neurons.

    Raises:
        DescriptorError: there is none, or it has another number of rows.
    """
    table = arrays.get(name)
    if table is None or len(table) != n:
        raise bad(name, f"does not place the layer's {n} neurons")
    return table
