"""What a chip's `also.py` offers: writers that rebuild a descriptor in tools of the platform.

A chip's folder may hold `also.py` with `FORMATS: dict[str, Writer]`, by the name given to `snnkit export --also`. Like
the emulator, a writer sees the descriptor and the chip's schema, spec and arithmetic, never a graph or `lower`: what
it writes is what the memory images hold. `targets/also.py` finds the writers and runs them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from snnkit.descriptor import Descriptor

NOT_RUN = "not run"


@dataclass(frozen=True)
class Lost:
    """What the other tool cannot hold or does differently; becomes a finding.

    Attributes:
        code: stable upper-case name. where: core, neuron or table. what: with the value, and why.
        severity: `error`: nothing is written. `warning`, `note`: written, and said in `about.json`.
        remedy: what the user can do.
    """

    code: str
    where: str
    what: str
    severity: Literal["error", "warning", "note"] = "error"
    remedy: str = ""


def keeps_everything(descriptor: Descriptor) -> Sequence[Lost]:
    """Nothing is lost."""
    return ()


@dataclass(frozen=True)
class Writer:
    """One format of a chip.

    Attributes:
        write: given a checked descriptor and an empty folder; returns the files that it wrote in it. Equal descriptors
            give equal bytes.
        title: for people. tool: the program that reads it, with the version it was written against.
        compared: how spikes were compared with the descriptor's in that tool; empty if it was not run.
        check: everything that the tool cannot hold, all at once.
    """

    write: Callable[[Descriptor, Path], list[Path]]
    title: str
    tool: str
    compared: str = ""
    check: Callable[[Descriptor], Sequence[Lost]] = keeps_everything

    @property
    def label(self) -> str:
        """`compared`, or that it was not run."""
        return self.compared or NOT_RUN
