"""What a report is made of before it is Markdown or HTML: paragraphs, tables, pictures, numbers for people."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Tone = Literal["", "good", "bad", "warn"]


@dataclass(frozen=True)
class Code:
    """A command or an identifier inside a paragraph."""

    text: str


@dataclass(frozen=True)
class Strong:
    """Words that matter inside a paragraph."""

    text: str


Span = str | Code | Strong


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    spans: tuple[Span, ...]

    @classmethod
    def of(cls, *spans: Span) -> Text:
        """A paragraph of these spans."""
        return cls(tuple(spans))


@dataclass(frozen=True)
class Bullets:
    """A list."""

    items: tuple[Text, ...]


@dataclass(frozen=True)
class Cell:
    """A table cell: words, and where it is a share of something, that share (0..1) for a bar behind it."""

    text: str
    share: float | None = None
    tone: Tone = ""


@dataclass(frozen=True)
class Table:
    """A table. `numbers`: how many of the last columns are numbers, set flush right. `folded`: shown on demand."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numbers: int = 0
    folded: str = ""
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture by its key, with what it shows."""

    key: str
    caption: str


Block = Text | Bullets | Table | Picture


@dataclass(frozen=True)
class Section:
    """A headed part of the report."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Tile:
    """One figure at the top of the page."""

    label: str
    value: str
    note: str = ""
    tone: Tone = ""


@dataclass(frozen=True)
class Report:
    """The whole report, ready to be rendered."""

    title: str
    subtitle: str
    verdict: str
    tone: Tone
    limits: tuple[Text, ...]
    tiles: tuple[Tile, ...]
    sections: tuple[Section, ...] = field(default=())


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], **options: Any) -> Table:
    """A table of cells and plain strings."""
    made = tuple(tuple(c if isinstance(c, Cell) else Cell(c) for c in row) for row in rows)
    return Table(tuple(columns), made, **options)


def number(value: Any) -> str:
    """A figure as people read it: 12,345, 0.0123, 3.2e-09, yes, –."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if not math.isfinite(value):
            return "–"
        if value.is_integer() and abs(value) < 1e9:
            return f"{int(value):,}"
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.1f}"
    if isinstance(value, (list, tuple)):
        return ", ".join(number(v) for v in value)
    return str(value)


def percent(share: float, digits: int = 2) -> str:
    """A share as a percentage."""
    return f"{100 * share:.{digits}f} %"


def small_share(share: float) -> str:
    """A share that may be tiny."""
    if share == 0:
        return "0"
    return f"{100 * share:.3g} %" if share >= 1e-5 else f"{share:.1e}"


def words(key: str) -> str:
    """A key as words: `rms_error_of_rms` → `rms error of rms`."""
    return str(key).replace("_", " ")


def part(value: Any, *keys: str) -> Any:
    """`value[keys[0]][keys[1]]…`, or None where something is missing."""
    for key in keys:
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return value


def mapping(value: Any, *keys: str) -> Mapping[str, Any]:
    """The same for a mapping; an empty one where it is missing."""
    found = part(value, *keys)
    return found if isinstance(found, Mapping) else {}


def sequence(value: Any, *keys: str) -> Sequence[Any]:
    """The same for a list."""
    found = part(value, *keys)
    return found if isinstance(found, (list, tuple)) else ()


def in_order(value: Mapping[str, Any], first: Iterable[str] = ()) -> dict[str, Any]:
    """The entries with the keys `first` in front, in that order, and the others sorted, numbers in words by value."""
    known = {key: k for k, key in enumerate(first)}

    def rank(key: str) -> tuple[Any, ...]:
        parts = [(1, int(p), "") if p.isdigit() else (0, 0, p) for p in re.split(r"(\d+)", key)]
        return (known.get(key, len(known)), parts)

    return {key: value[key] for key in sorted(value, key=rank)}


def layer_names(result: Mapping[str, Any]) -> list[str]:
    """Layers from input to output, as far as the quantiser's list tells."""
    return [str(x["layer"]) for x in sequence(result, "quantisation") if isinstance(x, Mapping) and "layer" in x]


def figure(value: Any, *keys: str) -> float | None:
    """The same for a finite number."""
    found = part(value, *keys)
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not math.isfinite(found):
        return None
    return float(found)
