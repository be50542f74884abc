"""A training on a few batches again and again, which a model that works learns by heart."""

from pytorch_lightning import Callback, LightningModule, Trainer

from aelab.data.loader import TrainLoader
from aelab.data.splits import subset


class Overfit(Callback):
    """Every epoch of the same observations: as many as `limit_train_batches` leaves."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loader = trainer.train_dataloader
        assert isinstance(loader, TrainLoader)
        count = int(trainer.num_training_batches) * loader.batch_size * loader.world_size
        every = loader.observations
        loader.observations = every.take(subset(count, len(every)).to(every.x.device))
        loader.labelled.check(loader.observations, loader.batch_size)
