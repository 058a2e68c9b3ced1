"""Published figures, re-measured: each name trains or times, compares with its bar and says whether it holds."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snnkit import __version__
from snnkit.bench.figures.analogue import analogue
from snnkit.bench.figures.anomaly import anomaly
from snnkit.bench.figures.base import Figure, Progress
from snnkit.bench.figures.few_shot import few_shot
from snnkit.bench.figures.follow import follow_digit
from snnkit.bench.figures.fusion import fusion
from snnkit.bench.figures.roads import accuracy, codes, every_chip
from snnkit.bench.figures.speed import ours, speed
from snnkit.bench.figures.training import learned
from snnkit.errors import UsageError, did_you_mean

FIGURES: dict[str, Figure] = {
    "braille": Figure(
        "Braille touch, recipe braille/dense, seeds 0-2: test accuracy, the last epoch's beside it",
        {"test_accuracy": ("at least", 98.0), "minutes_per_seed": ("at most", 1.0)},
        learned("braille/dense", (0, 1, 2)),
    ),
    "fsdd": Figure(
        "spoken digits, recipe fsdd/bands, seeds 0-2: test accuracy, the last epoch's beside it",
        {"test_accuracy": ("at least", 97.5), "minutes_per_seed": ("at most", 1.0)},
        learned("fsdd/bands", (0, 1, 2)),
    ),
    "nmnist-conv": Figure(
        "N-MNIST subset, recipe nmnist/conv, seeds 0-2: test accuracy, selected on a tenth of the training part",
        {"test_accuracy": ("at least", 97.5), "minutes_per_seed": ("at most", 3.0)},
        learned("nmnist/conv", (0, 1, 2)),
    ),
    "nmnist-few-shot": Figure(
        "N-MNIST subset, 100 training recordings, recipe nmnist/few_shot after saccade_digits/varied (simulated), "
        "seeds 0-2: test accuracy, and the gain over the same network from scratch",
        {
            "test_accuracy": ("at least", 92.0),
            "gain": ("at least", 5.0),
            "minutes_per_seed": ("at most", 3.0),
            "pretrain_minutes_per_seed": ("at most", 3.0),
        },
        few_shot("saccade_digits/varied", "nmnist/few_shot", (0, 1, 2)),
    ),
    "nmnist-loihi": Figure(
        "N-MNIST subset, recipe nmnist/loihi, seeds 0-2: accuracy on Loihi, loss against the model, differing spikes",
        {
            "emulator_accuracy": ("at least", 95.5),
            "test_accuracy": ("at least", 96.0),
            "loss_on_chip": ("at most", 1.0),
            "differing_spikes": ("at most", 0),
            "minutes_per_seed": ("at most", 4.0),
        },
        accuracy("nmnist/loihi", (0, 1, 2)),
    ),
    "nmnist-spinnaker": Figure(
        "N-MNIST subset, recipe nmnist/spinnaker, seeds 0-2: accuracy on SpiNNaker, loss against the model, differing "
        "spikes",
        {
            "emulator_accuracy": ("at least", 95.5),
            "loss_on_chip": ("at most", 1.0),
            "differing_spikes": ("at most", 0),
            "minutes_per_seed": ("at most", 4.0),
        },
        accuracy("nmnist/spinnaker", (0, 1, 2), "spinnaker"),
    ),
    "nmnist-truenorth": Figure(
        "N-MNIST subset, recipe nmnist/truenorth, seeds 0-2: accuracy on TrueNorth, spikes that differ",
        {
            "emulator_accuracy": ("at least", 90.0),
            "differing_spikes": ("at most", 0),
            "differing_from_torch": ("at most", 0),
            "minutes_per_seed": ("at most", 4.0),
        },
        accuracy("nmnist/truenorth", (0, 1, 2), "truenorth"),
    ),
    "nmnist-all-chips": Figure(
        "N-MNIST subset, recipe nmnist/all_chips, seeds 0-2: one network on every chip, accuracies side by side",
        {
            "truenorth_differing_from_torch": ("at most", 0),
            "loihi_differing_from_torch": ("at most", 0),
            "differing_spikes": ("at most", 0),
            "digital_spread": ("at most", 2.0),
            "minutes_per_seed": ("at most", 4.0),
        },
        every_chip("nmnist/all_chips", (0, 1, 2)),
    ),
    "nmnist-brainscales2": Figure(
        "N-MNIST subset in 11 x 11 cells, recipe nmnist/brainscales2 and training through mismatch, seeds 0-2: test "
        "accuracy on 20 virtual BrainScaleS-2 chips",
        {
            "virtual_mean": ("at least", 80.0),
            "differing_spikes": ("at most", 0),
            "minutes_per_seed": ("at most", 5.0),
        },
        analogue("nmnist/brainscales2", (0, 1, 2)),
    ),
    "saccade-digits": Figure(
        "SaccadeDigits, recipe saccade_digits/conv, seed 0: test accuracy, loss on Loihi, differing spikes",
        {"test_accuracy": ("at least", 96.0), "loss_on_chip": ("at most", 1.5), "differing_spikes": ("at most", 0)},
        accuracy("saccade_digits/conv", (0,)),
    ),
    "digits-codes": Figure(
        "digits, recipes digits/latency and digits/rate, seeds 0-2: test accuracy, loss on Loihi, spikes per sample",
        {
            "latency_test_accuracy": ("at least", 95.0),
            "rate_test_accuracy": ("at least", 95.0),
            "synaptic_events_share_of_rate": ("at most", 0.5),
            "differing_spikes": ("at most", 0),
            "minutes_per_seed": ("at most", 1.0),
        },
        codes({"latency": "digits/latency", "rate": "digits/rate"}, (0, 1, 2)),
    ),
    "fusion": Figure(
        "N-MNIST and spoken digits of one class (--root: the folder of nmnist_subset and fsdd_subset), 100 training "
        "recordings of each, recipes fusion/*, seeds 0-2: each alone and together, on Loihi too",
        {
            "gain_over_better": ("at least", 2.0),
            "seeds_better_than_either": ("at least", 3),
            "differing_spikes": ("at most", 0),
        },
        fusion((0, 1, 2)),
    ),
    "follow-digit": Figure(
        "A saccading sensor follows a moving digit (all simulated), recipe follow_digit/loihi, seeds 0-2: RMS error in "
        "pixels, steered by the network in the Loihi emulator, by the torch model, by the centroid of events with a PD "
        "law, and without control",
        {
            "rms_emulator": ("at most", 2.2),
            "emulator_over_centroid": ("at most", 1.0),
            "differing_spikes": ("at most", 0),
        },
        follow_digit("follow_digit/loihi", (0, 1, 2)),
    ),
    "anomaly": Figure(
        "Anomalies of five kinds in 3 h of a simulated delta-coded pulse, recipe pulse/loihi, seeds 0-2, on Loihi; "
        "threshold from 2 h of validation recordings: delay and false alarms",
        {
            "detected": ("at least", 0.95),
            "delay_median_s": ("at most", 1.0),
            "false_alarms_per_hour": ("at most", 1.0),
            "alarms_that_differ_from_graph": ("at most", 0),
            "differing_spikes": ("at most", 0),
        },
        anomaly("pulse/loihi", (0, 1, 2)),
    ),
    "lif-speed": Figure(
        "LIF forward + backward [16, 128, 100000] against the memory floor",
        {"floor_ratio": ("at most", 3.5), "peak_ratio": ("at most", 2.2)},
        speed("neurons", ours),
    ),
}


def reproduce(name: str, folder: Path, settings: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Measure a figure and compare it with its bars.

    Raises:
        UsageError: no such figure.
    """
    if name not in FIGURES:
        raise UsageError(
            f"there is no figure {name!r}{did_you_mean(name, FIGURES)}", fix=f"known: {', '.join(FIGURES)}"
        )
    figure = FIGURES[name]
    folder.mkdir(parents=True, exist_ok=True)
    measured = figure.measure(folder, settings, progress)
    held = {
        key: key in measured and (measured[key] >= value if sense == "at least" else measured[key] <= value)
        for key, (sense, value) in figure.bars.items()
    }
    return {
        "name": name,
        "text": figure.text,
        "bars": {k: f"{sense} {value:g}" for k, (sense, value) in figure.bars.items()},
        "held": held,
        "measured": measured,
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "versions": {"snnkit": __version__, "python": platform.python_version()},
    }
