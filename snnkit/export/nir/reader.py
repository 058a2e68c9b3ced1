"""`.nir` file → graph: our own files by their metadata, those of others by what they say and what the caller adds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from snnkit.errors import FindingsError, NirError, UsageError
from snnkit.export.nir import foreign, own
from snnkit.export.nir.dialects import dialect
from snnkit.export.nir.hdf5 import write_file
from snnkit.export.nir.isolated import read_file
from snnkit.export.nir.model import Net
from snnkit.export.nir.nodes import check, flat
from snnkit.export.nir.questions import Facts
from snnkit.export.nir.writer import to_net
from snnkit.graph.findings import Finding, has_errors
from snnkit.graph.model import Graph


def read(
    path: str | Path,
    *,
    dialect: str = "nir",
    dt: float | None = None,
    reset: Literal["zero", "subtract"] | None = None,
    loop_delay: int | None = None,
    readout: str | None = None,
    output: str | None = None,
    steps: int | None = None,
    max_count: int = 1,
    metadata: bool = True,
    strict: bool = True,
) -> tuple[Graph | None, list[Finding]]:
    """A `.nir` file as a float graph on the model's timeline; files of snnkit come back bit for bit as written.

    NIR: tau·dv/dt = v_leak − v + r·x; fires at v > v_threshold. Ours: v ← decay·v + x, fires at v ≥ threshold.
    decay = exp(−dt/tau) (or 1 − dt/tau, as the dialect says), the gain (1 − decay)·r goes into the threshold, and the
    next higher float32 stands for the strict test.

    Args:
        path: the file.
        dialect: whose file it is, see `DIALECTS`: how tau and r are meant. Files of snnkit say it themselves.
        dt: length of a step in seconds. reset: "zero" (v ← v_reset) or "subtract". loop_delay: steps of a loop without
            a Delay node. All three are left out by NIR and asked for where they are needed.
        readout: `count` (default) or `first` for a firing last layer, `last` (default), `mean` or `max` otherwise.
        output: which Output node to read where there are several.
        steps: T of a sample. max_count: largest input value in a step.
        metadata: use snnkit's metadata; False reads our files as those of others.
        strict: raise FindingsError if any finding is an error; otherwise return them and None.

    Raises:
        NirError: no such file format, damaged, unsafe, of another version, contradicting itself, or silent about what
            is needed (names the options to give).
        FindingsError: nodes that would lose their meaning, each by name with the reason.
        UsageError: an unknown dialect, or a fact that the file states otherwise.

    Source: NIR 1.0.8; Pedersen et al. 2024, doi:10.1038/s41467-024-52259-9.
    """
    path = Path(path)
    given = Facts(dt, reset, loop_delay, readout, output, steps, max_count)
    way = _dialect(dialect)
    document = read_file(path)
    try:
        plan = own.plan_of(document.net) if metadata else None
        findings = check(document.net)
        graph: Graph | None = None
        if not has_errors(findings):
            if plan is not None:
                graph = own.to_graph(document.net, plan)
                _agree(graph, plan, given, dialect)
                if graph.steps is None and steps is not None:
                    graph = graph.with_(steps=steps)
            else:
                graph, found = foreign.to_graph(flat(document.net), way, given, path.stem)
                findings += found
    except NirError as error:
        raise NirError(f"{path}: {error.what}", why=error.why, fix=error.fix) from error
    if graph is None and strict:
        raise FindingsError(f"{path} cannot be read", findings)
    return graph, findings


def _dialect(name: str) -> Any:
    return dialect(name)


def _agree(graph: Graph, plan: dict[str, Any], given: Facts, name: str) -> None:
    """Raise UsageError where the caller says otherwise than the file."""
    resets = {getattr(p.neuron, "reset", None) for p in graph.populations} - {None}
    said = {
        "dt": (given.dt, {plan["dt"], None if graph.dt_us is None else graph.dt_us * 1e-6}),
        "reset": (given.reset, resets),
        "dialect": (None if name == "nir" else name, {plan["dialect"]}),
        "readout": (given.readout, {None if graph.readout is None else graph.readout.rule}),
        "steps": (given.steps, {given.steps if graph.steps is None else graph.steps}),
    }
    for what, (value, known) in said.items():
        if value is not None and value not in known:
            stated = ", ".join(sorted(str(k) for k in known if k is not None)) or "none"
            raise UsageError(
                f"{what}={value!r}, but the file was written by snnkit with {stated}",
                fix=f"leave {what} out, or read the file without its metadata (--ignore-metadata)",
            )


def write(
    path: str | Path,
    graph: Graph,
    *,
    dialect: str = "nir",
    dt: float | None = None,
    provenance: dict[str, Any] | None = None,
) -> list[Finding]:
    """Write a graph as a `.nir` file that says to readers of `dialect` what the graph does; the same graph, same bytes.

    Args:
        graph: on either timeline, of real numbers or of a chip's integers.
        dialect: for whom; see `DIALECTS`.
        dt: length of a step in seconds; by default the graph's.
        provenance: plain values about where the network comes from, kept in the metadata.

    Returns:
        What a reader of this dialect will do otherwise, as findings: warnings change spikes, notes do not.

    Raises:
        FindingsError: a reader of this dialect cannot read such a network at all; nothing is written.
        NirError: the length of a step is not known, or the path does not end in .nir.
    """
    path = Path(path)
    if path.suffix != ".nir":
        raise NirError(f"{path} does not end in .nir", fix=f"{path.with_suffix('.nir')}")
    net, findings = encode(graph, dialect=dialect, dt=dt, provenance=provenance)
    if has_errors(findings):
        raise FindingsError(f"{graph.name} cannot be written for readers of the dialect {dialect}", findings)
    write_file(path, net)
    return findings


def encode(
    graph: Graph, *, dialect: str = "nir", dt: float | None = None, provenance: dict[str, Any] | None = None
) -> tuple[Net, list[Finding]]:
    """What `write` would write, and all findings, errors included; nothing touches the disk.

    Args:
        graph, dialect, dt, provenance: as in `write`.

    Raises:
        NirError: the length of a step is not known, or a synapse has no node and is too large for a matrix.
    """
    written = to_net(graph, _dialect(dialect), dt, provenance)
    return written.net, written.findings
