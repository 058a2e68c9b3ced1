"""Events into the frames of open steps, compiled: one pass, no event lost without being counted."""

# mypy: disable-error-code=no-untyped-def
from __future__ import annotations

from snnkit import _numba

_numba.configure()

from numba import njit  # noqa: E402

OPEN, EDGE, NEWEST, OUTSIDE, LATE, CLIPPED, PLACED = range(7)
"""Places in the state: first step that was not taken yet; first step that is not closed yet; the newest time in µs;
events outside the sensor, too late, above the largest count, and placed."""
UNSET = -(1 << 62)
"""Of `OPEN`, before the first event."""
DONE, FULL, JUMP = range(3)


@njit(**_numba.OPTIONS)
def scatter(
    events, at, arrival, state, frames, counts, first, num, den, width, height, grid, binary, most, hold, gap
):  # fmt: skip
    """Events from index `at` on into `frames` uint8 [depth, 2·H·W]; step k is row k mod depth.

    An event at t µs belongs to step ⌊t·den / num⌋. Steps below the one of (newest time − hold) are closed: an event
    for them is late. One that is more than `gap` steps ahead or late is a jump of the clock. counts, first int64
    [depth]: events of each step, and the arrival of its first one (0: none). Where `grid` > 0, cells of a grid × grid
    sensor. Returns (index, DONE), or (index of an event that was not placed, FULL or JUMP).
    """
    depth = frames.shape[0]
    for i in range(at, events.shape[0]):
        x, y, p = int(events[i]["x"]), int(events[i]["y"]), int(events[i]["p"])
        if x >= width or y >= height or p > 1:
            state[OUTSIDE] += 1
            continue
        t = events[i]["t"]
        step = (t * den) // num
        if state[OPEN] == UNSET:
            state[OPEN] = ((t - hold) * den) // num
            state[EDGE] = state[OPEN]
            state[NEWEST] = t
        if step < state[EDGE]:
            if state[EDGE] - step > gap:
                return i, JUMP
            state[LATE] += 1
            continue
        if step - state[EDGE] > gap:
            return i, JUMP
        if t > state[NEWEST]:
            state[NEWEST] = t
            state[EDGE] = max(state[EDGE], ((t - hold) * den) // num)
        if step - state[OPEN] >= depth:
            return i, FULL
        if grid > 0:
            cell = (p * grid + y * grid // height) * grid + x * grid // width
        else:
            cell = (p * height + y) * width + x
        k = step % depth
        if binary:
            frames[k, cell] = 1
        elif frames[k, cell] < most:
            frames[k, cell] += 1
        else:
            state[CLIPPED] += 1
        if counts[k] == 0:
            first[k] = arrival
        counts[k] += 1
        state[PLACED] += 1
    return events.shape[0], DONE
