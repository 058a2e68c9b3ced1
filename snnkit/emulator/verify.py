"""Re-runs a descriptor's own vectors and compares, without a model and without torch."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from snnkit.descriptor import load
from snnkit.descriptor.vectors import decode
from snnkit.emulator.engine import Emulator
from snnkit.errors import DescriptorError

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Mismatch:
    """The first difference of one trace: expected and found value at (tick, sample, neuron), and how many differ."""

    trace: str
    tick: int
    sample: int
    neuron: int
    expected: int
    found: int
    differing: int


@dataclass(frozen=True)
class VerifyReport:
    """Outcome of `verify`: `ok` if every array is equal; `compared` values by trace; `evidence` of the arithmetic."""

    name: str
    target: str
    digest: str
    evidence: str
    samples: int
    ticks: int
    compared: dict[str, int]
    mismatches: tuple[Mismatch, ...] = ()
    counters: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every compared value is equal."""
        return not self.mismatches

    def __str__(self) -> str:
        """One sentence for people, and the first difference of each trace that has one."""
        size = f"{self.samples} samples, {self.ticks} ticks, {sum(self.compared.values()):,} values"
        if self.ok:
            return f"its own vectors come out equal ({size}); evidence {self.evidence}, digest {self.digest[:16]}…"
        lines = [f"{len(self.mismatches)} of {len(self.compared)} traces differ ({size})"]
        lines += [
            f"  {m.trace}: {m.differing:,} values; first at tick {m.tick}, sample {m.sample}, neuron {m.neuron}: "
            f"expected {m.expected}, found {m.found}"
            for m in self.mismatches
        ]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for `--json`."""
        return {"ok": self.ok, **asdict(self)}


def verify(path: str | os.PathLike[str]) -> VerifyReport:
    """Run the inputs in `vectors.safetensors` and compare every stored trace with array equality.

    Raises:
        DescriptorError: the descriptor is damaged or holds no vectors.
    """
    descriptor = load(path)
    vectors = decode(descriptor.vectors, descriptor.manifest)
    traces = {("s", k): a for k, a in vectors.spikes.items()}
    traces |= {("u", k): a for k, a in vectors.u.items()} | {("v", k): a for k, a in vectors.v.items()}
    if not vectors.inputs or (not traces and vectors.readout is None):
        raise DescriptorError(f"{path}: holds no vectors to verify", fix="export it again with vectors")
    lengths = {len(a) for a in traces.values()}
    if len(lengths) > 1:
        raise DescriptorError(f"{path}: the stored traces have different lengths: {sorted(lengths)}")
    probes: dict[str, list[str]] = {}
    for state, layer in traces:
        probes.setdefault(layer, []).append(state)
    result = Emulator(descriptor).run(vectors.inputs, ticks=lengths.pop() if lengths else None, probes=probes)
    found = {("s", k): a for k, a in result.spikes.items()}
    found |= {("u", k): a for k, a in result.u.items()} | {("v", k): a for k, a in result.v.items()}
    mismatches, compared = [], {}
    for key, expected in traces.items():
        name = ".".join(key)
        compared[name] = int(expected.size)
        mismatches += _compare(name, expected, found[key])
    if vectors.readout is not None:
        if result.answer is None:
            raise DescriptorError(f"{path}: holds expected answers but no readout")
        compared["readout"] = int(vectors.readout.size)
        mismatches += _compare("readout", vectors.readout[None, :, None], result.answer[None, :, None])
    return VerifyReport(
        name=descriptor.manifest.name,
        target=descriptor.manifest.target,
        digest=descriptor.manifest.digest,
        evidence=descriptor.manifest.evidence,
        samples=int(next(iter(vectors.inputs.values())).shape[1]),
        ticks=result.ticks,
        compared=compared,
        mismatches=tuple(mismatches),
        counters=result.totals(),
    )


def _compare(name: str, expected: Array, found: Array) -> list[Mismatch]:
    if expected.shape != found.shape:
        raise DescriptorError(f"vectors.safetensors: {name} has shape {expected.shape}, the run gave {found.shape}")
    different = expected != found
    if not different.any():
        return []
    t, b, i = (int(x) for x in np.argwhere(different)[0])
    return [Mismatch(name, t, b, i, int(expected[t, b, i]), int(found[t, b, i]), int(np.count_nonzero(different)))]
