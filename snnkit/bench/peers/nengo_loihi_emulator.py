"""Times nengo-loihi 1.1.0's emulator on the first workload of `snnkit bench emulator`. Needs nothing of snnkit.

Run it with the Python of an environment that has nengo-loihi 1.1.0 and numpy < 2:

    python snnkit/bench/peers/nengo_loihi_emulator.py

Dense 1024 inputs at 5 % -> 512 -> 10 LIF, 100 steps, 16 samples; nengo-loihi has no batch axis, so 16 runs. Stepping
only, without building. Prints one JSON line.
"""

from __future__ import annotations

import json
import platform
import time
from itertools import pairwise
from typing import Any

import nengo_loihi
import numpy as np
from nengo_loihi.block import Axon, LoihiBlock, Synapse
from nengo_loihi.builder.builder import Model
from nengo_loihi.emulator import EmulatorInterface
from nengo_loihi.inputs import SpikeInput

STEPS, SAMPLES, SIZES, THRESHOLDS = 100, 16, (1024, 512, 10), (1400, 2500)


def block_of(n: int, vth: int, weights: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    """n LIF compartments behind one dense synapse of even mantissas [n_src, n]."""
    block = LoihiBlock(n)
    compartment = block.compartment
    compartment.decay_u = np.full(n, 4095, np.int32)
    compartment.decay_v = np.full(n, 256, np.int32)
    compartment.vth = np.full(n, vth * 64, np.int32)
    compartment.bias = np.zeros(n, np.int32)
    compartment.refract_delay = np.ones(n, np.int32)
    compartment.vmin, compartment.vmax = -(2**23) + 1, 2**23 - 1
    compartment.scale_u = compartment.scale_v = False
    compartment.enable_noise = np.zeros(n, bool)
    compartment.noise_exp, compartment.noise_offset, compartment.noise_at_membrane = 0, 0, 0
    synapse = Synapse(weights.shape[0])
    synapse.set_weights(weights.astype(np.float32))
    synapse.weights = [(row.astype(np.int32) << 6)[None, :] for row in weights]
    synapse.format(compression=3, idx_bits=1, fanout_type=1, n_synapses=63, weight_bits=7, weight_exp=0, delay_bits=0)
    block.add_synapse(synapse)
    return block, synapse


def one_run(raster: np.ndarray[Any, Any], matrices: list[np.ndarray[Any, Any]]) -> tuple[float, int, int]:
    """Seconds of stepping one sample and the spikes of both layers."""
    model = Model(dt=0.001)
    source = SpikeInput(SIZES[0])
    for step, row in enumerate(raster):
        source.add_spikes(step + 1, np.flatnonzero(row))
    hidden, synapse0 = block_of(SIZES[1], THRESHOLDS[0], matrices[0])
    out, synapse1 = block_of(SIZES[2], THRESHOLDS[1], matrices[1])
    first = Axon(SIZES[0])
    first.target, first.compartment_map = synapse0, np.arange(SIZES[0])
    source.add_axon(first)
    second = Axon(SIZES[1])
    second.target = synapse1
    hidden.add_axon(second)
    model.add_input(source)
    model.add_block(hidden)
    model.add_block(out)
    model.discretize = lambda: None
    for block in model.blocks:
        block.compartment.discretize_info = {}
    emulator = EmulatorInterface(model, seed=0)
    start = time.perf_counter()
    for _ in range(STEPS):
        emulator.step()
    seconds = time.perf_counter() - start
    counts = emulator.compartment.spike_count
    return seconds, int(counts[: SIZES[1]].sum()), int(counts[SIZES[1] :].sum())


def main() -> None:
    rng = np.random.RandomState(0)
    matrices = [rng.randint(-20, 24, size=(a, b)) * 2 for a, b in pairwise(SIZES)]
    rasters = rng.rand(SAMPLES, STEPS, SIZES[0]) < 0.05
    best, spikes = float("inf"), (0, 0)
    for _ in range(3):
        runs = [one_run(raster, matrices) for raster in rasters]
        total = sum(r[0] for r in runs)
        best = min(best, total)
        spikes = (sum(r[1] for r in runs), sum(r[2] for r in runs))
    print(
        json.dumps(
            {
                "peer": f"nengo-loihi {nengo_loihi.__version__}",
                "numpy": np.__version__,
                "python": platform.python_version(),
                "workload": "dense 1024-512-10",
                "samples": SAMPLES,
                "steps": STEPS,
                "best_s": best,
                "hidden_spikes": spikes[0],
                "out_spikes": spikes[1],
            }
        )
    )


if __name__ == "__main__":
    main()
