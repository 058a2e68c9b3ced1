"""First calls are made before the input is open: compiled functions load, libraries choose how to compute each size."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from fractions import Fraction
from weakref import WeakKeyDictionary

from snnkit.live.network import Network

EVERY = 64
"""Calls of up to so many steps are all tried; of more, the powers of two and the largest."""
_warm: WeakKeyDictionary[Network, int] = WeakKeyDictionary()


def sizes(most: int) -> Iterator[int]:
    """How many steps a call may take, 1 to `most`; the largest first, so that memory is asked for once."""
    yield most
    size = EVERY
    while size < most // 2:
        size *= 2
        yield size
    yield from range(min(most - 1, EVERY), 0, -1)


def warm_up(network: Network, chunk: int) -> None:
    """Silent steps through the network in calls of every size up to `chunk`, and back to rest; nothing is counted.

    So the first step of a stream costs what later ones do. What was done once for a network is not done again.
    """
    if _warm.get(network, 0) >= chunk:
        network.reset()
        return
    from snnkit.live.pipe import FORMATS, decoder_of
    from snnkit.live.steps import Stepper

    network.prepare(chunk)
    Stepper(network.facts.sensor_size, Fraction(1))  # loads its kernel
    for format in FORMATS:
        decoder_of(format).feed(bytes(8))
    gc.collect()  # what loading left behind, which would cost a tenth of a second in the stream
    _warm[network] = chunk
