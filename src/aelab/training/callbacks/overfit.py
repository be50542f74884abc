"""A training on a few batches again and again, which a model that works learns by heart."""

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from aelab.data.loader import TrainLoader


class Overfit(Callback):
    """Every epoch of the same images: as many as `limit_train_batches` leaves of the first ones."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loader = trainer.train_dataloader
        assert isinstance(loader, TrainLoader)
        count = int(trainer.num_training_batches) * loader.batch_size * loader.world_size
        images = loader.observations
        loader.observations = images.take(torch.arange(min(count, len(images)), device=images.x.device))
