"""Containers of many recordings in one HDF5 file, held open in a process of its own: a damaged one may crash libhdf5.

Layout of the Heidelberg spiking data sets: `spikes/times[i]` are the times of recording i in seconds, `spikes/units[i]`
its channels, `labels[i]` its class; `extra/keys` names the classes, `extra/speaker` the speaker. Source: Cramer et al.
2020, doi:10.1109/TNNLS.2020.3044364. Layout of N-TIDIGITS18: see `ntidigits`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit._isolated import messages
from snnkit._isolated.client import BrokenError, Session
from snnkit.errors import DataError

MOST = 2**31
"""Most bytes of one recording, or of the list of them."""

Spikes = tuple[NDArray[np.int64], NDArray[np.int64]]


class _Container:
    """A file that a task holds open; close it, or use it with `with`."""

    def __init__(self, task: str, path: Path, place: str, layout: str, asked: dict[str, Any]) -> None:
        self.place = place
        self._session: Session | None = None
        try:
            self._session = Session(
                f"snnkit.data.sets.hdf5_task:{task}", path, {**asked, "place": place, "layout": layout}
            )
            self._list = messages.receive(self._session, MOST)
        except BrokenError as error:
            self.close()
            raise self._broken("", error) from None
        except BaseException:
            self.close()
            raise

    def _recording(self, which: Any, name: str) -> list[NDArray[Any]]:
        if self._session is None:
            raise self._broken(name, BrokenError("it was closed"))
        try:
            self._session.ask(which)
            return messages.receive(self._session, MOST)[1]
        except BrokenError as error:
            raise self._broken(name, error) from None

    def _broken(self, name: str, error: BrokenError) -> DataError:
        return DataError(
            f"{self.place}{name}: this HDF5 file is damaged (it breaks the HDF5 library: {error})",
            fix="give the data set's own file; copy or download it again if it is damaged",
        )

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session = None

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SpikeFile(_Container):
    """A container in the layout of SHD: `labels` [n], `speakers` [n] (−1 where not given), `keys`, and `read`.

    Args:
        path: the file.
        place: its name in messages.

    Raises:
        DataError: damaged, or not of this layout.
    """

    def __init__(self, path: Path, place: str) -> None:
        super().__init__("spikes", path, place, "spikes/times, spikes/units and labels", {})
        keys, (self.labels, self.speakers) = self._list
        self.keys = [str(k) for k in keys]

    def read(self, k: int) -> Spikes:
        """(t in µs, unit) [N] of recording k, in order of time; equal times in order of unit."""
        t, unit = self._recording(k, f" recording {k}")
        order = np.lexsort((unit, t))
        return t[order], unit[order]


class DigitFile(_Container):
    """A container in the layout of N-TIDIGITS18: `names` of each of `parts`, and `read`; else as `SpikeFile`."""

    def __init__(self, path: Path, place: str, parts: Sequence[str]) -> None:
        layout = f"{parts[0]}_labels, {parts[0]}_timestamps and {parts[0]}_addresses"
        super().__init__("digits", path, place, layout, {"parts": list(parts)})
        self.names: dict[str, list[str]] = self._list[0]

    def read(self, part: str, name: str) -> Spikes:
        """(t in µs, channel) [N] of a recording, as they are stored."""
        t, x = self._recording([part, name], f" {name}")
        return t, x
