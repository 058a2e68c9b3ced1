"""Recurrent and delayed networks of event streams without pixels: speech and touch."""

from __future__ import annotations

import math
import random
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn

from snnkit import nn as snn
from snnkit.errors import ParameterError


class RecurrentClassifier(snn.Sequential):
    """[delay, linear – (batch norm) – recurrent CubaLIF or LIF] × n, delay, linear, leaky integrator.

    Without delays and norm, `hidden=(128,)`, it is the recurrent network of Cramer et al. for SHD and SSC: 700 inputs,
    128 current-based LIF neurons that all hear each other, one leaky read-out per class.

    With `recurrent=False, norm=True, max_delay=25` it is a feed-forward network with delays like DCLS-Delays
    (Hammouamri et al.). Equal: layers, sizes, the place of the delays (in front of every linear layer). Not equal:
    there, each synapse has a delay of its own, which is learned; here, a delay belongs to an input channel (an axon, as
    on chips), is drawn once from `seed` and stays. `taps=K` instead gives every pair of neurons K synapses with fixed
    delays, evenly from 0 to `max_delay`, among which the weights choose.

    Args:
        input_shape: shape of one step; flattened.
        num_classes: number of outputs.
        hidden: neurons of each hidden layer.
        recurrent: hidden neurons hear each other's spikes one step later.
        decay: membrane decay of hidden neurons.
        decay_syn: decay of their current (CubaLIF); None: LIF.
        norm: batch norm after each hidden linear layer.
        max_delay: longest delay in steps; 0 for none.
        taps: 1 (a drawn delay per channel), or this many delayed copies of every linear layer.
        seed: of the drawn delays.
        surrogate: name of the surrogate gradient.
        dropout: share of each hidden layer's outputs dropped in training.
        readout_decay: decay of the read-out's membrane; 1 sums up over time.

    Shapes: [T, B, *input_shape] → [T, B, num_classes].

    Raises:
        ParameterError: a size out of range, or more taps than delays.

    Source: Cramer, Stradmann, Schemmel & Zenke 2020, doi:10.1109/TNNLS.2020.3044364; delays after Hammouamri,
    Khalfaoui-Hassani & Masquelier 2023, arXiv:2306.17670.
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (700,),
        num_classes: int = 20,
        hidden: Sequence[int] = (128,),
        recurrent: bool = True,
        decay: float = 0.9,
        decay_syn: float | None = 0.8,
        norm: bool = False,
        max_delay: int = 0,
        taps: int = 1,
        seed: int = 0,
        surrogate: str = "fast_sigmoid",
        dropout: float = 0.0,
        readout_decay: float = 0.9,
    ) -> None:
        if min([num_classes, taps, *hidden, *input_shape]) < 1 or max_delay < 0 or not hidden:
            raise ParameterError(
                f"RecurrentClassifier(input_shape={list(input_shape)}, hidden={list(hidden)}, "
                f"num_classes={num_classes}, max_delay={max_delay}, taps={taps}) has a size out of range"
            )
        if taps > max_delay + 1:
            raise ParameterError(f"{taps} taps for delays from 0 to {max_delay}", fix="give at most one tap per delay")
        draw = random.Random(seed)

        def synapse(name: str, n: int, m: int) -> list[tuple[str, nn.Module]]:
            if taps > 1:
                steps = [round(k * max_delay / (taps - 1)) for k in range(taps)]
                parts = [snn.Linear(n, m, bias=False) for _ in steps]
                with torch.no_grad():
                    for part in parts:
                        part.weight.div_(math.sqrt(taps))  # the sum of the branches starts as one layer does
                return [(name, snn.Add(*(snn.Sequential(snn.Delay(d), part) for d, part in zip(steps, parts))))]
            linear = snn.Linear(n, m, bias=False)
            if not max_delay:
                return [(name, linear)]
            return [(f"{name}_delay", snn.Delay([draw.randint(0, max_delay) for _ in range(n)])), (name, linear)]

        layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=snn.Flatten())
        n = math.prod(input_shape)
        for k, m in enumerate(hidden, 1):
            layers.update(synapse(f"linear{k}", n, m))
            if norm:
                layers[f"norm{k}"] = snn.BatchNorm(m)
            neuron: snn.Neuron = snn.LIF(decay=decay, surrogate=surrogate)
            if decay_syn is not None:
                neuron = snn.CubaLIF(decay_syn=decay_syn, decay_mem=decay, surrogate=surrogate)
            layers[f"lif{k}"] = snn.Recurrent.dense(neuron, m) if recurrent else neuron
            if dropout:
                layers[f"dropout{k}"] = snn.Dropout(dropout)
            n = m
        layers.update(synapse("head", n, num_classes))
        layers["readout"] = snn.LI(decay=readout_decay)
        super().__init__(layers)
