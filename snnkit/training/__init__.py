"""Training: one LightningModule, losses, measurements, recipes, and runs that can be resumed.

>>> from snnkit.training import fit, load_run
>>> run = fit("saccade_digits/conv", "runs/first")
>>> run.metrics["test"]["accuracy"]
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_WHERE = {
    "fit": "fitting",
    "finetune": "finetuning",
    "Start": "start",
    "Weights": "start",
    "read_weights": "weights",
    "TrainerSettings": "trainer",
    "Run": "run",
    "load_run": "run",
    "evaluate": "evaluation",
    "Evaluation": "metrics",
    "Activity": "metrics",
    "predict": "metrics",
    "SpikingClassifier": "module",
    "OptimizerSettings": "optimization",
    "ClassificationLoss": "losses",
    "READOUTS": "losses",
    "scores": "losses",
    "first_spike_time": "first_spike",
    "van_rossum": "distances",
    "regression": "distances",
    "Regularizer": "regularizers",
    "FiringRateBand": "regularizers",
    "SynapticOperationBudget": "regularizers",
    "WeightPenalty": "regularizers",
    "ThresholdPenalty": "regularizers",
}

__all__ = [
    "READOUTS",
    "Activity",
    "ClassificationLoss",
    "Evaluation",
    "FiringRateBand",
    "OptimizerSettings",
    "Regularizer",
    "Run",
    "SpikingClassifier",
    "Start",
    "SynapticOperationBudget",
    "ThresholdPenalty",
    "TrainerSettings",
    "WeightPenalty",
    "Weights",
    "evaluate",
    "finetune",
    "first_spike_time",
    "fit",
    "load_run",
    "predict",
    "read_weights",
    "regression",
    "scores",
    "van_rossum",
]

if TYPE_CHECKING:
    from snnkit.training.distances import regression, van_rossum
    from snnkit.training.evaluation import evaluate
    from snnkit.training.finetuning import finetune
    from snnkit.training.first_spike import first_spike_time
    from snnkit.training.fitting import fit
    from snnkit.training.losses import READOUTS, ClassificationLoss, scores
    from snnkit.training.metrics import Activity, Evaluation, predict
    from snnkit.training.module import SpikingClassifier
    from snnkit.training.optimization import OptimizerSettings
    from snnkit.training.regularizers import (
        FiringRateBand,
        Regularizer,
        SynapticOperationBudget,
        ThresholdPenalty,
        WeightPenalty,
    )
    from snnkit.training.run import Run, load_run
    from snnkit.training.start import Start, Weights
    from snnkit.training.trainer import TrainerSettings
    from snnkit.training.weights import read_weights


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'snnkit.training' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"snnkit.training.{_WHERE[name]}"), name)
    globals()[name] = value
    return value
