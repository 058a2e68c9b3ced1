"""Findings: what does not fit or would lose meaning, all at once, each with its remedy. Never exceptions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One finding of an export, a check or a replay.

    Attributes:
        code: stable upper-case name, for example `INPUT_NOT_BINARY`.
        where: layer, neuron, connection, loop, or the user's file and line.
        what: what is wrong, with the value.
        severity: `error` stops an export; hard limits are always errors. `warning` and `note` do not stop it.
        resource: the limited resource, if any; `needed` and `available` are in its unit.
        remedy: what the user can change.
    """

    code: str
    where: str
    what: str
    severity: Severity = "error"
    resource: str = ""
    needed: float | None = None
    available: float | None = None
    remedy: str = ""

    def __str__(self) -> str:
        text = f"{self.severity} {self.code} at {self.where}: {self.what}"
        if self.resource:
            text += f" ({self.resource}: needs {number(self.needed)}, available {number(self.available)})"
        if self.remedy:
            text += f" -> {self.remedy}"
        return text

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def number(value: float | None) -> str:
    """A need or a limit in words: whole numbers whole, others with 4 digits."""
    if value is None:
        return "?"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"


def errors(findings: Iterable[Finding]) -> list[Finding]:
    """Those that stop an export."""
    return [f for f in findings if f.severity == "error"]


def has_errors(findings: Sequence[Finding]) -> bool:
    """True if any finding stops an export."""
    return any(f.severity == "error" for f in findings)
