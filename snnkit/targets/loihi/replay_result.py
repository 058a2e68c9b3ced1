"""What a replayed reference file of Loihi gave: arrays, resources, placements, other documented readings."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from snnkit.graph.findings import Finding
from snnkit.targets.comparison import ArrayVerdict
from snnkit.targets.replaying import Replayed, reasons


@dataclass(frozen=True)
class ResourceRow:
    """One resource of one population, ours beside nengo-loihi's. `ok`: equal (discrete) or no more (population axons).

    `ok` is None where there is nothing to compare with: no count in the file, or our cut into several cores.
    """

    population: str
    resource: str
    ours: int
    theirs: int | None
    cores: int
    ok: bool | None


@dataclass(frozen=True)
class PlacementResult:
    """One way to place the network: `matrix` (discrete axons, dense lists), `discrete` or `population`."""

    kind: str
    cores: int
    chips: int
    verdicts: tuple[ArrayVerdict, ...]
    resources: tuple[ResourceRow, ...]
    findings: tuple[Finding, ...] = ()
    folder: str = ""
    error: str = ""


@dataclass(frozen=True)
class Alternative:
    """An `alt_` array: the readings (of `graph.rules.loihi.READINGS`) under which our executor gives exactly it."""

    reference: str
    array: str
    matched: tuple[str, ...]


@dataclass(frozen=True)
class ReplayResult(Replayed):
    """What became of one file."""

    path: str
    name: str
    source: str
    steps: int
    placements: tuple[PlacementResult, ...]
    second_opinion: tuple[ArrayVerdict, ...]
    alternatives: tuple[Alternative, ...] = ()
    unknown: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    with_resources: bool = False

    @property
    def verdicts(self) -> tuple[ArrayVerdict, ...]:
        """All comparisons, the emulator's first."""
        return (*(v for p in self.placements for v in p.verdicts), *self.second_opinion)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Findings of all placements."""
        return tuple(f for p in self.placements for f in p.findings)

    @property
    def error(self) -> str:
        """Why the emulator did not run the first placement that it did not run."""
        return next((p.error for p in self.placements if p.error), "")

    @property
    def refused(self) -> bool:
        """True if a finding or an error kept the network off the chip."""
        return not self.placements or super().refused

    @property
    def ok(self) -> bool:
        """True if every value is equal, nothing was refused and, if asked for, no resource is off."""
        rows = [r for p in self.placements for r in p.resources] if self.with_resources else []
        return super().ok and all(r.ok is not False for r in rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        plain = asdict(replace(self, placements=()))
        plain["placements"] = [
            {**asdict(replace(p, findings=())), "findings": [f.to_dict() for f in p.findings]} for p in self.placements
        ]
        return {**plain, "ok": self.ok, "refused": self.refused}

    def lines(self) -> list[str]:
        """The result as text."""
        text = self.headline(self.name, ", ".join(f"{p.kind}: {p.cores} cores" for p in self.placements))
        for p in self.placements:
            text += reasons(p.error, p.findings)
            for r in p.resources if self.with_resources else ():
                theirs = "-" if r.theirs is None else f"{r.theirs:,}"
                verdict = {True: "ok", False: "OFF", None: "not compared"}[r.ok]
                where = f"{p.kind:10} {r.population:12} {r.resource:12}"
                text.append(f"  {where} ours {r.ours:>9,}  nengo-loihi {theirs:>9}  {verdict}")
        for a in self.alternatives:
            text.append(
                f"  alt_{a.reference}_{a.array}: {'equal under ' + ', '.join(a.matched) if a.matched else 'no'}"
            )
        return text + self.ignored() + [f"  {r}" for r in self.remarks]
