"""What commands share: progress bars, tables, JSON output. Imported by commands when they run, never for --help."""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from snnkit.errors import UsageError

Stage = Callable[[str, int, int], None]
"""Called with (stage, done, of); a bar appears per stage."""


def console() -> Console:
    """Where people read; standard output stays free for results when --json is given."""
    return Console(stderr=True, highlight=False)


def at_least_one(option: str, value: int | None) -> None:
    """Raise UsageError for a number below 1; None is fine."""
    if value is not None and value < 1:
        raise UsageError(f"{option} is {value}", fix="give at least 1")


NIR_OPTIONS = ("dt", "reset", "loop_delay", "readout", "output", "steps", "max_count")


def add_nir_options(parser: argparse.ArgumentParser, dialect: str = "--dialect") -> None:
    """Options that say what a NIR file of others leaves out; `dialect` names the one that says whose file it is."""
    group = parser.add_argument_group("for NIR files", "what files of other frameworks leave out; ours need none of it")
    names = "nir (default), snntorch, norse, sinabs, rockpool"
    group.add_argument(dialect, dest="read_as", metavar="NAME", help=f"whose file it is: {names}")
    group.add_argument("--dt", type=float, metavar="SECONDS", help="length of a step")
    group.add_argument("--reset", choices=("zero", "subtract"), help="what a neuron does after a spike")
    group.add_argument("--loop-delay", type=int, metavar="N", help="steps of a loop without a Delay node")
    group.add_argument("--readout", metavar="RULE", help="count, first, mean, max or last")
    group.add_argument("--output", metavar="NODE", help="which Output node to read, where there are several")
    group.add_argument("--steps", type=int, metavar="T", help="steps of a sample")
    group.add_argument("--max-count", type=int, metavar="N", help="largest input value in a step (default 1)")
    group.add_argument("--ignore-metadata", action="store_true", help="read our own file as one of others")


def is_nir(path: str) -> bool:
    """Whether a RUN is a NIR file."""
    return Path(path).suffix.lower() == ".nir"


def read_nir(args: argparse.Namespace) -> tuple[Any, list[Any]]:
    """The graph of the NIR file `args.run` (None if it cannot be one), and every finding."""
    from snnkit.export import nir

    at_least_one("--steps", args.steps)
    at_least_one("--max-count", args.max_count)
    given = {k: getattr(args, k) for k in NIR_OPTIONS if getattr(args, k) is not None}
    return nir.read(args.run, dialect=args.read_as or "nir", metadata=not args.ignore_metadata, strict=False, **given)


def no_nir_options(args: argparse.Namespace, *allowed: str) -> None:
    """Raise UsageError where an option for NIR files is given with something else."""
    given = [k for k in (*NIR_OPTIONS, "read_as", "ignore_metadata") if k not in allowed and getattr(args, k)]
    if given:
        option = {"read_as": "from" if hasattr(args, "dialect") else "dialect"}.get(given[0], given[0])
        raise UsageError(
            f"--{option.replace('_', '-')} is for NIR files, and {args.run} is none",
            fix="leave it out: a run knows its own steps",
        )


def print_json(value: Any) -> None:
    """A result on standard output, for programs. NaN and infinity, which JSON does not have, become null."""
    json.dump(_finite(value), sys.stdout, indent=1, default=str)
    sys.stdout.write("\n")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list | tuple) else value


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table on standard output, for people; numbers to the right."""
    table = Table(title=title, title_justify="left", title_style="bold")
    body = [[_cell(c) for c in row] for row in rows]
    for k, name in enumerate(columns):
        numeric = bool(body) and all(r[k].replace(",", "").replace(".", "").replace("-", "").rstrip(" %×s").isdigit()
                                     for r in body if r[k])  # fmt: skip
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in body:
        table.add_row(*(escape(c) for c in row))
    Console(highlight=False, width=None if sys.stdout.isatty() else 120).print(table)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


@contextmanager
def progress_bars(quiet: bool = False) -> Iterator[Stage]:
    """A progress bar per stage on standard error; nothing if `quiet`."""
    if quiet:
        yield lambda stage, done, of: None
        return
    columns = (TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bars = Progress(*columns, console=console())
    tasks: dict[str, Any] = {}

    def advance(stage: str, done: int, of: int) -> None:
        if not tasks:
            bars.start()  # not before there is a bar: an empty one would print a blank line before an error
        if stage not in tasks:
            tasks[stage] = bars.add_task(stage, total=of)
        bars.update(tasks[stage], completed=done, total=of)

    try:
        yield advance
    finally:
        if tasks:
            bars.stop()


def print_findings(findings: Sequence[Any]) -> None:
    """Findings as a table, errors first."""
    from snnkit.graph.findings import number

    order = {"error": 0, "warning": 1, "note": 2}
    rows = sorted(findings, key=lambda f: order[f.severity])
    print_table(
        "findings",
        ["severity", "code", "where", "what", "needs / has", "remedy"],
        [
            [
                f.severity,
                f.code,
                f.where,
                f.what,
                f"{number(f.needed)} / {number(f.available)}" if f.resource else "",
                f.remedy,
            ]
            for f in rows
        ],
    )


def read_speed(text: str | None) -> float | None:
    """A factor, or None for "max".

    Raises:
        UsageError: neither.
    """
    if text is None or text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < 1e9:
        raise UsageError(f"--speed is {text!r}", fix="give a positive factor, 1 for recorded speed, or max")
    return speed


@contextmanager
def ends_on_signals(stop: threading.Event) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM) sets `stop`, a second one interrupts."""

    def ask(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread():  # only the main thread hears signals
        yield
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
