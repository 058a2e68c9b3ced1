"""A fully connected classifier."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

import torch

from snnkit import nn as snn
from snnkit.errors import ParameterError
from snnkit.models.spread import check_spread, scattered_delays, spread_decays


class DenseClassifier(snn.Sequential):
    """[linear – batch norm – LIF] × n, dropout, linear, leaky integrator.

    Args:
        input_shape: shape of one step; flattened.
        num_classes: number of outputs.
        hidden: neurons of each hidden layer.
        decay: membrane decay of the LIF layers.
        norm: batch norm after each hidden synapse; without it, the synapse has a bias.
        surrogate: name of the surrogate gradient.
        dropout: share of each hidden layer's outputs dropped in training.
        readout_decay: decay of the read-out's membrane; 1 sums up over time.
        decay_syn: makes the hidden neurons CubaLIF, whose current has this decay; None: LIF.
        taus: membrane time constants in steps, from the first to the last, spread evenly on a logarithmic scale over
            each hidden layer's neurons; they take the place of `decay`.
        delays: spikes between hidden layers arrive after 0 … this many steps, another number for each neuron; None:
            at once. A layer then sees at once what happened at different times.

    Shapes: [T, B, *input_shape] → [T, B, num_classes].

    Raises:
        ParameterError: a size that is not positive.
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (2, 34, 34),
        num_classes: int = 10,
        hidden: Sequence[int] = (256,),
        decay: float = 0.8,
        norm: bool = True,
        surrogate: str = "arctan",
        dropout: float = 0.3,
        readout_decay: float = 1.0,
        decay_syn: float | None = None,
        taus: tuple[float, float] | None = None,
        delays: int | None = None,
    ) -> None:
        if min([num_classes, *hidden, *input_shape]) < 1:
            raise ParameterError(
                f"DenseClassifier(hidden={list(hidden)}, num_classes={num_classes}) has a size below 1"
            )
        check_spread("DenseClassifier", taus, delays)
        layers: OrderedDict[str, torch.nn.Module] = OrderedDict(flatten=snn.Flatten())
        n = math.prod(input_shape)
        n = add_hidden(
            layers, n, hidden, surrogate=surrogate, dropout=dropout, decay=decay, norm=norm, decay_syn=decay_syn,
            taus=taus, delays=delays,
        )  # fmt: skip
        layers["head"] = snn.Linear(n, num_classes, bias=False)
        layers["readout"] = snn.LI(decay=readout_decay)
        super().__init__(layers)


def add_hidden(
    layers: OrderedDict[str, torch.nn.Module],
    n: int,
    hidden: Sequence[int],
    *,
    surrogate: str,
    dropout: float,
    decay: float = 0.8,
    norm: bool = True,
    decay_syn: float | None = None,
    taus: tuple[float, float] | None = None,
    delays: int | None = None,
) -> int:
    """Append the hidden layers of a dense network of n inputs, as in `DenseClassifier`; returns its outputs."""
    for k, m in enumerate(hidden, 1):
        layers[f"linear{k}"] = snn.Linear(n, m, bias=not norm)
        if norm:
            layers[f"norm{k}"] = snn.BatchNorm(m)
        mem = decay if taus is None else spread_decays(taus, m)
        if decay_syn is None:
            layers[f"lif{k}"] = snn.LIF(decay=mem, surrogate=surrogate)
        else:
            layers[f"lif{k}"] = snn.CubaLIF(decay_syn=decay_syn, decay_mem=mem, surrogate=surrogate)
        if delays is not None and k < len(hidden):
            layers[f"delay{k}"] = snn.Delay(scattered_delays(delays, m))
        layers[f"dropout{k}"] = snn.Dropout(dropout)
        n = m
    return n
