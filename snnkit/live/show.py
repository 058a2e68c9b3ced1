"""Answers for people and programs: lines of text, JSON lines, or a picture in the terminal."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
from numpy.typing import NDArray

from snnkit.live.answers import Answer
from snnkit.live.network import Facts

if TYPE_CHECKING:
    from rich.console import RenderableType

SHOWS = ("text", "jsonl", "picture", "none")
_PER_SECOND = 12
_FADE = 0.1
"""Seconds over which a picture's dots fade to 1/e."""


class Text:
    """A line an answer; in silence, only where it changes."""

    def __init__(self, facts: Facts, out: TextIO | None = None) -> None:
        self._facts, self._out = facts, out or sys.stdout
        self._said = -1

    def frames(self, frames: NDArray[np.uint8]) -> None:
        """Not shown."""

    def answer(self, answer: Answer) -> None:
        """Time, class, its score and the next one, events, latency."""
        if not answer.events and answer.answer == self._said:
            return
        self._said = answer.answer
        order = sorted(range(len(answer.scores)), key=lambda k: -answer.scores[k])
        best = f"{answer.scores[answer.answer]:.4g}"
        after = next((k for k in order if k != answer.answer), None)
        second = "" if after is None else f"  then {self._facts.label(after)} {answer.scores[after]:.4g}"
        late = "" if answer.latency_ms is None else f"  {answer.latency_ms:.1f} ms"
        part = "" if answer.whole else f"  ({answer.looks_back} steps)"
        print(
            f"{answer.time_us / 1e6:12.6f} s  {answer.label:<12} {best}{second}  {answer.events:,} events{late}{part}",
            file=self._out, flush=True,
        )  # fmt: skip

    def close(self) -> None:
        """Nothing to do."""


class JsonLines:
    """A JSON object an answer: the fields of `loop.Answer`."""

    def __init__(self, facts: Facts, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout

    def frames(self, frames: NDArray[np.uint8]) -> None:
        """Not shown."""

    def answer(self, answer: Answer) -> None:
        """One line."""
        plain = asdict(answer)
        plain["scores"] = [s if np.isfinite(s) else None for s in answer.scores]
        print(json.dumps(plain), file=self._out, flush=True)

    def close(self) -> None:
        """Nothing to do."""


class Picture:
    """The sensor's picture (two pixels a character), the classes' scores as bars, and the latest numbers."""

    def __init__(self, facts: Facts, out: TextIO | None = None, width: int = 72) -> None:
        from rich.console import Console
        from rich.live import Live

        self._facts = facts
        grid = facts.frames.grid
        w, h = facts.sensor_size if grid is None else (grid, grid)
        self._shape, self._pool = (2, h, w), max(-(-w // width), 1)
        self._dots = np.zeros(self._shape, np.float32)
        self._answer: Answer | None = None
        self._events = 0
        self._begin = self._shown = time.perf_counter()
        self._live = Live(console=Console(file=out or sys.stdout), auto_refresh=False, transient=False)
        self._live.start()

    def frames(self, frames: NDArray[np.uint8]) -> None:
        """Add dots; draws about twelve times a second."""
        now = time.perf_counter()
        self._dots += frames.sum(0, dtype=np.float32).reshape(self._shape)
        if now - self._shown > 1 / _PER_SECOND:
            self._live.update(self.render(), refresh=True)
            self._dots *= np.exp(-(now - self._shown) / _FADE)
            self._shown = now

    def answer(self, answer: Answer) -> None:
        """Kept for the next picture."""
        self._answer = answer
        self._events += answer.events

    def render(self) -> RenderableType:
        """The picture as it is now."""
        from rich.columns import Columns
        from rich.text import Text as Rich

        from snnkit.viz.style import LIGHT

        off, on = (_pooled(d, self._pool) > 0.3 for d in self._dots)
        colour = np.where(on, LIGHT["on"], np.where(off, LIGHT["off"], ""))
        if len(colour) % 2:
            colour = np.concatenate([colour, np.full((1, colour.shape[1]), "")])
        image = Rich()
        for top, bottom in zip(colour[::2], colour[1::2]):
            for a, b in zip(top.tolist(), bottom.tolist()):
                if a and b:
                    image.append("▀", f"{a} on {b}")
                else:
                    image.append("▀" if a else "▄" if b else " ", a or b)
            image.append("\n")
        return Columns([image, self._numbers()], padding=(0, 3))

    def _numbers(self) -> Any:
        from rich.text import Text as Rich

        a, text = self._answer, Rich()
        if a is None:
            return Rich("no answer yet")
        scores = np.nan_to_num(np.array(a.scores, float), neginf=0.0)
        span = float(np.ptp(scores)) or 1.0
        for k, s in enumerate(scores):
            bar = "█" * round(20 * float(s - scores.min()) / span)
            text.append(f"{self._facts.label(k):>12} {bar:<20} {s:.4g}\n", "bold" if k == a.answer else "")
        rate = self._events / max(time.perf_counter() - self._begin, 1e-9)
        late = "" if a.latency_ms is None else f"   latency {a.latency_ms:.1f} ms"
        text.append(f"\n{a.time_us / 1e6:.3f} s   {rate:,.0f} events/s{late}\n{a.late:,} late   {a.dropped:,} dropped")
        return text

    def close(self) -> None:
        """The last picture stays."""
        self._live.update(self.render(), refresh=True)
        self._live.stop()


def _pooled(a: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """The largest value of each size × size block."""
    if size == 1:
        return a
    h, w = (-(-n // size) for n in a.shape)
    padded = np.zeros((h * size, w * size), a.dtype)
    padded[: a.shape[0], : a.shape[1]] = a
    pooled: NDArray[np.float32] = padded.reshape(h, size, w, size).max((1, 3))
    return pooled


def make(name: str, facts: Facts, out: TextIO | None = None) -> Text | JsonLines | Picture | None:
    """The show of a name in `SHOWS`; None for "none"."""
    kinds: dict[str, type[Text | JsonLines | Picture]] = {"text": Text, "jsonl": JsonLines, "picture": Picture}
    return kinds[name](facts, out) if name in kinds else None
