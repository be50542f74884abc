"""What every posterior is."""

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.distributions import Distribution

from aelab.core.errors import ConfigurationError


def check_latent(latent: int) -> int:
    """The latent size if it is a positive integer; ConfigurationError otherwise."""
    if not isinstance(latent, int) or isinstance(latent, bool) or latent < 1:
        raise ConfigurationError(f"latent={latent}: the latent size must be an integer of at least 1")
    return latent


class Posterior(nn.Module, ABC):
    """forward: h (B, features), read off x and c by the encoder, and step -> q(z|x,c) over (B, latent).

    latent: the size of a code. decoded: how much of it, from the front, the decoder reads; all by default.
    step: the optimisation step, for parts that follow a schedule.
    """

    def __init__(self, latent: int, decoded: int | None = None) -> None:
        super().__init__()
        self.latent = check_latent(latent)
        self.decoded = latent if decoded is None else check_latent(decoded)

    @abstractmethod
    def forward(self, h: Tensor, step: int = 0) -> Distribution: ...
