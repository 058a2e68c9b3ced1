"""A classifier of sounds: a convolution along the frequency bands, then dense layers."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

import torch

from snnkit import nn as snn
from snnkit.errors import ParameterError
from snnkit.models.dense import add_hidden
from snnkit.models.spread import check_spread, scattered_delays, spread_decays


class BandClassifier(snn.Sequential):
    """conv along the bands – batch norm – LIF, then [linear – batch norm – LIF] × n, dropout, linear, leaky integrator.

    The convolution sees a few neighbouring bands with the same weights everywhere: a voice that speaks the same word
    with its formants somewhat higher excites the same channels, shifted. Time constants differ between channels and
    between neurons; spikes between layers arrive after different delays.

    Args:
        input_shape: (polarities, 1, bands) of one step.
        num_classes: number of outputs.
        channels: output channels of the convolution.
        kernel_size: bands that it sees, odd; "same" padding.
        stride: step of the convolution, in bands.
        hidden: neurons of each dense layer.
        taus: membrane time constants in steps, from the first to the last, spread evenly on a logarithmic scale over
            the channels, and over each dense layer's neurons.
        delays: spikes between spiking layers arrive after 0 … this many steps, another number for each channel or
            neuron; None: at once.
        surrogate: name of the surrogate gradient.
        dropout: share of each layer's outputs dropped in training.
        readout_decay: decay of the read-out's membrane; 1 sums up over time.

    Shapes: [T, B, C, 1, bands] → [T, B, num_classes].

    Raises:
        ParameterError: a size that is not positive, an even kernel, an input with more than one row.
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (2, 1, 40),
        num_classes: int = 10,
        channels: int = 32,
        kernel_size: int = 5,
        stride: int = 2,
        hidden: Sequence[int] = (256, 256),
        taus: tuple[float, float] = (1.5, 16.0),
        delays: int | None = 10,
        surrogate: str = "arctan",
        dropout: float = 0.3,
        readout_decay: float = 1.0,
    ) -> None:
        if min([num_classes, channels, kernel_size, stride, *hidden, *input_shape]) < 1 or kernel_size % 2 == 0:
            raise ParameterError(
                f"BandClassifier(channels={channels}, kernel_size={kernel_size}, stride={stride}, "
                f"hidden={list(hidden)}, num_classes={num_classes}) has a size below 1, or an even kernel"
            )
        if len(input_shape) != 3 or input_shape[1] != 1:
            raise ParameterError(
                f"input_shape is {list(input_shape)}", fix="give (polarities, 1, bands): the bands of one sensor"
            )
        check_spread("BandClassifier", taus, delays)
        polarities, _, bands = input_shape
        layers: OrderedDict[str, torch.nn.Module] = OrderedDict()
        layers["conv"] = snn.Conv2d(
            polarities, channels, (1, kernel_size), (1, stride), (0, kernel_size // 2), bias=False
        )
        layers["norm"] = snn.BatchNorm(channels)
        layers["lif"] = snn.LIF(decay=spread_decays(taus, channels), surrogate=surrogate)
        if delays is not None:
            layers["delay"] = snn.Delay(scattered_delays(delays, channels))
        layers["flatten"] = snn.Flatten()
        layers["dropout"] = snn.Dropout(dropout)
        n = channels * math.ceil(bands / stride)
        n = add_hidden(layers, n, hidden, surrogate=surrogate, dropout=dropout, taus=taus, delays=delays)
        layers["head"] = snn.Linear(n, num_classes, bias=False)
        layers["readout"] = snn.LI(decay=readout_decay)
        super().__init__(layers)
