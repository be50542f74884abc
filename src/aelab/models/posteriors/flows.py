"""Normalising flows over a Gaussian, whose parameters the encoder gives (Rezende and Mohamed 2015)."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.distributions import Transported
from aelab.models.posteriors.base import Features, Posterior, vector
from aelab.models.posteriors.gaussian import DiagonalGaussian


class Step(nn.Module, ABC):
    """An invertible map of codes.

    forward: z (S, B, latent), h (B, features) -> z', log |det dz'/dz| (S, B).
    """

    @abstractmethod
    def forward(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]: ...


class Flow(Posterior):
    """A diagonal Gaussian carried through `length` steps. step: (features, latent) -> Step."""

    def __init__(self, features: Features, sizes: Sizes, step: Callable[..., Step], length: int = 4) -> None:
        super().__init__((sizes.latent,))
        if length < 1:
            raise ConfigurationError(f"model.posterior.length={length}: a flow has at least one step")
        known = vector(features, "planar, radial or iaf")
        self.base = DiagonalGaussian(known, sizes)
        self.steps = nn.ModuleList(step(features=known, latent=sizes.latent) for _ in range(length))

    def forward(self, h: Tensor, step: int = 0) -> Transported:
        # The steps are also asked outside of mixed precision, which the features may come from.
        return Transported(self.base(h), partial(self.transport, h=h.float()), self.latent)

    def transport(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Codes of the base (S, B, latent) -> codes, and the log-determinant (S, B)."""
        total = z.new_zeros(z.shape[:-1])
        for step in self.steps:
            z, log_det = step(z, h)
            total = total + log_det
        return z, total


class Planar(Step):
    """z + u tanh(w'z + b), u bent so that the map stays invertible (Rezende and Mohamed 2015)."""

    def __init__(self, features: int, latent: int) -> None:
        super().__init__()
        self.sizes = [latent, latent, 1]
        self.projection = nn.Linear(features, 2 * latent + 1)

    def forward(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        u, w, b = self.projection(h).float().split(self.sizes, -1)
        along = (w * u).sum(-1, keepdim=True)
        norm = w.square().sum(-1, keepdim=True)
        safe = norm.clamp_min(1e-8)
        # w'u above -1 by as much as float32 can tell, or the map is flat where tanh is steepest.
        bent = torch.lerp(along, F.softplus(along) - 0.999, norm / safe)
        u = u + (F.softplus(along) - 0.999 - along) * w / safe
        bend = ((z * w).sum(-1, keepdim=True) + b).tanh()
        return z + u * bend, torch.log1p((1 - bend.square()) * bent)[..., 0]


class Radial(Step):
    """z + beta (z - centre) / (alpha + |z - centre|), beta > -alpha (Rezende and Mohamed 2015)."""

    def __init__(self, features: int, latent: int) -> None:
        super().__init__()
        self.sizes = [latent, 1, 1]
        self.projection = nn.Linear(features, latent + 2)

    def forward(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        centre, a, b = self.projection(h).float().split(self.sizes, -1)
        alpha, above = F.softplus(a).clamp_min(1e-4), F.softplus(b).clamp_min(1e-4)
        offset = z - centre
        radius = offset.square().sum(-1, keepdim=True).clamp_min(1e-12).sqrt()
        # With beta = above - alpha, both factors of the determinant are sums of what is positive.
        reach = alpha + radius
        across = (radius + above) / reach
        along = (radius * (radius + 2 * alpha) + alpha * above) / reach.square()
        log_det = (z.shape[-1] - 1) * across.log() + along.log()
        return centre + across * offset, log_det[..., 0]


class InverseAutoregressive(Step):
    """z_i gated towards m_i, both functions of the z before it and of h (Kingma et al. 2016).

    The order of the dimensions is turned round after each step. widths: of the masked network.
    """

    def __init__(self, features: int, latent: int, widths: Sequence[int] = (128,)) -> None:
        super().__init__()
        from zuko.nn import MaskedMLP

        before = torch.ones(latent, latent, dtype=torch.bool).tril(-1)
        sees = torch.cat([before, torch.ones(latent, features, dtype=torch.bool)], 1)
        self.network = MaskedMLP(sees.repeat(2, 1), widths, nn.ELU)

    def forward(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        inputs = torch.cat([z, h.expand(*z.shape[:-1], -1)], -1)
        centre, gate = self.network(inputs).float().chunk(2, -1)
        log_keep = F.logsigmoid(gate + 1.5)  # begins near the identity
        keep = log_keep.exp()
        return (keep * z + (1 - keep) * centre).flip(-1), log_keep.sum(-1)
