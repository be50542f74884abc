"""Degradations that hide a part of an observation and leave the rest as it is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.distributions import Distribution

from aelab.core.errors import ConfigurationError, DataError, InapplicableError
from aelab.core.paths import from_user
from aelab.core.text import printable, sizes
from aelab.jobs.degradation import Degradation, Degraded, Shape, log_density, variance


class Mask(Degradation, ABC):
    """Hidden values are shown as `fill`. For images all channels of a pixel are hidden together."""

    def __init__(self, fill: float = 0.0) -> None:
        self.fill = fill

    @abstractmethod
    def hidden(self, count: int, shape: Shape) -> Tensor:
        """1 where a value is hidden, else 0: (count, 1, H, W) of images, (count, *shape) of others."""

    def __call__(self, x: Tensor) -> Degraded:
        self.check(tuple(x.shape[1:]))
        return self._left(x, self.hidden(len(x), tuple(x.shape[1:])).to(x))

    def draw(self, x: Tensor) -> Tensor:
        return self(x).y

    def of(self, y: Tensor, shape: Shape) -> Degraded:
        return self._left(y, self.hidden(len(y), shape).to(y))

    def _left(self, x: Tensor, hidden: Tensor) -> Degraded:
        y = torch.where(hidden.bool(), self.fill, x)
        return Degraded(y, y, self, hidden)

    def log_prob(self, left: Degraded, p: Distribution) -> Tensor:
        assert left.hidden is not None
        return (log_density(p, left.y) * (1 - left.hidden)).flatten(2).sum(2)

    def explained(self, left: Degraded, p: Distribution) -> tuple[Tensor, Tensor]:
        assert left.hidden is not None
        return torch.where(left.hidden.bool(), p.mean, left.y), variance(p) * left.hidden


class Missing(Mask):
    """Each pixel, or each number of a vector, is hidden with the given probability."""

    def __init__(self, probability: float = 0.5, fill: float = 0.0) -> None:
        super().__init__(fill)
        if not 0 < probability < 1:
            raise ConfigurationError(f"degradation.probability={probability}: between 0 and 1")
        self.probability = probability

    def hidden(self, count: int, shape: Shape) -> Tensor:
        return (torch.rand(count, *joined(shape)) < self.probability).float()

    def of(self, y: Tensor, shape: Shape) -> Degraded:
        raise InapplicableError(
            "which pixels are missing cannot be seen of them: give degradation=mask degradation.file=MASK"
        )


class Box(Mask):
    """A rectangle of the image is hidden. rows, columns: where from and to, as shares of the sides."""

    images = True

    def __init__(
        self,
        rows: Sequence[float] = (0.5, 1.0),
        columns: Sequence[float] = (0.0, 1.0),
        fill: float = 0.0,
    ) -> None:
        super().__init__(fill)
        for name, span in (("rows", rows), ("columns", columns)):
            if len(span) != 2 or not 0 <= span[0] < span[1] <= 1:
                raise ConfigurationError(f"degradation.{name}={list(span)}: two shares, as [0.5, 1.0]")
        self.rows, self.columns = tuple(rows), tuple(columns)

    def hidden(self, count: int, shape: Shape) -> Tensor:
        hidden = torch.zeros(count, *joined(shape))
        hidden[..., _span(self.rows, shape[1]), _span(self.columns, shape[2])] = 1
        return hidden


class Painted(Mask):
    """What a picture shows in white is hidden, of all alike. file: the picture, of the size of the images."""

    images = True

    def __init__(self, file: str, fill: float = 0.0) -> None:
        super().__init__(fill)
        self.file = file

    def hidden(self, count: int, shape: Shape) -> Tensor:
        try:
            levels = np.array(Image.open(from_user(self.file)).convert("L"))
        except OSError as error:
            raise DataError(f"degradation.file={printable(self.file)} is no picture: give one") from error
        if levels.shape != shape[1:]:
            raise DataError(
                f"degradation.file={printable(self.file)} is {sizes(levels.shape)}, and the images are of "
                f"{sizes(shape[1:])}: they must be alike"
            )
        return torch.from_numpy(levels > 127).float().expand(count, *joined(shape)).clone()


def joined(shape: Shape) -> Shape:
    """The shape of a mask, which has one channel for all of an image."""
    return (1, *shape[1:]) if len(shape) == 3 else shape


def _span(shares: Sequence[float], side: int) -> slice:
    return slice(round(shares[0] * side), round(shares[1] * side))
