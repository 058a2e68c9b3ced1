"""EVT 2 words over UDP: addresses, and the receiver.

A packet holds whole words of 32 bits, little-endian. It should state the time before its first event (a word of type
0x8), so that it can be understood on its own; `sender` does that. There is no handshake and no end: UDP packets may be
lost, doubled or out of order, and what can be seen of that is counted.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from snnkit.errors import SystemCallError, UsageError, did_you_mean
from snnkit.live.sources import TICK, Chunk, Malformed, quiet

SCHEME = "udp"
RECEIVE_BUFFER = 1 << 22
"""Bytes asked of the system for packets that were not read yet; it may give less."""
DRAIN = 64
"""Most packets decoded together."""
_LARGEST = 65536
_TIMESTAMPNS, _OVERFLOW = 35, 40  # SO_TIMESTAMPNS and SO_RXQ_OVFL of Linux: asm-generic/socket.h


def parse_address(text: str) -> tuple[str, int]:
    """(host, port) of "udp://HOST:PORT".

    Raises:
        UsageError: another scheme, no host, no port, or one that cannot be.
    """
    example = "udp://127.0.0.1:9000"
    scheme, colon, _ = text.partition("://")
    if not colon or scheme != SCHEME:
        hint = did_you_mean(scheme, [SCHEME]) if colon else ""
        raise UsageError(f"{text!r} is no address for events{hint}", fix=f"give {example}")
    parts = urlsplit(text)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if not parts.hostname or port is None or not 0 <= port < 65536 or parts.path or parts.query or parts.username:
        raise UsageError(f"{text!r} is no complete address", why="needed are a host and a port", fix=f"give {example}")
    return parts.hostname, port


def resolve(text: str, allow_remote: bool = False) -> tuple[int, tuple[Any, ...]]:
    """(address family, socket address) of "udp://HOST:PORT".

    Raises:
        UsageError: as `parse_address`; an unknown host; one beyond this computer, unless `allow_remote`.
    """
    host, port = parse_address(text)
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    except OSError as error:
        raise UsageError(f"{text}: there is no host {host!r}", why=str(error), fix="give 127.0.0.1") from None
    if not allow_remote and not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback:
        raise UsageError(
            f"{text} is not on this computer",
            why="packets are neither encrypted nor signed: whoever can send there decides what the network sees",
            fix="give 127.0.0.1, or --allow-remote if that is what you want",
        )
    return family, address


class UdpSource:
    """Receives packets at "udp://HOST:PORT".

    Words of a packet whose length is no whole number of words are refused, words of unknown types are passed over, and
    both are counted. On Linux packets carry the time at which the system received them, and the system says how many
    it dropped because nobody took them.

    Args:
        address: where to listen; port 0: a free one, see `address`.
        allow_remote: an address beyond this computer is allowed.
        tick: seconds without packets after which it says so.

    Raises:
        UsageError: as `resolve`. SystemCallError: the port is taken, or not allowed.
    """

    live = True
    speed: float | None = 1.0
    sensor_size: tuple[int, int] | None = None

    def __init__(self, address: str, allow_remote: bool = False, tick: float = TICK) -> None:
        from snnkit.data.files.evt2 import Evt2Decoder

        family, where = resolve(address, allow_remote)
        Evt2Decoder().feed(bytes(4))  # compiles it before anything can come
        self._decoder = Evt2Decoder()
        self.malformed = Malformed()
        self.packets = self.bytes = 0
        self._tick = tick
        self._refused = 0
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            for option in (_TIMESTAMPNS, _OVERFLOW):
                try:
                    self._socket.setsockopt(socket.SOL_SOCKET, option, 1)
                except OSError:  # not on Linux
                    continue
            self._socket.bind(where)
        except OSError as error:
            self._socket.close()
            if error.errno == errno.EADDRINUSE:
                raise SystemCallError(
                    f"{address}: the port is taken", why="another program listens there", fix="give another port"
                ) from None
            raise SystemCallError(f"{address}: {error.strerror or error}", fix="give another address") from None
        self._socket.setblocking(False)
        host, port = self._socket.getsockname()[:2]
        self.address = f"{SCHEME}://[{host}]:{port}" if ":" in host else f"{SCHEME}://{host}:{port}"
        self.name = self.address

    def chunks(self, stop: threading.Event) -> Iterator[Chunk]:
        """See `Source`; ends only with `stop`."""
        while not stop.is_set():
            if (silent := quiet(self._socket, self._tick)) is not None:
                yield silent
                continue
            packets, arrival, latest = self._drain()
            events = self._decoder.feed(b"".join(packets))
            tally, bad = self._decoder.tally, self.malformed
            bad.words, bad.other_words = tally.unknown + tally.unplaced + self._refused, tally.other
            if len(events):
                yield Chunk(events, arrival, latest=latest)

    def _drain(self) -> tuple[list[bytes], int, int]:
        """The packets that are here, at most `DRAIN`, and the arrivals of the first and the last."""
        packets: list[bytes] = []
        now, here = time.time_ns(), time.perf_counter_ns()
        oldest, newest = now, 0
        for _ in range(DRAIN):
            try:
                data, notes, _, _ = self._socket.recvmsg(_LARGEST, 128)
            except BlockingIOError:
                break
            except OSError as error:  # a late complaint about something that was sent
                if error.errno in (errno.ECONNREFUSED, errno.EINTR):
                    continue
                raise
            for level, kind, value in notes:
                if level == socket.SOL_SOCKET and kind == _TIMESTAMPNS and len(value) == 16:
                    seconds, rest = struct.unpack("qq", value)
                    stamp = seconds * 1_000_000_000 + rest
                    oldest, newest = min(oldest, stamp), max(newest, stamp)
                elif level == socket.SOL_SOCKET and kind == _OVERFLOW and len(value) == 4:
                    self.malformed.lost_packets = max(self.malformed.lost_packets, struct.unpack("I", value)[0])
            self.packets += 1
            self.bytes += len(data)
            if len(data) % 4:
                self.malformed.packets += 1
                self._refused += -(-len(data) // 4)
            else:
                packets.append(data)
        first, last = here - (now - oldest), here + (newest - now) if newest else time.perf_counter_ns()
        return packets, first, max(first, last)

    def close(self) -> None:
        """Close the port."""
        self._socket.close()
