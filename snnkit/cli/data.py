"""Which data sets are known, what is publicly known of one, and what lies in your folder of it.

snnkit data                          all data sets
snnkit data shd                      where SHD comes from, and its layout
snnkit data shd --root DIR           classes, parts and sizes of the recordings in DIR (decoded into the cache)
snnkit data event-folder --root DIR  the same for your own folder of recordings per class
"""

from __future__ import annotations

import argparse
import inspect
from typing import Any

from snnkit.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `snnkit data`."""
    parser.add_argument("name", nargs="?", help="a data set; without it, the known ones are listed")
    parser.add_argument("--root", metavar="PATH", help="its folder or archive: decode it and say what is in it")
    parser.add_argument("--download", action="store_true", help="let tonic or torchvision download it to PATH first")
    parser.add_argument("--skip-corrupt", action="store_true", help="of event-folder: leave out what cannot be read")


def run(args: argparse.Namespace) -> int:
    """Print the list, the facts or the contents; 0 when done."""
    from snnkit.cli.common import print_json, print_table
    from snnkit.data.catalog import OFFLINE, SETS

    if args.name is None:
        names = sorted([*SETS, *(n for n in OFFLINE if n.islower())])
        rows = {name: facts_of(name) for name in names}
        if args.json:
            print_json(rows)
        else:
            print_table("data sets", ["name", "what", "source"], [[n, f["what"], f["source"]] for n, f in rows.items()])
        return 0
    facts = facts_of(args.name)
    if args.root is not None or args.name in OFFLINE:
        facts |= contents(args)
    if args.json:
        print_json({"name": args.name, **facts})
    else:
        print_table(args.name, ["", ""], [[key.replace("_", " "), _text(value)] for key, value in facts.items()])
    return 0


def facts_of(name: str) -> dict[str, Any]:
    """What is publicly known of a data set; of those that are no published sets, the first sentence about them."""
    from snnkit.data.catalog import source_class

    cls = source_class(name)
    facts = getattr(cls, "facts", None)
    if facts is None:
        return {"what": (cls.__doc__ or "").strip().splitlines()[0], "source": "see its documentation"}
    return {
        "what": facts.title,
        "source": facts.source,
        "home": facts.home,
        "licence": facts.licence,
        "layout": facts.layout,
        "download": "by tonic" if facts.tonic else "by hand",
    }


def contents(args: argparse.Namespace) -> dict[str, Any]:
    """Classes, parts, sensor and digest of the data at `args.root`."""
    import numpy as np

    from snnkit.data.catalog import OFFLINE, open_source, source_class
    from snnkit.data.source import SPLITS, EventSource

    arguments: dict[str, Any] = {} if args.name in OFFLINE else {"root": args.root}
    known = inspect.signature(source_class(args.name)).parameters
    for option in ("download", "skip_corrupt"):
        if getattr(args, option):
            if option not in known:
                flag = option.replace("_", "-")
                raise UsageError(f"{args.name} takes no --{flag}", fix=f"snnkit data {args.name} says what it takes")
            arguments[option] = True
    source = open_source(args.name, **arguments)
    found: dict[str, Any] = {
        "digest": source.digest,
        "sensor_size": list(source.sensor_size),
        "channels": list(source.channels),
        "classes": list(source.classes),
        "samples": {split: len(source.indices(split)) for split in SPLITS},
        "samples_per_class": {
            split: np.bincount(source.labels(split), minlength=len(source.classes)).tolist() for split in SPLITS
        },
        **source.describe(),
    }
    if isinstance(source, EventSource):
        events = np.diff(source.store.offsets)
        last = [int(source.store.columns(i)[0][-1]) for i in range(len(events)) if events[i]]
        found["events_per_recording"] = {
            "least": int(events.min()),
            "mean": float(events.mean()),
            "most": int(events.max()),
        }
        found["duration_ms"] = {"median": float(np.median(last)) / 1e3, "longest": max(last) / 1e3} if last else {}
    return found


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_text(v)}" for k, v in value.items())
    if isinstance(value, list):
        shown = ", ".join(_text(v) for v in value[:12])
        return shown + (f", … ({len(value)})" if len(value) > 12 else "")
    return f"{value:.6g}" if isinstance(value, float) else str(value)
