"""The reference architectures on the chips: which take them, and the first reason why not.

    for row in survey([find("vgg-small")], registry.resolve("all")):
        print(row.architecture.name, [(v.target, v.fits, v.reason) for v in row.verdicts])

Weights are random: what a chip refuses is a matter of the network's structure. Chips that count synapses from the
layers' geometry (`Capabilities.counted`) answer for networks of any size; others map them, up to `limit` synapses, and
of larger ones only say what they refuse without mapping.
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
"""Synapses up to which a network is mapped on a chip that does not count: some seconds; larger ones take gigabytes."""


@dataclass(frozen=True)
class Verdict:
    """One network on one chip.

    Attributes:
        fits: None where it was not found out. code, reason: the first one why not, or why unknown.
    """

    target: str
    fits: bool | None
    code: str = ""
    reason: str = ""


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
        limit: the most synapses of a network that is mapped on a chip that does not count.
    """
    for architecture in architectures:
        yield Row(architecture, verdicts(architecture, targets, limit) if targets else ())


def verdicts(architecture: Architecture, targets: Sequence[Target], limit: int = LIMIT) -> tuple[Verdict, ...]:
    """Every chip's verdict on one architecture."""
    graph, findings = _graph(architecture)
    found: list[Verdict] = []
    for target in targets:
        whole = target.capabilities.counted or architecture.sizes.synapses <= limit
        said = errors(findings if graph is None else check_graph(graph, target, resources=whole))
        if said:
            found.append(Verdict(target.name, False, said[0].code, f"{said[0].where}: {said[0].what}"))
        elif whole:
            found.append(Verdict(target.name, True))
        else:
            why = f"{architecture.sizes.synapses:,} synapses, mapped up to {limit:,}; nothing else is a hindrance"
            found.append(Verdict(target.name, None, "NOT_MAPPED", why))
    return tuple(found)


def _graph(architecture: Architecture) -> tuple[Graph | None, list[Finding]]:
    """The float graph of the architecture with random weights."""
    from snnkit.export import to_graph  # needs torch's tracer

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = architecture.build()
    for module in net.modules():  # gains that start at 0 would leave synapses out
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm) and not bool(module.weight.any()):
            torch.nn.init.ones_(module.weight)
    return to_graph(net.eval(), architecture.input_shape, steps=10, name=architecture.name, strict=False)
