"""The loop: what an observer that knows would do, the PD law by hand, and a chip that steers like its model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from snnkit.data.follow_digit.eye import EyeSettings
from snnkit.data.follow_digit.windows import WINDOW_MS, cell_of, place_of
from snnkit.errors import ParameterError
from snnkit.loops import pictures
from snnkit.loops import tracking as t
from snnkit.models import ConvClassifier
from snnkit.validation.pipeline import to_chip, write_descriptor

WORLD = t.scenes("validation", 3, 0.6)


class Recorder:
    """Says (1, -0.5) always, and keeps the frames."""

    def __init__(self, says: tuple[float, float] = (1.0, -0.5)) -> None:
        self.says, self.frames = says, []

    def observe(self, frames: np.ndarray) -> np.ndarray:
        self.frames.append(frames)
        return np.tile(self.says, (frames.shape[1], 1))


def test_scenes_are_smooth_seeded_and_of_their_part() -> None:
    again, other, test = t.scenes("validation", 3, 0.6), t.scenes("validation", 3, 0.6, 1), t.scenes("test", 3, 0.6)
    assert np.array_equal(WORLD.path, again.path)
    assert not np.array_equal(WORLD.path, other.path)
    assert not np.array_equal(WORLD.images, test.images)
    assert np.abs(np.diff(WORLD.path, axis=0)).max() * 1000 < 150  # pixels per second
    assert np.abs(WORLD.path).max() <= 25
    assert WORLD.windows == 30
    with pytest.raises(ParameterError, match="a part of"):
        t.scenes("nowhere", 3)
    with pytest.raises(ParameterError, match=r"more than 0\.2 s"):
        t.scenes("test", 3, 0.1)


def test_the_gaze_moves_by_the_command_in_two_milliseconds() -> None:
    loop = t.follow(Recorder(), WORLD, t.Law(0.5, 0.0))
    move = np.diff(loop.gaze, axis=0)
    assert not move[:WINDOW_MS].any()  # the first command comes after the first window
    for k in range(1, WORLD.windows):
        window = move[k * WINDOW_MS : (k + 1) * WINDOW_MS]
        assert np.allclose(window[:2], [0.25, -0.125])
        assert not window[2:].any()


def test_the_speed_in_the_law_by_hand() -> None:
    loop = t.follow(Recorder((1.0, 0.0)), WORLD, t.Law(1.0, 1.0))
    # e is 1 at all times: v ← v + ½ (e − (e − u) − v), u ← 1 + v, within the largest speed
    command, v, want = 0.0, 0.0, []
    for k in range(WORLD.windows):
        want.append(command)
        v = np.clip(v + 0.5 * (command - v), -3, 3) if k else v
        command = 1 + v
    assert np.allclose(loop.gaze[WINDOW_MS::WINDOW_MS, 0, 0] - loop.gaze[0, 0, 0], np.cumsum(want))


def test_an_observer_that_knows_follows_and_the_distance_is_measured() -> None:
    class Knows:
        def __init__(self) -> None:
            self.gaze, self.k, self.u = None, 0, np.zeros((3, 2))

        def observe(self, frames: np.ndarray) -> np.ndarray:
            if self.gaze is None:
                self.gaze = t.follow(t.Still(), WORLD).gaze[0]
            self.k += 1
            self.gaze = self.gaze + self.u
            self.u = WORLD.path[self.k * WINDOW_MS] - self.gaze
            return self.u

    loop, still = t.follow(Knows(), WORLD), t.follow(t.Still(), WORLD)
    assert loop.rms < 1.6 < still.rms
    assert np.isclose(loop.rms, np.sqrt(((loop.digit - loop.gaze)[201:] ** 2).sum(-1).mean()))
    assert not still.seen.any()


def test_the_centroid_follows_and_tuning_takes_the_best() -> None:
    observers = {"small": t.Centroid(0, 0.1), "right": t.Centroid(0, 1.5)}
    key, law, error = t.tune(observers, WORLD, (t.Law(0.1, 0.0), t.Law(0.75, 0.0)))
    assert (key, law) == ("right", t.Law(0.75, 0.0))
    assert error == t.follow(t.Centroid(0, 1.5), WORLD, law).rms
    frames = np.zeros((10, 1, 2, 34, 34), np.uint8)
    frames[5, 0, 1, 10, 20] = 1
    assert np.allclose(t.Centroid(1, 2.0).observe(frames), [[7.0, -13.0]])
    assert np.allclose(t.Centroid(6).observe(frames), 0)


def test_a_chip_steers_like_its_model(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = ConvClassifier((2, 34, 34), 121, [2], 3, 4, 1, decay=1.0, dropout=0.0).eval()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_((p * 16).round() / 8)  # a chip's integers hold them exactly
        for m in net.modules():
            if hasattr(m, "running_var"):
                m.eps = 0.0
                m.weight.fill_(1.0)
    seen = Recorder()
    t.follow(seen, WORLD)
    samples = seen.frames[0]
    chip = to_chip(net, (2, 34, 34), "loihi", samples, steps=10, readout="last")
    write_descriptor(tmp_path / "eye.snnx", chip, "loihi", samples)
    short = t.Scenes(WORLD.images, WORLD.path[: 15 * WINDOW_MS + 1], WORLD.numbers)
    model, beside = t.Model(net), t.Beside(t.Emulated(tmp_path / "eye.snnx"), t.Model(net))
    a, b = t.follow(model, short, t.Law(0.5)), t.follow(beside, short, t.Law(0.5), keep=True)
    assert np.array_equal(a.gaze, b.gaze)
    assert beside.changed == 0.0
    assert len({int(k) for answer in model.answers for k in answer}) > 3  # the answers do depend on the input
    assert np.array_equal(place_of(cell_of(b.seen.reshape(-1, 2))), b.seen.reshape(-1, 2))
    pictures.save({"chip": b}, b, tmp_path / "way.png", tmp_path / "film.gif")
    assert (tmp_path / "way.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "film.gif").read_bytes()[:3] == b"GIF"
    with pytest.raises(ParameterError, match="no events"):
        pictures.film(a)


def test_more_noise_is_seen() -> None:
    counts = []
    for hz in (0, 20):
        recorder = Recorder()
        t.follow(recorder, WORLD, t.Law(), EyeSettings(noise_hz=hz))
        counts.append(sum(int(f.sum()) for f in recorder.frames))
    assert counts[1] > counts[0] + 1000
