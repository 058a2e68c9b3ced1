"""Times bindsnet's STDP (PostPre) on the workload of `snnkit bench plasticity`. Needs nothing of snnkit.

bindsnet is AGPL-3.0 and wants a torch of its own, so it runs in its own environment, with that one's Python:

    python snnkit/bench/peers/bindsnet_stdp.py

784 inputs at 5 % -> 400 LIF, 100 steps, 32 samples, the same weights and spikes as ours; learning on, and off for
comparison, since bindsnet learns within its time loop only. Prints one JSON line per round. With a file of inputs
(`snnkit bench plasticity` writes one) it runs a round for each line that it reads, so that rounds can take turns.
"""

from __future__ import annotations

import json
import math
import sys
import time
from typing import Any

import bindsnet
import numpy as np
import torch
from bindsnet.learning import PostPre
from bindsnet.network import Network
from bindsnet.network.nodes import Input, LIFNodes
from bindsnet.network.topology import Connection

STEPS, BATCH, INPUTS, OUTPUTS = 100, 32, 784, 400
DEFAULTS = {"threads": 2, "decay": 0.9, "threshold": 16.0, "decay_trace": 0.95, "a_plus": 0.005, "a_minus": 0.00525}


def workload() -> dict[str, Any]:
    """Spikes x [T, B, N], weights w [N', N] and settings, as `snnkit.bench.plasticity` makes them."""
    rng = np.random.RandomState(0)
    x = (rng.rand(STEPS, BATCH, INPUTS) < 0.05).astype(np.float32)
    w = (rng.rand(OUTPUTS, INPUTS) * 0.1).astype(np.float32)
    return {"x": x, "w": w, **DEFAULTS}


def one_round(work: dict[str, Any], learning: bool) -> tuple[float, torch.Tensor, torch.Tensor]:
    """Seconds of a run from rest, the weights [N', N] after it, and the number of spikes of each neuron [B, N']."""
    x, w = torch.from_numpy(work["x"]), torch.from_numpy(work["w"])
    steps, batch, inputs = x.shape
    traces = {
        "traces": True,
        "traces_additive": True,
        "tc_trace": -1 / math.log(float(work["decay_trace"])),
        "trace_scale": 1.0,
    }
    network = Network(dt=1.0, batch_size=batch, learning=learning)
    source = Input(n=inputs, **traces)
    target = LIFNodes(
        n=len(w),
        rest=0.0,
        reset=0.0,
        thresh=float(work["threshold"]),
        refrac=0,
        tc_decay=-1 / math.log(float(work["decay"])),
        sum_input=False,
        **traces,
    )
    network.add_layer(source, "in")
    network.add_layer(target, "out")
    rates = (float(work["a_minus"]) / batch, float(work["a_plus"]) / batch)  # bindsnet sums over the batch
    connection = Connection(
        source, target, w=w.t().contiguous().clone(), update_rule=PostPre, nu=rates, wmin=0.0, wmax=1.0
    )
    network.add_connection(connection, "in", "out")
    start = time.perf_counter()
    network.run({"in": x}, time=steps, one_step=True)
    return time.perf_counter() - start, connection.w.detach().t().contiguous(), target.s.detach()


def measure(work: dict[str, Any], result: str = "") -> dict[str, Any]:
    """A round with learning and one without; the weights are saved to `result` where it is given."""
    torch.set_num_threads(int(work["threads"]))
    seconds, weights, _ = one_round(work, learning=True)
    without, _, _ = one_round(work, learning=False)
    if result:
        np.save(result, weights.numpy())
    return {
        "peer": f"bindsnet {getattr(bindsnet, '__version__', '')}".strip(),
        "torch": torch.__version__,
        "seconds": seconds,
        "without_learning": without,
        "mean_weight": float(weights.mean()),
    }


def main(argv: list[str]) -> None:
    if not argv:
        for _ in range(3):
            print(json.dumps(measure(workload())), flush=True)
        return
    with np.load(argv[0]) as file:
        work = {key: file[key] for key in file.files}
    for line in sys.stdin:
        print(json.dumps(measure(work, line.strip())), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
