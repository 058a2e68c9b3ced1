"""What is in a NIR file, as plain values: its nodes, whose it is, and what it leaves out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from snnkit.errors import NirError, SnnkitError
from snnkit.export.nir.isolated import read_file
from snnkit.export.nir.model import Node
from snnkit.export.nir.own import plan_of
from snnkit.export.nir.reader import read

SHOWN = ("tau", "tau_mem", "tau_syn", "r", "w_in", "v_leak", "v_threshold", "v_reset", "threshold", "delay", "scale")


def describe(path: str | Path) -> dict[str, Any]:
    """The nodes of a file with shapes and ranges of their parameters, its edges, and what must be told to read it.

    Raises:
        NirError: it is no NIR file, damaged, unsafe or of another version.
        FileNotFoundError: there is no such file.
    """
    path = Path(path)
    document = read_file(path)
    facts: dict[str, Any] = {
        "file": str(path),
        "bytes": path.stat().st_size,
        "version": document.version,
        "edges": len(document.net.edges),
        "nodes": [_node(name, node) for name, node in document.net.walk()],
        "snnkit": None,
        "asks": "",
        "findings": [],
    }
    try:
        plan = plan_of(document.net)
        if plan is not None:
            keys = ("name", "dialect", "dt", "steps", "timeline", "readout", "provenance")
            facts["snnkit"] = {k: plan.get(k) for k in keys}
        _, findings = read(path, strict=False)
        facts["findings"] = [f.to_dict() for f in findings]
    except NirError as error:
        facts["asks"] = f"{error.what} -> {error.fix}" if error.fix else error.what
    except SnnkitError as error:
        facts["asks"] = error.what
    return facts


def _node(name: str, node: Node) -> dict[str, Any]:
    arrays = {k: v for k, v in node.fields.items() if not isinstance(v, str)}
    main = next((arrays[k] for k in ("weight", *SHOWN) if k in arrays), None)
    ranges = {}
    for key in SHOWN:
        value = arrays.get(key)
        if value is not None and value.size and value.dtype.kind in "fiu":
            low, high = float(value.min()), float(value.max())
            ranges[key] = low if low == high else [low, high]
    declared = arrays.get("shape")
    shape = [] if declared is None else [int(n) for n in declared.reshape(-1)[:8] if n == n and abs(n) < 2**31]
    shape = list(main.shape) if main is not None else shape
    return {"name": name, "type": node.type, "shape": shape, "values": ranges}
