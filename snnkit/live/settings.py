"""How a network runs live, as options."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from snnkit.errors import ParameterError
from snnkit.live.queue import Policy

Reset = Literal["window", "none"]
RESETS: tuple[Reset, ...] = ("window", "none")
LATENESS_US = (4000, 20_000)
"""The least "auto", without `hold`, and the most that it becomes by itself."""


@dataclass(frozen=True)
class LiveSettings:
    """How a network runs live.

    Args:
        dt: length of a step in µs; None: as in training.
        window: steps that an answer looks back on; None: as many as a sample of the training data had.
        reset: "window": after every window the network goes back to rest, as between samples in training, and the
            answer at step k looks back on k steps of it. "none": the network runs on, and the answer looks back on the
            latest `window` steps.
        every: an answer is given every so many steps, and at the end of a window; None: `window`.
        queue: events that have room between the two threads.
        policy: of the queue; None: "block" for recordings, "drop-oldest" for what comes live.
        chunk: most steps that the network computes in one call, when it has fallen behind. Neurons and chips do not
            notice; the last bits of torch's sums may depend on it (1: always one step).
        hold: µs by which events may be out of order.
        lateness: of what comes live: while events come, steps close by them; when nothing has come for so many µs,
            steps close when they are over for so long by the clocks (see `clock.SensorClock`), with or without events,
            and what comes for them later is late. More than the sender gathers events for or pauses in the midst of a
            step. "auto": `hold` and 4 ms, up to `hold` and 20 ms where the sender gathers longer (see `clock.Delays`).
            "off": steps close by events only, and nothing goes on in silence. (A recording at a speed is known to the
            end of what is due: there, steps close with it and nothing is late.)
        behind: of what comes in time: when more than so many steps are over and not computed, they are skipped up to
            the present one, and the network begins anew at rest with it; skipped steps and their events are counted,
            and the answer of what it knew before is given. At least `window` if whole windows are to be answered. None:
            every step is computed, however late.
        gap: µs; a larger jump of the sensor's clock starts the network anew.
        start: µs of the sensor's clock at which the first step starts; None: with the first event's step.
        seconds: end after so long. quiet: end when nothing has come for so long. None: do not.

    Raises:
        ParameterError: a value out of range.
    """

    dt: Fraction | None = None
    window: int | None = None
    reset: Reset = "window"
    every: int | None = None
    queue: int = 1 << 18
    policy: Policy | None = None
    chunk: int = 32
    hold: int = 0
    lateness: int | Literal["auto", "off"] = "auto"
    behind: int | None = None
    gap: int = 10_000_000
    start: int | None = None
    seconds: float | None = None
    quiet: float | None = None

    def __post_init__(self) -> None:
        if self.reset not in RESETS:
            raise ParameterError(f"reset is {self.reset!r}", fix="'window' or 'none'")
        for name in ("window", "every", "chunk", "behind"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ParameterError(f"{name} is {value}", fix="give at least 1 step")
        if self.lateness not in ("auto", "off") and (isinstance(self.lateness, str) or self.lateness < 0):
            raise ParameterError(f"lateness is {self.lateness!r}", fix="give microseconds, 'auto' or 'off'")
        for name in ("seconds", "quiet"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ParameterError(f"{name} is {value}", fix="give a positive time")

    def lateness_us(self) -> tuple[int | None, int | None]:
        """`lateness` and `most_lateness` of a `Stepper`."""
        if self.lateness == "auto":
            return self.hold + LATENESS_US[0], self.hold + LATENESS_US[1]
        return (None if self.lateness == "off" else self.lateness), None


def as_dt(value: Any) -> Fraction:
    """A length in µs as a fraction: numbers as they are written, so that 0.1 is a tenth.

    Raises:
        ParameterError: not a positive number.
    """
    try:
        dt = Fraction(str(value)).limit_denominator(10**6)
    except (ValueError, ZeroDivisionError):
        raise ParameterError(f"a step of {value!r} us", fix="give a length in microseconds") from None
    if not 0 < dt <= 10**12:
        raise ParameterError(f"a step of {value} us", fix="give a positive length in microseconds")
    return dt
