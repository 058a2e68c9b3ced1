"""A network that is fed step by step and keeps its state: what the loop sees of a trained run or a descriptor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from snnkit.data.description import read_description
from snnkit.data.events import POLARITIES
from snnkit.data.frame_settings import FrameSettings
from snnkit.errors import UsageError, did_you_mean

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Facts:
    """What is known of a network before it runs.

    Attributes:
        name: for people; kind: "model" or "emulator"; target: the chip, if any.
        sensor_size: (width, height) of its sensor. classes: their names.
        frames: how events become its input. seed: of a random code.
        rule: its read-out: "count", "mean", "max", "last" or "first".
    """

    name: str
    kind: str
    target: str | None
    sensor_size: tuple[int, int]
    classes: tuple[str, ...]
    frames: FrameSettings
    seed: int
    rule: str

    @property
    def dt(self) -> Fraction | None:
        """Length of a frame in µs as in training; None where it differed from recording to recording."""
        f = self.frames
        return Fraction(f.window_us, f.T) if f.window_us is not None and f.by == "time" else None

    @property
    def rows(self) -> int:
        """Steps of the network for a frame: more than one where a code sends it."""
        return 1 if self.frames.encoding is None else self.frames.encoding.T

    def label(self, answer: int) -> str:
        """The name of a class."""
        return self.classes[answer] if answer < len(self.classes) else str(answer)


class Network(Protocol):
    """A network with its state. Rows are those of the layer that the answer is read from, [k, C], in order.

    `most`: the largest count that a cell may hold.
    """

    facts: Facts
    most: int

    def feed(self, frames: Array) -> Array:
        """The rows that are known after these steps [k, …]; a chip's layers are late, so there may be fewer."""
        ...

    def flush(self) -> Array:
        """The rows that are still under way, as at the end of a sample; then it must be reset."""
        ...

    def reset(self) -> None:
        """Back to rest."""
        ...

    def read(self, rows: Array, before: Array | None) -> Array:
        """Scores [C'] by the read-out rule over some rows [k, C]; `before`: the row before them, None at the start."""
        ...

    def counters(self) -> Mapping[str, int]:
        """What was counted so far."""
        ...

    def prepare(self, steps: int) -> None:
        """Silent calls of every size up to so many steps (`warm.sizes`); then it is at rest, nothing counted."""
        ...


def facts_of(data: Any, name: str, kind: str, target: str | None, rule: str, where: str) -> Facts:
    """Facts from the description of the training data.

    Raises:
        UsageError: the data were no events, or frames that cannot be made of events as they come.
    """
    known, frames = read_description(data, where)
    if known.get("channels", list(POLARITIES)) != list(POLARITIES):
        raise UsageError(
            f"the network was trained on {known.get('name')}, which are no recordings of an event sensor",
            fix="use `snnkit eval` or `snnkit emulate` on its data",
        )
    kind_of = known["frames"].get("representation")
    if kind_of not in (None, "binary", "counts"):
        raise UsageError(
            f"the network takes frames of the kind {kind_of!r}, which look at the whole recording",
            why="step by step a frame can only hold what happened in its step",
            fix="train with binary frames or counts",
        )
    width, height = known["sensor_size"]
    classes = known.get("classes")
    return Facts(
        name, kind, target, (width, height), tuple(str(c) for c in classes) if isinstance(classes, list) else (),
        frames, int(known["frames"].get("seed", 0)), rule,
    )  # fmt: skip


def open_network(
    path: str | Path, *, allow_code: Iterable[str] = (), whole_windows: bool = False, chip: int | None = None
) -> Network:
    """A descriptor NAME.snnx for the emulator (without torch), or the folder of a trained run.

    Args:
        path: the folder.
        allow_code: modules outside snnkit that a run may name.
        whole_windows: the network goes back to rest after every window. It allows targets that run whole samples only:
            they answer at its end.
        chip: of an analogue target: this virtual chip.

    Raises:
        UsageError: nothing is there, or nothing of the two; a network without a read-out or with several inputs.
        CheckpointError, DescriptorError: it is damaged.
    """
    path = Path(path)
    if not path.exists():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UsageError(
            f"{path} does not exist{did_you_mean(path.name, beside)}", fix="name a run folder or a descriptor NAME.snnx"
        )
    if path.name in ("manifest.json", "run.json"):
        path = path.parent
    if path.suffix == ".snnx" or (path / "manifest.json").is_file():
        from snnkit.live.emulated import EmulatedNetwork

        return EmulatedNetwork(path, whole_windows=whole_windows, chip=chip)
    if chip is not None:
        raise UsageError("--chip is for descriptors", fix="leave it out, or name a descriptor NAME.snnx")
    from snnkit.live.model import ModelNetwork

    return ModelNetwork(path, allow_code)
