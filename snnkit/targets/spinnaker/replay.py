"""Reference vectors through the whole road: file -> placed network -> descriptor -> emulator in a fresh process.

The fresh process sees the descriptor folder and the packets (of scalar operations: their arguments), nothing of the
file. Which comparison a file gets is decided by its fields: see `cases.py`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from snnkit.errors import SnnkitError
from snnkit.targets.comparison import ArrayVerdict
from snnkit.targets.fresh import run_fresh
from snnkit.targets.spinnaker import core_case, encoding_case, routing_case, scalar_case
from snnkit.targets.spinnaker.cases import Case, open_case

KINDS: dict[str, ModuleType] = {
    "core": core_case, "scalars": scalar_case, "encoding": encoding_case, "routing": routing_case,
}  # fmt: skip
"""By kind, a module with read(case) -> work, write(work, folder, result) and compare(work)."""


@dataclass(frozen=True)
class ReplayResult:
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

    @property
    def ok(self) -> bool:
        """True if there was something to compare and every value is equal."""
        return not self.error and bool(self.verdicts) and all(v.equal for v in self.verdicts)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "ok": self.ok}

    def __str__(self) -> str:
        equal = sum(v.equal for v in self.verdicts)
        verdict = "equal" if self.ok else "REFUSED" if self.error else "DIFFERS"
        text = [f"{verdict}  {self.name}: {equal}/{len(self.verdicts)} arrays ({self.kind})"]
        text += [f"  {v}" for v in self.verdicts if not v.equal]
        text += [f"  {self.error}"] if self.error else []
        text += [f"  {r}" for r in (*self.resources, *self.remarks)]
        text += [f"  unknown field, ignored: {u}" for u in self.unknown]
        return "\n".join(text)


def recognise(path: str | os.PathLike[str]) -> bool:
    """True if the file's fields are those of a known kind, whatever its name."""
    try:
        open_case(path)
    except (SnnkitError, OSError):
        return False
    return True


def replay(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
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
    files = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    tell = progress or (lambda _: None)
    cases = [open_case(f) for f in files]
    with tempfile.TemporaryDirectory(prefix="snnkit-replay-") as temp:
        root = Path(temp)
        works: dict[int, Any] = {}
        folders: dict[int, Path] = {}
        for number, case in enumerate(cases):
            tell(f"placing {case.name}")
            kind = KINDS[case.kind]
            works[number] = kind.read(case)
            folders[number] = root / f"{number}.snnx"
            kind.write(works[number], folders[number], root / f"{number}.npz")
            if alter is not None and folders[number].is_dir():
                alter(folders[number])
        results: list[ReplayResult] = []
        tell(f"emulating {sum(f.is_dir() for f in folders.values())} descriptors in a fresh process")
        run_fresh([w.job for w in works.values()], root)
        for number, case in enumerate(cases):
            tell(f"comparing {case.name}")
            result = _result(case, works[number])
            if not resources:
                result = replace(result, resources=())
            if keep is not None and number in folders and folders[number].is_dir():
                result = replace(result, folder=str(_keep(folders[number], Path(keep), case, number)))
            results.append(result)
    return results


def _result(case: Case, work: Any) -> ReplayResult:
    verdicts, remarks, error = KINDS[case.kind].compare(work)
    used = []
    if isinstance(work, core_case.CoreCase):
        used = [f"{k}: {v:,}" for k, v in work.lowered.resources()["total"].items()]
    return ReplayResult(
        str(case.path), case.name, case.kind, tuple(verdicts), error, case.unknown, tuple(remarks), tuple(used)
    )


def _keep(folder: Path, keep: Path, case: Case, number: int) -> Path:
    keep.mkdir(parents=True, exist_ok=True)
    there = keep / f"{case.name}.snnx"
    if there.exists():
        there = keep / f"{case.name}-{number}.snnx"
    shutil.copytree(folder, there, dirs_exist_ok=True)
    return there


__all__ = ["ReplayResult", "recognise", "replay"]
