"""A saccading event sensor follows a moving digit; what it sees decides where it looks next.

The world is a plane in which a digit moves; the gaze is the point at which the sensor looks. Every 20 ms

1. the sensor makes a saccade of 2 ms by the command u and rests for 18 ms (`snnkit.data.follow_digit.windows`),
2. an observer says from the events of these 20 ms where the digit is now, e = digit − gaze, in pixels,
3. a PD law gives the next command: u ← kp · e + kd · v, with v the digit's way in one period, estimated from what has
   changed beyond the last saccade: v ← v + ½ (e − (e₋₁ − u₋₁) − v).

Observers are a torch model, the same network exported and run in the emulator from its descriptor, the centroid of the
events, and one that never moves. Each control step runs a fresh window: the network starts from rest. The chip's own
latency (its lag in ticks) is not simulated: the answer is there when the window ends.

The error is the distance of the gaze from the digit's centre at every millisecond, after the first 200 ms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from snnkit.data.draws import keyed_rng
from snnkit.data.follow_digit.eye import Eye, EyeSettings, to_position
from snnkit.data.follow_digit.windows import (
    MAX_SPEED,
    SACCADE_MS,
    WINDOW_MS,
    images_of,
    place_of,
    to_steps,
)
from snnkit.data.saccade_digits.motion import SENSOR
from snnkit.errors import ParameterError

if TYPE_CHECKING:
    import torch

Array = NDArray[Any]
SETTLE_MS = 200
"""The first part of a run, in which the eye finds the digit, does not count."""
_PATH, _START = 5, 6
_PARTS = {"train": 0, "validation": 1, "test": 2}


class Observer(Protocol):
    """What says where the digit is."""

    def observe(self, frames: Array) -> Array:
        """Displacements [B, 2] (x, y) in pixels, digit less gaze, from frames [10, B, 2, 34, 34] of a window."""
        ...


@dataclass(frozen=True)
class Law:
    """The PD law: u = kp · e + kd · v."""

    kp: float = 1.0
    kd: float = 0.0


@dataclass(frozen=True)
class Scenes:
    """Digits on their ways.

    images: [B, 8, 8]; path: [ms + 1, B, 2] pixels in the world; numbers: [B], which key the sensors' draws.
    """

    images: Array
    path: Array
    numbers: Array

    @property
    def windows(self) -> int:
        """Control steps."""
        return (len(self.path) - 1) // WINDOW_MS


@dataclass(frozen=True)
class Tracking:
    """What a loop did.

    gaze: [ms + 1, B, 2] pixels; seen: [windows, B, 2] what the observer said; digit: the scenes' path; frames: the
    events of the first scene, [windows, 2, 34, 34], counts, or None.
    """

    digit: Array
    gaze: Array
    seen: Array
    frames: Array | None = None

    @property
    def distance(self) -> Array:
        """Distance [ms, B] of the gaze from the digit, in pixels, after the first `SETTLE_MS`."""
        return np.linalg.norm(self.digit - self.gaze, axis=-1)[SETTLE_MS + 1 :]

    @property
    def rms(self) -> float:
        """Root mean square of the distance, over time and scenes."""
        return float(np.sqrt(np.square(self.distance).mean()))


def scenes(part: str, count: int, seconds: float = 4.0, seed: int = 0, reach: float = 25.0) -> Scenes:
    """Digits of one part of the data on smooth random ways: three sinusoids per axis, 0.1 to 0.9 Hz, seeded.

    Args:
        part: "train", "validation" or "test"; the digits are those of that part.
        count: how many scenes.
        seconds: length.
        seed: of the choice of digits and of the ways.
        reach: amplitude of the three sinusoids together, in pixels.

    Raises:
        ParameterError: an unknown part, no scene, or less than `SETTLE_MS`.
    """
    windows = round(seconds * 1000 / WINDOW_MS)
    if part not in _PARTS or count < 1 or windows * WINDOW_MS <= SETTLE_MS:
        raise ParameterError(
            f"scenes({part!r}, count={count}, seconds={seconds})",
            fix=f"a part of {', '.join(_PARTS)}, at least one scene, more than {SETTLE_MS / 1000} s",
        )
    images, splits = images_of()
    t = np.arange(windows * WINDOW_MS + 1)[:, None, None] / 1000
    which, path = [], []
    for k in range(count):
        rng = keyed_rng(seed, _PATH, _PARTS[part], k)
        which.append(int(splits[part][rng.integers(len(splits[part]))]))
        share = rng.dirichlet(np.ones(3), 2).T
        hertz, phase = rng.uniform(0.1, 0.9, (3, 2)), rng.uniform(0, 2 * np.pi, (3, 2))
        path.append((reach * share * np.sin(2 * np.pi * hertz * t + phase)).sum(1))
    numbers = 1_000_000 * (1 + _PARTS[part]) + np.arange(count)
    return Scenes(images[which], np.stack(path, 1), numbers)


def follow(
    observer: Observer,
    world: Scenes,
    law: Law = Law(),
    sensor: EyeSettings | None = None,
    seed: int = 0,
    keep: bool = False,
) -> Tracking:
    """Run the loop on all scenes at once; they do not affect each other.

    Args:
        observer: what says where the digit is. world: the scenes. law: from there to the command.
        sensor: what the simulated sensor is like. seed: of the sensor's pattern and noise.
        keep: keep the events of the first scene, for a picture.
    """
    count = len(world.images)
    # At the start the gaze misses the digit by up to 4 pixels along each axis.
    miss = np.stack([keyed_rng(seed, _START, 0, int(n)).uniform(-4, 4, 2) for n in world.numbers])
    gaze = world.path[0] - miss
    eye = Eye(world.images, world.numbers, to_position(world.path[0] - gaze), seed, sensor)
    command, speed, before = np.zeros((count, 2)), np.zeros((count, 2)), np.zeros((count, 2))
    gazes, seen, kept = [gaze], [], []
    for k in range(world.windows):
        way = world.path[k * WINDOW_MS : (k + 1) * WINDOW_MS + 1]
        jump = np.minimum(np.arange(1, WINDOW_MS + 1) / SACCADE_MS, 1)[:, None, None] * command
        at = gaze + jump
        events = to_steps(eye.look(to_position(way[1:] - at)))
        gaze = at[-1]
        gazes += list(at)
        error = np.clip(np.asarray(observer.observe(events), np.float64), -SENSOR / 2, SENSOR / 2)
        if k:
            speed = speed + 0.5 * (error - (before - command) - speed)
            speed = np.clip(speed, -MAX_SPEED * WINDOW_MS / 1000, MAX_SPEED * WINDOW_MS / 1000)
        before, command = error, law.kp * error + law.kd * speed
        seen.append(error)
        if keep:
            kept.append(events[:, 0].sum(0))
    return Tracking(world.path[: len(gazes)], np.stack(gazes), np.stack(seen), np.stack(kept) if keep else None)


class Still:
    """No control: the gaze stays where it is."""

    def observe(self, frames: Array) -> Array:
        """Zeros [B, 2]."""
        return np.zeros((frames.shape[1], 2))


class Centroid:
    """gain · the centroid of the events, relative to the sensor's centre; 0 where there are none.

    Args:
        first: the step of a window from which on events count; those before, of the saccade, are smeared.
        gain: events at the edge of the sensor are lost, so the centroid moves less than the digit.
    """

    def __init__(self, first: int = 1, gain: float = 1.0) -> None:
        self.first, self.gain = first, gain

    def observe(self, frames: Array) -> Array:
        """Displacements [B, 2]."""
        n = frames[self.first :].sum((0, 2), dtype=np.float64)
        at = np.arange(SENSOR) - (SENSOR - 1) / 2
        total = np.maximum(n.sum((1, 2)), 1)
        return self.gain * np.stack([(n.sum(1) * at).sum(1) / total, (n.sum(2) * at).sum(1) / total], 1)


class Model:
    """A torch network trained on `FollowDigit`; keeps its answers.

    Args:
        net: [T, B, 2, 34, 34] → [T, B, 121], in evaluation mode.
        readout: how its output is read, such as `run.readout`.
    """

    def __init__(self, net: torch.nn.Module, readout: str = "last") -> None:
        self.net, self.readout = net, readout
        self.answers: list[Array] = []

    def observe(self, frames: Array) -> Array:
        """Displacements [B, 2]: the place of the cell answered."""
        import torch

        from snnkit.training.losses import scores
        from snnkit.training.metrics import predict

        with torch.inference_mode():
            out = self.net(torch.from_numpy(np.ascontiguousarray(frames, dtype=np.float32)))
            answer = predict(scores(out, self.readout)).numpy()  # type: ignore[arg-type]
        self.answers.append(answer)
        return place_of(answer)


class Emulated:
    """The network in the emulator, opened from its descriptor; keeps its answers. Needs no torch.

    Args:
        path: the descriptor.
    """

    def __init__(self, path: str | Path) -> None:
        from snnkit import emulator

        self.chip = emulator.open(path)
        self.port = self.chip.manifest.inputs[0].name
        self.answers: list[Array] = []

    def observe(self, frames: Array) -> Array:
        """Displacements [B, 2]: the place of the cell answered."""
        steps, batch = frames.shape[:2]
        answer = self.chip.run({self.port: frames.reshape(steps, batch, -1)}, probes=()).answer
        if answer is None:
            raise ParameterError("the descriptor has no read-out", fix="export a classifier trained on FollowDigit")
        self.answers.append(answer)
        return place_of(answer)


class Beside:
    """Lets one observer steer and asks another about the same windows.

    Args:
        steering: whose answers are returned. asked: whose are compared; both keep `answers`.
    """

    def __init__(self, steering: Emulated | Model, asked: Emulated | Model) -> None:
        self.steering, self.asked = steering, asked

    def observe(self, frames: Array) -> Array:
        """Displacements [B, 2] of the one that steers."""
        self.asked.observe(frames)
        return self.steering.observe(frames)

    @property
    def changed(self) -> float:
        """Share of the answers in which the two differ."""
        pairs = zip(self.steering.answers, self.asked.answers)
        return float(np.mean([np.asarray(a) != np.asarray(b) for a, b in pairs]))


def tune(observers: Mapping[Any, Observer], world: Scenes, laws: Sequence[Law]) -> tuple[Any, Law, float]:
    """The observer's key and the law with the smallest RMS error on `world`, and that error; the first of equals.

    Args:
        observers: by any key. world: scenes to try them on, not those that are measured. laws: to try with each.
    """
    found = [(follow(o, world, law).rms, k, j) for k, o in enumerate(observers.values()) for j, law in enumerate(laws)]
    error, k, j = min(found)
    return list(observers)[k], laws[j], error


GRID = tuple(Law(kp, kd) for kp in (0.5, 0.75, 1.0) for kd in (0.0, 0.5, 1.0))
"""The laws that are tried on validation scenes."""
