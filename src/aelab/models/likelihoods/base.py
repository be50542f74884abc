"""What every likelihood is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Distribution


class Likelihood(nn.Module, ABC):
    """forward: params (S, B, parameters, *rest) -> p(x|z,c) with batch shape (S, B) and event (C, *rest).

    Parameters are cast to float32, so that mixed precision never meets a log-density in half precision.
    """

    def parameters_for(self, channels: int) -> int:
        """How many numbers the decoder gives for each place of an observation of that many channels."""
        return channels

    def parameters_of(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of what the decoder gives for an observation of a shape, as (C, H, W) or (D,)."""
        return (self.parameters_for(shape[0]), *shape[1:])

    @abstractmethod
    def forward(self, params: Tensor) -> Distribution: ...
