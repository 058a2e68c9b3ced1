"""Run descriptors in a fresh process, which sees their folders and the stimuli and nothing else of the caller.

`python -m snnkit.targets.fresh LIST` is that process: LIST is a JSON file of jobs, each naming a descriptor folder, a
stimulus file and a result file.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from snnkit._io import write_json
from snnkit.errors import SnnkitError
from snnkit.targets import session

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Job:
    """One descriptor to run.

    Attributes:
        folder: the descriptor. result: where the traces go.
        inputs: uint8 [T, B, n] per port. noise: int32 [ticks, n] per layer. draws: random draws by the target's names.
        ticks: length of the run. trace: layers whose spikes, u and v are wanted.
        packets: int64 [P, 2] of (tick, source) in order, for targets whose chip has a `trace(packets, ticks)`: one
            sample with every probe of the chip; `inputs`, `noise` and `trace` are not used.
        call: "module:function" of a target, called with (folder, arguments) instead of a run: what it returns is what
            `probes` gives. `folder` may then be None, for functions of the emulator that need no descriptor.
        arguments: arrays by name, for `call`.
    """

    folder: Path | None
    result: Path
    inputs: dict[str, Array]
    ticks: int
    trace: tuple[str, ...]
    noise: dict[str, Array] = field(default_factory=dict)
    packets: Array | None = None
    draws: dict[str, Array] = field(default_factory=dict)
    call: str = ""
    arguments: dict[str, Array] = field(default_factory=dict)

    def probes(self) -> tuple[dict[str, Array], str]:
        """(everything that the chip's `trace` gave, empty text), or ({}, why it did not run)."""
        if not self.result.is_file():
            return {}, "the emulator's process ended without a result"
        with np.load(self.result, allow_pickle=False) as data:
            return ({}, str(data["error"])) if "error" in data.files else ({k: data[k] for k in data.files}, "")

    def outcome(self) -> tuple[dict[str, Array], str]:
        """(traces `s.<layer>`, `u.<layer>`, `v.<layer>` [ticks, B, n], empty text), or ({}, why it did not run)."""
        if not self.result.is_file():
            return {}, "the emulator's process ended without a result"
        with np.load(self.result, allow_pickle=False) as data:
            if "error" in data.files:
                return {}, str(data["error"])
            return {f"{what}.{name}": data[f"{what}{k}"] for k, name in enumerate(self.trace) for what in "suv"}, ""


def run_fresh(jobs: Sequence[Job], folder: Path) -> None:
    """Run jobs in one new process; each job's `outcome` then tells what became of it.

    Raises:
        SnnkitError: the process broke off; the message holds the end of what it said.
    """
    if not jobs:
        return
    listed = []
    for k, job in enumerate(jobs):
        stimulus = folder / f"stimulus{k}.npz"
        arrays = {f"in{i}": np.ascontiguousarray(a, np.uint8) for i, a in enumerate(job.inputs.values())}
        arrays |= {f"noise{i}": np.ascontiguousarray(a, np.int32) for i, a in enumerate(job.noise.values())}
        if job.packets is not None:
            arrays["packets"] = np.ascontiguousarray(job.packets, np.int64)
        arrays |= {f"draws{i}": np.ascontiguousarray(a, np.int32) for i, a in enumerate(job.draws.values())}
        arrays |= {f"argument{i}": np.ascontiguousarray(a) for i, a in enumerate(job.arguments.values())}
        np.savez(stimulus, **arrays)  # type: ignore[arg-type]
        listed.append(
            {
                "descriptor": None if job.folder is None else str(job.folder), "stimulus": str(stimulus),
                "result": str(job.result), "call": job.call, "arguments": list(job.arguments),
                "inputs": list(job.inputs), "noise": list(job.noise), "draws": list(job.draws),
                "ticks": job.ticks, "trace": list(job.trace), "packets": job.packets is not None,
            }
        )  # fmt: skip
    order = folder / "jobs.json"
    write_json(order, listed)
    _in_a_process(order, folder)


def _in_a_process(order: Path, folder: Path) -> None:
    package = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(p for p in (package, *session.folders(), os.environ.get("PYTHONPATH", "")) if p)
    done = subprocess.run(
        [sys.executable, "-m", "snnkit.targets.fresh", str(order)],
        cwd=folder,
        env={**os.environ, **session.environment(), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        end = "\n".join(done.stderr.splitlines()[-8:])
        raise SnnkitError(f"the emulator's process ended with exit code {done.returncode}", why=end)


def _main(order: Path) -> None:
    """The fresh process: run every job of the list."""
    from snnkit import emulator

    for job in json.loads(order.read_text(encoding="utf-8")):
        with np.load(job["stimulus"], allow_pickle=False) as data:
            inputs = {name: data[f"in{k}"] for k, name in enumerate(job["inputs"])}
            noise = {name: data[f"noise{k}"] for k, name in enumerate(job["noise"])}
            packets = data["packets"] if job["packets"] else None
            draws = {name: data[f"draws{k}"] for k, name in enumerate(job["draws"])}
            arguments = {name: data[f"argument{k}"] for k, name in enumerate(job["arguments"])}
        try:
            if job["call"]:
                module, _, name = job["call"].partition(":")
                folder = None if job["descriptor"] is None else Path(job["descriptor"])
                np.savez(job["result"], **getattr(importlib.import_module(module), name)(folder, arguments))
                continue
            if packets is not None:
                traces = emulator.open(job["descriptor"]).chip.trace(packets, job["ticks"])  # type: ignore[attr-defined]
                np.savez(job["result"], **traces)
                continue
            chip = emulator.open(job["descriptor"])
            probes = dict.fromkeys(job["trace"], ("s", "u", "v"))
            result = chip.run(inputs, ticks=job["ticks"], probes=probes, noise=noise or None, draws=draws or None)
            traces = {
                f"{what}{k}": store[name]
                for k, name in enumerate(job["trace"])
                for what, store in (("s", result.spikes), ("u", result.u), ("v", result.v))
            }
        except SnnkitError as error:
            traces = {"error": np.array(str(error))}
        np.savez(job["result"], **traces)  # type: ignore[arg-type]


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
