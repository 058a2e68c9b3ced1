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
from snnkit.data.source import SPLITS, EventSource
from snnkit.data.splits import shrink_splits
from snnkit.data.store import EventStore, Recording
from snnkit.errors import DataError

VERSION = 1
"""Raised whenever the recordings that a seed gives change."""
_CHUNK = 32


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
) -> Iterator[Recording]:
    """Recordings of the given samples, in order; the result does not depend on the number of threads."""
    sensor = Sensor(SensorSettings(), seed)
    chunks = [samples[i : i + _CHUNK] for i in range(0, len(samples), _CHUNK)]
    workers = threads or max(1, min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2))
    done = 0
    with ThreadPoolExecutor(workers) as pool:
        pending = [pool.submit(sensor.record, images[c], c) for c in chunks]
        try:
            for chunk, future in zip(chunks, pending):
                for k, keys in zip(chunk, future.result()):
                    yield Recording(f"{k:04d}", int(labels[k]), *unpack(keys))
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
    ) -> None:
        super().__init__(cache_dir, progress)
        self.seed, self.subset = int(seed), subset

    def load(self) -> tuple[EventStore, dict[str, NDArray[np.int64]]]:
        committed = committed_splits()
        all_labels = np.array([int(c) for c in committed["labels"]], np.int64)
        splits: dict[str, NDArray[np.int64]] = {s: np.array(committed[s], np.int64) for s in SPLITS}
        if self.subset is not None:
            splits = shrink_splits(splits, [f"{i:04d}" for i in range(len(all_labels))], all_labels, self.subset)
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
