"""The sensor's clock beside ours: what time it is there, by what it sent and when that came."""

from __future__ import annotations

import numpy as np

SPAN_NS = 500_000_000
"""The fastest packet of the latest one to two such spans tells the time: drift of 1e-4 is followed within 0.1 ms."""
PATIENCE_NS = 250_000_000
"""A sensor whose events are all so much too late, for so long, has another clock now."""


class SensorClock:
    """Estimates the sensor's time at a moment of ours.

    An event of time t that is here at time a says that the sensor's clock showed at least t then; it shows more by what
    the way took. So the clock is read as a + max(t − a), over what came in the latest one to two spans (`SPAN_NS`): as
    the fastest packet tells it. What the slower ones took longer is what `lateness` must allow. The first event maps
    the two clocks; a faster packet corrects the map at once; a sensor's clock that runs slower than ours, or stood
    still, does within two spans. In silence the map stays.

    Args:
        speed: µs of the sensor's clock in a µs of ours: 1 for what happens now, 2 for a recording played twice as fast.
    """

    def __init__(self, speed: float = 1.0) -> None:
        self._speed = speed
        self.forget()

    def forget(self) -> None:
        """Another sensor, or one with another clock: what comes next maps it anew."""
        self._best: int | None = None
        self._before = self._since = 0

    def heard(self, t: int, at: int) -> None:
        """An event, or a mark, of sensor time `t` µs was here at `at` ns."""
        ahead = (t * 1000 if self._speed == 1 else round(t * 1000 / self._speed)) - at
        age = at - self._since
        if self._best is None or age >= 2 * SPAN_NS:
            self._before = self._best = ahead
            self._since = at
        elif age >= SPAN_NS:
            self._before, self._best = self._best, ahead
            self._since = at
        else:
            self._best = max(self._best, ahead)

    def time(self, at: int) -> int | None:
        """The sensor's time in µs at `at` ns of ours; None before anything came."""
        if self._best is None:
            return None
        local = at + max(self._best, self._before)
        return local // 1000 if self._speed == 1 else int(local * self._speed / 1000)


class Delays:
    """How long the lateness must be for a sender that gathers events, by what came after silence.

    The first events after a silence of s µs that are here d µs after the end of their step were late with every
    lateness below min(s, d). It becomes the least one with which at most `SHARE` of the silences of the latest one to
    two spans had ended so, in steps of `UNIT_US`, from `least` to `most`. A sender that is held up now and then does
    not change it: steps would close later at every pause for the sake of a few events.

    Args:
        least, most: µs. Shorter silences than `least` do not count: no step closes in them.
    """

    SHARE = 0.1
    UNIT_US = 250

    def __init__(self, least: int, most: int) -> None:
        self.us, self._least, self._most = least, least, most
        units = max(most // self.UNIT_US, 1) + 2
        self._latest, self._before = np.zeros(units, np.int64), np.zeros(units, np.int64)
        self._since = 0

    def heard(self, us: int, silence: int, at: int) -> None:
        """Events that came `us` µs after the end of their step, at `at` ns, after a silence of so many µs."""
        if silence < self._least:
            return
        if at - self._since >= SPAN_NS:
            stale = at - self._since >= 2 * SPAN_NS
            self._latest, self._before = self._before, self._latest
            self._latest[:] = 0
            if stale:
                self._before[:] = 0
            self._since = at
        unit = min(us, silence) // self.UNIT_US + 1
        self._latest[min(max(unit, 0), len(self._latest) - 1)] += 1
        later = np.cumsum((self._latest + self._before)[::-1])[::-1]  # so many need this unit or a later one
        units = int(np.count_nonzero(later > self.SHARE * later[0])) - 1
        self.us = min(max(units * self.UNIT_US, self._least), self._most)
