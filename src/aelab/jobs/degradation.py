"""What happens to observations before somebody wants them back, and what is left says of them."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution

from aelab.core.errors import ConfigurationError, InapplicableError
from aelab.core.text import sizes

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Degraded:
    """What is left of observations x (B, *event).

    y: what is left, (B, *event) or of fewer pixels. shown: the same as an encoder takes it, (B, *event).
    cause: what was done. hidden: 1 where nothing of x is left and 0 where it is whole, broadcastable to x;
    None where all of it was changed.
    """

    y: Tensor
    shown: Tensor
    cause: "Degradation"
    hidden: Tensor | None = None

    def at(self, part: slice, device: torch.device) -> "Degraded":
        """Some of them, on a device."""
        hidden = None if self.hidden is None else self.hidden[part].to(device)
        return Degraded(self.y[part].to(device), self.shown[part].to(device), self.cause, hidden)

    def log_prob(self, p: Distribution) -> Tensor:
        """log p(y|z) in nats, (S, B), under p = p(x|z) of batch shape (S, B)."""
        return self.cause.log_prob(self, p)

    def explained(self, p: Distribution) -> tuple[Tensor, Tensor]:
        """Mean and variance of each value of x given z and y: (S, B, *event) both."""
        return self.cause.explained(self, p)


class Degradation(ABC):
    """x (B, *event) -> what is left of it, by draws from torch's default generators.

    images: whether it is of images alone.
    """

    images = False

    def __call__(self, x: Tensor) -> Degraded:
        self.check(tuple(x.shape[1:]))
        return self.of(self.draw(x), tuple(x.shape[1:]))

    @abstractmethod
    def draw(self, x: Tensor) -> Tensor:
        """What is left of x."""

    def of(self, y: Tensor, shape: Shape) -> Degraded:
        """What is left of observations of a shape, as it was found."""
        return Degraded(y, y, self)

    def left(self, shape: Shape) -> Shape:
        """The shape of what is left of an observation."""
        return shape

    def check(self, shape: Shape) -> None:
        """InapplicableError for observations that this cannot happen to."""
        if self.images and len(shape) != 3:
            raise InapplicableError(f"this degradation is of images, and these are of {sizes(shape)}")

    @abstractmethod
    def log_prob(self, left: Degraded, p: Distribution) -> Tensor: ...

    def explained(self, left: Degraded, p: Distribution) -> tuple[Tensor, Tensor]:
        return p.mean, variance(p)


def variance(p: Distribution) -> Tensor:
    """The variance of each value; InapplicableError for a likelihood that knows none."""
    try:
        return p.variance
    except NotImplementedError as error:
        raise InapplicableError(
            f"{type(p).__name__} knows no variance of a value: choose another likelihood"
        ) from error


def log_density(p: Distribution, y: Tensor) -> Tensor:
    """The log-density of each value, (S, B, *event); 1 for a dimension that the likelihood joins."""
    each: Tensor = p.each(y)  # type: ignore[attr-defined]
    return each


def positive(name: str, value: float) -> float:
    """ConfigurationError for an option of a degradation that is not above 0 and finite."""
    if not 0 < value < math.inf:
        raise ConfigurationError(f"degradation.{name}={value}: a number above 0 is needed")
    return value
