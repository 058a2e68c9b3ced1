"""Huge pages for large outputs: page faults on a fresh tensor of many megabytes cost more than computing it."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import Any

import torch
from torch import Tensor

WORTH = 8 << 20
"""Bytes from which on the kernel is asked."""

_HUGE = 2 << 20
_MADV_HUGEPAGE = 14


@cache
def _madvise() -> Any:
    """The C library's madvise, None where there is none."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        function = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return None
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return function


def output_like(x: Tensor) -> Tensor:
    """An uninitialised tensor like x, on huge pages where it is large and the system has them for the asking."""
    out = torch.empty_like(x)
    size = out.numel() * out.element_size()
    if size >= WORTH and (madvise := _madvise()) is not None:
        first = -(-out.data_ptr() // _HUGE) * _HUGE
        last = (out.data_ptr() + size) // _HUGE * _HUGE
        madvise(first, last - first, _MADV_HUGEPAGE)  # a wish: what it answers does not matter
    return out
