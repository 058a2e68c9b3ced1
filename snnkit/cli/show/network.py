"""A NIR file: its nodes and what it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snnkit.cli.show.common import page, shape, words


def show(facts: Mapping[str, Any]) -> None:
    """A NIR file, for people."""
    from snnkit.cli.common import print_table

    ours = facts["snnkit"]
    origin = "another framework (no metadata of snnkit)"
    if ours is not None:
        origin = f"snnkit, dialect {ours['dialect']}, a step of {ours['dt']:g} s"
    page(
        f"NIR file {facts['file']}",
        [
            ("format", f"NIR {facts['version']}, {facts['bytes']:,} bytes"),
            ("written by", origin),
            ("network", ours and ours["name"]),
            ("steps", ours and ours["steps"]),
            ("read-out", ours and ours["readout"] and " of ".join(ours["readout"][1::-1])),
            ("graph", f"{len(facts['nodes'])} nodes, {facts['edges']} edges"),
            ("asks for", facts["asks"]),
        ],
    )
    rows = [[x["name"], x["type"], shape(x), words(x["values"])] for x in facts["nodes"]]
    print_table("nodes", ["node", "type", "shape", "values (one, or from … to …)"], rows)
    if facts["findings"]:
        columns = ("severity", "code", "where", "what", "remedy")
        print_table("findings", columns, [[f.get(c) for c in columns] for f in facts["findings"]])
