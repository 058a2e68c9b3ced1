"""Values with arrays of numbers of any size, in frames: first their dtypes and shapes, then their bytes in pieces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnkit._isolated.ring import SLOT

if TYPE_CHECKING:
    from snnkit._isolated.client import Session
    from snnkit._isolated.link import Link

Arrays = list[NDArray[Any]]


def send(link: Link, value: Any, arrays: Sequence[NDArray[Any]]) -> None:
    """Send a value (JSON) and arrays."""
    described = [[a.dtype.str, a.shape] for a in arrays]
    link.send("message", {"value": value, "arrays": described})
    for array in arrays:
        if array.size:
            plain = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            for first in range(0, len(plain), SLOT):
                link.send("bytes", None, plain[first : first + SLOT])


def receive(session: Session, most: int) -> tuple[Any, Arrays]:
    """The next value and its arrays, which are ours.

    Raises:
        BrokenError: the process ended, or claims more than `most` bytes of arrays.
        SnnkitError: what the task raised.
    """
    key, message, _ = session.receive()
    with session.checked():
        if key != "message":
            raise ValueError(f"{key} for a message")
        forms = [(np.dtype(str(d)), tuple(int(n) for n in shape)) for d, shape in message["arrays"]]
        sizes = [math.prod(shape) * dtype.itemsize for dtype, shape in forms]
        if sum(sizes) > most or any(d.kind not in "fiub" or min(s, default=0) < 0 for d, s in forms):
            raise ValueError("arrays that are none")
        plain = [np.empty(size, np.uint8) for size in sizes]
        for array in plain:
            filled = 0
            while filled < len(array):
                _, _, piece = session.receive()
                if not len(piece):
                    raise ValueError("an array that ends early")
                array[filled : filled + len(piece)] = piece
                filled += len(piece)
    return message["value"], [a.view(d).reshape(s) for a, (d, s) in zip(plain, forms)]
