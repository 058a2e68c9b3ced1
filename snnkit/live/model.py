"""A trained run, step by step, with the states of its layers carried along. Needs torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from snnkit import nn as snn
from snnkit.errors import ShapeError
from snnkit.live.network import facts_of
from snnkit.live.warm import sizes
from snnkit.training.losses import scores
from snnkit.training.run import load_run

Array = np.ndarray[Any, Any]


class ModelNetwork:
    """See `network.Network`. Every step's row is known at once.

    With the rule "last" and a read-out that integrates (`snn.LI` with a decay a), a window of n rows that does not
    begin at rest is read as v − aⁿ·v₀, v₀ the membrane before it: what v would be if it had begun at rest there.
    """

    def __init__(self, path: Path, allow_code: Iterable[str] = ()) -> None:
        run = load_run(path, allow_code)
        self._model, self._rule = run.model, run.readout
        self.facts = facts_of(run.record.get("data"), run.path.name, "model", None, run.readout, f"{path}/run.json")
        width, height = self.facts.sensor_size
        self._shape = self.facts.frames.shape((2, height, width))
        self.most = 255
        self._states: dict[str, Any] | None = None
        last = [m for m in run.model.modules() if isinstance(m, snn.LI)]
        self._decay = last[-1].decay.detach().double().numpy() if last and self._rule == "last" else None

    def reset(self) -> None:
        """Back to rest."""
        self._states = None

    def feed(self, frames: Array) -> Array:
        """The rows [k, C] of these steps.

        Raises:
            ShapeError: the network's output is not [T, B, C].
        """
        x = torch.from_numpy(np.ascontiguousarray(frames, np.float32)).view(len(frames), 1, *self._shape)
        with torch.inference_mode():
            out, self._states = snn.run(self._model, x, self._states)
        if out.dim() != 3 or out.shape[:2] != x.shape[:2]:
            raise ShapeError(
                f"the network makes {tuple(out.shape)} of {len(frames)} steps, needed is [{len(frames)}, 1, classes]",
                fix="a network that runs on its own gives one row for every step",
            )
        rows: Array = out[:, 0].numpy()
        return rows

    def flush(self) -> Array:
        """Nothing is under way."""
        return np.zeros((0, 0), np.float32)

    def read(self, rows: Array, before: Array | None) -> Array:
        """Scores as `training.losses.scores` gives them."""
        found: Array = scores(torch.from_numpy(rows)[:, None], self._rule)[0].numpy()
        if before is not None and self._decay is not None:
            return found - self._decay ** len(rows) * before
        return found

    def counters(self) -> Mapping[str, int]:
        """Nothing is counted."""
        return {}

    def prepare(self, steps: int) -> None:
        """Silent steps; every size twice: the second call of a layer has a state."""
        self.reset()
        cells = int(np.prod(self._shape))
        for k in sizes(steps):
            rows = self.feed(np.zeros((k, cells), np.uint8))
            self.feed(np.zeros((k, cells), np.uint8))
        self.read(rows, None)
        self.reset()
