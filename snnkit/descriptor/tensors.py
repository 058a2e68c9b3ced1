"""Reading safetensors from strangers: every length is checked before anything is allocated, nothing is executed."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from snnkit.errors import DescriptorError

Array = np.ndarray[Any, Any]

DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
}
"""Integers only: a chip's memory holds nothing else."""
NAMES = {np.dtype(numpy_name): name for name, numpy_name in DTYPES.items()}

MAX_HEADER = 16 * 2**20
MAX_TENSORS = 65536
DAMAGED = "the file is damaged or was changed; export it again"


def parse(data: bytes, file: str) -> dict[str, Array]:
    """Arrays (read-only views of `data`) of a safetensors file, after checking its whole structure.

    Layout: 8 bytes little-endian header length, JSON header, data; offsets must tile the data exactly.
    Format: https://github.com/huggingface/safetensors (README, "Format").

    Raises:
        DescriptorError: names the file and the value.
    """
    if len(data) < 8:
        raise _bad(file, f"has only {len(data)} bytes")
    length = int.from_bytes(data[:8], "little")
    if length > min(MAX_HEADER, len(data) - 8):
        raise _bad(file, f"claims a header of {length} bytes, the file has {len(data)}")
    header = _header(data[8 : 8 + length], file)
    body = memoryview(data)[8 + length :]
    entries = sorted(((name, _entry(file, name, value)) for name, value in header.items()), key=lambda e: e[1][2:])
    arrays: dict[str, Array] = {}
    at = 0
    for name, (dtype, shape, begin, end) in entries:
        if begin != at:
            raise _bad(file, f"tensor {name!r} starts at byte {begin}, expected {at} (overlap or hole)")
        if end > len(body):
            raise _bad(file, f"tensor {name!r} ends at byte {end}, the data has {len(body)}")
        arrays[name] = np.frombuffer(body[begin:end], np.dtype(dtype).newbyteorder("<")).reshape(shape)
        at = end
    if at != len(body):
        raise _bad(file, f"has {len(body) - at} bytes that belong to no tensor")
    return arrays


def _header(raw: bytes, file: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({k for k, _ in pairs}) != len(pairs):
            raise ValueError("a key occurs twice")
        return dict(pairs)

    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise _bad(file, f"has an unreadable header ({error})") from None
    if not isinstance(header, dict) or len(header) > MAX_TENSORS:
        raise _bad(file, f"has a header that is no table of at most {MAX_TENSORS} tensors")
    header.pop("__metadata__", None)
    return header


def _entry(file: str, name: str, value: Any) -> tuple[str, tuple[int, ...], int, int]:
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise _bad(file, f"tensor {name!r} lacks dtype, shape or data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise _bad(file, f"tensor {name!r} has type {dtype!r}; allowed: {', '.join(DTYPES)}")
    if not _sizes(shape) or len(shape) > 8:
        raise _bad(file, f"tensor {name!r} has shape {shape!r}")
    if not _sizes(offsets) or len(offsets) != 2:
        raise _bad(file, f"tensor {name!r} has data offsets {offsets!r}")
    begin, end = offsets
    if end - begin != math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize:
        raise _bad(file, f"tensor {name!r} of shape {shape} and type {dtype} claims {end - begin} bytes")
    return DTYPES[dtype], tuple(shape), begin, end


def _sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(v) is int and 0 <= v < 2**62 for v in value)


def _bad(file: str, what: str) -> DescriptorError:
    return DescriptorError(f"{file}: {what}", fix=DAMAGED)
