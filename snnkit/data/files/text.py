"""Events as text: CSV or columns of numbers, one event a line, with or without a header.

Columns are parted by commas, semicolons, tabs or blanks. A header names them in any order (t, time, timestamp, ts; x;
y; p, pol, polarity, on). Without one, the order that the first lines fit is taken: t,x,y,p, then x,y,t,p, x,y,p,t and
t,p,x,y. A first line of two numbers is the sensor's width and height. Polarity is 0 and 1 or -1 and 1. Times are in µs
where they are whole numbers and in seconds where they have a decimal point, unless the name of the column or
`time_unit` says otherwise; they are converted exactly, without going through binary fractions. Lines from `#` on are
comments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnkit.data.events import EVENT_DTYPE
from snnkit.data.files.reader import BLOCK, Reader, head_of, unreadable
from snnkit.errors import DataError, ParameterError

NAMES = {
    "t": ("t", "time", "timestamp", "timestamps", "ts", "times", "time_us", "t_us", "time_s", "t_s", "time_ns", "t_ns",
          "time_ms", "t_ms"),
    "x": ("x", "xs", "col", "column", "x_pos"),
    "y": ("y", "ys", "row", "y_pos"),
    "p": ("p", "pol", "polarity", "ps", "on", "polarities"),
}  # fmt: skip
UNITS = {"ns": -3, "us": 0, "ms": 3, "s": 6}
"""Powers of ten of a microsecond."""
COLUMN_ORDERS = ("txyp", "xytp", "xypt", "tpxy")
LONGEST_LINE = 4096
SEEN = 100
"""Lines that columns and units are guessed from."""


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?").fullmatch


class Layout(NamedTuple):
    """How a file's lines are read."""

    columns: str
    header: bool
    unit: str
    sensor_size: tuple[int, int] | None
    skip: int
    delimiter: str


class TextReader(Reader):
    """A text file of events.

    Args:
        path: the file.
        columns: the order of the columns, such as "txyp"; `_` for one to pass over. None: from the file.
        time_unit: "ns", "us", "ms" or "s"; None: from the file.
    """

    def __init__(self, path: Path, columns: str | None = None, time_unit: str | None = None) -> None:
        if time_unit is not None and time_unit not in UNITS:
            raise ParameterError(f"time_unit is {time_unit!r}", fix=f"give one of {', '.join(UNITS)}")
        if columns is not None and (sorted(columns.replace("_", "")) != sorted("ptxy") or len(columns) > 16):
            raise ParameterError(f"columns is {columns!r}", fix="name t, x, y and p once each, such as 'xytp'")
        head = head_of(path, 1 << 16)
        self.layout = layout = _layout(head, str(path), columns, time_unit)
        words = {",": "CSV", ";": "CSV"}.get(layout.delimiter, "text")
        super().__init__(
            path,
            f"{words} {','.join(layout.columns)} {'with' if layout.header else 'without'} header",
            layout.sensor_size,
        )
        if not layout.header and columns is None:
            self.notes.append(f"no header: the columns were taken as {','.join(layout.columns)}")
        if layout.unit != "us" and time_unit is None:
            self.notes.append(f"times were taken as {layout.unit} and converted to us")

    def pieces(self) -> Iterator[NDArray[np.void]]:
        from snnkit.data.files.lines import lines_to_events  # the compiler loads only where text is read

        layout = self.layout
        places = [layout.columns.index(c) for c in "txyp"]
        self.tally.bytes = skip = layout.skip
        seen_off = np.zeros(2, np.int64)
        try:
            with open(self.path, "rb") as file:
                lines = file.read(skip).count(b"\n")
                rest = b""
                while True:
                    data = file.read(BLOCK)
                    self.tally.bytes += len(data)
                    text = rest + data
                    cut = text.rfind(b"\n") + 1 if data else len(text)
                    rest = text[cut:]
                    if len(rest) > LONGEST_LINE:
                        raise DataError(
                            f"{self.path}: a line of more than {LONGEST_LINE} bytes after line {lines + 1}",
                            fix="events are lines of four numbers",
                        )
                    if cut:
                        block = np.frombuffer(text, np.uint8, cut)
                        out = np.empty(text.count(b"\n", 0, cut) + 1, EVENT_DTYPE)
                        n, done, fault = lines_to_events(
                            block, len(layout.columns), *places, UNITS[layout.unit], seen_off, out
                        )
                        self.tally.events += n
                        if n:
                            yield out[:n]
                        if fault:
                            self._fault(text[:cut], lines, done, fault, not data and done == text.count(b"\n", 0, cut))
                            return
                        lines += done
                    if not data:
                        return
        except OSError as error:
            unreadable(self.path, error)

    def _fault(self, text: bytes, before: int, line: int, fault: int, last: bool) -> None:
        parts = text.split(b"\n", line + 1)
        said = parts[line][:80].decode("utf-8", "replace").strip() if line < len(parts) else ""
        what = {
            1: "is no line of whole numbers (only the time may have decimals)",
            2: f"has not {len(self.layout.columns)} numbers",
            3: "has a coordinate, polarity or time out of range",
            4: "writes OFF otherwise than lines before it (0 and -1)",
        }[fault]
        self.tally.damage = f"line {before + line + 1} ({said!r}) {what}" + (", and it is the last" if last else "")
        self.tally.lost = max(self.bytes - self.tally.bytes, 0) + sum(len(p) + 1 for p in parts[line:]) - 1


