"""Paired data sets as a LightningDataModule."""

from __future__ import annotations

from typing import Any, Literal

from snnkit.data.module import FrameDataModule
from snnkit.data.paired.source import PairedDataset, PairedSource
from snnkit.errors import ParameterError

Use = Literal["both", "first", "second"]
_USE: dict[str, tuple[int, ...]] = {"both": (0, 1), "first": (0,), "second": (1,)}


class Paired(FrameDataModule):
    """Two sensors that perceive the same thing: a recording of each, of one class; see `snnkit.data.paired.source`.

    With `use: both`, a batch's x is a tuple of two tensors [T, B, …]. With one input alone, x is a plain tensor, of the
    same pairs in the same order: results of the three can be compared sample by sample.

    Args:
        first, second: the data sets, such as `NMNIST`; their frames and random changes are used, not their batch size,
            workers and seed. Both must give the same number of steps.
        use: "both" inputs, or the "first" or "second" alone.
        names: of the inputs, such as vision and sound; an exported network's ports have them.
        train_size: use only so many training recordings of each (stratified); validation and test stay whole.
        batch_size: pairs per batch.
        num_workers: loader processes.
        seed: seed of order, pairing and random changes.

    Raises:
        ParameterError: the two have different numbers of steps, or names that are not two.
        DataError: the two have different classes.
    """

    source: PairedSource

    def __init__(
        self,
        first: FrameDataModule,
        second: FrameDataModule,
        use: Use = "both",
        names: tuple[str, str] = ("first", "second"),
        train_size: int | None = None,
        batch_size: int = 32,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        if first.T != second.T:
            raise ParameterError(
                f"{first.source.name} has {first.T} steps, {second.source.name} has {second.T}",
                why="all inputs of a network share one clock",
                fix="give both the same T",
            )
        if len(names) != 2 or len(set(names)) != 2 or not all(n.isidentifier() for n in names):
            raise ParameterError(f"names is {list(names)}", fix="give two different words such as [vision, sound]")
        if use not in _USE:
            raise ParameterError(f"use is {use!r}", fix="one of " + ", ".join(_USE))
        self.parts, self.used, self.names = (first, second), _USE[use], tuple(names)
        source = PairedSource(first.source, second.source, self.used, train_size)
        lead = self.parts[self.used[0]]
        super().__init__(source, lead.frames, batch_size, None, num_workers, seed)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one step of the first input used."""
        return self.input_shapes[0]

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of one step of each input used."""
        return tuple(self.parts[k].input_shape for k in self.used)

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names, where both inputs are used."""
        return self.names if len(self.used) > 1 else ()

    @property
    def dt_us(self) -> float | None:
        """Length of a step in µs, where both inputs have the same."""
        steps = {self.parts[k].dt_us for k in self.used}
        return steps.pop() if len(steps) == 1 else None

    @property
    def max_counts(self) -> tuple[int | None, ...]:
        """The largest value of a cell of each input used."""
        return tuple(self.parts[k].frames.max_count for k in self.used)

    def dataset(self, split: str, augment: bool = False) -> PairedDataset:
        """The pairs of "train", "validation" or "test"; with `augment`, as training sees them: partners drawn anew."""
        frames = [part.frames for part in self.parts]
        changes = [part.augment if augment else None for part in self.parts]
        return self.source.pairs(split, frames, changes, augment, self.seed)

    def describe(self) -> dict[str, Any]:
        """What the data are, and under `inputs` what each of the two is."""
        inputs = {self.names[k]: self.parts[k].describe() for k in self.used}
        return {**super().describe(), "inputs": inputs}
