"""Run a descriptor in the emulator, on a data set's recordings or images or on one recording.

Needs no torch, except where the host sends the samples in a code of `snnkit.encoding`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("descriptor", metavar="NAME.snnx")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--data", metavar="NAME|PATH", help="saccade-digits, digits, or a folder or archive of\n"
                        "recordings (default: what the network was trained on, if it\nneeds no file)")  # fmt: skip
    source.add_argument("--events", metavar="FILE", help="one recording, of any format that snnkit inspect knows")
    parser.add_argument("--split", choices=("train", "validation", "test"), default="test")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N recordings")
    parser.add_argument("--continuous", action="store_true",
                        help="do not reset between recordings: state carries over, one after another")  # fmt: skip
    parser.add_argument(
        "--chip", type=int, metavar="SEED", help="of an analogue target: this virtual chip, not the ideal one"
    )
    parser.add_argument(
        "--chips", type=int, metavar="N", help="of an analogue target: also N virtual chips, from seed 0 on"
    )
    parser.add_argument("--batch", type=int, default=64, help="recordings at a time (default 64)")


def run(args: argparse.Namespace) -> int:
    import numpy as np

    from snnkit import emulator
    from snnkit.cli.common import at_least_one, print_json, print_table, progress_bars
    from snnkit.errors import UsageError
    from snnkit.validation.virtual import VirtualChips, describe, seeds_of

    at_least_one("--limit", args.limit)
    at_least_one("--batch", args.batch)
    at_least_one("--chips", args.chips)
    chip = emulator.open(args.descriptor)
    ports = chip.manifest.inputs
    if len(ports) != 1:
        raise UsageError(
            f"{args.descriptor} has {len(ports)} inputs that carry data; recordings are for networks with one",
            fix="use `snnkit verify` for its own vectors",
        )
    port = ports[0]
    target = chip.manifest.target
    draws = seeds_of(target, 1, args.chip) if args.chip is not None else []
    virtual = VirtualChips(seeds_of(target, args.chips) if args.chips is not None else [])
    if (args.chip is not None and not draws) or (args.chips is not None and not virtual.seeds):
        raise UsageError(f"{target} has no virtual chips", fix="leave --chip and --chips out")
    source = _recording(args, chip) if args.events else _data_set(args, chip)
    count = source["count"]
    answers: list[int] = []
    labels: list[int] = []
    counters: dict[str, int] = {}
    with progress_bars(args.json) as progress:
        for x, y in source["batches"]:
            result = chip.run(
                {port.name: x}, probes=("s",), continuous=args.continuous, draws=draws[0] if draws else None
            )
            virtual.add(chip, {port.name: x}, np.asarray(y))
            answers += [] if result.answer is None else [int(a) for a in result.answer]
            labels += [int(k) for k in y]
            for key, value in result.totals().items():
                counters[key] = counters.get(key, 0) + int(value)
            progress("emulate", len(answers), count)
    classes = source["classes"]
    known = [a == b for a, b in zip(answers, labels) if b >= 0]
    out: dict[str, Any] = {
        "descriptor": args.descriptor,
        "recordings": len(answers),
        "continuous": args.continuous,
        "accuracy": sum(known) / len(known) if known else None,
        "answers": answers,
        "counters": counters,
    }
    if virtual.seeds:
        out["virtual_chips"] = virtual.summary()
    if args.json:
        print_json(out)
        return 0
    if virtual.seeds:
        print(describe(out["virtual_chips"]))
    if len(answers) == 1:
        print(f"answer: class {classes[answers[0]] if classes and answers[0] < len(classes) else answers[0]}")
    if out["accuracy"] is not None:
        how = ", run on without a reset between them" if args.continuous else ""
        print(f"accuracy on {len(known)} recordings{how}: {out['accuracy'] * 100:.2f} %")
    print_table("counters", ["what", "count"], sorted(counters.items()))
    return 0


def _binning(manifest: Any) -> tuple[dict[str, Any], Any]:
    """What the network was trained on, and how the host makes frames of samples, from the descriptor's provenance."""
    from snnkit.data.description import read_description
    from snnkit.errors import UsageError

    data, settings = read_description(manifest.provenance.get("data"))
    if settings.encoding is not None and settings.steps != manifest.steps:
        raise UsageError(
            f"the descriptor's code makes {settings.steps} steps, its network runs {manifest.steps}",
            fix="use `snnkit verify` for its own vectors",
        )
    return data, settings


def _recording(args: argparse.Namespace, chip: Any) -> dict[str, Any]:
    from snnkit.data import files, to_frames
    from snnkit.data.events import POLARITIES
    from snnkit.errors import UsageError

    data, f = _binning(chip.manifest)
    if data.get("channels", list(POLARITIES)) != list(POLARITIES):
        raise UsageError(
            f"the network was trained on {data.get('name')}, which are no recordings of an event sensor",
            fix="leave --events out",
        )
    stream = files.read(args.events, sensor_size=tuple(data["sensor_size"]))
    binary = f.binary and f.encoding is None
    binned = to_frames(stream, T=f.T, by=f.by, binary=binary, duration_us=f.window_us, grid=f.grid)
    x = f.encode(binned, data["frames"].get("seed", 0), 0, 0).astype("uint8").reshape(f.steps, 1, -1)
    return {"count": 1, "batches": iter([(x, [-1])]), "classes": data.get("classes")}


def _data_set(args: argparse.Namespace, chip: Any) -> dict[str, Any]:
    import numpy as np

    from snnkit.data.catalog import OFFLINE, SETS, open_source, reopen
    from snnkit.errors import UsageError

    data, settings = _binning(chip.manifest)
    name = args.data or (data["name"] if data.get("name") in OFFLINE else "saccade-digits")
    known = name in OFFLINE or data.get("name") not in SETS
    source = open_source(name) if known else reopen(data, name)
    if list(source.sensor_size) != list(data["sensor_size"]):
        raise UsageError(f"{name} has a sensor of {source.sensor_size}, the network was made for {data['sensor_size']}")
    dataset = source.dataset(args.split, settings, seed=data["frames"].get("seed", 0))
    count = len(dataset) if args.limit is None else min(args.limit, len(dataset))

    size = max(count, 1) if args.continuous else args.batch  # state carries over within one call

    def batches() -> Iterator[tuple[Any, list[int]]]:
        for start in range(0, count, size):
            items = [dataset[k] for k in range(start, min(start + size, count))]
            x = np.stack([np.asarray(i[0]) for i in items], axis=1).astype(np.uint8)
            yield x.reshape(*x.shape[:2], -1), [int(i[1]) for i in items]

    return {"count": count, "batches": batches(), "classes": data.get("classes")}
