"""What is in a recording (.bin), a run folder, a descriptor (.snnx) or a NIR file (.nir). Needs no torch.

snnkit inspect RUN --ops      synaptic operations, activity, parameters and energy proxies per layer
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snnkit.errors import CheckpointError, UsageError, did_you_mean

KNOWN = "a recording (ATIS .bin), a run folder (has run.json), a descriptor NAME.snnx or a NIR file (.nir)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `snnkit inspect`."""
    parser.add_argument("path", metavar="FILE", help=KNOWN)
    parser.add_argument("--ops", action="store_true", help="of a run: run its network and count its operations")
    parser.add_argument("--samples", type=int, default=64, metavar="N", help="with --ops: test samples (default 64)")
    parser.add_argument("--data", metavar="PATH", help="with --ops: where the data lie now, if they were moved")
    parser.add_argument("--allow-code", action="append", default=[], metavar="MODULE", help="as in snnkit train")


def run(args: argparse.Namespace) -> int:
    """Recognise the file and print what is in it; 0 when done."""
    path = Path(args.path)
    kind = recognise(path)
    if args.ops:
        if kind != "run":
            raise UsageError(f"--ops counts the operations of a run, and {path} is a {kind}", fix="name a run folder")
        return _operations(path if path.is_dir() else path.parent, args)
    if kind == "recording":
        from snnkit.data import describe_recording

        facts = describe_recording(path)
    elif kind == "network":
        from snnkit.export.nir.describe import describe

        facts = describe(path)
    elif kind == "run":
        facts = describe_run(path if path.is_dir() else path.parent)
    else:
        facts = describe_descriptor(path if path.is_dir() else path.parent)
    if args.json:
        from snnkit.cli.common import print_json

        print_json({"kind": kind, **facts})
    else:
        shows = {
            "recording": _show_recording,
            "run": _show_run,
            "descriptor": _show_descriptor,
            "network": _show_network,
        }
        shows[kind](facts)
    return 0


def recognise(path: Path) -> str:
    """ "recording", "run", "descriptor" or "network", by what is there.

    Raises:
        UsageError: nothing is there, or nothing of these.
    """
    if not path.exists():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UsageError(f"{path} does not exist{did_you_mean(path.name, beside)}", fix=f"name {KNOWN}")
    if path.is_dir():
        if (path / "run.json").is_file():
            return "run"
        if (path / "manifest.json").is_file() or path.suffix == ".snnx":
            return "descriptor"
        raise UsageError(f"{path} is neither a run nor a descriptor", fix=f"name {KNOWN}")
    if path.suffix.lower() == ".bin":
        return "recording"
    if path.suffix.lower() == ".nir":
        return "network"
    if (path.parent / "run.json").is_file() and path.name in ("run.json", "model.ckpt", "last.ckpt", "metrics.json"):
        return "run"
    if path.name == "manifest.json" or path.suffix == ".safetensors":
        return "descriptor"
    fix = f"name {KNOWN}"
    if path.suffix == ".npz":
        fix = f"reference vectors are run by `snnkit replay --target CHIP {path}`; otherwise {fix}"
    raise UsageError(f"{path} is of no known kind", fix=fix)


def describe_run(folder: Path) -> dict[str, Any]:
    """Settings, data and figures of a run, read from its JSON files.

    Raises:
        CheckpointError: a file is damaged.
    """
    record = _read(folder / "run.json")
    settings = record.get("settings")
    if not isinstance(settings, Mapping):
        raise CheckpointError(f"{folder / 'run.json'} is no record of a run", fix="name the folder of a training run")
    metrics = _read(folder / "metrics.json") if (folder / "metrics.json").is_file() else None
    history = folder / "history.csv"
    epochs = max(len(history.read_text(encoding="utf-8").splitlines()) - 1, 0) if history.is_file() else 0
    of = _get(settings, "trainer", "max_epochs")
    state = "finished" if metrics else ("interrupted" if epochs else "no complete epoch")
    return {
        "folder": str(folder),
        "recipe": record.get("recipe"),
        "state": state,
        "epochs": {"done": epochs, "of": of},
        "seed": record.get("seed"),
        "precision": record.get("precision"),
        "versions": record.get("versions", {}),
        "data": record.get("data", {}),
        "model": _get(settings, "model") or {},
        "trainer": _get(settings, "trainer") or {},
        "validation": _get(metrics, "validation"),
        "test": {k: v for k, v in (_get(metrics, "test") or {}).items() if k != "confusion"} if metrics else None,
        "weights": _get(metrics, "weights"),
        "files": {p.name: p.stat().st_size for p in sorted(folder.iterdir()) if p.is_file()},
    }


