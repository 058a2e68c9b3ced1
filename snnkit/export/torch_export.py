"""torch model → float graph: builds it from the traced model, collects every finding, chooses the read-out."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from snnkit.errors import FindingsError, UsageError
from snnkit.export.builder import Builder
from snnkit.export.tracer import trace
from snnkit.export.value import Value
from snnkit.graph.findings import Finding, has_errors
from snnkit.graph.model import Graph, Readout
from snnkit.graph.neurons import LI
from snnkit.passes import simplify


def to_graph(
    model: nn.Module,
    input_shape: Sequence[int] | Sequence[Sequence[int]],
    *,
    steps: int | None = None,
    dt_us: float | None = None,
    readout: str | None = None,
    max_count: int | Sequence[int | None] | None = 1,
    name: str = "model",
    input_names: Sequence[str] = (),
    strict: bool = True,
) -> tuple[Graph | None, list[Finding]]:
    """Turn a torch model in eval mode into a float graph on the model's timeline.

    Args:
        model: modules of `snnkit.nn` joined by Sequential, `+`, `torch.cat`, `flatten(2)`, branches, nested modules.
        input_shape: features [C, H, W] or [N] of the input, or one such shape per input; without T and B.
        steps: T of a sample. dt_us: length of a step in microseconds.
        readout: `count` or `first` for a firing last layer, `mean`, `max` or `last` for an LI; by default `count` or
            `last`.
        max_count: the largest input value per step; 1 means binary spikes, None real numbers, which no graph takes.
        name: of the graph, for messages and descriptors.
        input_names: one per input; by default those of the model's arguments.
        strict: raise FindingsError if any finding is an error; otherwise return them.

    Returns:
        The simplified graph (None if there are errors) and all findings.
    """
    shapes: list[tuple[int, ...]]
    shapes = [tuple(input_shape)] if isinstance(input_shape[0], int) else [tuple(s) for s in input_shape]  # type: ignore
    counts = [max_count] * len(shapes) if max_count is None or isinstance(max_count, int) else list(max_count)
    if input_names and len(input_names) != len(shapes):
        raise UsageError(f"{len(input_names)} input names for {len(shapes)} inputs", fix="give one per input")
    builder = Builder(model)
    fx_graph, found = trace(model)
    for finding in found:
        builder.report(finding)
    out = builder.walk(fx_graph, model, "", builder.feed(shapes, counts, input_names)) if fx_graph is not None else None
    wrong = out is None if not has_errors(builder.findings) else False
    if wrong or (out is not None and not (isinstance(out, Value) and out.votes is not None)):
        builder.error("OUTPUT_NOT_A_NEURON", "output", "the model must return one tensor, made by a neuron layer",
                      "end with snn.LIF (spike counts) or snn.LI (membrane read-out)")  # fmt: skip
    rule = None
    if isinstance(out, Value) and not has_errors(builder.findings):
        rule = _readout(builder, out.terms[0].source, readout, out.votes or 1)
    if has_errors(builder.findings) or rule is None:
        if strict:
            raise FindingsError(f"{name} cannot be exported", builder.findings)
        return None, builder.findings
    graph = Graph(
        name, tuple(builder.inputs), tuple(builder.populations), tuple(builder.connections), rule, steps, dt_us
    )
    graph.validate()
    return simplify(graph), builder.findings


def _readout(builder: Builder, source: str, rule: str | None, votes: int) -> Readout | None:
    population = next((p for p in builder.populations if p.name == source), None)
    if population is None:
        builder.error("OUTPUT_NOT_A_NEURON", "output", "the model returns its input", "end with snn.LIF or snn.LI")
        return None
    silent = isinstance(population.neuron, LI)
    rule = rule or ("last" if silent else "count")
    if (rule in ("count", "first")) == silent:
        builder.error(
            "READOUT",
            source,
            f"the read-out rule is {rule!r}, but the last layer is {'a non-firing LI' if silent else 'firing'}",
            "count and first need a firing last layer; mean, max and last need snn.LI",
        )
        return None
    if votes > 1 and rule != "count":
        builder.error("READOUT", source, f"the read-out rule is {rule!r}, but snn.Votes counts spikes",
                      "use a loss whose read-out is the count, or leave snn.Votes out")  # fmt: skip
        return None
    return Readout(source, rule, votes)  # type: ignore[arg-type]
