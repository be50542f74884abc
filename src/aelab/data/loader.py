"""Batches from tensors that are on the device already: an `index_select` or a slice, and a cast.

Of a memory map only the batch's pixels are read, and moved to the device.

The order of training follows from (seed, epoch), the noise of a batch from its position, so that a run can
be continued at any batch to the same bits.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from aelab.core.records import Batch
from aelab.core.seeds import step_seed
from aelab.data.labels import Labelled
from aelab.data.splits import Images
from aelab.data.values import Binarization


class Loader(ABC):
    """One rank's share of `images`, in batches on `device`.

    values: makes pixels (B, C, H, W) uint8 into values (B, C, H, W) float32.
    batch_size: images in a batch of one rank.
    stage: keeps the noise apart from all else that is drawn with `seed`; name nothing else like it.
    device: of the batches; None: where the images are. Only the batches of a memory map are moved.
    """

    def __init__(
        self,
        images: Images,
        values: Binarization,
        batch_size: int,
        *,
        seed: int,
        stage: str,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | None = None,
    ) -> None:
        self.images = images
        self.values = values
        self.batch_size = batch_size
        self.seed = seed
        self.stage = stage
        self.rank = rank
        self.world_size = world_size
        self.device = images.x.device if device is None else device
        self._generator = torch.Generator(self.device)

    @abstractmethod
    def __len__(self) -> int:
        """Batches of this rank in an epoch, the same for every rank."""

    @abstractmethod
    def __iter__(self) -> Iterator[Batch]:
        """One epoch."""

    def _batch(self, part: Tensor | slice, epoch: int, batch: int, rank: int) -> Batch:
        images = self.images.at(part)
        if self.images.rows is not None:
            images = images.to(self.device)
        return Batch(self.valued(images.x, epoch, batch, rank), images.y, images.attributes)

    def valued(self, pixels: Tensor, epoch: int, batch: int, rank: int = 0) -> Tensor:
        """(B, C, H, W) uint8 -> float32, with the draws that belong to this batch."""
        self._generator.manual_seed(step_seed(self.seed, self.stage, epoch, batch, rank))
        return self.values(pixels, self._generator)


class TrainLoader(Loader):
    """Shuffled afresh in each epoch; the last short batch is kept.

    The order is padded by wrapping round until every rank has equally many images.

    labelled: where its `share` is given, what each batch holds of images with a label.
    """

    _epoch = 0
    _position = (0, 0)

    def __init__(self, *parts: Any, labelled: Labelled = Labelled(), **options: Any) -> None:  # noqa: B008
        super().__init__(*parts, **options)
        self.labelled = labelled

    @property
    def sampler(self) -> "TrainLoader":
        """Where Lightning looks for `set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that of `epoch`."""
        self._epoch = epoch

    def start_at(self, epoch: int, batch: int) -> None:
        """Make the next iteration of `epoch` begin at `batch`; all others are whole."""
        self._epoch, self._position = epoch, (epoch, batch)

    def __len__(self) -> int:
        return _ceil(_ceil(len(self.images), self.world_size), self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        # A generator: Lightning calls iter() before it sets the epoch, and nothing here runs until next().
        epoch, start = self._epoch, self._skipped()
        order = self.order(epoch)
        for batch in range(start, len(self)):
            index = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield self._batch(index, epoch, batch, self.rank)

    def _skipped(self) -> int:
        epoch, batch = self._position
        if epoch != self._epoch:
            return 0
        self._position = (0, 0)
        return batch

    def order(self, epoch: int) -> Tensor:
        """This rank's images in `epoch`: drawn on the CPU, so that it is the same on every device."""
        count = len(self.images)
        generator = torch.Generator().manual_seed(step_seed(self.seed, "order", epoch))
        share = torch.arange(self.rank, _ceil(count, self.world_size) * self.world_size, self.world_size)
        if self.labelled.share is None or self.images.y is None:
            order = torch.randperm(count, generator=generator)
        else:
            order = self.labelled.order(self.images.y.cpu(), generator, self.batch_size, self.world_size)
        return order[share % len(order)].to(self.images.x.device)


class EvalLoader(Loader):
    """In order, and the same batches with the same noise in every epoch and for every number of ranks.

    Rank r of W takes the global batches r, r + W, ...; where there is none left for it, the batch is empty,
    x (0, C, H, W), so that all ranks make the same number of steps.
    """

    def __len__(self) -> int:
        return _ceil(_ceil(len(self.images), self.batch_size), self.world_size)

    def __iter__(self) -> Iterator[Batch]:
        for batch in range(self.rank, len(self) * self.world_size, self.world_size):
            part = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
            yield self._batch(part, 0, batch, 0)


def _ceil(count: int, size: int) -> int:
    return -(-count // size)
