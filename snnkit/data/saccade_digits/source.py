"""SaccadeDigits as an event source: simulated once, kept in the cache, divided by indices in the package."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.data.cache import cached_store
from snnkit.data.progress import Progress, no_progress, progress_bar
from snnkit.data.saccade_digits.motion import DURATION_MS, SENSOR
from snnkit.data.saccade_digits.sensor import Sensor, SensorSettings, unpack
from snnkit.data.saccade_digits.variety import GROUP, varied_settings
from snnkit.data.source import SPLITS, EventSource
from snnkit.data.splits import draw_order, shrink_splits
from snnkit.data.store import EventStore, Recording
from snnkit.errors import DataError, ParameterError

VERSION = 1
"""Raised whenever the recordings that a seed gives change."""


def committed_splits() -> dict[str, Any]:
    """The splits file of the package: indices per split, the classes of all images, the digest of the images."""
    return json.loads(resources.files(__package__).joinpath("splits.json").read_text("utf-8"))


def load_images(expected_sha256: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """scikit-learn's digits: images [1797, 8, 8], 0..16, and classes [1797].

    Source: "Optical Recognition of Handwritten Digits", UCI, doi:10.24432/C50P49; the part that scikit-learn ships.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    images, labels = digits.images.astype(np.uint8), digits.target.astype(np.uint8)
    found = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    if found != expected_sha256:
        raise DataError(
            f"scikit-learn's digits have digest {found[:16]}…, expected {expected_sha256[:16]}…",
            why="the images that SaccadeDigits is made of are not the ones it was defined with",
            fix="reinstall scikit-learn",
        )
    return images, labels


def simulate(
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    samples: NDArray[np.int64],
    seed: int,
    report: Progress = no_progress,
    threads: int | None = None,
    varied: bool = False,
) -> Iterator[Recording]:
    """Recordings of the given samples, in order; the result does not depend on the number of threads.

    Args:
        images, labels: all images and their classes. samples: which of them.
        seed: of the sensor. report: told how many are done. threads: None for one a core.
        varied: another sensor and scene for every `GROUP` recordings, by their place among the samples.
    """
    chunks = [np.arange(i, min(i + GROUP, len(samples))) for i in range(0, len(samples), GROUP)]
    one = None if varied else Sensor(SensorSettings(), seed)

    def record(chunk: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        if one is not None:
            return one.record(images[samples[chunk]], samples[chunk])
        group = int(chunk[0]) // GROUP
        settings, scene = varied_settings(seed, group)
        return Sensor(settings, seed, scene, group + 1).record(images[samples[chunk]], chunk)

    workers = threads or max(1, min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2))
    done = 0
    with ThreadPoolExecutor(workers) as pool:
        pending = [pool.submit(record, c) for c in chunks]
        try:
            for chunk, future in zip(chunks, pending):
                for i, keys in zip(chunk, future.result()):
                    k = samples[i]
                    yield Recording(f"{k:04d}" if one else f"{k:04d}-{i}", int(labels[k]), *unpack(keys))
                done += len(chunk)
                report(done, len(samples))
        finally:
            for future in pending:
                future.cancel()


class SaccadeDigitsSource(EventSource):
    """SIMULATED event recordings: scikit-learn's 1797 digits moved along N-MNIST's saccades before a modelled sensor.

    See `snnkit.data.saccade_digits.motion` and `.sensor` for the model and its sources.

    Args:
        seed: seed of the sensor's fixed pattern, of the pixels' starting points and of the noise; not of the splits.
        subset: use only this many training recordings (stratified), with validation and test in proportion.
        varied: this many training recordings, of the training digits again and again, under sensors and scenes that
            differ and resemble N-MNIST's (`snnkit.data.saccade_digits.variety`); None: each digit once, one sensor.
    """

    name = "saccade-digits"
    sensor_size = (SENSOR, SENSOR)
    classes = tuple("0123456789")
    window_us = DURATION_MS * 1000

    def __init__(
        self,
        seed: int = 0,
        subset: int | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        progress: bool = True,
        varied: int | None = None,
    ) -> None:
        super().__init__(cache_dir, progress)
        if varied is not None and varied < 1:
            raise ParameterError(f"varied is {varied}", fix="give the number of training recordings, or null")
        self.seed, self.subset, self.varied = int(seed), subset, varied

    def load(self) -> tuple[EventStore, dict[str, NDArray[np.int64]]]:
        committed = committed_splits()
        all_labels = np.array([int(c) for c in committed["labels"]], np.int64)
        splits: dict[str, NDArray[np.int64]] = {s: np.array(committed[s], np.int64) for s in SPLITS}
        if self.subset is not None:
            splits = shrink_splits(splits, [f"{i:04d}" for i in range(len(all_labels))], all_labels, self.subset)
        if self.varied is not None:
            return self._load_varied(committed, splits)
        samples = np.sort(np.concatenate([splits[s] for s in SPLITS]))
        settings = {
            "version": VERSION,
            "seed": self.seed,
            "images": committed["images_sha256"],
            "sensor": asdict(SensorSettings()),
            "samples": "all" if self.subset is None else samples.tolist(),
        }
        with progress_bar("simulating SaccadeDigits recordings", self.progress) as report:

            def recordings() -> Iterator[Recording]:
                images, labels = load_images(committed["images_sha256"])
                return simulate(images, labels, samples, self.seed, report)

            store = cached_store(self.name, settings, self.sensor_size, recordings, self.cache_dir)
        return store, {s: np.searchsorted(samples, splits[s]) for s in SPLITS}

    def _load_varied(
        self, committed: dict[str, Any], splits: dict[str, NDArray[np.int64]]
    ) -> tuple[EventStore, dict[str, NDArray[np.int64]]]:
        assert self.varied is not None
        train = splits["train"]
        # A fixed order for every pass over the digits, so that a group holds all classes.
        passes = [train[draw_order([str(i) for i in train], k)] for k in range(-(-self.varied // len(train)))]
        parts = {**splits, "train": np.concatenate(passes)[: self.varied]}
        samples = np.concatenate([parts[s] for s in SPLITS])
        ends = np.cumsum([0, *(len(parts[s]) for s in SPLITS)])
        settings = {
            "version": VERSION,
            "seed": self.seed,
            "images": committed["images_sha256"],
            "sensors": [[asdict(s) for s in varied_settings(self.seed, g)] for g in range(-(-len(samples) // GROUP))],
            "samples": samples.tolist(),
        }
        with progress_bar("simulating varied SaccadeDigits recordings", self.progress) as report:

            def recordings() -> Iterator[Recording]:
                images, labels = load_images(committed["images_sha256"])
                return simulate(images, labels, samples, self.seed, report, varied=True)

            store = cached_store(self.name, settings, self.sensor_size, recordings, self.cache_dir)
        return store, {s: np.arange(a, b) for s, a, b in zip(SPLITS, ends, ends[1:])}
