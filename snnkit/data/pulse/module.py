"""Pulse as a LightningDataModule."""

from __future__ import annotations

from snnkit.data.frame_settings import FrameSettings
from snnkit.data.module import FrameDataModule
from snnkit.data.pulse.windows import STEP_US, STEPS, PulseSource


class Pulse(FrameDataModule):
    """SIMULATED delta-coded pulses in windows of 1.28 s: normal, or with an anomaly of one of five kinds.

    Recordings of 60, 15 and 30 minutes are simulated in seconds at first use; how: `snnkit.data.pulse.waveform` and
    `.windows`. A network trained on them watches a stream of hours in `snnkit.loops.watching`.

    Args:
        batch_size: windows per batch.
        num_workers: loader processes.
        seed: seed of training order.
        data_seed: seed of the simulation.
        minutes: length of the training, validation and test recording; None: as above.
    """

    def __init__(
        self,
        batch_size: int = 64,
        num_workers: int = 0,
        seed: int = 0,
        data_seed: int = 0,
        minutes: tuple[float, float, float] | None = None,
    ) -> None:
        frames = FrameSettings(T=STEPS, by="time", binary=True, window_us=STEPS * STEP_US)
        super().__init__(PulseSource(minutes, data_seed), frames, batch_size, None, num_workers, seed)
