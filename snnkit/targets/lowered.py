"""What every chip's `lower` gives: memory images with what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from pydantic import BaseModel

from snnkit.graph.findings import Finding, has_errors
from snnkit.mapping import total

Array = np.ndarray[Any, Any]
S = TypeVar("S", bound=BaseModel)


@dataclass(frozen=True, eq=False)
class Lowered(Generic[S]):
    """Memory images, or why there are none.

    Attributes:
        arrays: the tables of the chip's `schema` and `placement.<layer>`; empty if a finding is an error.
        section: the manifest's `chip` section.
        findings: everything that does not fit or is disputed.
        cores: per core its number, chip, layer and usage of each resource of the chip's limits.
    """

    arrays: dict[str, Array]
    section: S
    findings: tuple[Finding, ...]
    cores: tuple[dict[str, Any], ...] = ()

    @property
    def ok(self) -> bool:
        """Whether it fits."""
        return not has_errors(self.findings)

    def resources(self) -> dict[str, Any]:
        """Totals, per layer and per core; a chip adds `limits`, what a core has."""
        layers: dict[str, dict[str, int]] = {}
        for core in self.cores:
            layers[core["layer"]] = total([layers.get(core["layer"], {}), {"cores": 1, **core["usage"]}])
        return {
            "cores": len(self.cores),
            "chips": getattr(self.section, "n_chips", min(len(self.cores), 1)),
            "total": total(c["usage"] for c in self.cores),
            "layers": layers,
            "per_core": [dict(c) for c in self.cores],
        }
