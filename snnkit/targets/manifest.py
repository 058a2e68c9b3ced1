"""The manifest of a lowered graph: what is chip-independent is filled in here, once, for exports and replays alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from snnkit.descriptor.schema import Host, Layer, Manifest, Port, Readout, Resources
from snnkit.graph.findings import Finding
from snnkit.graph.model import Graph
from snnkit.targets.base import Target


def build_manifest(
    target: Target,
    graph: Graph,
    lowered: Any,
    *,
    host_parts: Sequence[str] = (),
    host: Host | None = None,
    costs: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    findings: Sequence[Finding] = (),
) -> Manifest:
    """The manifest for `lowered`, the result of `target.lower(graph)`; files and digests are added when it is written.

    A population is `probed` if its v is read out (it cannot fire), otherwise `spiking`.
    """
    spec = target.part("spec")
    probed = {graph.readout.population} if graph.readout is not None and not graph.readout.of_spikes else set()
    read = graph.readout
    used = lowered.resources()
    per_core = tuple(
        {"core": int(c["core"]), "chip": int(c.get("chip", 0)), **{k: int(v) for k, v in c["usage"].items()}}
        for c in used["per_core"]
    )
    notes = [f.to_dict() for f in (*findings, *lowered.findings)]
    return Manifest(
        target=target.name,
        revision=target.revision,
        name=graph.name,
        dt_us=graph.dt_us,
        steps=graph.steps,
        update_order=spec.UPDATE_ORDER,
        options=spec.OPTIONS,
        layers=tuple(
            Layer(name=p.name, shape=p.shape, n=p.n, lag=p.lag, kind="probed" if p.name in probed else "spiking")
            for p in graph.populations
        ),
        ports=tuple(
            Port(name=i.name, shape=i.shape, n=i.n, max_count=i.max_count, gate_from=i.gate_from) for i in graph.inputs
        ),
        readout=None if read is None else Readout(layer=read.population, rule=read.rule, votes=read.votes),
        host_parts=tuple(host_parts),
        host=host,
        resources=Resources(
            per_core=per_core,
            totals={"cores": used["cores"], "chips": used["chips"], **{k: int(v) for k, v in used["total"].items()}},
            budget={k: int(v) for k, v in used["limits"].items()},
        ),
        findings=tuple(notes),
        evidence=spec.EVIDENCE,
        costs=dict(costs or {}),
        provenance=dict(provenance or {}),
        chip=lowered.section.model_dump(mode="json"),
    )
