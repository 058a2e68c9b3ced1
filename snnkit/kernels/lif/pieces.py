"""Pieces that the bodies of kernels take by what is around the neurons: by the type of an argument `around`."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import importlib
from typing import Any

from numba.core import types
from numba.extending import overload

from snnkit.kernels.cache import piece_options


def piece_of(name: str) -> Any:
    """The function of that name which belongs to the type of `around`, its first argument: of the module of its class,
    or of `lif.alone` for None."""

    def stub(around: Any, *args: Any) -> Any:
        raise NotImplementedError

    def choose(around, *args):
        place = "snnkit.kernels.lif.alone" if around is types.none else around.instance_class.__module__
        return getattr(importlib.import_module(place), name).py_func

    overload(stub, strict=False, jit_options=piece_options())(choose)
    return stub
