"""Words through a pipe, such as standard input."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from snnkit.errors import DataError, UsageError, did_you_mean
from snnkit.live.sources import PIECE, TICK, Chunk, Malformed, quiet

FORMATS = ("evt2", "evt21", "evt3")
"""What a pipe may carry."""


def decoder_of(format: str) -> Any:
    """An incremental decoder of what a pipe carries.

    Raises:
        UsageError: an unknown format.
    """
    if format == "evt2":
        from snnkit.data.files.evt2 import Evt2Decoder

        return Evt2Decoder()
    if format == "evt21":
        from snnkit.data.files.evt21 import ORDERS, Evt21Decoder

        return Evt21Decoder(ORDERS[0])
    if format == "evt3":
        from snnkit.data.files.evt3 import Evt3Decoder

        return Evt3Decoder()
    raise UsageError(
        f"{format!r} does not go through a pipe{did_you_mean(format, FORMATS)}", fix=f"one of {', '.join(FORMATS)}"
    )


@dataclass
class PipeSource:
    """Words from an open file, by default standard input: EVT 2, or what a Prophesee header at its start says.

    Args:
        descriptor: number of the open file.
        format: "evt2", "evt21" or "evt3"; None: as the header says, EVT 2 without one.
        name: for people.
        tick: seconds without anything to read after which it says so.
    """

    descriptor: int = 0
    format: str | None = None
    name: str = "standard input"
    tick: float = TICK
    live: bool = True
    speed: float | None = 1.0
    sensor_size: tuple[int, int] | None = None
    malformed: Malformed = field(default_factory=Malformed)

    def __post_init__(self) -> None:
        if self.format is not None:
            decoder_of(self.format)

    def chunks(self, stop: threading.Event) -> Iterator[Chunk]:
        """See `Source`.

        Raises:
            DataError: a header of something else.
        """
        head, decoder = b"", None
        while not stop.is_set():
            if (silent := quiet(self.descriptor, self.tick)) is not None:
                yield silent
                continue
            data = os.read(self.descriptor, PIECE)
            now = time.perf_counter_ns()
            if decoder is None:
                head += data
                start = self._start(head, bool(data))
                if start is None:
                    continue
                decoder, head = start
                events = decoder.feed(head)
            else:
                events = decoder.feed(data)
            tally, bad = decoder.tally, self.malformed
            bad.words, bad.other_words = tally.unknown + tally.unplaced, tally.other
            if not data:
                bad.words += bool(tally.left_over)
                if len(events):
                    yield Chunk(events, now)
                return
            if len(events):
                yield Chunk(events, now)

    def _start(self, head: bytes, more: bool) -> tuple[Any, bytes] | None:
        """The decoder and what follows the header; None: more of it must come first."""
        if not head.startswith(b"%"):
            return (decoder_of(self.format or "evt2"), head) if len(head) >= 4 or not more else None
        from snnkit.data.files.prophesee import LONGEST, read_header

        header = read_header(head)
        if more and len(head) < LONGEST and b"% end\n" not in head and header.bytes >= len(head) - 80:
            return None  # the last line may go on
        if header.encoding not in FORMATS and self.format is None:
            raise DataError(
                f"{self.name}: a header of {header.encoding or 'an unknown encoding'}",
                fix=f"a pipe carries {', '.join(FORMATS)}; give --format if the header is wrong",
            )
        self.sensor_size = header.sensor_size
        return decoder_of(self.format or str(header.encoding)), head[header.bytes :]

    def close(self) -> None:
        """The file belongs to who opened it."""
