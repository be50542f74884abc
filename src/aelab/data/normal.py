"""Which observations pass for normal where anomalies are to be found: some classes, and a share of others."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from aelab.core.errors import ConfigurationError
from aelab.data.splits import Observations, subset


@dataclass(frozen=True)
class Normal:
    """The classes that training and validation keep, and the share of others that are left among them.

    classes: one or several; None: all observations are kept, and none is an anomaly.
    contamination: the share of what is kept that is of other classes, in [0, 1).
    of: how many classes there are; None where labels are not used.

    Raises ConfigurationError for classes or a share that cannot be.
    """

    classes: int | Sequence[int] | None = None
    contamination: float = 0.0
    of: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.contamination < 1:
            raise ConfigurationError(f"data.contamination={self.contamination} must lie in [0, 1)")
        if self.classes is None:
            if self.contamination:
                raise ConfigurationError(
                    f"data.contamination={self.contamination} is of classes other than data.normal: give both"
                )
            return
        if not self.of or not self.kept or not set(self.kept) < set(range(self.of)):
            raise ConfigurationError(
                f"data.normal={self.classes} must be some of the data's classes, and not all of them "
                f"(data.classes={self.of})"
            )

    @property
    def kept(self) -> tuple[int, ...]:
        """The normal classes."""
        if self.classes is None:
            return ()
        return (self.classes,) if isinstance(self.classes, int) else tuple(self.classes)

    def keep(self, found: Observations) -> Observations:
        """Those that pass for normal, in their order, and others at random but the same at every call."""
        if self.classes is None:
            return found
        if found.y is None:
            raise ConfigurationError(f"data.normal={self.classes} needs labels, and the data have none")
        normal = self.is_normal(found.y)
        places, others = (torch.nonzero(mask)[:, 0] for mask in (normal, ~normal & (found.y >= 0)))
        count = round(len(places) * self.contamination / (1 - self.contamination))
        if count > len(others) or not len(places):
            raise ConfigurationError(
                f"data.normal={self.classes} with data.contamination={self.contamination}: there are "
                f"{len(places)} normal observations and {len(others)} others"
            )
        return found.take(torch.cat([places, others[subset(count, len(others))]]).sort().values)

    def is_normal(self, y: Tensor) -> Tensor:
        """Whether each label (N,) is of a normal class."""
        return torch.isin(y, torch.tensor(self.kept, device=y.device))
