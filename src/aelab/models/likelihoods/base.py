"""What every likelihood is."""

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.distributions import Distribution


class Likelihood(nn.Module, ABC):
    """forward: params (S, B, parameters, *rest) -> p(x|z,c) with batch shape (S, B) and event (C, *rest).

    Parameters are cast to float32, so that mixed precision never meets a log-density in half precision.
    """

    def parameters_for(self, channels: int) -> int:
        """How many numbers the decoder gives for each place of an observation of that many channels."""
        return channels

    @abstractmethod
    def forward(self, params: Tensor) -> Distribution: ...