def describe_descriptor(folder: Path) -> dict[str, Any]:
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


def _operations(folder: Path, args: argparse.Namespace) -> int:
    """`--ops`: what the run's network computes on its test data, layer by layer."""
    from snnkit.cli.common import at_least_one, print_json, progress_bars
    from snnkit.cli.eval import data_changes
    from snnkit.training.counting import count_on
    from snnkit.training.run import load_run

    at_least_one("--samples", args.samples)
    loaded = load_run(folder, args.allow_code)
    data = loaded.datamodule(data_changes(loaded, args.data, args.json))
    with progress_bars(args.json) as stage:
        found = count_on(loaded.model, data, args.samples, lambda done, of: stage("samples", done, of))
    if args.json:
        print_json({"run": str(folder), "split": "test", **found.to_dict()})
    else:
        _show_operations(found)
    return 0


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file} is damaged", why=str(error), fix="restore the file, or train again") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{file} holds no record", fix="restore the file, or train again")
    return content


def _get(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


# ---------------------------------------------------------------------------------------------------------- for people
def _facts(title: str, rows: list[tuple[str, Any]]) -> None:
    """Names and values below a title; long values fold."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", title_style="bold", show_header=False, box=None)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in rows:
        if value not in (None, "", [], {}):
            table.add_row(Text(key), Text(_words(value)))
    Console(highlight=False, width=None if sys.stdout.isatty() else 120).print(table)
    print()


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_words(v)}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_words(v) for v in value) + "]"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _show_recording(facts: Mapping[str, Any]) -> None:
    busiest = facts["busiest_pixel"]
    _facts(
        f"recording {facts['file']}",
        [
            ("format", f"{facts['format']}, {facts['bytes']:,} bytes"),
            ("sensor", "{} × {} pixels".format(*facts["sensor_size"])),
            ("events", f"{facts['events']:,} ({facts['on']:,} ON, {facts['off']:,} OFF)"),
            (
                "time",
                f"{facts['duration_us'] / 1000:.3f} ms, from {facts['t_first_us']:,} to {facts['t_last_us']:,} µs",
            ),
            (
                "rate",
                f"{facts['rate_per_s']:,.0f} events/s, {facts['mean_rate_per_pixel_hz']:.3g} per pixel and second",
            ),
            ("active pixels", facts["active_pixels"]),
            ("busiest pixel", f"x {busiest['x']}, y {busiest['y']}: {busiest['events']:,} events"),
        ],
    )


def _show_run(facts: Mapping[str, Any]) -> None:
    data, model, epochs = facts["data"], facts["model"], facts["epochs"]
    accuracy = {k: _get(facts, k, "accuracy") for k in ("validation", "test")}
    samples = _get(data, "samples") or {}
    _facts(
        f"run {facts['folder']}",
        [
            ("recipe", facts["recipe"]),
            ("state", f"{facts['state']}, {epochs['done']} of {_words(epochs['of'] or '?')} epochs"),
            *((f"{k} accuracy", f"{100 * v:.2f} %") for k, v in accuracy.items() if isinstance(v, (int, float))),
            ("data", f"{_get(data, 'name')}, digest {str(_get(data, 'digest'))[:12]}"),
            ("samples", samples),
            ("frames", _get(data, "frames")),
            ("network", _get(model, "net", "class_path")),
            ("its settings", _get(model, "net", "init_args")),
            ("loss", _get(model, "loss")),
            ("optimizer", _get(model, "optimizer")),
            ("seed, precision", f"{facts['seed']}, {facts['precision']}"),
            ("versions", facts["versions"]),
            ("weights", str(facts["weights"])[:12] if facts["weights"] else None),
            ("files", ", ".join(facts["files"])),
        ],
    )
    layers = _get(facts, "test", "layers")
    if isinstance(layers, Mapping) and layers:
        from snnkit.cli.common import print_table

        names = ("rate", "silent", "saturated")
        rows = [[path, *(_get(layer, n) for n in names)] for path, layer in layers.items()]
        print_table("layers on the test data", ["layer", "spikes per neuron and step", "silent", "saturated"], rows)


def _show_descriptor(facts: Mapping[str, Any]) -> None:
    from snnkit.cli.common import print_table

    readout, used = facts["readout"], facts["resources"]
    reports = ", ".join(facts["reports"]) or "none (snnkit validate RUN NAME.snnx makes them)"
    dt = facts["dt_us"]
    _facts(
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
    rows = [[x["name"], _shape(x), x["n"], x["kind"], x["lag"]] for x in facts["layers"]]
    print_table("layers", ["layer", "shape", "neurons", "kind", "lag (steps)"], rows)
    rows = [[x["name"], _shape(x), x["n"], x["max_count"], _use(x)] for x in facts["ports"]]
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


def _show_network(facts: Mapping[str, Any]) -> None:
    from snnkit.cli.common import print_table

    ours = facts["snnkit"]
    origin = "another framework (no metadata of snnkit)"
    if ours is not None:
        origin = f"snnkit, dialect {ours['dialect']}, a step of {ours['dt']:g} s"
    _facts(
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
    rows = [[x["name"], x["type"], _shape(x), _words(x["values"])] for x in facts["nodes"]]
    print_table("nodes", ["node", "type", "shape", "values (one, or from … to …)"], rows)
    if facts["findings"]:
        columns = ("severity", "code", "where", "what", "remedy")
        print_table("findings", columns, [[f.get(c) for c in columns] for f in facts["findings"]])


def _shape(node: Mapping[str, Any]) -> str:
    return " × ".join(map(str, node["shape"]))


def _use(port: Mapping[str, Any]) -> str:
    return "data" if port["gate_from"] is None else f"bias gate from step {port['gate_from']}"


def _show_operations(found: Any) -> None:
    from snnkit.cli.common import print_table

    def row(layer: Any) -> list[Any]:
        counts = (layer.synaptic_operations, layer.multiplications, layer.dense_macs)
        return [
            layer.path, layer.kind, layer.parameters,
            f"{100 * layer.activity:.2f} %" if layer.dense_macs else None,
            *(round(v) if layer.dense_macs else None for v in counts),
            round(layer.updates) if layer.updates else None,
            *(f"{v / 1000:.3g}" if v else None for v in (layer.energy_pj, layer.energy_memory_pj)),
        ]  # fmt: skip

    total = found.total()
    layers = [layer for layer in found.layers if layer.dense_macs or layer.states or layer.parameters]
    print_table(
        f"operations per sample, mean of {found.samples} test samples of {found.steps:g} steps",
        [
            "layer", "kind", "parameters", "input activity", "synaptic operations", "of them multiply", "dense MACs",
            "neuron updates", "nJ", "nJ with memory",
        ],
        [row(layer) for layer in [*layers, total]],
    )  # fmt: skip
    print(f"{total.activity:.1%} of the dense multiply-accumulates are done")
    if found.uncounted:
        print("not counted (unknown layers with weights): " + ", ".join(found.uncounted))
    print(
        "energy: 32-bit arithmetic and memories of 45 nm (doi:10.1109/ISSCC.2014.6757323); a proxy for comparing\n"
        "networks, no prediction for a chip. Left out:"
    )
    for what in found.to_dict()["left_out"]:
        print(f"  - {what}")
