"""FollowDigit as a LightningDataModule."""

from __future__ import annotations

from snnkit.data.follow_digit.windows import STEP_MS, STEPS, WINDOW_MS, FollowDigitSource
from snnkit.data.frame_settings import FrameSettings
from snnkit.data.module import FrameDataModule

assert STEPS * STEP_MS == WINDOW_MS


class FollowDigit(FrameDataModule):
    """SIMULATED windows of 20 ms of a saccading event sensor, 34×34 pixels; 121 classes: where the digit is at the end.

    6000 training, 600 validation and 1200 test windows, of different digits, made in seconds at first use. How they are
    simulated: `snnkit.data.follow_digit.eye` and `.windows`; `snnkit.loops.tracking` steers with the answers.

    Args:
        batch_size: windows per batch.
        num_workers: loader processes.
        seed: seed of training order.
        data_seed: seed of the simulation.
        sizes: windows of the training, validation and test part; None: as above.
    """

    def __init__(
        self,
        batch_size: int = 64,
        num_workers: int = 0,
        seed: int = 0,
        data_seed: int = 0,
        sizes: tuple[int, int, int] | None = None,
    ) -> None:
        frames = FrameSettings(T=STEPS, by="time", binary=True, window_us=WINDOW_MS * 1000)
        super().__init__(FollowDigitSource(sizes, data_seed), frames, batch_size, None, num_workers, seed)
