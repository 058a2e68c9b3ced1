"""The report's comparison of the three models: accuracies, changed predictions, differing spikes, first divergence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snnkit.validation.report_parts import (
    Block,
    Bullets,
    Cell,
    Picture,
    Section,
    Strong,
    Text,
    Tone,
    figure,
    in_order,
    layer_names,
    mapping,
    number,
    part,
    percent,
    sequence,
    small_share,
    table,
)

PAIRS = ("torch-graph", "graph-emulator", "torch-emulator")
TITLES = {"torch": "torch model", "graph": "integer graph", "emulator": "emulator"}


def accuracy(result: Mapping[str, Any], pictures: Mapping[str, str]) -> Section | None:
    if not mapping(result, "accuracy"):
        return None
    blocks: list[Block] = []
    if "accuracy" in pictures:
        blocks.append(Picture("accuracy", pictures["accuracy"]))
    else:
        rows = [
            [TITLES.get(k, k), percent(v)]
            for k in mapping(result, "accuracy")
            if (v := figure(result, "accuracy", k)) is not None
        ]
        blocks.append(table(["model", "accuracy"], rows, numbers=1))
    rows = []
    for pair, counts in in_order(mapping(result, "changed"), PAIRS).items():
        names = ("changed", "right_to_wrong", "wrong_to_right")
        rows.append([_pair(pair), *(number(part(counts, name)) for name in names)])
    if rows:
        blocks.append(table(["predictions", "changed", "right → wrong", "wrong → right"], rows, numbers=3))
    virtual = mapping(result, "virtual_chips")
    if virtual:
        blocks.append(Text.of("The emulator is the ideal chip; virtual chips have the mismatch of the specification."))
        shown = [percent(v) for k in ("mean", "worst", "best") if (v := figure(virtual, k)) is not None]
        spread = figure(virtual, "spread")
        points = "–" if spread is None else f"{100 * spread:.2f} points"
        blocks.append(table(["virtual chips", "mean", "worst", "best", "spread"],
                            [[number(part(virtual, "chips")), *shown, points]], numbers=4))  # fmt: skip
    return Section("Accuracy", tuple(blocks))


def _pair(pair: str) -> str:
    return " → ".join(TITLES.get(name, name) for name in str(pair).split("-"))


def spikes(result: Mapping[str, Any]) -> Section | None:
    pairs = in_order(mapping(result, "differing_spikes"), PAIRS)
    if not pairs:
        return None
    found = dict.fromkeys(str(layer) for pair in pairs for layer in mapping(pairs, pair, "layers"))
    layers = list(in_order(found, layer_names(result)))
    rows = []
    for pair, counts in pairs.items():
        total, of = figure(counts, "total"), figure(counts, "of")
        exact = pair == "graph-emulator"
        tone: Tone = "" if not exact or total is None else "good" if total == 0 else "bad"
        share = small_share(total / of) if total is not None and of else "–"
        rows.append([_pair(pair), Cell(number(part(counts, "total")), tone=tone), number(part(counts, "of")), share])
    blocks: list[Block] = [
        Text.of("Counted is every neuron in every step, aligned by each layer's lag."),
        table(["pair", "differing spikes", "of", "share"], rows, numbers=3),
    ]
    if layers:
        body = [[str(layer), *(number(part(pairs, pair, "layers", layer)) for pair in pairs)] for layer in layers]
        blocks.append(table(["layer", *(_pair(p) for p in pairs)], body, numbers=len(pairs)))
    items = tuple(
        _divergence(pair, first) for pair, first in in_order(mapping(result, "first_divergence"), PAIRS).items()
    )
    if items:
        blocks += [Text.of(Strong("First divergence")), Bullets(items)]
    return Section("Spike for spike", tuple(blocks))


def _divergence(pair: str, first: Any) -> Text:
    names = [TITLES.get(n, n) for n in str(pair).split("-")]
    if not isinstance(first, Mapping):
        return Text.of(f"{_pair(pair)}: none.")
    where = (
        f"recording {number(part(first, 'sample'))}, step {number(part(first, 'step'))}, "
        f"layer {part(first, 'layer')}, neuron {number(part(first, 'neuron'))}"
    )
    said = []
    for k, name in enumerate(names):
        did = _at(sequence(first, "spike"), k)
        words = "" if did is None else ("fires" if did else "is silent")
        levels = [
            f"{when} {level}"
            for when, key in (("before the step", "v_before"), ("after the step", "v"))
            if (level := _level(first, key, k))
        ]
        words += f" (v {', '.join(levels)})" if levels else ""
        said.append(f"the {name} {words}".rstrip())
    return Text.of(f"{_pair(pair)}: {where}: {'; '.join(said)}.")


def _level(first: Mapping[str, Any], key: str, k: int) -> str:
    """A membrane in its own unit and as a share of the threshold."""
    v, ratio = _at(sequence(first, key), k), _at(sequence(first, f"{key}_over_threshold"), k)
    if v is None:
        return ""
    return f"{v:,.6g}" + (f" = {100 * ratio:.4g} % of the threshold" if ratio is not None else "")


def _at(values: Any, k: int) -> Any:
    found = values[k] if k < len(values) else None
    return found if isinstance(found, (int, float)) else None
