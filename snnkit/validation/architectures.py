"""The reference architectures on the chips: which take them, and the first reason why not.

    for row in survey([find("vgg-small")], registry.resolve("all")):
        print(row.architecture.name, [(v.target, v.fits, v.reason) for v in row.verdicts])

Weights are random: what a chip refuses is a matter of the network's structure. A network of more synapses than `limit`
is not mapped; it is only tried whether a lean one of the same kinds of layers is refused whatever its size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from snnkit.graph.findings import Finding, errors
from snnkit.graph.model import Graph
from snnkit.models.catalog import Architecture
from snnkit.targets.base import Target
from snnkit.validation.pipeline import check_graph

LIMIT = 20_000_000
"""Synapses up to which a network is mapped: some seconds a chip; larger ones take minutes and gigabytes."""

WHATEVER_SIZE = frozenset(
    {
        "ATTENTION", "DECAY", "DELAY_RANGE", "GATE_NOT_BINARY", "LI_NOT_READOUT", "LI_READOUT", "MAXPOOL_NOT_BINARY",
        "NEURON", "REFRACTORY", "SUBTRACT_RESET",
    }
)  # fmt: skip
"""Findings about kinds of layers, which a lean network of the same layers has as well."""


@dataclass(frozen=True)
class Verdict:
    """One network on one chip.

    Attributes:
        fits: None where it was not found out. code, reason: the first one why not, or why unknown.
        stand_in: the network itself was not mapped: a lean one of the same kinds of layers was asked in its place, and
            a "no" is about a kind of layer. Whether the whole one would fit otherwise is not known.
    """

    target: str
    fits: bool | None
    code: str = ""
    reason: str = ""
    stand_in: bool = False


@dataclass(frozen=True)
class Row:
    """One architecture with what the chips say of it."""

    architecture: Architecture
    verdicts: tuple[Verdict, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        a = self.architecture
        return {
            "name": a.name,
            "class": f"snnkit.models.{a.model.__name__}",
            "settings": dict(a.settings),
            "input_shape": list(a.input_shape),
            "num_classes": a.num_classes,
            **a.sizes._asdict(),
            "stated_parameters": a.stated,
            "paper": a.paper,
            "chips": {v.target: {k: x for k, x in asdict(v).items() if k != "target"} for v in self.verdicts},
        }


def survey(architectures: Iterable[Architecture], targets: Sequence[Target], limit: int = LIMIT) -> Iterator[Row]:
    """Each architecture with every chip's verdict, one after another.

    Args:
        architectures: of `snnkit.models.CATALOG`. targets: the chips; none for the sizes alone.
        limit: the most synapses of a network that is mapped.
    """
    for architecture in architectures:
        yield Row(architecture, verdicts(architecture, targets, limit) if targets else ())


def verdicts(architecture: Architecture, targets: Sequence[Target], limit: int = LIMIT) -> tuple[Verdict, ...]:
    """Every chip's verdict on one architecture."""
    synapses = architecture.sizes.synapses
    whole = synapses <= limit
    graph, findings = _graph(architecture, whole)
    found: list[Verdict] = []
    for target in targets:
        said = errors(findings) if graph is None else errors(check_graph(graph, target))
        if not whole:
            said = [f for f in said if f.code in WHATEVER_SIZE]
        if said:
            found.append(Verdict(target.name, False, said[0].code, f"{said[0].where}: {said[0].what}", not whole))
        elif whole:
            found.append(Verdict(target.name, True))
        else:
            why = f"{synapses:,} synapses, mapped up to {limit:,}; its kinds of layers are no hindrance"
            found.append(Verdict(target.name, None, "NOT_MAPPED", why, True))
    return tuple(found)


def _graph(architecture: Architecture, whole: bool) -> tuple[Graph | None, list[Finding]]:
    """The float graph of the architecture, or of its lean one, with random weights."""
    from snnkit.export import to_graph  # needs torch's tracer

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net, shape = (architecture.build(), architecture.input_shape) if whole else architecture.build_lean()
    for module in net.modules():  # gains that start at 0 would leave synapses out
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm) and not bool(module.weight.any()):
            torch.nn.init.ones_(module.weight)
    return to_graph(net.eval(), shape, steps=10, name=architecture.name, strict=False)
