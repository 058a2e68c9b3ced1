"""Lines of decimal numbers → events, compiled: exact, whatever the number of decimals."""

# mypy: disable-error-code="assignment,no-untyped-def"
from __future__ import annotations

import numpy as np

from snnkit import _numba

_numba.configure()

from numba import njit  # noqa: E402


@njit(**_numba.OPTIONS)
def _power(value, scale):
    """value · 10^scale, rounded to the nearest; the second value says whether nothing was lost."""
    exact = True
    while scale > 0:
        if value > 400000000000000000 or value < -400000000000000000:
            return (1 << 62) if value > 0 else -(1 << 62), False
        value *= 10
        scale -= 1
    if scale < 0:
        if scale < -18:
            return 0, value == 0
        divisor = 1
        while scale < 0:
            divisor *= 10
            scale += 1
        whole = value // divisor
        rest = value - whole * divisor
        exact = rest == 0
        value = whole + (1 if 2 * rest >= divisor else 0)
    return value, exact


@njit(**_numba.OPTIONS)
def lines_to_events(data, width, at_t, at_x, at_y, at_p, scale, seen_off, out):
    """Whole lines → events. Returns (events, lines, fault): fault 0 none, 1 a field, 2 their number, 3 out of
    range, 4 OFF written as both 0 and -1. `seen_off` int64 [2]: whether OFF was written as -1, as 0.
    """
    n, line = 0, 0
    i, end = 0, data.shape[0]
    values = np.zeros(16, np.int64)
    scales = np.zeros(16, np.int64)
    while i < end:
        # leading blanks
        while i < end and (data[i] == 32 or data[i] == 9 or data[i] == 13):
            i += 1
        if i >= end:
            break
        if data[i] == 10:
            i += 1
            line += 1
            continue
        if data[i] == 35:  # '#'
            while i < end and data[i] != 10:
                i += 1
            continue
        k = 0
        while True:
            sign = 1
            if data[i] == 45 or data[i] == 43:
                sign = -1 if data[i] == 45 else 1
                i += 1
            value, decimals, digits, seen, dot = 0, 0, 0, False, False
            while i < end:
                c = np.int64(data[i])
                if 48 <= c <= 57:
                    seen = True
                    if digits < 18:
                        value = value * 10 + (c - 48)
                        if value:
                            digits += 1
                        if dot:
                            decimals += 1
                    elif not dot:
                        decimals -= 1
                elif c == 46 and not dot:
                    dot = True
                else:
                    break
                i += 1
            if not seen or k >= 16:
                return n, line, 1
            if i < end and (data[i] == 101 or data[i] == 69):  # an exponent
                i += 1
                way = 1
                if i < end and (data[i] == 45 or data[i] == 43):
                    way = -1 if data[i] == 45 else 1
                    i += 1
                power, seen = 0, False
                while i < end and 48 <= data[i] <= 57:
                    power = min(power * 10 + (np.int64(data[i]) - 48), 1000)
                    seen = True
                    i += 1
                if not seen:
                    return n, line, 1
                decimals -= way * power
            values[k], scales[k] = sign * value, -decimals
            k += 1
            commas = 0
            while i < end and (data[i] == 32 or data[i] == 9 or data[i] == 13 or data[i] == 44 or data[i] == 59):
                if data[i] == 44 or data[i] == 59:
                    commas += 1
                i += 1
            if commas > 1:
                return n, line, 1
            if i >= end or data[i] == 10:
                if commas:
                    return n, line, 1
                i += 1
                line += 1
                break
        if k != width:
            return n, line - 1, 2
        t, _ = _power(values[at_t], scales[at_t] + scale)
        x, x_whole = _power(values[at_x], scales[at_x])
        y, y_whole = _power(values[at_y], scales[at_y])
        p, p_whole = _power(values[at_p], scales[at_p])
        if not (x_whole and y_whole and p_whole):
            return n, line - 1, 1
        if p == -1 or p == 0:
            seen_off[p + 1] = 1
            if seen_off[0] and seen_off[1]:
                return n, line - 1, 4
            p = 0
        if not (0 <= x < 65536 and 0 <= y < 65536 and 0 <= p <= 1 and -(1 << 62) < t < (1 << 62)):
            return n, line - 1, 3
        e = out[n]
        e["t"] = t
        e["x"] = x
        e["y"] = y
        e["p"] = p
        n += 1
    return n, line, 0
