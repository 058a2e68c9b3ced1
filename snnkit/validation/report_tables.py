"""The report's tables: resources, quantisation, findings, counters and energy, origin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from snnkit.validation.report_parts import (
    Block,
    Cell,
    Section,
    Text,
    Tone,
    figure,
    in_order,
    mapping,
    number,
    part,
    percent,
    sequence,
    table,
    words,
)
from snnkit.viz.chip import cores, limits

MAX_CORES = 256
"""Rows of the table of cores; report.json has them all."""

_TOTALS = ("cores", "chips", "compartments", "synapse_bits", "input_axons", "output_axons")
_COLUMNS = ("neurons", "exponent", "weights", "clipped", "zeroed", "rms_error_of_rms")
_COUNTERS = ("spikes", "synaptic_events", "neuron_updates", "host_packets", "core_packets")
_LABELS = {
    "synapse_bits": "synapse memory (bits)",
    "rms_error_of_rms": "rms error / rms",
    "vth": "threshold mantissas",
    "scale_min": "scale, smallest",
    "scale_max": "scale, largest",
    "decay_error_max": "largest decay error",
    "threshold_error_max": "largest threshold error",
    "q_bound": "bound of q",
    "v_bound": "bound of v",
}
_TONES: dict[str, Tone] = {"error": "bad", "warning": "warn"}
_QUALITY: dict[str, Tone] = {"measured": "good", "assumed": "warn"}


def label(key: str) -> str:
    """A key as the heading of a column."""
    return _LABELS.get(key, words(key))


def used_cores(result: Mapping[str, Any]) -> int:
    """How many cores the network uses; 0 if that is not known."""
    return len(cores(mapping(result, "resources")))


def saturations(result: Mapping[str, Any]) -> int | None:
    """Clipped and wrapped values that the emulator counted; None if it counted none of the kind."""
    names = ("saturation", "overflow", "clip", "wrap")
    found = [
        int(v)
        for key in mapping(result, "counters")
        if any(n in str(key).lower() for n in names) and (v := figure(result, "counters", key)) is not None
    ]
    return sum(found) if found else None


def resources(result: Mapping[str, Any]) -> list[Block]:
    """Totals, and each core with its share of every budget."""
    given = mapping(result, "resources")
    rows, available = cores(given), limits(given)
    blocks: list[Block] = []
    totals = {
        k: v for k in in_order(mapping(given, "totals"), _TOTALS) if (v := figure(given, "totals", k)) is not None
    }
    if totals:
        parts = [_count(k, v) for k, v in totals.items() if k in ("cores", "chips", *available)]
        blocks.append(Text.of("In total: " + ", ".join(parts or [_count(k, v) for k, v in totals.items()]) + "."))
    names = [n for n in in_order(available, _TOTALS) if any(n in row for row in rows)]
    if not rows or not names:
        return blocks
    body = []
    for row in rows[:MAX_CORES]:
        cells: list[Cell | str] = [number(row.get("core")), str(row.get("layer", ""))]
        for name in names:
            value = figure(row, name)
            share = value / available[name] if value is not None and available[name] else None
            text = (
                "–" if value is None else number(int(value)) + (f" ({percent(share, 0)})" if share is not None else "")
            )
            cells.append(
                Cell(text, None if share is None else min(max(share, 0.0), 1.0), "bad" if (share or 0) > 1 else "")
            )
        body.append(cells)
    head = ["core", "layer", *(f"{label(n)} / {number(int(available[n]))}" for n in names)]
    note = "" if len(rows) <= MAX_CORES else f"{len(rows) - MAX_CORES} more cores are in report.json."
    blocks.append(
        table(head, body, numbers=len(names), folded=f"All {len(rows)} cores" if len(rows) > 1 else "", note=note)
    )
    return blocks


def _count(key: str, value: float) -> str:
    name = words(key)
    return f"{number(int(value))} {name[:-1] if value == 1 and name.endswith('s') else name}"


def quantisation(result: Mapping[str, Any]) -> Section | None:
    """What rounding did: per layer and per connection."""
    layers = [x for x in sequence(result, "quantisation") if isinstance(x, Mapping)]
    if not layers:
        return None
    keys = _columns(x for x in layers)
    body = [[str(x.get("layer", "")), *(_value(x.get(k)) for k in keys)] for x in layers]
    blocks: list[Block] = []
    inner = [
        (str(x.get("layer", "")), str(name), c)
        for x in layers
        for name, c in in_order(mapping(x, "connections")).items()
        if isinstance(c, Mapping)
    ]
    if inner:
        columns = _columns(c for _, _, c in inner)
        rows = [[layer, name, *(_value(c.get(k)) for k in columns)] for layer, name, c in inner]
        blocks.append(table(["layer", "connection", *map(label, columns)], rows, numbers=len(columns)))
    blocks.append(
        table(
            ["layer", *map(label, keys)],
            body,
            numbers=len(keys),
            folded="Scales, thresholds and decays" if inner else "",
        )
    )
    return Section("From real numbers to the chip's integers", tuple(blocks))


def _columns(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    found = dict.fromkeys(k for x in entries for k, v in x.items() if k != "layer" and _scalar(v))
    return list(in_order(found, _COLUMNS))


def _scalar(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(isinstance(v, (int, float, str)) for v in value)
    return value is None or isinstance(value, (bool, int, float, str))


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)) and len(value) > 8:
        return f"{number(list(value[:3]))}, … ({len(value)})"
    return number(value)


def findings(result: Mapping[str, Any]) -> Section | None:
    """Every finding, errors first."""
    if not isinstance(part(result, "findings"), (list, tuple)):
        return None
    order = {"error": 0, "warning": 1, "note": 2}
    found = sorted((f for f in sequence(result, "findings") if isinstance(f, Mapping)),
                   key=lambda f: order.get(str(f.get("severity")), 3))  # fmt: skip
    if not found:
        return Section("Findings", (Text.of("None: the export had nothing to warn about."),))
    rows = []
    for f in found:
        severity = str(f.get("severity", "note"))
        what = str(f.get("what", ""))
        if f.get("resource"):
            what += f" ({words(str(f['resource']))}: needs {number(f.get('needed'))}, "
            what += f"available {number(f.get('available'))})"
        rows.append([Cell(severity, tone=_TONES.get(severity, "")), str(f.get("code", "")), str(f.get("where", "")),
                     what, str(f.get("remedy", ""))])  # fmt: skip
    return Section("Findings", (table(["", "code", "where", "what", "remedy"], rows),))


def activity(result: Mapping[str, Any]) -> Section | None:
    """Counters of the emulator, and energy with the source of each figure."""
    blocks: list[Block] = []
    samples = figure(result, "samples")
    rows = [
        [words(k), number(int(v) if v.is_integer() else v), number(float(f"{v / samples:.4g}")) if samples else "–"]
        for k in in_order(mapping(result, "counters"), _COUNTERS)
        if (v := figure(result, "counters", k)) is not None
    ]
    if rows:
        blocks.append(table(["counted by the emulator", "in total", "per recording"], rows, numbers=2))
    blocks += _energy(mapping(result, "energy"))
    return Section("Activity and energy", tuple(blocks)) if blocks else None


def _energy(energy: Mapping[str, Any]) -> list[Block]:
    """One row per set of published figures, with its source; words and other numbers as a sentence."""
    unit = str(part(energy, "unit") or "").replace("uJ", "µJ")
    rows: list[list[Cell | str]] = []
    facts: list[str] = []
    for name, value in energy.items():
        if isinstance(value, Mapping) and "parts" not in value and "low" not in value:
            value = {"parts": {k: v for k, v in value.items() if _scalar(v)}, **value}
        if isinstance(value, Mapping):
            quality = str(value.get("quality", ""))
            parts = ", ".join(f"{words(k)} {span(v)}" for k, v in mapping(value, "parts").items())
            total = span([value.get("low"), value.get("high")]) if "low" in value else "–"
            rows.append([words(name), total, parts, Cell(quality, tone=_QUALITY.get(quality, "")),
                         str(value.get("source", ""))])  # fmt: skip
        elif name != "unit" and _scalar(value) and value not in ("", None):
            facts.append(f"{words(name).capitalize()}: {number(value)}.")
    blocks: list[Block] = []
    if rows:
        blocks.append(table(["set of figures", unit or "in total", "of which", "quality", "source"], rows))
    if facts:
        blocks.append(Text.of("Energy is estimated from these counts. " + " ".join(facts)))
    return blocks


def span(value: Any) -> str:
    """A range of numbers, or the number where both ends are equal."""
    if isinstance(value, (list, tuple)) and len(value) == 2:
        low, high = number(value[0]), number(value[1])
        return low if low == high else f"{low}–{high}"
    return number(value)


def energy_range(result: Mapping[str, Any]) -> tuple[str, str] | None:
    """The range over all sets of figures with its unit, and what it is made of; None if there is no estimate."""
    sets = [v for v in mapping(result, "energy").values() if figure(v, "low") is not None]
    highs = [v for x in sets if (v := figure(x, "high")) is not None]
    if not highs:
        return None
    unit = str(part(result, "energy", "unit") or "").replace("uJ", "µJ").split(" ")[0]
    many = f"{len(sets)} published sets of figures" if len(sets) > 1 else "one published set of figures"
    return f"{span([min(float(x['low']) for x in sets), max(highs)])} {unit}".rstrip(), many


def _code(frames: Mapping[str, Any]) -> str:
    """The code that samples are sent in, in words."""
    path = part(frames, "encoding", "class_path")
    steps = figure(frames, "encoding", "init_args", "T")
    if not isinstance(path, str):
        return ""
    return f"each in {number(steps)} steps of {path}" if steps else f"in {path}"


def origin(result: Mapping[str, Any]) -> Section | None:
    """Where data, weights and time came from."""
    rows = []
    data = mapping(result, "data")
    if data:
        rows.append(["data", f"{data.get('name', '')}, digest {str(data.get('digest', ''))[:12]}"])
        frames = mapping(data, "frames")
        window = figure(frames, "window_us")
        said = [
            f"{number(frames['T'])} steps" if "T" in frames else "",
            f"by {frames['by']}" if isinstance(frames.get("by"), str) else "",
            f"window {number(window / 1000)} ms" if window else "",
            ("binary" if frames["binary"] else "counts") if isinstance(frames.get("binary"), bool) else "",
            _code(frames),
        ]
        if any(said):
            rows.append(["binning", ", ".join(s for s in said if s)])
    if part(result, "run"):
        rows.append(["weights", f"digest {str(part(result, 'run'))[:12]}"])
    seconds = {
        k: v
        for k in in_order(mapping(result, "seconds"), ("torch", "graph", "emulator"))
        if (v := figure(result, "seconds", k)) is not None
    }
    if seconds:
        rows.append(["seconds", ", ".join(f"{words(k)} {v:.1f}" for k, v in seconds.items())])
    return Section("How this was made", (table(["", ""], rows),)) if rows else None
