"""Our NIR files in the hands of others: which networks other readers take, and how many spikes then differ.

Each network is written in the reader's dialect; where that dialect refuses it, in the plain one, to see what becomes of
it. The reader runs it on a random input, and its output spikes are compared with those of the graph. All weights,
decays and thresholds of the `dyadic` networks are multiples of powers of two, so that sums are exact in any order and
every differing spike has a reason; `random weights` shows rounding.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from snnkit.errors import FindingsError, MissingPackageError
from snnkit.export import nir
from snnkit.graph.model import Array, Connection, Graph, Input, Population, Readout
from snnkit.graph.neurons import LIF, CubaLIF
from snnkit.graph.run import run as run_graph
from snnkit.graph.synapses import Conv, Dense

STEPS, BATCH, RATE = 40, 8, 0.4
DT = 1e-3
PEERS = ("nir", "snntorch", "norse")
COLUMNS = ("network", "reader", "dialect", "read", "differing spikes", "cause")


# ------------------------------------------------------------------------------------------------------------ networks
def _dyadic(rng: np.random.Generator, shape: tuple[int, ...], low: int = -4, high: int = 8) -> Array:
    return rng.integers(low, high, shape) / 8


def _lif(n: int, decay: float = 0.5, reset: Any = "zero") -> LIF:
    return LIF(np.full(n, decay, np.float32), np.ones(n, np.float32), reset)


def convolutional(reset: Any = "zero") -> Graph:
    """Two convolutions, biases, and a dense layer: [2, 8, 8] -> [4, 8, 8] -> [6, 4, 4] -> [5]."""
    rng = np.random.default_rng(1)
    first = Conv(_dyadic(rng, (4, 2, 3, 3), -3, 5), (2, 8, 8), padding=(1, 1, 1, 1))
    second = Conv(_dyadic(rng, (6, 4, 3, 3), -3, 4), (4, 8, 8), (2, 2), (1, 1, 1, 1))
    bias = np.repeat(_dyadic(rng, (4,), -2, 3), 64).astype(np.float32)
    populations = (
        Population("conv1", (4, 8, 8), _lif(256, reset=reset), bias),
        Population("conv2", (6, 4, 4), _lif(96, 0.75, reset)),
        Population("out", (5,), _lif(5, 0.5, reset)),
    )
    wires = (
        Connection("in->conv1", "in", "conv1", first),
        Connection("conv1->conv2", "conv1", "conv2", second),
        Connection("conv2->out", "conv2", "out", Dense(_dyadic(rng, (5, 96), -3, 4))),
    )
    return Graph("conv", (Input("in", (2, 8, 8)),), populations, wires, Readout("out", "count"), STEPS, DT * 1e6)


def recurrent() -> Graph:
    """A CubaLIF layer that hears itself one step later: 12 -> 20 (recurrent) -> 6."""
    rng = np.random.default_rng(2)
    half, slow, one = (np.full(20, v, np.float32) for v in (0.5, 0.75, 2.0))
    populations = (Population("hidden", (20,), CubaLIF(half, slow, one)), Population("out", (6,), _lif(6, 0.75)))
    wires = (
        Connection("in->hidden", "in", "hidden", Dense(_dyadic(rng, (20, 12)))),
        Connection("hidden->hidden", "hidden", "hidden", Dense(_dyadic(rng, (20, 20), -4, 4)), 1),
        Connection("hidden->out", "hidden", "out", Dense(_dyadic(rng, (6, 20)))),
    )
    return Graph("recurrent", (Input("in", (12,)),), populations, wires, Readout("out", "count"), STEPS, DT * 1e6)


def delayed() -> Graph:
    """Spikes that take 0 to 3 steps: 12 -> 16 (2 steps) -> 6, with a shortcut of 3 steps."""
    rng = np.random.default_rng(3)
    populations = (Population("hidden", (16,), _lif(16)), Population("out", (6,), _lif(6, 0.75)))
    wires = (
        Connection("in->hidden", "in", "hidden", Dense(_dyadic(rng, (16, 12))), 2),
        Connection("hidden->out", "hidden", "out", Dense(_dyadic(rng, (6, 16)))),
        Connection("in->out", "in", "out", Dense(_dyadic(rng, (6, 12))), 3),
    )
    return Graph("delay", (Input("in", (12,)),), populations, wires, Readout("out", "count"), STEPS, DT * 1e6)


def inexact() -> Graph:
    """The recurrent network with random weights and decays: nothing is exact in float32."""
    rng = np.random.default_rng(4)
    graph = recurrent()
    syn, mem = (rng.uniform(0.3, 0.95, 20).astype(np.float32) for _ in range(2))
    hidden = CubaLIF(syn, mem, np.full(20, 2, np.float32))
    populations = (Population("hidden", (20,), hidden), Population("out", (6,), _lif(6, 0.8)))
    wires = []
    for c in graph.connections:
        assert isinstance(c.synapse, Dense)
        weight = np.asarray(rng.normal(0.2, 0.4, c.synapse.weight.shape) * (0.3 if c.src == c.dst else 1))
        wires.append(Connection(c.name, c.src, c.dst, Dense(weight.astype(np.float32).astype(np.float64)), c.delay))
    return graph.with_(name="inexact", populations=populations, connections=tuple(wires))


NETWORKS: dict[str, Callable[[], Graph]] = {
    "convolutional LIF, dyadic": convolutional,
    "the same, reset by subtraction": lambda: convolutional("subtract"),
    "recurrent CubaLIF, dyadic": recurrent,
    "the same, random weights and decays": inexact,
    "delays of 2 and 3 steps, dyadic": delayed,
}


# ------------------------------------------------------------------------------------------------------------- readers
def _step_by_step(module: Any, x: Array) -> Array:
    """A module of nirtorch, which takes one step and its state, over x [T, B, …]."""
    import torch

    state, out = None, []
    with torch.no_grad():
        for x_t in torch.from_numpy(x.astype(np.float32)):
            y, state = module(x_t, state)
            out.append(y.numpy())
    return np.stack(out)


def _by_nir(path: Path, x: Array, graph: Graph) -> Array:
    """Read by nir with its type check, written by it, and read by us as a file of others."""
    import nir as package

    again = path.with_name("again.nir")
    package.write(str(again), package.read(str(path)))
    reset = graph.populations[-1].neuron.reset  # type: ignore[union-attr]
    read, _ = nir.read(again, metadata=False, dt=DT, reset=reset)
    assert read is not None
    assert read.readout is not None
    return run_graph(read, {read.inputs[0].name: x}).spikes[read.readout.population]


def _by_snntorch(path: Path, x: Array, graph: Graph) -> Array:
    import nir as package
    from snntorch.import_nir import import_from_nir

    return _step_by_step(import_from_nir(package.read(str(path))), x)


def _by_norse(path: Path, x: Array, graph: Graph) -> Array:
    import nir as package
    import norse.torch
    from norse.torch.functional import reset

    subtract = graph.populations[-1].neuron.reset == "subtract"  # type: ignore[union-attr]
    method = reset.reset_subtract if subtract else reset.reset_value
    return _step_by_step(norse.torch.from_nir(package.read(str(path)), reset_method=method, dt=DT), x)


READERS: dict[str, Callable[[Path, Array, Graph], Array]] = {
    "nir": _by_nir,
    "snntorch": _by_snntorch,
    "norse": _by_norse,
}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Readers print and warn about what is measured here."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


# ------------------------------------------------------------------------------------------------------------- measure
def missing() -> list[str]:
    """Readers that are not installed."""
    return [p for p in PEERS if importlib.util.find_spec(p) is None]


def run(quick: bool = False) -> list[dict[str, Any]]:
    """One row per network and installed reader; `quick` changes nothing, it takes seconds."""
    absent = missing()
    if "nir" in absent:
        raise MissingPackageError("the package nir is not installed", fix="pip install nir snntorch norse")
    readers = [r for r in READERS if r not in absent]
    return [measure(name, make(), reader) for name, make in NETWORKS.items() for reader in readers]


def measure(name: str, graph: Graph, reader: str) -> dict[str, Any]:
    """Write a network for a reader, let it read and run the file, and count its spikes that differ from the graph's."""
    rng = np.random.default_rng(0)
    x = (rng.random((STEPS, BATCH, *graph.inputs[0].shape)) < RATE).astype(np.uint8)
    assert graph.readout is not None
    want = run_graph(graph, {graph.inputs[0].name: x}).spikes[graph.readout.population]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.nir"
        used, cause = reader, ""
        try:
            said = [f for f in nir.write(path, graph, dialect=reader) if f.severity == "warning"]
            cause = "; ".join(dict.fromkeys(f.what for f in said))
        except FindingsError as error:
            used = "nir"
            cause = "; ".join(dict.fromkeys(str(f.what) for f in error.findings if f.severity == "error"))  # type: ignore[attr-defined]
            nir.write(path, graph)
        try:
            with _quiet():
                got = READERS[reader](path, x, graph).reshape(want.shape)
        except Exception as error:
            failed = type(error).__name__
            return _row(name, reader, used, "no", "", f"{cause} ({failed})" if cause else failed)
    different = int((got != want).sum())
    share = (
        f"{different} of {want.size:,} ({100 * different / want.size:.1f} %)" if different else f"0 of {want.size:,}"
    )
    return _row(name, reader, used, "yes", share, cause)


def _row(*cells: str) -> dict[str, Any]:
    row: dict[str, Any] = dict(zip(COLUMNS, cells))
    row["reader"] = f"{row['reader']} {version(row['reader'])}"
    return row


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows in Markdown, as the README shows them."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "| " + " | ".join("---" for _ in COLUMNS) + " |"]
    lines += ["| " + " | ".join(str(row[c]).replace("|", "/") for c in COLUMNS) + " |" for row in rows]
    return "\n".join(lines) + "\n"