def looks_like_text(head: bytes) -> bool:
    """Whether the first bytes of a file may be lines of numbers, with or without a header."""
    try:
        text = head[:2048].decode("ascii")
    except UnicodeDecodeError:
        return False
    lines = [s.strip() for s in text.split("\n")[: None if len(head) <= 2048 else -1]]
    lines = [s for s in lines if s and not s.startswith("#")][:2]
    if lines and _named(_fields(lines[0])):
        return True
    return any(len(_numbers(s) or ()) >= 4 for s in lines) and _numbers(lines[0]) is not None


def _fields(line: str) -> list[str]:
    parts = re.split("[,;]", line) if "," in line or ";" in line else line.split()
    return [f.strip().strip("\"'") for f in parts]


def _named(fields: list[str]) -> str | None:
    """The order of columns that a header's fields name, `_` for others; None if they name none."""
    order = "".join(
        next((c for c, names in NAMES.items() if re.sub(r"\s*[\[(].*", "", f.lower()) in names), "_") for f in fields
    )
    return order if sorted(order.replace("_", "")) == sorted("ptxy") else None


def _numbers(line: str) -> list[str] | None:
    fields = _fields(line)
    return fields if all(map(_NUMBER, fields)) else None


def _layout(head: bytes, source: str, columns: str | None, time_unit: str | None) -> Layout:
    whole = head if len(head) < 1 << 16 else head[: head.rfind(b"\n") + 1]
    if b"\0" in whole:
        raise DataError(f"{source}: this is no text: it holds bytes of zero", fix="name the format with format=")
    skip, header, size, order, unit = 0, False, None, columns, time_unit
    rows: list[list[str]] = []
    delimiter = " "
    for raw in whole.split(b"\n"):
        line = raw.decode("latin-1").strip()
        if not rows and not header and line and not line.startswith("#"):
            fields = _fields(line)
            if _numbers(line) is None:
                order = columns or _named(fields)
                if order is None:
                    raise DataError(
                        f"{source}: the header {line[:80]!r} names no columns t, x, y and p",
                        fix="name them so, or give columns='txyp' and time_unit='us'",
                    )
                if unit is None:
                    unit = _unit_of(fields, order)
                header, skip = True, skip + len(raw) + 1
                continue
            if len(fields) == 2 and size is None and all(f.isdecimal() and 0 < int(f[:6]) <= 65536 for f in fields):
                size, skip = (int(fields[0]), int(fields[1])), skip + len(raw) + 1
                continue
        if not rows and (not line or line.startswith("#")):
            skip += len(raw) + 1
            continue
        numbers = _numbers(line) if line and not line.startswith("#") else None
        if numbers is not None:
            rows.append(numbers)
            if len(rows) == 1:
                delimiter = "," if "," in line else ";" if ";" in line else " "
        if len(rows) >= SEEN:
            break
    if not rows:
        raise DataError(f"{source}: no line of numbers in it", fix="events are lines of four numbers: t, x, y, p")
    width = len(order) if order else len(rows[0])
    rows = [r for r in rows if len(r) == width]
    if order is None:
        order = _guess(rows, source)
    times = [r[order.index("t")] for r in rows]
    if unit is None:
        unit = "s" if any("." in t and float(t) % 1 for t in times) else "us"
    return Layout(order, header, unit, size, min(skip, len(head)), delimiter)


def _unit_of(fields: list[str], order: str) -> str | None:
    name = fields[order.index("t")].lower()
    found = re.search(r"(?:_|\[|\(|\s)(ns|us|µs|ms|s|sec|seconds)[\])]?$", name)
    return {"µs": "us", "sec": "s", "seconds": "s"}.get(found[1], found[1]) if found else None


def _guess(rows: list[list[str]], source: str) -> str:
    """The order of columns that the first rows fit."""
    if not rows or len(rows[0]) != 4:
        raise DataError(
            f"{source}: lines of {len(rows[0]) if rows else 0} numbers, and no header says what they are",
            fix="give columns='txyp', with _ for each column to pass over",
        )
    table = np.array([[float(f) for f in r] for r in rows])
    for order in COLUMN_ORDERS:
        t, x, y, p = (table[:, order.index(c)] for c in "txyp")
        whole = all((v % 1 == 0).all() and v.min() >= 0 and v.max() < 65536 for v in (x, y))
        if whole and (np.diff(t) >= 0).all() and (np.isin(p, (0, 1)).all() or np.isin(p, (-1, 1)).all()):
            return order
    raise DataError(
        f"{source}: no header, and the lines fit none of the orders {', '.join(COLUMN_ORDERS)}",
        why="a time that never falls, two whole numbers for the pixel, and a polarity of 0 and 1 or -1 and 1",
        fix="give columns=, such as 'xytp'",
    )
