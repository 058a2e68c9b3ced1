"""Convolutions of Loihi's reference vectors: kernels that give exactly a file's matrix, whatever its paddings mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnkit.graph.model import Connection
from snnkit.graph.synapses import Conv, Dense, Synapse
from snnkit.targets.vector_file import VectorFile

Array = np.ndarray[Any, Any]


@dataclass(eq=False)
class LoihiFile(VectorFile):
    """An open file with its `spec`."""

    spec: dict[str, Any]

    def take(self, name: str, shape: tuple[int, ...] | None = None, what: str = "") -> Array:
        """As for every file; a single number is spread over a row of registers."""
        if shape is not None and len(shape) == 1 and self.has(name) and self.arrays[name].size == 1:
            return np.broadcast_to(super().take(name, None, what).reshape(-1), shape)
        return super().take(name, shape, what)


def whole(file: LoihiFile, where: str, value: Any) -> int:
    """A whole number of the spec.

    Raises:
        ReplayFormatError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise file.fail(f"{where} is {value!r}, expected a whole number")
    return value


def convolutions(
    file: LoihiFile, connections: dict[int, tuple[Connection, int]], sizes: Mapping[str, int], remarks: list[str]
) -> dict[int, Connection]:
    """Connections that are convolutions, as such, if their kernel gives exactly the file's matrix."""
    result: dict[int, Connection] = {}
    for entry in file.spec.get("conv", []):
        k = whole(file, "conn of a convolution", entry.get("conn"))
        if k not in connections:
            raise file.fail(f"a convolution names the unknown connection {k}")
        c, position = connections[k]
        assert isinstance(c.synapse, Dense)
        known = c.synapse.weight.size > 0
        candidates = [s for s in _candidates(file, entry, k) if (s.n_dst, s.n_src) == (sizes[c.dst], sizes[c.src])]
        fitting = [s for s in candidates if not known or np.array_equal(s.matrix().toarray(), c.synapse.weight)]
        if not fitting:
            if not known:
                raise file.fail(f"connection {k} has no array W{k}, and its kernel does not fit the populations")
            remarks.append(f"the kernel of connection {k} does not give W{k}; it is placed as a matrix only")
            continue
        if not known:
            dense: Synapse = Dense(fitting[0].matrix().toarray().astype(np.int32))
            c = Connection(c.name, c.src, c.dst, dense, c.delay, c.format)
            connections[k] = (c, position)
        delay = np.unique(c.delay)
        if delay.size == 1:
            result[k] = Connection(c.name, c.src, c.dst, fitting[0], int(delay[0]), c.format)
        else:
            remarks.append(f"connection {k} has a delay per synapse; its kernel is not shared")
    return result


def _candidates(file: LoihiFile, entry: Mapping[str, Any], k: int) -> list[Conv]:
    """Readings of a convolution's fields: as stated, or with the paddings that its shapes allow."""
    name = str(entry.get("kernel", f"K{k}"))
    if not file.has(name) or file.arrays[name].ndim not in (3, 4):
        raise file.fail(f"the kernel {name!r} of connection {k} is missing or has no shape [cin, cout, kh, kw]")
    file.used.add(name)
    kernel = file.arrays[name]
    in_shape, out_shape = tuple(entry.get("in_shape", ())), tuple(entry.get("out_shape", ()))
    if kernel.ndim == 3:
        kernel = kernel[:, :, None]
    if len(in_shape) == 2:
        in_shape, out_shape = (in_shape[0], 1, in_shape[1]), (out_shape[0], 1, *out_shape[1:])
    if len(in_shape) != 3 or len(out_shape) != 3:
        raise file.fail(
            f"the convolution of connection {k} needs `in_shape` and `out_shape` as [channels, rows, columns]"
        )
    stride, dilation = _pair(entry.get("stride", 1)), _pair(entry.get("dilation", 1))
    weight = np.ascontiguousarray(np.swapaxes(kernel, 0, 1)).astype(np.int32)
    axes = []
    for axis in (0, 1):
        reach = (out_shape[axis + 1] - 1) * stride[axis] + (kernel.shape[axis + 2] - 1) * dilation[axis] + 1
        total = reach - in_shape[axis + 1]
        sides = {(total // 2, total - total // 2), (total - total // 2, total // 2), (0, total), (total, 0)}
        stated = entry.get("padding")
        if isinstance(stated, int | list) and not isinstance(stated, bool):
            side = _pair(stated)[axis]
            sides.add((side, total - side))
        axes.append(sorted(s for s in sides if total >= 0 or s == (0, total)))
    groups = int(entry.get("groups", 1))
    return [
        Conv(w, (int(in_shape[0]), int(in_shape[1]), int(in_shape[2])), stride, (*rows, *columns), dilation, groups)
        for w in (weight, np.ascontiguousarray(weight[:, :, ::-1, ::-1]))
        for rows in axes[0]
        for columns in axes[1]
    ]


def _pair(value: Any) -> tuple[int, int]:
    first, *rest = value if isinstance(value, list | tuple) else [value]
    return int(first), int(rest[0] if rest else first)
