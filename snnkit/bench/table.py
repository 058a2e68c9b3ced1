"""The README's table of our speed beside the peers', made from runs of `snnkit bench`.

snnkit bench table                               the table of the runs that are kept, as Markdown
snnkit bench table RUN.json … --into README.md   of other runs, which are kept instead, and into a README
snnkit bench table --measure --into README.md    of runs made now: neurons, then training
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from snnkit import _io
from snnkit.bench import runs as kept_runs
from snnkit.errors import UsageError

KEPT = Path(__file__).resolve().parent / "figures" / "peers.json"
"""Where the runs are that the README's table shows."""

WORKS = ("neurons", "training")

BEGIN, END = "<!-- snnkit bench table: begin -->", "<!-- snnkit bench table: end -->"

COLUMNS = ("work", "implementation", "min / median", "× floor", "× ours", "peak memory", "differing spikes", "settings")

NOTE = (
    "Times of forward + backward, interleaved in one process. The floor of the neurons is what moving 20 bytes an "
    "element takes at the bandwidth measured in the same rounds, of the recurrent layer its matrix products alone, of "
    "the training step what norms, neurons and pools have to move. Peak extra memory in units of the input (of the "
    "training step: of the convolutions' outputs). Differing spikes: those that are not ours for the same input."
)


def markdown(runs: list[dict[str, Any]]) -> str:
    """The table of these runs, with machine, versions, commands and dates."""
    lines = [*_about(runs), "", "| " + " | ".join(COLUMNS) + " |", "| --- " * len(COLUMNS) + "|"]
    for run in runs:
        for rows in _groups(run["rows"]):
            ours = next((row["ms_min"] for row in rows if row["impl"].startswith("snnkit") and len(rows) > 1), None)
            for k, row in enumerate(rows):
                work = f"{row['work']}, {_common(row)}" if k == 0 else "–"
                lines.append("| " + " | ".join(_cell(text) for text in (work, *_figures(row, ours))) + " |")
    return "\n".join([*lines, "", NOTE]) + "\n"


def _about(runs: list[dict[str, Any]]) -> Iterable[str]:
    """Where and when; runs that agree in it are named together."""
    said: dict[str, list[str]] = {}
    for run in runs:
        machine, found = run["machine"], run["versions"]
        order = [k for k in ("snnkit", "python", *kept_runs.PACKAGES) if k in found]
        versions = ", ".join(f"{k} {found[k]}" for k in dict.fromkeys([*order, *sorted(found)]))
        commit = f", commit {run['commit']}" if run.get("commit") else ""
        where = f"{machine['processor']}, {machine['cores']} cores, {run['date']}; {versions}{commit}"
        said.setdefault(where, []).append(f"`{run['command']}`")
    return [f"{', '.join(commands)}: {where}." for where, commands in said.items()]


def _groups(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Rows that belong beside each other: of one work under one set of common settings, in their order."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["work"], _common(row)), []).append(row)
    return list(found.values())


def _common(row: dict[str, Any]) -> str:
    """What stands in front of the ";" of a row's settings; of a first call its name alone says what it is."""
    return str(row["settings"]).split(";", 1)[0].strip()


def _figures(row: dict[str, Any], ours: float | None) -> list[str]:
    _, _, own = str(row["settings"]).partition(";")
    low, middle = row["ms_min"], row["ms_median"]
    return [
        row["impl"],
        f"{_number(low)} / {_number(middle)} ms",
        _times(row["floor_ratio"]),
        _times(low / ours) if ours and low is not None else "",
        _times(row["peak_ratio"]),
        "" if row["differing_spikes"] is None else f"{row['differing_spikes']:,}",
        own.strip(),
    ]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _cell(text: Any) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")


def into(text: str, table: str) -> str:
    """A page with the table between the two markers, which stay.

    Raises:
        UsageError: the page has not one pair of them.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise UsageError(
            "the page has no place for the table", why="it needs one pair of markers", fix=f"add {BEGIN} and {END}"
        )
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{table}{END}{rest.partition(END)[2]}"


def measure() -> list[dict[str, Any]]:
    """Runs of all WORKS made now, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for work in WORKS:
            file = Path(folder) / f"{work}.json"
            command = [sys.executable, "-m", "snnkit", "bench", work, "--out", str(file)]
            done = subprocess.run(command, stdout=sys.stderr)
            if done.returncode:
                raise UsageError(
                    f"`snnkit bench {work}` ended with code {done.returncode}", fix="see its message above"
                )
            found += kept_runs.read(file)
    return found


def make(files: list[Path], measured: bool, page: Path | None, kept: Path = KEPT) -> str:
    """What `snnkit bench table` does; returns the table.

    Args:
        files: runs to show; none: those in `kept`.
        measured: make runs instead.
        page: where the table goes; with it, the runs go to `kept` too.
        kept: the file of the runs that the page shows.
    """
    if measured and files:
        raise UsageError("both runs and --measure", fix="give the files of runs, or --measure")
    text = None if page is None else page.read_text(encoding="utf-8")
    if text is not None:
        into(text, "")  # before anything is measured
    runs = measure() if measured else [run for file in files or [kept] for run in kept_runs.read(file)]
    table = markdown(runs)
    if page is not None and text is not None:
        kept_runs.write(kept, runs)
        _io.write_text(page, into(text, table))
    return table
