"""How a recording or an image becomes frames. Needs torch only for samples sent in a code of `snnkit.encoding`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnkit.data.binning import By, check_bin_settings, to_cells
from snnkit.data.changes import Columns
from snnkit.data.draws import CODE, keyed_rng
from snnkit.data.representation import TAU_US, Representation, cells_from_columns, check_tau, choose
from snnkit.errors import ParameterError

if TYPE_CHECKING:
    from snnkit.encoding import Encoder


@dataclass(frozen=True)
class FrameSettings:
    """How a sample becomes frames.

    A recording is binned to T frames `[2, H, W]` (see `snnkit.data.binning.to_frames`), whose cells hold what
    `snnkit.data.representation` defines; a still image is one frame of counts. With a code, each count c becomes the
    value min(c / full_count, 1), and each frame becomes `encoding.T` steps of spikes of these values:
    `[T · encoding.T, …]`.

    Args:
        T: number of bins.
        by: "time" or "count".
        binary: cells are 0/1 instead of counts; with a code, the code decides. Short for a representation "binary" or
            "counts", and afterwards whether it is "binary".
        window_us: the window that is cut into T bins; None: the whole recording.
        encoding: the code; None: the frames themselves.
        full_count: the count that the value 1 stands for.
        grid: events are counted in grid × grid cells instead of pixels, in cell ⌊x · grid / width⌋ of each row; None:
            pixels.
        representation: "binary" (the default), "counts", "voxel" or "time_surface".
        tau_us: the time surface's time constant.
    """

    T: int = 10
    by: By = "time"
    binary: bool | None = None
    window_us: int | None = None
    encoding: Encoder | None = None
    full_count: int = 1
    grid: int | None = None
    representation: Representation | None = None
    tau_us: int = TAU_US

    def __post_init__(self) -> None:
        check_bin_settings(self.T, self.by, self.window_us)
        kind = choose(self.representation, self.binary)
        object.__setattr__(self, "representation", kind)
        object.__setattr__(self, "binary", kind == "binary")
        check_tau(self.tau_us)
        if self.encoding is not None and not self.countable:
            raise ParameterError(
                f"representation is {kind!r} with a code", why="a code sends counts", fix="leave representation out"
            )
        if self.grid is not None and self.grid < 1:
            raise ParameterError(f"grid is {self.grid}", fix="give at least 1 cell, or null for pixels")
        if self.full_count < 1:
            raise ParameterError(f"full_count is {self.full_count}", fix="give the count that the value 1 stands for")

    @property
    def steps(self) -> int:
        """Steps of a sample's frames."""
        return self.T if self.encoding is None else self.T * self.encoding.T

    @property
    def dt_us(self) -> float | None:
        """Length of a step in µs, where it is the same for all recordings."""
        return None if self.window_us is None or self.by != "time" else self.window_us / self.steps

    @property
    def countable(self) -> bool:
        """Whether cells hold whole numbers; others no chip takes."""
        return self.representation in ("binary", "counts")

    @property
    def max_count(self) -> int | None:
        """The largest value of a cell: 1, or 255 where frames are not binary; None for real numbers."""
        if not self.countable:
            return None
        return 1 if (self.binary if self.encoding is None else self.encoding.binary) else 255

    def cells(self, columns: Columns, sensor_size: tuple[int, int]) -> NDArray[np.float32]:
        """The frames `[T, 2, H, W]` of a recording's columns; with a code, the counts that it sends."""
        t, x, y, p = columns
        if self.grid is not None:
            (x, y), sensor_size = to_cells(x, y, sensor_size, self.grid), (self.grid, self.grid)
        kind: Representation = "counts" if self.encoding is not None else choose(self.representation, None)
        return cells_from_columns(t, x, y, p, sensor_size, self.T, self.by, kind, self.window_us, self.tau_us)

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of one step's frame for samples of this shape."""
        shape = tuple(shape) if self.grid is None else (*shape[:-2], self.grid, self.grid)
        return shape if self.encoding is None else self.encoding.output_shape(shape)

    def encode(self, counts: NDArray[np.number], seed: int, epoch: int, index: int) -> NDArray[np.float32]:
        """Frames of counts `[T, …]`. What a random code draws derives from (seed, epoch, index) alone."""
        if self.encoding is None:
            return np.asarray(counts, np.float32)
        import torch

        values = np.minimum(np.asarray(counts, np.float32) / self.full_count, np.float32(1))
        key = int(keyed_rng(seed, CODE, epoch, index).integers(1 << 63))
        with torch.no_grad():
            spikes = self.encoding(torch.from_numpy(values), torch.Generator().manual_seed(key))
        return np.ascontiguousarray(spikes.transpose(0, 1).flatten(0, 1).numpy())

    def describe(self, seed: int) -> dict[str, Any]:
        """The settings as JSON values, with the seed of a code's draws; `from_description` reads them."""
        plain: dict[str, Any] = {"T": self.T, "by": self.by, "binary": self.binary, "window_us": self.window_us}
        if self.grid is not None:
            plain["grid"] = self.grid
        if not self.countable:
            plain["representation"] = self.representation
        if self.representation == "time_surface":
            plain["tau_us"] = self.tau_us
        if self.encoding is not None:
            from snnkit.encoding import describe

            plain |= {"full_count": self.full_count, "encoding": describe(self.encoding), "seed": seed}
        return plain

    @classmethod
    def from_description(cls, plain: Mapping[str, Any]) -> FrameSettings:
        """The settings that `describe` gave; only a code needs torch.

        Raises:
            ParameterError: values of no use, or a code that is not snnkit's own.
        """
        settings = cls(
            plain["T"],
            plain["by"],
            plain["binary"],
            plain["window_us"],
            grid=plain.get("grid"),
            representation=plain.get("representation"),
            tau_us=plain.get("tau_us", TAU_US),
        )
        if plain.get("encoding") is None:
            return settings
        from snnkit.encoding import from_description

        return replace(settings, encoding=from_description(plain["encoding"]), full_count=plain["full_count"])
