"""Batches from tensors that are on the device already: an `index_select` or a slice, and a cast.

Of a memory map only the batch's own rows are read, and moved to the device.

The order of training follows from (seed, epoch), the noise of a batch from its position, so that a run can
be continued at any batch to the same bits. Where nothing is trained the noise of an observation follows from
its place in its split, whatever is asked for beside it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from aelab.core.records import Batch
from aelab.core.seeds import step_seed
from aelab.data.labels import Labelled
from aelab.data.splits import Observations
from aelab.data.values import Values


class Loader(ABC):
    """One rank's share of `observations`, in batches on `device`.

    values: makes what is stored (B, *event) into values (B, *event) float32.
    batch_size: observations in a batch of one rank.
    stage: keeps the noise apart from all else that is drawn with `seed`; name nothing else like it.
    device: of the batches; None: where the observations are. Only the batches of a memory map are moved.
    """

    def __init__(
        self,
        observations: Observations,
        values: Values,
        batch_size: int,
        *,
        seed: int,
        stage: str,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | None = None,
    ) -> None:
        self.observations = observations
        self.values = values
        self.batch_size = batch_size
        self.seed = seed
        self.stage = stage
        self.rank = rank
        self.world_size = world_size
        self.device = observations.x.device if device is None else device
        self._generator = torch.Generator(self.device)

    @abstractmethod
    def __len__(self) -> int:
        """Batches of this rank in an epoch, the same for every rank."""

    @abstractmethod
    def __iter__(self) -> Iterator[Batch]:
        """One epoch."""

    def _read(self, part: Tensor | slice) -> Observations:
        found = self.observations.at(part)
        return found if self.observations.rows is None else found.to(self.device)

    def valued(self, stored: Tensor, epoch: int, batch: int, rank: int = 0) -> Tensor:
        """(B, *event) as stored -> float32, with the draws that belong to this batch."""
        self._generator.manual_seed(step_seed(self.seed, self.stage, epoch, batch, rank))
        return self.values(stored, self._generator)


class TrainLoader(Loader):
    """Shuffled afresh in each epoch; the last short batch is kept.

    The order is padded by wrapping round until every rank has equally many observations.

    labelled: where its `share` is given, what each batch holds of observations with a label.
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
        return _ceil(_ceil(len(self.observations), self.world_size), self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        # A generator: Lightning calls iter() before it sets the epoch, and nothing here runs until next().
        epoch, start = self._epoch, self._skipped()
        order = self.order(epoch)
        for batch in range(start, len(self)):
            index = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            found = self._read(index)
            yield Batch(self.valued(found.x, epoch, batch, self.rank), found.y, found.attributes)

    def _skipped(self) -> int:
        epoch, batch = self._position
        if epoch != self._epoch:
            return 0
        self._position = (0, 0)
        return batch

    def order(self, epoch: int) -> Tensor:
        """This rank's observations in `epoch`: drawn on the CPU, so that it is the same on every device."""
        count = len(self.observations)
        generator = torch.Generator().manual_seed(step_seed(self.seed, "order", epoch))
        share = torch.arange(self.rank, _ceil(count, self.world_size) * self.world_size, self.world_size)
        if self.labelled.share is None or self.observations.y is None:
            order = torch.randperm(count, generator=generator)
        else:
            known = self.observations.y.cpu()
            order = self.labelled.order(known, generator, self.batch_size, self.world_size)
        return order[share % len(order)].to(self.observations.x.device)


class EvalLoader(Loader):
    """The same batches with the same noise in every epoch and for every number of ranks.

    rows: which observations, in which order, (K,) int64; None: all, in theirs.
    Rank r of W takes the global batches r, r + W, ...; where there is none left for it, the batch is empty,
    x (0, *event), so that all ranks make the same number of steps.
    """

    def __init__(self, *parts: Any, rows: Tensor | None = None, **options: Any) -> None:
        super().__init__(*parts, **options)
        self.rows = torch.arange(len(self.observations)) if rows is None else rows

    def __len__(self) -> int:
        return _ceil(_ceil(len(self.rows), self.batch_size), self.world_size)

    def __iter__(self) -> Iterator[Batch]:
        for batch in range(self.rank, len(self) * self.world_size, self.world_size):
            rows = self.rows[batch * self.batch_size : (batch + 1) * self.batch_size]
            found = self._read(rows.to(self.observations.x.device))
            yield Batch(self._drawn(found.x, rows.tolist()), found.y, found.attributes)

    def _drawn(self, stored: Tensor, rows: Iterable[int]) -> Tensor:
        """(B, *event) as stored -> float32, with the draws that belong to each of these places."""
        if not self.values.draws_each or not len(stored):
            return self.values(stored, self._generator)
        seeds = (step_seed(self.seed, self.stage, batch=row) for row in rows)
        each = zip(stored.split(1), seeds, strict=True)
        return torch.cat([self.values(one, self._generator.manual_seed(seed)) for one, seed in each])


def _ceil(count: int, size: int) -> int:
    return -(-count // size)
