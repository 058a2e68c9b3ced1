"""Run a network's stored samples in RANC's software simulator and compare the outputs, tick by tick.

    python run.py --simulator PATH/TO/ranc_sim              every stored sample; exit code 1 if an output differs
    python run.py --simulator PATH/TO/ranc_sim --samples 2

`config.json` and `input.json` are RANC's two files, ready for `ranc_sim input.json out.txt config.json TICKS`;
`input.json` carries the packets of sample 0. `samples.json` holds the packets of every sample and the ticks in which
each line of the output bus must fire. RANC prints the outputs of its tick k before tick k + 1, and its first tick is
tick 0 of the chip: so line t + 1 of its output file holds what fired in tick t, and a run takes one tick more. Its
cores keep their potentials, so every sample is a run of its own. Needs Python 3.10 and nothing else.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

EXTRA_TICKS = 1


def read_outputs(text: str, ticks: int) -> list[list[int]]:
    """Lines of the output bus that fired, per tick of the chip, from RANC's output file."""
    rows = [line.split() for line in text.lstrip("\ufeff").splitlines() if line.strip()]
    return [[k for k, bit in enumerate(row) if bit == "1"] for row in rows[1 : ticks + 1]]


def differing(got: list[list[int]], sample: dict[str, Any], known: list[int]) -> int:
    """How many outputs are missing or too many, on the lines whose spikes are known."""
    want = sample["outputs"]
    if len(got) < len(want):
        raise SystemExit(f"the simulator printed {len(got)} ticks of {len(want)}")
    return sum(len(set(w) ^ (set(g) & set(known))) for w, g in zip(want, got))


def main() -> int:
    """Run the stored samples; 0 if every output is equal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--simulator", required=True, help="RANC's ranc_sim, built from its folder `simulator`")
    parser.add_argument("--samples", type=int, help="only so many of the stored samples")
    args = parser.parse_args()
    here = Path(__file__).resolve().parent
    network = json.loads((here / "input.json").read_text(encoding="utf-8"))
    stored = json.loads((here / "samples.json").read_text(encoding="utf-8"))
    samples = stored["samples"][: args.samples]
    if not samples or not stored["known_lines"]:
        print("no outputs are stored: nothing can be compared")
        return 1
    differ = fired = 0
    with tempfile.TemporaryDirectory() as temp:
        for b, sample in enumerate(samples):
            given, out = Path(temp) / f"input{b}.json", Path(temp) / f"out{b}.txt"
            given.write_text(json.dumps({**network, "packets": sample["packets"]}), encoding="utf-8")
            ticks = len(sample["outputs"])
            command = [args.simulator, given, out, here / "config.json", ticks + EXTRA_TICKS]
            subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
            wrong = differing(read_outputs(out.read_text(encoding="utf-8"), ticks), sample, stored["known_lines"])
            fired += sum(map(len, sample["outputs"]))
            differ += wrong
            print(f"sample {b}: {wrong} outputs differ")
    print(f"{f'{differ} outputs differ' if differ else 'equal'}; {fired} outputs expected")
    return int(differ > 0)


if __name__ == "__main__":
    raise SystemExit(main())
