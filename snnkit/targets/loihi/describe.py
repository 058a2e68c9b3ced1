"""The manifest of a lowered network: what is where, how time runs, what it takes, and how far to trust it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from snnkit.descriptor.schema import Layer, Manifest, Port, Readout, Resources
from snnkit.graph.findings import Finding
from snnkit.graph.model import Graph
from snnkit.targets.loihi import spec
from snnkit.targets.loihi.lower import Lowered
from snnkit.targets.loihi.plan import LIMITS


def describe(
    graph: Graph,
    lowered: Lowered,
    *,
    name: str | None = None,
    findings: Iterable[Finding] = (),
    costs: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Manifest:
    """A manifest for `descriptor.write`, which fills in files and digest.

    Args:
        graph: the integer graph that was lowered.
        name: of the network; default the graph's.
        findings: of the export beside those of lowering.
        costs, provenance: energy and time; versions and digests.
    """
    readout = graph.readout
    probed = readout.population if readout is not None and readout.rule != "count" else None
    resources = lowered.resources()
    return Manifest(
        target=spec.NAME,
        revision=spec.REVISION,
        name=name or graph.name,
        dt_us=graph.dt_us,
        steps=graph.steps,
        update_order=spec.UPDATE_ORDER,
        options=spec.OPTIONS,
        layers=tuple(
            Layer(name=p.name, shape=p.shape, n=p.n, lag=p.lag, kind="probed" if p.name == probed else "spiking")
            for p in graph.populations
        ),
        ports=tuple(
            Port(name=i.name, shape=i.shape, n=i.n, max_count=i.max_count, gate_from=i.gate_from) for i in graph.inputs
        ),
        readout=None if readout is None else Readout(layer=readout.population, rule=readout.rule),
        host_parts=("bins the events into frames", *(("reads the answer",) if readout is not None else ())),
        resources=Resources(
            per_core=tuple({"core": c["core"], "chip": c["chip"], **c["usage"]} for c in resources["per_core"]),
            totals={"cores": resources["cores"], "chips": resources["chips"], **resources["total"]},
            budget=dict(LIMITS),
        ),
        findings=tuple(f.to_dict() for f in (*findings, *lowered.findings)),
        costs=dict(costs or {}),
        evidence=spec.EVIDENCE,  # type: ignore[arg-type]
        provenance=dict(provenance or {}),
        chip=lowered.section.model_dump(mode="json"),
    )
