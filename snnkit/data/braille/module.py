"""Braille as a LightningDataModule."""

from __future__ import annotations

from snnkit.data.braille.source import BrailleSource
from snnkit.data.sets.module import SeriesSet


class Braille(SeriesSet):
    """Braille letters read by 12 taxels, 27 classes, as send-on-delta events (Müller-Cleve et al. 2022,
    doi:10.3389/fnins.2022.951164). With T = 76, a bin is one sample of the sensor.

    `root` holds train.npz and test.npz (or valid.npz, which then is the test part). The validation part is a committed
    tenth of the training part. The other arguments are those of `SeriesSet`.
    """

    make = BrailleSource
