"""A recording as UDP packets of EVT 2 words, each of which can be understood on its own."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.data.files.evt2 import TIME_HIGH, Evt2Encoder
from snnkit.errors import ParameterError
from snnkit.live.sources import paced
from snnkit.live.udp import resolve

PACKET = 1472
"""Most bytes of a packet: what an Ethernet frame of 1500 bytes holds after the headers of IPv4 and UDP."""
_LARGEST = 65504
SLICE_US = 1000
"""At a speed, packets go out every so many µs of the recording."""


@dataclass
class Sent:
    """How much was sent; `refused`: packets at which the system said that nobody listens."""

    events: int = 0
    packets: int = 0
    bytes: int = 0
    refused: int = 0
    seconds: float = 0.0


class Packets:
    """Cuts events into packets; the clock goes on from call to call.

    Args:
        size: most bytes of a packet.

    Raises:
        ParameterError: less than 8 bytes, or more than a packet can hold.
    """

    def __init__(self, size: int = PACKET) -> None:
        if not 8 <= size <= _LARGEST:
            raise ParameterError(f"packets of {size} bytes", fix=f"give 8 to {_LARGEST}")
        self._words = size // 4
        self._encoder = Evt2Encoder()

    def of(self, events: NDArray[np.void]) -> Iterator[bytes]:
        """The packets of the next events, in order of time; each begins with a word of time.

        Raises:
            DataError: as `Evt2Encoder.feed`.
        """
        words = np.frombuffer(self._encoder.feed(events), "<u4")
        is_time = words >> 28 == TIME_HIGH
        clock = np.maximum.accumulate(np.where(is_time, np.arange(len(words)), 0))
        at = 0
        while at < len(words):
            if is_time[at]:
                end = min(at + self._words, len(words))
                yield words[at:end].tobytes()
            else:  # the packet before ended between a word of time and its events
                end = min(at + self._words - 1, len(words))
                yield words[clock[at]].tobytes() + words[at:end].tobytes()
            at = end


class Sender:
    """Sends packets to "udp://HOST:PORT"; a context manager.

    Args:
        address: of the receiver.
        allow_remote: an address beyond this computer is allowed.
        packet: most bytes of a packet.

    Raises:
        UsageError: as `udp.resolve`. ParameterError: as `Packets`.
    """

    def __init__(self, address: str, allow_remote: bool = False, packet: int = PACKET) -> None:
        family, where = resolve(address, allow_remote)
        self._packets, self.sent = Packets(packet), Sent()
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.connect(where)

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def send(self, events: NDArray[np.void]) -> None:
        """Send events now. A receiver that is not there yet is no error."""
        for packet in self._packets.of(events):
            self.send_bytes(packet)
        self.sent.events += len(events)

    def send_bytes(self, packet: bytes) -> None:
        """Send a packet as it is."""
        for _ in range(2):  # a refusal is told at the next packet, which is not sent then
            try:
                self._socket.send(packet)
            except OSError as error:
                if error.errno not in (errno.ECONNREFUSED, errno.ENOBUFS):
                    raise
                self.sent.refused += 1
                continue
            break
        self.sent.packets += 1
        self.sent.bytes += len(packet)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def send(
    pieces: Iterable[NDArray[np.void]],
    address: str,
    speed: float | None = 1.0,
    *,
    allow_remote: bool = False,
    packet: int = PACKET,
    stop: threading.Event | None = None,
) -> Sent:
    """Send a recording, such as `snnkit.data.files.iter(path)`.

    Args:
        pieces: its events, in order of time.
        address: "udp://HOST:PORT".
        speed: 1 for recorded speed, 2 for twice as fast, …; None: without a pause, which a receiver may not keep up
            with.
        allow_remote, packet: as of `Sender`.
        stop: ends it when set.

    Returns:
        How much was sent.

    Raises:
        ParameterError: a speed that is not positive. UsageError: as `udp.resolve`. DataError: as `Packets.of`.
    """
    if speed is not None and not 0 < speed < 1e9:
        raise ParameterError(f"a speed of {speed:g}", fix="give a positive factor, or none")
    stop = stop or threading.Event()
    begin = time.perf_counter()
    with Sender(address, allow_remote, packet) as sender:
        if speed is None:
            for events in pieces:
                if stop.is_set():
                    break
                sender.send(events)
        else:
            for events, _, _ in paced(pieces, speed, SLICE_US, stop):
                sender.send(events)
    sender.sent.seconds = time.perf_counter() - begin
    return sender.sent
