"""What a chip is to the rest of snnkit: a name and a package whose files hold functions of agreed names.

    rules.py     check(graph, **options) -> list[Finding]             what fits and what does not, all at once
    quantize.py  quantize(graph, ...)                                 real numbers -> this chip's integers
    lower.py     lower(graph, options=None, *, progress=None)         integers -> memory images, costs and findings
    replay.py    recognise(path) -> bool; replay(paths, **options)    reference vectors through the whole road
    emulate.py   open_chip(descriptor) -> emulator.chip.Chip          memory images -> engine
    energy.py    estimate(counters, *, samples=1)                     cost per event
                 latency(counters, *, samples, ticks, cores)          time of a sample, see `costs.latency`
                 memory_bytes(totals) -> int                          of the chip's memories, from a descriptor's totals
    spec.py      CAPABILITIES, EVIDENCE, REFERENCES, UPDATE_ORDER, OPTIONS, SOURCES and the chip's numbers

plus `schema.py` and `arithmetic.py`, which only the chip's own files use. A chip may add

    also.py      FORMATS: dict[str, writer.Writer]                    descriptor -> files of the platform's own tools

What chips have in common lies beside this file: `checks` for rules, `quantized`, `lowered` and `manifest` for exports,
`images` for schemas and decoding, `vector_file`, `replaying` and `comparison` for replays, `costs` for energy.

A target object is light: nothing of the chip is imported before it is asked for. `_template` is a complete small chip
to copy.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from os import PathLike
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from snnkit.graph.findings import Finding
    from snnkit.graph.model import Graph
    from snnkit.targets.capabilities import Capabilities

FILES = ("spec", "rules", "quantize", "arithmetic", "lower", "schema", "emulate", "replay", "energy")
"""The files of every chip's folder."""


@dataclass(frozen=True)
class Target:
    """One chip.

    Attributes:
        name: as given to `--target` and written in descriptors.
        title: for people.
        package: where the chip's files are, for example `snnkit.targets.loihi`.
        revision: of the semantics; written in descriptors.
    """

    name: str
    title: str
    package: str
    revision: str = "1"

    def part(self, file: str) -> ModuleType:
        """One of the chip's files as a module, imported on demand."""
        return importlib.import_module(f"{self.package}.{file}")

    @property
    def capabilities(self) -> Capabilities:
        """What the chip can run: the frame in which random networks are drawn for it."""
        declared: Capabilities = self.part("spec").CAPABILITIES
        return declared

    def check(self, graph: Graph, **options: Any) -> list[Finding]:
        """Findings about a graph: everything that does not fit, at once."""
        findings: list[Finding] = self.part("rules").check(graph, **options)
        return findings

    def quantize(self, graph: Graph, *args: Any, **options: Any) -> Any:
        """A graph with this chip's integers from one with real numbers."""
        return self.part("quantize").quantize(graph, *args, **options)

    def lower(self, graph: Graph, options: object = None, **more: Any) -> Any:
        """Memory images with costs and findings from a graph with this chip's integers."""
        return self.part("lower").lower(graph, options, **more)

    def recognise(self, path: str | PathLike[str]) -> bool:
        """True if a file holds reference vectors of this chip, judged by its fields."""
        return bool(self.part("replay").recognise(path))

    def replay(self, paths: Iterable[str | PathLike[str]], **options: Any) -> Any:
        """Run reference vectors through the whole road and compare every value."""
        return self.part("replay").replay(paths, **options)
