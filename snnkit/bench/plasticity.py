"""STDP on a dense layer: ours and the peers', the same rule on the same spikes and weights, in turns.

784 inputs that spike at 5 % → 400 LIF neurons (decay 0.9, reset to zero), 100 steps, 32 samples. The rule of every
row: all pairs, exponential traces of decay 0.95 per step on both sides, a pair of the same step counts both ways
(`same_step="both"`, which is what both peers do), rates 0.005 and 0.00525, the mean over the batch, hard bounds 0 … 1.
Two kinds of work:

- "STDP": the change of weights from given spikes, all steps and samples at once;
- "layer + STDP": synapse, neuron and learning, from the input to changed weights.

`batch` rows keep the weights over the sequence, `online` rows change them at every step. spikingjelly is of the first
kind, bindsnet of the second. Peers sum over the batch, so their rates are divided by its size. bindsnet learns inside
its time loop only; its "STDP" time is what a run takes longer with learning than without.

bindsnet (AGPL) is timed in an environment of its own: name its Python in `SNNKIT_BINDSNET_PYTHON`, and
`snnkit/bench/peers/bindsnet_stdp.py` runs there, its rounds in turn with the others.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from snnkit import nn as snn
from snnkit.errors import UsageError
from snnkit.kernels import reference_only
from snnkit.kernels.pairs import initial_traces, matrix
from snnkit.plasticity import STDP

SHAPE = (100, 32, 784, 400)
"""[T, B, N, N']."""
QUICK_SHAPE = (100, 8, 784, 400)
DECAY, DECAY_TRACE, A_PLUS, A_MINUS = 0.9, 0.95, 0.005, 0.00525
PYTHON = "SNNKIT_BINDSNET_PYTHON"

ALONE, WHOLE = "STDP", "layer + STDP"


class Work(NamedTuple):
    """Spikes x [T, B, N], weights w [N', N], and the threshold of the neurons."""

    x: Tensor
    w: Tensor
    threshold: float


class Outcome(NamedTuple):
    """Seconds of each kind of work; weights [N', N] after it; spikes [T, B, N'] where the contender tells."""

    seconds: dict[str, float]
    weights: Tensor
    spikes: Tensor | None = None


class Contender(NamedTuple):
    """One implementation."""

    name: str
    mode: str
    run: Callable[[Work], Outcome]
    settings: str = ""


def workload(shape: Sequence[int]) -> Work:
    """Random spikes and weights; the neurons' threshold gives some spikes in 100 steps."""
    steps, batch, inputs, outputs = shape
    rng = np.random.RandomState(0)
    x = (rng.rand(steps, batch, inputs) < 0.05).astype(np.float32)
    w = (rng.rand(outputs, inputs) * 0.1).astype(np.float32)
    return Work(torch.from_numpy(x), torch.from_numpy(w), round(16.0 * inputs / 784, 3))


def _pair(work: Work, mode: str) -> tuple[torch.nn.Sequential, STDP]:
    outputs, inputs = work.w.shape
    synapse, neuron = snn.Linear(inputs, outputs, bias=False), snn.LIF(decay=DECAY, threshold=work.threshold)
    with torch.no_grad():
        synapse.weight.copy_(work.w)
    return torch.nn.Sequential(synapse, neuron), STDP(
        synapse, neuron, a_plus=A_PLUS, a_minus=A_MINUS, decay_pre=DECAY_TRACE, decay_post=DECAY_TRACE,
        same_step="both", mode=mode,
    )  # fmt: skip


def _clock(job: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = job()
    return time.perf_counter() - start, result


def _ours(mode: str) -> Callable[[Work], Outcome]:
    def run(work: Work) -> Outcome:
        model, rule = _pair(work, mode)
        with torch.no_grad():
            seconds = {}
            if mode == "batch":
                spikes = model(work.x)
                seconds[ALONE], _ = _clock(lambda: rule.change(work.x, spikes))
            with snn.learning(model):
                seconds[WHOLE], spikes = _clock(lambda: model(work.x))
        return Outcome(seconds, rule.synapse.weight.detach(), spikes)

    return run


def _matrix(work: Work) -> Outcome:
    """What other devices run."""
    model, rule = _pair(work, "batch")
    with torch.no_grad():
        spikes = model(work.x)
        traces = initial_traces(work.x, spikes)
        seconds, (up, down, _) = _clock(lambda: matrix.sums(work.x, spikes, traces, rule.params))
        batch = work.x.shape[1]
        weights = (work.w + up * (A_PLUS / batch) - down * (A_MINUS / batch)).clamp(0, 1)
    return Outcome({ALONE: seconds}, weights, spikes)


def _loop(work: Work) -> Outcome:
    """The definition, in plain torch operations."""
    model, rule = _pair(work, "batch")
    with torch.no_grad(), reference_only(), snn.learning(model):
        seconds, spikes = _clock(lambda: model(work.x))
    return Outcome({WHOLE: seconds}, rule.synapse.weight.detach(), spikes)


def _spikingjelly(work: Work) -> Outcome:
    from spikingjelly.activation_based import layer, learning, neuron

    outputs, inputs = work.w.shape
    synapse = layer.Linear(inputs, outputs, bias=False, step_mode="m")
    node = neuron.LIFNode(
        tau=1 / (1 - DECAY), decay_input=False, v_threshold=work.threshold, v_reset=0.0, step_mode="m"
    )
    tau = 1 / (1 - DECAY_TRACE)
    learner = learning.STDPLearner(
        "m", synapse, node, tau_pre=tau, tau_post=tau, f_pre=lambda w: A_MINUS, f_post=lambda w: A_PLUS
    )
    with torch.no_grad():
        synapse.weight.copy_(work.w)
        forward, spikes = _clock(lambda: node(synapse(work.x)))
        alone, change = _clock(lambda: learner.step(on_grad=False))
        rest, _ = _clock(lambda: synapse.weight.add_(change, alpha=1 / work.x.shape[1]).clamp_(0, 1))
    return Outcome({ALONE: alone, WHOLE: forward + alone + rest}, synapse.weight.detach(), spikes)


@contextlib.contextmanager
def _bindsnet(work: Work, python: str) -> Iterator[Contender]:
    """A process of bindsnet's own environment that runs a round whenever it is asked to."""
    script = Path(__file__).with_name("peers") / "bindsnet_stdp.py"
    with tempfile.TemporaryDirectory() as folder:
        inputs, result = Path(folder) / "work.npz", Path(folder) / "weights.npy"
        np.savez(
            inputs, x=work.x.numpy(), w=work.w.numpy(), threads=torch.get_num_threads(), decay=DECAY,
            threshold=work.threshold, decay_trace=DECAY_TRACE, a_plus=A_PLUS, a_minus=A_MINUS,
        )  # fmt: skip
        try:
            process = subprocess.Popen(
                [python, str(script), str(inputs)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, text=True,
            )  # fmt: skip
        except OSError as error:
            raise UsageError(
                f"{PYTHON}={python!r} cannot be run: {error}", fix="name a Python that has bindsnet"
            ) from None

        def run(_: Work) -> Outcome:
            assert process.stdin is not None
            assert process.stdout is not None
            answer = ""
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(f"{result}\n")
                process.stdin.flush()
                answer = process.stdout.readline()
                while answer and not answer.startswith("{"):  # what the package says on import
                    answer = process.stdout.readline()
            if not answer:
                raise UsageError(
                    f"{PYTHON}={python!r} ends without a result",
                    fix=f"see what it says: {python} {script}",
                )
            said = json.loads(answer)
            alone = max(said["seconds"] - said["without_learning"], 0.0)
            return Outcome({ALONE: alone, WHOLE: said["seconds"]}, torch.from_numpy(np.load(result)))

        try:
            yield Contender("bindsnet", "online", run, "own environment; STDP: with learning less without")
        finally:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()


OURS = (
    Contender("snnkit", "batch", _ours("batch")),
    Contender("snnkit", "online", _ours("online")),
    Contender("snnkit matrix products", "batch", _matrix, "as on other devices"),
    Contender("snnkit eager loop", "batch", _loop),
)


def _rows(contender: Contender, found: list[Outcome], ours: dict[str, Outcome], best: dict[Any, float]) -> Any:
    """One row per kind of work; `found` are the contender's rounds."""
    first = found[0]
    reference = ours[contender.mode]
    steps = reference.spikes
    assert steps is not None
    for kind in first.seconds:
        times = [outcome.seconds[kind] for outcome in found]
        batch = steps.shape[1]
        mine = best.get((contender.mode, kind), best[("batch", kind)])
        yield {
            "work": f"{kind}, {contender.mode}",
            "impl": contender.name,
            "settings": contender.settings,
            "ms_min": round(min(times) * 1e3, 2),
            "ms_median": round(statistics.median(times) * 1e3, 2),
            "ms_per_sample": round(min(times) * 1e3 / batch, 4),
            "times_snnkit": round(min(times) / mine, 1),
            "differing_spikes": None if first.spikes is None else int((first.spikes != steps).sum()),
            "weight_difference": float((first.weights - reference.weights).abs().max()),
        }


def run(quick: bool = False, shape: Sequence[int] | None = None, rounds: int | None = None) -> list[dict[str, Any]]:
    """Measure STDP on a dense layer.

    Args:
        quick: fewer samples and rounds, under 50 s.
        shape: [T, B, N, N'] instead of (100, 32, 784, 400) or, quick, (100, 8, 784, 400).
        rounds: interleaved rounds; 5 where None.

    Returns:
        Rows with the keys work, impl, settings, ms_min and ms_median (of the whole batch), ms_per_sample,
        times_snnkit (the minimum, against ours at the same work; against ours per batch where ours has no such row),
        differing_spikes (None where a peer does not tell) and weight_difference (largest of a weight after learning),
        both against ours in the same mode.

    Raises:
        UsageError: the Python named by SNNKIT_BINDSNET_PYTHON does not run the peer.
    """
    shape = tuple(shape or (QUICK_SHAPE if quick else SHAPE))
    rounds = rounds or (2 if quick else 5)
    work = workload(shape)
    with contextlib.ExitStack() as stack:
        contenders = list(OURS)
        if importlib.util.find_spec("spikingjelly") is not None:
            contenders.append(Contender("spikingjelly", "batch", _spikingjelly))
        if python := os.environ.get(PYTHON):
            contenders.append(stack.enter_context(_bindsnet(work, python)))
        for contender in contenders:  # compiles and warms up
            contender.run(work)
        found: dict[int, list[Outcome]] = {k: [] for k in range(len(contenders))}
        for _ in range(rounds):
            for k, contender in enumerate(contenders):
                found[k].append(contender.run(work))
    ours = {"batch": found[0][0], "online": found[1][0]}
    best = {
        (contenders[k].mode, kind): min(outcome.seconds[kind] for outcome in found[k])
        for k in (0, 1)
        for kind in found[k][0].seconds
    }
    spikes = ours["batch"].spikes
    assert spikes is not None
    where = (
        f"{list(shape)} [T, B, N, N'] float32, {torch.get_num_threads()} threads, "
        f"input {float(work.x.mean()):.1%}, output {float(spikes.mean()):.1%}"
    )
    rows = [row for k, c in enumerate(contenders) for row in _rows(c, found[k], ours, best)]
    for row in rows:
        row["settings"] = where + (f"; {row['settings']}" if row["settings"] else "")
    return sorted(rows, key=lambda row: row["work"])
