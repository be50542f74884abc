"""What every likelihood is."""

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.distributions import Distribution

Shape = tuple[int, ...]


class Likelihood(nn.Module, ABC):
    """forward: params (S, B, parameters, *rest) -> p(x|z,c) with batch shape (S, B) and event (C, *rest).

    Parameters are cast to float32, so that mixed precision never meets a log-density in half precision. What
    reads networks of its own in `log_prob`, as an autoregressive density does, asks them through `as_now`.

    The mean of what it gives is shown as the reconstruction, and errors are measured of it. Where it has no
    closed form, as where positions follow one another, it is that of a walk: each the mean given the means
    before it.

    drawn: whether samples of the model are draws of p(x|z,c) and not its means, as where codes say little.
    binary: whether it is of zeros and ones alone.
    pooled: whether the density of an observation in training depends on the others of its batch.
    """

    drawn = False
    binary = False
    pooled = False

    def parameters_of(self, shape: Shape) -> Shape:
        """The shape of what the decoder gives for an observation of a shape, as (C, H, W) or (D,)."""
        return shape

    @abstractmethod
    def forward(self, params: Tensor) -> Distribution: ...
