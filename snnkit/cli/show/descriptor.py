"""A chip descriptor: its manifest and memory images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snnkit.cli.show.common import page, shape


def describe(folder: Path) -> dict[str, Any]:
    """The checked manifest of a descriptor with the sizes of its memory images; raises `DescriptorError`."""
    from snnkit import descriptor

    loaded = descriptor.load(folder)
    plain = loaded.manifest.plain()
    stored = plain.pop("files")
    reports = [n for n in ("report.json", "report.md", "report.html") if (folder / n).is_file()]
    return {
        "folder": str(folder),
        **plain,
        "bytes": {name: entry["bytes"] for name, entry in stored.items()},
        "arrays": {k: {"type": str(a.dtype), "shape": list(a.shape)} for k, a in loaded.arrays.items()},
        "vectors": {k: {"type": str(a.dtype), "shape": list(a.shape)} for k, a in loaded.vectors.items()},
        "reports": reports,
    }


def show(facts: Mapping[str, Any]) -> None:
    """A descriptor, for people."""
    from snnkit.cli.common import print_table

    readout, used = facts["readout"], facts["resources"]
    reports = ", ".join(facts["reports"]) or "none (snnkit validate RUN NAME.snnx makes them)"
    dt = facts["dt_us"]
    page(
        f"descriptor {facts['folder']}",
        [
            ("network", facts["name"]),
            ("target", f"{facts['target']}, revision {facts['revision']}, evidence {facts['evidence']}"),
            ("time", f"{facts['steps']} steps" + (f" of {dt / 1000:g} ms" if dt else "") if facts["steps"] else None),
            ("read-out", f"{readout['rule']} of {readout['layer']}, argmax" if readout else None),
            ("host", "; ".join(facts["host_parts"])),
            ("memory images", f"{len(facts['arrays'])} tables, {sum(facts['bytes'].values()):,} bytes with vectors"),
            ("own vectors", "yes (snnkit verify re-runs them)" if facts["vectors"] else "none"),
            ("reports", reports),
            ("digest", facts["digest"][:16]),
        ],
    )
    rows = [[x["name"], shape(x), x["n"], x["kind"], x["lag"]] for x in facts["layers"]]
    print_table("layers", ["layer", "shape", "neurons", "kind", "lag (steps)"], rows)
    rows = [[x["name"], shape(x), x["n"], x["max_count"], _use(x)] for x in facts["ports"]]
    print_table("inputs", ["port", "shape", "lines", "spikes per step", "use"], rows)
    budget, cores = used["budget"], used["per_core"]
    rows = []
    for name in budget:
        most = max((core.get(name, 0) for core in cores), default=0)
        share = f"{100 * most / budget[name]:.0f} %" if budget[name] else ""
        rows.append([name.replace("_", " "), used["totals"].get(name), most, budget[name], share])
    print_table(
        f"resources on {len(cores)} cores", ["resource", "in total", "fullest core", "a core has", "share"], rows
    )
    if facts["findings"]:
        columns = ("severity", "code", "where", "what", "remedy")
        print_table("findings", columns, [[f.get(c) for c in columns] for f in facts["findings"]])


def _use(port: Mapping[str, Any]) -> str:
    return "data" if port["gate_from"] is None else f"bias gate from step {port['gate_from']}"
