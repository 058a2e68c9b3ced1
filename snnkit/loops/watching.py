"""A network watches a stream for hours: alarms, how late they are, and how many are false.

Every 0.32 s the network sees the last 1.28 s of the delta-coded stream (`snnkit.data.pulse.windows`) and gives scores
of "normal" and "anomaly"; the margin is m = z_anomaly − z_normal. The alarm rule: an alarm is raised when the smallest
of the last `hold` margins reaches `threshold`, and no other until `DEAD_S` after its cause has gone.

An alarm within an episode, or up to 1.28 s after it (its last window still sees it), detects it; the delay is the
alarm's time less the episode's first sample. Any other alarm is false. An episode without alarm is missed.
Rule and threshold are chosen on recordings of their own (`choose`), before the test recordings are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnkit.data.pulse.waveform import KINDS, RATE, Recording
from snnkit.data.pulse.windows import HOP, STEPS, code, starts
from snnkit.errors import ParameterError

if TYPE_CHECKING:
    import torch

    from snnkit.validation.pipeline import ChipGraph

Array = NDArray[Any]
Margins = Callable[[Array], Array]
"""From frames [T, B, 2, 1, 3] of windows to margins [B]."""
DEAD_S = 3.0
"""After the margin has fallen below the threshold, so long no further alarm is raised."""
BATCH = 500
HOLDS = (1, 2, 3)


@dataclass(frozen=True)
class Rule:
    """An alarm where the smallest of the last `hold` margins is at least `threshold`."""

    threshold: float
    hold: int = 1


@dataclass(frozen=True)
class Found:
    """What a watch found in some recordings together.

    delays: seconds from an episode's begin to its alarm, by kind, inf where it was missed; false: number of false
    alarms; hours: length of the recordings.
    """

    delays: dict[str, list[float]]
    false: int
    hours: float

    @property
    def all_delays(self) -> Array:
        """Delays of all kinds together."""
        return np.array([d for kind in KINDS for d in self.delays[kind]])

    def summary(self) -> dict[str, Any]:
        """Episodes, share detected, median and 90th percentile of the delay in s (missed ones count as never), false
        alarms per hour; and by kind."""
        d = self.all_delays
        return {
            "episodes": len(d),
            "hours": self.hours,
            "detected": float(np.isfinite(d).mean()) if len(d) else 1.0,
            "delay_median_s": quantile(d, 0.5),
            "delay_p90_s": quantile(d, 0.9),
            "false_alarms_per_hour": self.false / self.hours,
            "kinds": {
                k: {"episodes": len(v), "detected": float(np.isfinite(v).mean()), "delay_median_s": quantile(v, 0.5)}
                for k, v in self.delays.items()
                if v
            },
        }


def quantile(values: Sequence[float] | Array, q: float) -> float:
    """The smallest value that at least a share q of the values does not exceed; NaN of none."""
    v = np.sort(np.asarray(values, np.float64))
    return float(v[max(int(np.ceil(q * len(v))) - 1, 0)]) if len(v) else float("nan")


def margins(stream: Array, network: Margins) -> Array:
    """Margins [n] of all windows of a stream [T, 2, 1, 3], in order."""
    first = starts(len(stream))
    out = []
    for k in range(0, len(first), BATCH):
        rows = first[k : k + BATCH][None, :] + np.arange(STEPS)[:, None]
        out.append(np.asarray(network(stream[rows]), np.float64))
    return np.concatenate(out) if out else np.zeros(0)


def of_model(net: torch.nn.Module) -> Margins:
    """Margins by a torch network whose last membrane is read."""

    def network(frames: Array) -> Array:
        import torch

        with torch.inference_mode():
            z = net(torch.from_numpy(np.ascontiguousarray(frames, dtype=np.float32)))[-1].double().numpy()
        return z[:, 1] - z[:, 0]

    return network


def of_descriptor(path: str | Path) -> Margins:
    """Margins in the chip's integers, by the emulator, opened from a descriptor. Needs no torch."""
    from snnkit import emulator

    chip = emulator.open(path)
    port = chip.manifest.inputs[0].name

    def network(frames: Array) -> Array:
        steps, batch = frames.shape[:2]
        scores = chip.run({port: np.ascontiguousarray(frames.reshape(steps, batch, -1))}, probes=()).scores
        if scores is None or scores.shape[1] != 2:
            raise ParameterError("the descriptor does not tell two classes", fix="export a classifier trained on Pulse")
        return scores[:, 1] - scores[:, 0]

    return network


def of_graph(chip: ChipGraph) -> Margins:
    """Margins by the integer graph of `snnkit.validation.pipeline.to_chip`: slow, the emulator's second opinion."""

    def network(frames: Array) -> Array:
        trace = chip.run(frames.astype(np.uint8), record=("s", "v"))
        assert chip.graph.readout is not None
        v = trace.aligned("v")[chip.graph.readout.population][-1]
        return (v[:, 1] - v[:, 0]).astype(np.float64)

    return network


def alarms(margin: Array, rule: Rule) -> Array:
    """The samples [k] (ends of windows) at which a stream with margins [n] raises an alarm."""
    if rule.hold < 1:
        raise ParameterError(f"hold is {rule.hold}", fix="give at least 1")
    out, quiet_until, ringing = [], -1, False
    above, row = margin >= rule.threshold, 0
    for k, high in enumerate(above):
        row = row + 1 if high else 0
        now = k * HOP + STEPS
        if ringing and not high:
            ringing, quiet_until = False, now + round(DEAD_S * RATE)
        if row >= rule.hold and not ringing:
            ringing = True
            if now >= quiet_until:
                out.append(now)
    return np.array(out, np.int64)


def judge(found: Sequence[Array], recordings: Sequence[Recording]) -> Found:
    """Alarms of some recordings against the episodes in them."""
    delays: dict[str, list[float]] = {kind: [] for kind in KINDS}
    false = 0
    for raised, recording in zip(found, recordings):
        owned = np.zeros(len(raised), np.bool_)
        for episode in recording.episodes:
            mine = (raised >= episode.start) & (raised <= episode.stop + STEPS)
            owned |= mine
            delay = (raised[mine][0] - episode.start) / RATE if mine.any() else float("inf")
            delays[episode.kind].append(float(delay))
        false += int((~owned).sum())
    return Found(delays, false, sum(len(r.wave) for r in recordings) / RATE / 3600)


def choose(found: Sequence[Array], recordings: Sequence[Recording], most_false: float = 1.0) -> Rule:
    """The rule that detects most episodes of validation recordings, then with the smallest 90th percentile of delay,
    among those with at most `most_false` false alarms per hour; thresholds are quantiles of the margins found.

    Args:
        found: margins of each recording. recordings: the validation recordings.
        most_false: false alarms per hour that are allowed on them.
    """
    values = np.concatenate(found)
    levels = np.unique(np.quantile(values, np.concatenate([np.linspace(0.5, 0.98, 49), np.linspace(0.981, 1, 20)])))
    best: tuple[tuple[float, ...], Rule] | None = None
    for hold in HOLDS:
        for level in levels:
            rule = Rule(float(level), hold)
            seen = judge([alarms(m, rule) for m in found], recordings)
            if seen.false / seen.hours > most_false:
                continue
            d = seen.all_delays
            rank = (-float(np.isfinite(d).mean()), quantile(d, 0.9), seen.false, -level)
            if best is None or rank < best[0]:
                best = (rank, rule)
    return best[1] if best is not None else Rule(float(values.max()) + 1.0)


def streams(recordings: Sequence[Recording]) -> list[Array]:
    """The recordings, delta-coded."""
    return [code(r.wave) for r in recordings]
