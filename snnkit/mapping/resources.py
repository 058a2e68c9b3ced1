"""Resources as named numbers: what a core would need beside what it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Usage = Mapping[str, int]


@dataclass(frozen=True)
class Over:
    """One resource of which a core would need more than it has."""

    resource: str
    needed: int
    available: int


def over(usage: Usage, limits: Usage) -> tuple[Over, ...]:
    """Every resource above its limit; resources without a limit are free."""
    return tuple(
        Over(name, int(usage.get(name, 0)), int(limit)) for name, limit in limits.items() if usage.get(name, 0) > limit
    )


def fits(usage: Usage, limits: Usage) -> bool:
    """True if no resource is above its limit."""
    return not over(usage, limits)


def total(usages: Iterable[Usage]) -> dict[str, int]:
    """Sum per resource over cores."""
    result: dict[str, int] = {}
    for usage in usages:
        for name, value in usage.items():
            result[name] = result.get(name, 0) + int(value)
    return result
