"""The tasks of `hdf5`: hold a container of recordings open, and send its list, then each recording asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snnkit._isolated import messages
from snnkit._isolated.link import Link
from snnkit.data.files.hdf5 import RATIO, heaps_add_up
from snnkit.errors import DataError

_DAMAGE = (OSError, KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError)
_LATEST = 2.0**62


def spikes(asked: dict[str, Any], link: Link) -> None:
    """Layout of SHD: the keys, labels and speakers; then for k the times in µs and the units of recording k."""
    place, layout = asked["place"], asked["layout"]
    with _opened(asked) as file:
        with _checked(place, layout):
            times, units = file["spikes/times"], file["spikes/units"]
            labels = _whole(file["labels"], "iu")
            keys = _whole(file["extra/keys"], "SO").tolist() if "extra/keys" in file else []
            speakers = _whole(file["extra/speaker"], "iu") if "extra/speaker" in file else np.full(len(labels), -1)
            lengths = (*_shape(times), *_shape(units), len(labels), len(speakers))
            if len(labels) and labels.max() >= 1 << 31:
                raise ValueError(f"label {labels.max()}")
            names = [_text(k) for k in keys]
        if len(set(lengths)) != 1:
            raise DataError(
                f"{place}: {lengths[0]} times, {lengths[1]} units, {lengths[2]} labels, {lengths[3]} speakers",
                fix="copy or download the file again",
            )
        messages.send(link, names, [labels.astype(np.int64), speakers.astype(np.int64)])
        while (k := link.ask()) is not None:
            with _checked(f"{place} recording {k}", layout):
                t, unit = _times(times[k]), _channels(units[k])
            if t.shape != unit.shape:
                raise DataError(
                    f"{place}: recording {k} has {len(t)} times and {len(unit)} units",
                    fix="copy or download the file again",
                )
            messages.send(link, None, [t, unit])


def digits(asked: dict[str, Any], link: Link) -> None:
    """Layout of N-TIDIGITS18: the names of each part; then for (part, name) its times in µs and its channels."""
    place, layout = asked["place"], asked["layout"]
    with _opened(asked) as file:
        with _checked(place, layout):
            names = {p: [_text(k) for k in _whole(file[f"{p}_labels"], "SO").tolist()] for p in asked["parts"]}
        messages.send(link, names, [])
        while (one := link.ask()) is not None:
            part, name = one
            with _checked(f"{place} {name}", layout):
                t = _times(_whole(file[f"{part}_timestamps"][name], "iuf"))
                x = _channels(_whole(file[f"{part}_addresses"][name], "iuf"))
            messages.send(link, None, [t, x])


@contextlib.contextmanager
def _opened(asked: dict[str, Any]) -> Iterator[h5py.File]:
    with _checked(asked["place"], asked["layout"]):
        path = Path(asked["path"])
        if not heaps_add_up(path):
            raise ValueError("a heap of variable lengths does not add up")
        file = h5py.File(path, "r", locking=False)
    with file:
        yield file


@contextlib.contextmanager
def _checked(place: str, layout: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise damaged(place, layout, error) from error


def damaged(place: str, layout: str, error: Exception) -> DataError:
    """The error of a file that is not of its layout."""
    said = " ".join(str(error).split())
    return DataError(
        f"{place}: cannot be read as {layout} ({type(error).__name__}: {said})",
        fix="give the data set's own file; copy or download it again if it is damaged",
    )


def _shape(data: h5py.Dataset) -> tuple[int]:
    if len(data.shape) != 1:
        raise ValueError(f"{data.name} has shape {data.shape}")
    return (int(data.shape[0]),)


def _whole(data: h5py.Dataset, kinds: str) -> NDArray[Any]:
    """All values of a data set with one axis, after a look at what it claims to hold."""
    (n,), stored = _shape(data), int(data.id.get_storage_size())
    if n * data.dtype.itemsize > RATIO * stored + 4096:
        raise ValueError(f"{data.name} claims {n:,} values in {stored:,} stored bytes")
    return _numbers(data[()], kinds)


def _numbers(values: Any, kinds: str) -> NDArray[Any]:
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in kinds:
        raise ValueError(f"an array of shape {array.shape} and type {array.dtype}")
    return array


def _times(values: Any) -> NDArray[np.int64]:
    """Seconds → µs. float16 must not be multiplied as such: 65504 is the largest number."""
    with np.errstate(over="ignore", invalid="ignore"):
        us = _numbers(values, "iuf").astype(np.float64) * 1e6
        if not (np.abs(us) < _LATEST).all():
            raise ValueError("a time that no spike can have")
    return np.rint(us).astype(np.int64)


def _channels(values: Any) -> NDArray[np.int64]:
    channels = _numbers(values, "iuf")
    bad = channels[~((channels >= 0) & (channels < 1 << 31))]
    if len(bad):
        raise ValueError(f"a channel {bad[0]}")
    return channels.astype(np.int64)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
