"""What every prior is."""

from abc import ABC, abstractmethod
from typing import Protocol

from torch import Tensor, nn
from torch.distributions import Distribution


class Encodes(Protocol):
    """The model as its own prior sees it."""

    def encode(self, x: Tensor, context: Tensor | None = None, step: int = 0) -> Distribution:
        """x (B, *event), context (B, C) or None -> q(z|x,c)."""
        ...


class Prior(nn.Module, ABC):
    """forward: context (B, C) or None, and the model -> p(z|c), batch shape () or (B,).

    Built with the sizes of the model, of which `latent` is that of a whole code.

    examples: how many training images `initialise` asks for.
    """

    examples: int = 0

    @abstractmethod
    def forward(self, context: Tensor | None, model: Encodes) -> Distribution: ...

    def initialise(self, x: Tensor) -> None:
        """Begin from training images (examples, *shape), where a prior is made of such."""
