"""A kernel density estimate of the codes of a trained model."""

import math
from typing import Any, ClassVar

import torch
from torch import Size, Tensor, nn
from torch.distributions import Distribution

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.distributions import bounded
from aelab.models.distributions.base import ONE, Shape
from aelab.models.priors.base import Encodes, Fitted

BLOCK = 500  # codes whose distances to all centres are in memory at once


class KernelDensity(Fitted):
    """Equal Gaussians around the codes of `components` training observations (Parzen 1962), with one variance
    for each dimension: it maximises the likelihood of each centre under the others, by expectation
    maximisation, of which a second stage takes one step an epoch (Duin 1976).

    h_d^2 <- mean_i sum_{j != i} r_ij (z_id - z_jd)^2, r_ij the share of centre j in the density of z_i.
    Where there are fewer training observations, all of them are centres.
    """

    of_held_codes = True
    centres: Tensor
    known: Tensor

    def __init__(self, sizes: Sizes, components: int = 5000) -> None:
        super().__init__()
        if components < 2:
            raise ConfigurationError(f"model.prior.components={components}: at least 2 centres are needed")
        self.codes_at_start = components
        self.register_buffer("centres", torch.zeros(components, sizes.latent))
        self.register_buffer("known", torch.tensor(components))
        self.log_variance = nn.Parameter(torch.zeros(sizes.latent))

    def forward(self, context: Tensor | None, model: Encodes) -> "Kernels":
        return Kernels(self.centres[: int(self.known)], bounded(self.log_variance))

    @torch.no_grad()
    def begin(self, z: Tensor) -> None:
        if len(z) < 2:
            raise ConfigurationError("prior=kde needs two training observations: choose another prior")
        self.known.fill_(len(z))
        self.centres[: len(z)] = z
        # Silverman's rule (1986): what is best where the codes are Gaussian.
        factor = (4 / ((z.shape[-1] + 2) * len(z))) ** (2 / (z.shape[-1] + 4))
        self.log_variance.copy_((factor * z.var(0)).clamp_min(1e-12).log())

    def gather(self, z: Tensor) -> None:
        """Nothing: it is fitted to its centres."""

    @torch.no_grad()
    def refit(self) -> None:
        density, total = self(None, None), torch.zeros_like(self.log_variance)
        for start in range(0, len(density.centres), BLOCK):
            total += density.spread_of_others(start, BLOCK)
        self.log_variance.copy_((total / len(density.centres)).clamp_min(1e-12).log())


class Kernels(Distribution):
    """Gaussians of the same diagonal covariance around centres (N, latent), each as likely.

    >>> Kernels(torch.zeros(3, 2), torch.zeros(2)).log_prob(torch.zeros(2))  # -log 2 pi
    tensor(-1.8379)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, centres: Tensor, log_variance: Tensor) -> None:
        self.centres, self.log_variance = centres, log_variance
        super().__init__(Size(), centres.shape[1:], validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        flat = value.reshape(-1, value.shape[-1])
        each = [self._logits(part).logsumexp(-1) for part in flat.split(BLOCK)]
        constant = 0.5 * (self.log_variance + math.log(2 * math.pi)).sum() + math.log(len(self.centres))
        return (torch.cat(each) - constant).view(value.shape[:-1])

    def spread_of_others(self, start: int, count: int) -> Tensor:
        """The sum over `count` centres of the squared distance to the others, each as far as it answers for
        the centre: (latent,)."""
        z = self.centres[start : start + count]
        own = torch.arange(len(z), device=z.device)
        logits = self._logits(z)
        logits[own, start + own] = -torch.inf
        r = logits.softmax(-1)
        return r.sum(1) @ z.square() - 2 * (r @ self.centres * z).sum(0) + r.sum(0) @ self.centres.square()

    def _logits(self, z: Tensor) -> Tensor:
        """-|z - centre|^2 / 2, in units of the kernel: (N, centres)."""
        scale = (-0.5 * self.log_variance).exp()
        # Differences rather than products of float32, of which nothing would be left near a centre.
        return -0.5 * torch.cdist(z * scale, self.centres * scale, compute_mode=EXACT).square()

    @torch.no_grad()
    def sample(self, sample_shape: Shape = ONE) -> Tensor:
        shape = Size(sample_shape)
        device = self.centres.device
        chosen = self.centres[torch.randint(len(self.centres), shape, device=device)]
        return chosen + torch.randn_like(chosen) * (0.5 * self.log_variance).exp()


EXACT = "donot_use_mm_for_euclid_dist"
