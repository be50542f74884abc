"""The batches of several trainings on the same observations, each in its own order, stacked."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from aelab.core.records import Batch
from aelab.data.loader import TrainLoader


class StackedLoader:
    """Loaders of the same observations and batch size, whose batches come stacked: x (K, B, *event)."""

    def __init__(self, loaders: Sequence[TrainLoader]) -> None:
        self.loaders = loaders
        self.first = loaders[0]

    def batches(self, epoch: int, count: int) -> Iterator[Batch]:
        """The first `count` batches of an epoch."""
        orders = torch.stack([loader.order(epoch) for loader in self.loaders])
        size = self.first.batch_size
        for batch in range(count):
            yield self._batch(orders[:, batch * size : (batch + 1) * size], epoch, batch)

    def _batch(self, index: Tensor, epoch: int, batch: int) -> Batch:
        found = self.first.observations.at(index.flatten())
        if found.x.device != self.first.device:
            found = found.to(self.first.device)
        parts = Batch(found.x, found.y, found.attributes).map(lambda v: v.unflatten(0, index.shape))
        return parts._replace(x=self._values(parts.x, epoch, batch))

    def _values(self, stored: Tensor, epoch: int, batch: int) -> Tensor:
        if not self.first.values.draws_each:
            return self.first.valued(stored, epoch, batch)
        drawn = [
            loader.valued(own, epoch, batch)
            for loader, own in zip(self.loaders, stored.unbind(), strict=True)
        ]
        return torch.stack(drawn)
