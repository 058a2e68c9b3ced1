"""Reference vectors through the whole road: file -> placed network -> descriptor -> emulator in a fresh process.

The fresh process sees the descriptor folder and the packets (of scalar operations: their arguments), nothing of the
file. Which comparison a file gets is decided by its fields: see `cases.py`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from snnkit.errors import SnnkitError
from snnkit.targets.comparison import ArrayVerdict
from snnkit.targets.fresh import Job
from snnkit.targets.replaying import Paths, Replayed, reasons, replay_files
from snnkit.targets.spinnaker import core_case, encoding_case, routing_case, scalar_case
from snnkit.targets.spinnaker.cases import Case, open_case

KINDS: dict[str, ModuleType] = {
    "core": core_case, "scalars": scalar_case, "encoding": encoding_case, "routing": routing_case,
}  # fmt: skip
"""By kind, a module with read(case) -> work, write(work, folder, result) and compare(work)."""


@dataclass(frozen=True)
class ReplayResult(Replayed):
    """What became of one file. `resources`: what the network needs, for people."""

    path: str
    name: str
    kind: str
    verdicts: tuple[ArrayVerdict, ...]
    error: str = ""
    unknown: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    folder: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "ok": self.ok}

    def lines(self) -> list[str]:
        """The result as text."""
        text = self.headline(self.name, self.kind) + reasons(self.error, ())
        return text + [f"  {r}" for r in (*self.resources, *self.remarks)] + self.ignored()


@dataclass(frozen=True, eq=False)
class _Work:
    """A case on its way, with what its kind made of it, and a folder for its descriptor."""

    case: Case
    made: Any
    folder: Path


def recognise(path: str | os.PathLike[str]) -> bool:
    """True if the file's fields are those of a known kind, whatever its name."""
    try:
        open_case(path)
    except (SnnkitError, OSError):
        return False
    return True


def replay(
    paths: Paths,
    *,
    resources: bool = False,
    keep: str | os.PathLike[str] | None = None,
    progress: Callable[[str], None] | None = None,
    alter: Callable[[Path], None] | None = None,
) -> list[ReplayResult]:
    """Run reference files; all descriptors in one fresh process.

    Args:
        resources: also say what each network needs.
        keep: a folder that keeps the descriptors, as `<file>.snnx`.
        progress: called with what is being done.
        alter: called with every descriptor folder before it is run; a test may damage it.

    Raises:
        ReplayFormatError: a file is of a kind that is not known here, or lacks a field.
    """

    def judge(work: _Work) -> ReplayResult:
        result = _result(work.case, work.made)
        if not resources:
            result = replace(result, resources=())
        if keep is not None and work.folder.is_dir():
            result = replace(result, folder=str(_keep(work, Path(keep))))
        return result

    done = replay_files(paths, load=open_case, place=_place, judge=judge, progress=progress, alter=alter)
    return [result for _, result in done]


def _place(case: Case, folder: Path) -> tuple[_Work, list[Job]]:
    kind = KINDS[case.kind]
    work = _Work(case, kind.read(case), folder / "cores.snnx")
    kind.write(work.made, work.folder, folder / "result.npz")
    return work, [work.made.job]


def _result(case: Case, work: Any) -> ReplayResult:
    verdicts, remarks, error = KINDS[case.kind].compare(work)
    used = []
    if isinstance(work, core_case.CoreCase):
        used = [f"{k}: {v:,}" for k, v in work.lowered.resources()["total"].items()]
    return ReplayResult(
        str(case.path), case.name, case.kind, tuple(verdicts), error, case.unknown, tuple(remarks), tuple(used)
    )


def _keep(work: _Work, keep: Path) -> Path:
    keep.mkdir(parents=True, exist_ok=True)
    there = keep / f"{work.case.name}.snnx"
    if there.exists():
        there = keep / f"{work.case.name}-{work.folder.parent.name}.snnx"
    shutil.copytree(work.folder, there, dirs_exist_ok=True)
    return there


__all__ = ["ReplayResult", "recognise", "replay"]
