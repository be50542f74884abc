"""What every prior is."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor, nn
from torch.distributions import Distribution

Encode = Callable[[Tensor, Tensor | None], Distribution]


class Prior(nn.Module, ABC):
    """forward: context (B, C) or None, encode (x, context) -> q(z|x,c); gives p(z|c), batch shape () or (B,).

    Built with latent, the size of a code; context, the size of c, 0 without one; shape, of an observation.

    examples: how many training images `initialise` asks for.
    """

    examples: int = 0

    @abstractmethod
    def forward(self, context: Tensor | None, encode: Encode) -> Distribution: ...

    def initialise(self, x: Tensor) -> None:
        """Begin from training images (examples, *shape), where a prior is made of such."""
