"""A progress bar for work that takes seconds: on a terminal it moves, elsewhere it stays silent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[int, int], None]
"""Called with (done, total) as work proceeds."""


def no_progress(done: int, total: int) -> None:
    """Report nothing."""


@contextmanager
def progress_bar(title: str, enabled: bool = True) -> Iterator[Progress]:
    """A rich progress bar on standard error as a `Progress` callback; it disappears when the work is done."""
    if not enabled:
        yield no_progress
        return
    from rich.console import Console
    from rich.progress import Progress as RichProgress

    console = Console(stderr=True)
    if not console.is_terminal:
        yield no_progress
        return
    with RichProgress(console=console, transient=True) as bar:
        task = bar.add_task(title, total=None)

        def report(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield report
