"""The moving average of a model's weights, which is what is validated, tested and kept."""

from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn


class MovingAverage(WeightAveraging):
    """An exponential moving average of all weights and of the statistics that follow batches, as those of a
    batch normalisation and of a codebook.

    Whole numbers are those of the last step, and so is what a module `queues` by name: observations follow
    one another there, and those that stood at one place have no average.
    """

    def __init__(self, decay: float = 0.999) -> None:
        super().__init__(multi_avg_fn=get_ema_multi_avg_fn(decay))

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *passed: Any) -> None:
        super().on_train_batch_end(trainer, pl_module, *passed)
        assert self._average_model is not None
        for mean, now in zip(self._average_model.module.modules(), pl_module.modules(), strict=True):
            for name, value in now.named_buffers(recurse=False):
                if name in getattr(now, "queues", ()) or not value.is_floating_point():
                    mean.get_buffer(name).copy_(value)
