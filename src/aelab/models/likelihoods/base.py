"""What every likelihood is."""

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.distributions import Distribution

Shape = tuple[int, ...]


class Likelihood(nn.Module, ABC):
    """forward: params (S, B, parameters, *rest) -> p(x|z,c) with batch shape (S, B) and event (C, *rest).

    Parameters are cast to float32, so that mixed precision never meets a log-density in half precision.
    """

    def parameters_of(self, shape: Shape) -> Shape:
        """The shape of what the decoder gives for an observation of a shape, as (C, H, W) or (D,)."""
        return shape

    @abstractmethod
    def forward(self, params: Tensor) -> Distribution: ...
