"""Labels that are known of some observations: which keep theirs, and batches that are sure to hold some.

An unknown label is -1.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from aelab.core.errors import ConfigurationError
from aelab.data.splits import Observations


@dataclass(frozen=True)
class Labelled:
    """Which training observations keep their labels, and what share of a batch these are.

    count: how many, as many of each of the `classes`; None: all that the source labels.
    seed: which ones. share: of the observations in each batch; None: as it comes.

    Raises ConfigurationError for numbers that cannot be had.
    """

    count: int | None = None
    seed: int = 0
    share: float | None = None
    classes: int | None = None

    def __post_init__(self) -> None:
        if self.count is not None and (not self.classes or self.count < 1 or self.count % self.classes):
            raise ConfigurationError(
                f"data.labelled={self.count} keeps as many labels of each class, and data.classes is "
                f"{self.classes}: give a multiple of it"
            )
        if self.share is not None and not 0 < self.share < 1:
            raise ConfigurationError(f"data.labelled_share={self.share} must lie between 0 and 1")

    def hide(self, observations: Observations) -> Observations:
        """The same without the labels that are not kept."""
        if self.count is None or observations.y is None or self.classes is None:
            return observations
        each, y = self.count // self.classes, observations.y
        order = torch.randperm(len(y), generator=Generator().manual_seed(self.seed))
        found = F.one_hot(y[order] + 1, self.classes + 1)[:, 1:]  # an unknown label is of no class
        if (least := int(found.sum(0).min())) < each:
            raise ConfigurationError(
                f"data.labelled={self.count} is {each} labels of each class, and of one there are {least}: "
                + (f"at most {least * self.classes} would work" if least else "data.labelled=null would work")
            )
        nth = (found * found.cumsum(0)).sum(1)  # of its class, from 1; 0 without a label
        kept = order[(nth > 0) & (nth <= each)]
        return replace(observations, y=torch.full_like(y, -1).index_put((kept,), y[kept]))

    def check(self, observations: Observations, size: int) -> None:
        """Refuse a share that batches of `size` of these cannot have."""
        known = 0 if observations.y is None else int((observations.y >= 0).sum())
        unknown = len(observations) - known
        if self.share is not None and not (known and unknown and 0 < self._each(size) < size):
            raise ConfigurationError(
                f"data.labelled_share={self.share} of batches of {size} mixes those with and without a "
                f"label, of which there are {known} and {unknown}: leave it out, or give data.labelled"
            )

    def _each(self, size: int) -> int:
        return round((self.share or 0.0) * size)

    def order(self, y: Tensor, generator: Generator, size: int, ranks: int) -> Tensor:
        """An order of N observations, with labels y (N,), for batches of `size` dealt out to `ranks`.

        It is of N of them and as many more as give each rank the same number. The first places of each batch
        are of labelled ones, which come round as often as they must; all others are of those without.
        """
        known, unknown, each = (y >= 0).nonzero()[:, 0], (y < 0).nonzero()[:, 0], self._each(size)
        place = torch.arange(-(-len(y) // ranks) * ranks)
        first = place // ranks % size < each
        order = torch.empty_like(place)
        for rows, places in ((known, first), (unknown, ~first)):
            order[places] = _rounds(rows, int(places.sum()), generator)
        return order


def _rounds(rows: Tensor, count: int, generator: Generator) -> Tensor:
    """`count` of the rows, shuffled afresh each time that all of them were taken."""
    rounds = -(-count // len(rows))
    shuffled = [rows[torch.randperm(len(rows), generator=generator)] for _ in range(rounds)]
    return torch.cat(shuffled)[:count] if shuffled else rows[:0]
