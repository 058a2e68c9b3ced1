"""The reference architectures under torch.compile: how long the first training step takes, and those that follow.

Each is compiled whole (`fullgraph=True`) by Inductor, in a process of its own, with an empty and then with a filled
cache; forward and backward, T 4, B 2. The first step of the eager network is in the same process. `ms_min` of a first
step is what one waits for; that of the steps that follow is the best of some. `floor_ratio` is the time over that of
the eager network's same step. `differing_spikes` counts outputs that are not the eager network's up to rounding.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

QUICK = ("dense", "recurrent-shd")
ALL = (
    "dense",
    "conv",
    "plif-gesture-lean",
    "vgg-small",
    "sew-resnet18-small",
    "ms-resnet18-small",
    "spikformer-2-256",
    "recurrent-shd",
    "delays-shd",
)
STEPS, BATCH, ROUNDS = 4, 2, 5


def compile_one(name: str) -> dict[str, Any]:
    """First and later training steps of one architecture here, in ms, eager and compiled; outputs that differ."""
    import torch

    from snnkit.models.catalog import find

    architecture = find(name)
    torch.manual_seed(0)
    model = architecture.build()
    x = (torch.rand(STEPS, BATCH, *architecture.input_shape) < 0.2).float()

    def step(run: Any) -> float:
        model.zero_grad(set_to_none=True)
        start = time.perf_counter()
        run(x).square().mean().backward()
        return (time.perf_counter() - start) * 1e3

    found: dict[str, Any] = {"first": {}, "later": {}}
    runs = {"eager": model, "compiled": torch.compile(model, fullgraph=True)}
    for kind, run in runs.items():
        found["first"][kind] = step(run)
    times: dict[str, list[float]] = {kind: [] for kind in runs}
    for _ in range(ROUNDS):
        for kind, run in runs.items():
            times[kind].append(step(run))
    found["later"] = {kind: (min(t), statistics.median(t)) for kind, t in times.items()}
    model.eval()
    with torch.no_grad():
        same = torch.isclose(torch.compile(model, fullgraph=True)(x), model(x), rtol=1e-3, atol=1e-3)
    found["differing"] = int((~same).sum())
    return found


def _measured(name: str, cache: str) -> dict[str, Any]:
    script = f"import json; from snnkit.bench.compile import compile_one; print(json.dumps(compile_one({name!r})))"
    env = os.environ | {"TORCHINDUCTOR_CACHE_DIR": cache}
    done = subprocess.run([sys.executable, "-c", script], env=env, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def run(quick: bool = False, names: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Compile architectures of `snnkit models`.

    Args:
        quick: two small ones.
        names: others than ALL.

    Returns:
        Rows {work, impl, settings, ms_min, ms_median, floor_ratio, peak_ratio, differing_spikes}.
    """
    rows = []
    for name in names or (QUICK if quick else ALL):
        with tempfile.TemporaryDirectory() as cache:
            cold, warm = _measured(name, cache), _measured(name, cache)
        eager, compiled = (warm["later"][kind] for kind in ("eager", "compiled"))
        for what, (low, middle), against in (
            ("first step, empty cache", [cold["first"]["compiled"]] * 2, None),
            ("first step, filled cache", [warm["first"]["compiled"]] * 2, None),
            ("later steps", compiled, eager[0]),
            ("later steps, eager", eager, eager[0]),
        ):
            rows.append(
                {
                    "work": f"torch.compile, {name}",
                    "impl": what,
                    "settings": f"training step, T {STEPS}, B {BATCH}, fullgraph",
                    "ms_min": round(low, 1),
                    "ms_median": round(middle, 1),
                    "floor_ratio": None if against is None else round(low / against, 2),
                    "peak_ratio": None,
                    "differing_spikes": 0 if "eager" in what else max(cold["differing"], warm["differing"]),
                }
            )
    return rows
