"""FSDD as an event source: WAV recordings of spoken digits through the encoder of `snnkit.data.fsdd.cochlea`.

Free Spoken Digit Dataset, github Jakobovski/free-spoken-digit-dataset, doi:10.5281/zenodo.1342401, CC BY-SA 4.0:
8 kHz, mono, 16 bit, named digit_speaker_index.wav; 10 digits, 6 speakers, 50 of each. Its official test part are the
indices 0 to 4.
"""

from __future__ import annotations

import io
import os
import re
import wave
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.data.archives import Member
from snnkit.data.fsdd.cochlea import Cochlea
from snnkit.data.sets.facts import Facts, part_of
from snnkit.data.sets.source import Columns, Item, SetSource
from snnkit.errors import DataError

_NAME = re.compile(r"(\d)_([^_]+)_(\d+)\.wav", re.IGNORECASE)
TEST_INDICES = 5

FACTS = Facts(
    title="the Free Spoken Digit Dataset",
    source="doi:10.5281/zenodo.1342401",
    home="github Jakobovski/free-spoken-digit-dataset",
    licence="CC BY-SA 4.0",
    layout="WAV files digit_speaker_index.wav, or train.zip and test.zip (or valid.zip) of them",
    endings=(".wav",),
    md5={},
)


class FSDDSource(SetSource):
    """Spoken digits as ON and OFF events of the bands of a cochlea-like encoder; see `SetSource` for the arguments.

    Where the files lie in train and test (or valid) folders or archives, these are the parts; else indices 0 to 4 are
    the test part. The validation part is a committed tenth of the training part for the recordings it was drawn from.

    Args:
        cochlea: settings of the encoder.
    """

    name = "fsdd"
    facts = FACTS
    classes = tuple("0123456789")
    window_us = 700_000
    committed = ("snnkit.data.fsdd", "validation.json")

    def __init__(
        self,
        root: str | os.PathLike[str],
        validation: int | None = None,
        subset: int | None = None,
        download: bool = False,
        check: bool = True,
        cache_dir: str | os.PathLike[str] | None = None,
        progress: bool = True,
        cochlea: Cochlea | None = None,
    ) -> None:
        super().__init__(root, validation, subset, download, check, cache_dir, progress)
        self.cochlea = cochlea or Cochlea()

    @property
    def sensor_size(self) -> tuple[int, int]:
        """(bands, 1)."""
        return self.cochlea.bands, 1

    def settings(self) -> Mapping[str, Any]:
        """The encoder's settings."""
        return {"cochlea": asdict(self.cochlea)}

    def describe(self) -> dict[str, Any]:
        """The encoder's settings."""
        return {"cochlea": asdict(self.cochlea)}

    @classmethod
    def arguments(cls, described: Mapping[str, Any]) -> dict[str, Any]:
        return {"cochlea": Cochlea(**described["cochlea"])} if "cochlea" in described else {}

    def find(self, files: list[Member]) -> Iterable[Item]:
        named = [(f, m) for f in files if (m := _NAME.fullmatch(f.path.name))]
        parted = any(part_of(f) for f, _ in named)
        for file, match in named:
            digit, speaker, index = match.groups()
            part = part_of(file) if parted else ("test" if int(index) < TEST_INDICES else "train")
            if part is not None:
                yield Item(part, int(digit), f"{digit}_{speaker}_{int(index):02d}", file.place, self._reader(file))

    def _reader(self, file: Member) -> Any:
        def read() -> Columns:
            return self.cochlea.encode(*read_wav(file.read(), file.place))

        return read


def read_wav(data: bytes, place: str) -> tuple[NDArray[np.float64], int]:
    """The sound [N], −1 … 1, of a mono 16-bit WAV file, and its sampling rate in Hz.

    Raises:
        DataError: no such file, or one without samples.
    """
    try:
        with wave.open(io.BytesIO(data)) as file:
            rate, width, channels, frames = (
                file.getframerate(), file.getsampwidth(), file.getnchannels(), file.readframes(file.getnframes())
            )  # fmt: skip
    except (wave.Error, EOFError, ValueError) as error:
        raise DataError(f"{place}: no WAV file ({error})", fix="copy or download it again") from error
    if (width, channels) != (2, 1):
        raise DataError(f"{place}: {channels} channels of {8 * width} bits", fix="convert it to mono, 16 bit")
    sound = np.frombuffer(frames[: len(frames) // 2 * 2], "<i2").astype(np.float64) / 32768.0
    if len(sound) == 0:
        raise DataError(f"{place}: no samples", fix="copy or download it again")
    return sound, rate
