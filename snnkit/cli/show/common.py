"""What the pages share: names and values in two columns."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any


def page(title: str, rows: list[tuple[str, Any]]) -> None:
    """Names and values below a title; long values fold."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", title_style="bold", show_header=False, box=None)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in rows:
        if value not in (None, "", [], {}):
            table.add_row(Text(key), Text(words(value)))
    Console(highlight=False, width=None if sys.stdout.isatty() else 120).print(table)
    print()


def words(value: Any) -> str:
    """A value as people read it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {words(v)}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(words(v) for v in value) + "]"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def get(value: Any, *keys: str) -> Any:
    """A value some keys deep; None where one of them is absent."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def shape(node: Mapping[str, Any]) -> str:
    """A node's shape as people read it."""
    return " × ".join(map(str, node["shape"]))
