"""What a validation report says: verdict, its limits, and the sections. Rendering is elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snnkit.validation import report_comparison as comparison
from snnkit.validation import report_tables as tables
from snnkit.validation.report_parts import (
    Block,
    Code,
    Picture,
    Report,
    Section,
    Strong,
    Text,
    Tile,
    Tone,
    figure,
    mapping,
    number,
    part,
    percent,
    sequence,
    small_share,
)

EVIDENCE = {
    "vendor-code": "The emulator was compared with the vendor's own code",
    "rtl": "The emulator was compared with the chip's register-transfer description",
    "open-simulator": "The emulator was compared with open simulators, not with the vendor's code and not with silicon",
    "published-equations": "The emulator follows published equations; no other implementation was compared",
    "documentation": "The emulator follows documentation; no other implementation was compared",
}
"""What each grade of evidence means."""


def build(result: Mapping[str, Any], pictures: Mapping[str, str]) -> Report:
    """The report of a validation result.

    Args:
        result: what `snnkit.validation.threeway` returns, with `references`, `energy`, …; every key but name and
            target may be missing.
        pictures: key → caption of the pictures that can be drawn.
    """
    sections = (
        comparison.accuracy(result, pictures),
        comparison.spikes(result),
        _sample(result, pictures),
        _chip(result, pictures),
        tables.quantisation(result),
        tables.findings(result),
        tables.activity(result),
        tables.origin(result),
    )
    verdict, tone = judge(result)
    return Report(
        title=str(result["name"]),
        subtitle=_subtitle(result),
        verdict=verdict,
        tone=tone,
        limits=_limits(result),
        tiles=_tiles(result),
        sections=tuple(s for s in sections if s is not None and s.blocks),
    )


def judge(result: Mapping[str, Any]) -> tuple[str, Tone]:
    """The verdict in one sentence, and whether it is good."""
    counts = mapping(result, "differing_spikes", "graph-emulator")
    total, of = figure(counts, "total"), figure(counts, "of")
    over = _over(result)
    if total is None:
        return f"The integer graph and the {result['target']} emulator were not compared.", "warn"
    out_of = f" of {int(of):,}" if of is not None else ""
    if total == 0:
        return f"0{out_of} spikes differ between the integer graph and the {result['target']} emulator{over}.", "good"
    return (
        f"{int(total):,}{out_of} spikes differ between the integer graph and the {result['target']} emulator{over}: "
        "the descriptor does not run what was quantised.",
        "bad",
    )


def _over(result: Mapping[str, Any]) -> str:
    samples = figure(result, "samples")
    if samples is None:
        return ""
    split = f"{part(result, 'split')} " if part(result, "split") else ""
    return f" over {int(samples):,} {split}recordings"


def _subtitle(result: Mapping[str, Any]) -> str:
    said = [f"{result['target']}" + (f" ({part(result, 'revision')})" if part(result, "revision") else "")]
    steps, dt = figure(result, "steps"), figure(result, "dt_us")
    if steps is not None:
        said.append(f"{int(steps)} steps" + (f" of {number(dt / 1000)} ms" if dt else "") + " per recording")
    if part(result, "digest"):
        said.append(f"descriptor {str(part(result, 'digest'))[:12]}")
    return " · ".join(said)


def _limits(result: Mapping[str, Any]) -> tuple[Text, ...]:
    """What the verdict does not say."""
    out = []
    grade = str(part(result, "evidence") or "")
    meaning = EVIDENCE.get(grade, "The grade of evidence is not stated")
    references = ", ".join(str(r) for r in sequence(result, "references"))
    spans: list[Any] = [Strong("Evidence: "), Code(grade), ". "] if grade else [Strong("Evidence. ")]
    spans.append(meaning + (f" ({references})." if references else "."))
    if mapping(result, "virtual_chips"):
        spans += [" “Bit-accurate” holds for the digital part alone; the neurons are equations in continuous time."]
    elif references:
        spans += [
            " “Bit-accurate” is claimed only to these references, on their recorded vectors; ",
            Code(f"snnkit replay --target {result['target']} FILE…"),
            " repeats that comparison.",
        ]
    out.append(Text(tuple(spans)))
    out.append(
        Text.of(
            Strong("No chip was used. "), "Spikes are emulated; energy and time are estimates from what was counted."
        )
    )
    rounding = mapping(result, "differing_spikes", "torch-graph")
    total, of = figure(rounding, "total"), figure(rounding, "of")
    if total is not None and of:
        if total:
            out.append(
                Text.of(
                    Strong("Rounding changes the network. "),
                    f"{int(total):,} of {int(of):,} spikes ({small_share(total / of)}) differ between the torch model "
                    "and the integer graph, because weights, thresholds and decays became the chip's integers.",
                )
            )
        else:
            out.append(Text.of(Strong("Rounding changed no spike "), "of the torch model on these recordings."))
    error = _standard_error(result)
    if error is not None:
        out.append(
            Text.of(
                Strong("Sampling. "),
                f"An accuracy on {int(result['samples']):,} recordings has a standard error of "
                f"{100 * error:.1f} points; changed predictions are counted exactly.",
            )
        )
    return tuple(out)


def _standard_error(result: Mapping[str, Any]) -> float | None:
    value, samples = figure(result, "accuracy", "emulator"), figure(result, "samples")
    if value is None or not samples or not 0 <= value <= 1:
        return None
    return float((value * (1 - value) / samples) ** 0.5)


def _tiles(result: Mapping[str, Any]) -> tuple[Tile, ...]:
    tiles = []
    total = figure(result, "differing_spikes", "graph-emulator", "total")
    if total is not None:
        tiles.append(
            Tile("differing spikes", f"{int(total):,}", "integer graph and emulator", "good" if total == 0 else "bad")
        )
    value, torch = figure(result, "accuracy", "emulator"), figure(result, "accuracy", "torch")
    if value is not None:
        note = "" if torch is None else f"torch model {percent(torch)}"
        tiles.append(Tile("accuracy, emulated", percent(value), note))
    virtual = mapping(result, "virtual_chips")
    if figure(virtual, "mean") is not None:
        note = f"mean of {number(part(virtual, 'chips'))}; worst {percent(figure(virtual, 'worst') or 0.0)}"
        tiles.append(Tile("accuracy, virtual chips", percent(figure(virtual, "mean") or 0.0), note))
    changed = figure(result, "changed", "torch-emulator", "changed")
    if changed is not None:
        samples = figure(result, "samples")
        of = f" of {int(samples):,}" if samples is not None else ""
        tiles.append(Tile("predictions changed", f"{int(changed):,}{of}", "from torch model to emulator"))
    used = tables.used_cores(result)
    if used:
        compartments = figure(mapping(result, "resources"), "totals", "compartments")
        note = "" if compartments is None else f"{int(compartments):,} compartments"
        tiles.append(Tile("cores used", f"{used:,}", note))
    energy = tables.energy_range(result)
    if energy is not None:
        tiles.append(Tile("energy, estimated", energy[0], f"dynamic, per recording; {energy[1]}"))
    low, high = figure(result, "latency", "low"), figure(result, "latency", "high")
    if low is not None and high is not None:
        quality = str(mapping(result, "latency").get("quality", ""))
        tiles.append(Tile("time to the answer", f"{tables.span([low, high])} ms", f"per recording; {quality}"))
    saturations = tables.saturations(result)
    if saturations is not None:
        tiles.append(
            Tile("saturations", f"{saturations:,}", "clipped or wrapped values", "warn" if saturations else "")
        )
    return tuple(tiles)


def _sample(result: Mapping[str, Any], pictures: Mapping[str, str]) -> Section | None:
    raster = mapping(result, "raster")
    if not raster:
        return None
    label = part(raster, "label")
    classes = sequence(result, "data", "classes")
    name = classes[label] if isinstance(label, int) and 0 <= label < len(classes) else label
    title = "One recording" + (f", of class {name}" if name is not None else "")
    blocks = [Picture(key, pictures[key]) for key in ("recording", "raster") if key in pictures]
    return Section(title, tuple(blocks))


def _chip(result: Mapping[str, Any], pictures: Mapping[str, str]) -> Section | None:
    blocks: list[Block] = []
    if "chip" in pictures:
        blocks.append(Picture("chip", pictures["chip"]))
    blocks += tables.resources(result)
    return Section("On the chip", tuple(blocks)) if blocks else None
