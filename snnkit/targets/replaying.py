"""What the chips' `replay.py` files share: the way of the files, and what is said of them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from snnkit.graph.findings import Finding, has_errors
from snnkit.targets.comparison import ArrayVerdict
from snnkit.targets.fresh import Job, run_fresh

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


class Named(Protocol):
    """A reference file that was read."""

    @property
    def name(self) -> str:
        """For people."""
        ...


C = TypeVar("C", bound=Named)
W = TypeVar("W")
R = TypeVar("R")


def replay_files(
    paths: Paths,
    *,
    load: Callable[[str | os.PathLike[str]], C],
    place: Callable[[C, Path], tuple[W, list[Job]]],
    judge: Callable[[W], R],
    progress: Callable[[str], None] | None,
    alter: Callable[[Path], None] | None,
) -> list[tuple[W, R]]:
    """Read all files, place their networks, run them in one fresh process, and judge what came out.

    Args:
        load: a file -> what it holds.
        place: that, and a folder of its own, named by its number -> work, and jobs whose descriptors are in the folder.
        judge: work -> result, after its jobs have run; the folder is still there.
        progress: called with what is being done.
        alter: called with every descriptor folder before it is run; a test may damage it.
    """
    tell = progress or (lambda _: None)
    cases = [load(p) for p in ([paths] if isinstance(paths, str | os.PathLike) else paths)]
    with tempfile.TemporaryDirectory(prefix="snnkit-replay-") as temp:
        works: list[W] = []
        jobs: list[Job] = []
        for number, case in enumerate(cases):
            tell(f"placing {case.name}")
            folder = Path(temp) / str(number)
            folder.mkdir()
            work, some = place(case, folder)
            works.append(work)
            jobs += some
        folders = [job.folder for job in jobs if job.folder is not None]
        if alter is not None:
            for descriptor in folders:
                alter(descriptor)
        tell(f"emulating {len(folders)} descriptors in a fresh process")
        run_fresh(jobs, Path(temp))
        results = []
        for case, work in zip(cases, works):
            tell(f"comparing {case.name}")
            results.append((work, judge(work)))
    return results


def safe_title(name: str, other: str = "vectors", most: int = 200) -> str:
    """At most so many characters of any name, as a descriptor takes them; `other` where there are none."""
    return "".join("_" if ord(ch) < 32 or ch in "/\\" else ch for ch in name)[:most] or other


def reasons(error: str, findings: Iterable[Finding]) -> list[str]:
    """Lines about what kept a network off the chip, and what else there is to note."""
    return [f"  {reason}" for reason in ((error,) if error else ()) + tuple(findings)]


@dataclass(frozen=True)
class Replayed:
    """What became of one file: the verdict and its words, for a chip's own dataclass with these and other fields."""

    if TYPE_CHECKING:  # when the module runs, a field without a default would take a property for one

        @property
        def verdicts(self) -> tuple[ArrayVerdict, ...]: ...

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What does not fit, and what there is to note."""
        return ()

    @property
    def error(self) -> str:
        """Why the emulator did not run."""
        return ""

    @property
    def unknown(self) -> tuple[str, ...]:
        """Fields of the file that nobody asked for."""
        return ()

    @property
    def refused(self) -> bool:
        """True if a finding or an error kept the network off the chip."""
        return bool(self.error) or has_errors(self.findings)

    @property
    def ok(self) -> bool:
        """True if there was something to compare, every value is equal, and nothing was refused."""
        return not self.refused and bool(self.verdicts) and all(v.equal for v in self.verdicts)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        plain = asdict(replace(self, findings=()))  # type: ignore[call-arg]
        return {**plain, "findings": [f.to_dict() for f in self.findings], "ok": self.ok, "refused": self.refused}

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """The result as text."""
        raise NotImplementedError

    def headline(self, name: str, where: str) -> list[str]:
        """The verdict in a line, and the arrays that differ."""
        verdict = "equal" if self.ok else "REFUSED" if self.refused else "DIFFERS"
        equal = sum(v.equal for v in self.verdicts)
        text = [f"{verdict}  {name}: {equal}/{len(self.verdicts)} arrays ({where})"]
        return text + [f"  {v}" for v in self.verdicts if not v.equal]

    def ignored(self) -> list[str]:
        """Lines about unknown fields."""
        return [f"  unknown field, ignored: {u}" for u in self.unknown]
