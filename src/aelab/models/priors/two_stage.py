"""A prior that is a VAE of codes."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Size, Tensor, nn
from torch.distributions import Distribution

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.distributions import Gaussian, StandardGaussian
from aelab.models.distributions.base import ONE, Shape
from aelab.models.evidence import log_mean
from aelab.models.posteriors.layers import Between
from aelab.models.priors.standardised import Standardised


class TwoStage(Standardised):
    """p(z) of a second VAE, u ~ N(0, I), z|u a Gaussian (Dai and Wipf 2019, https://arxiv.org/abs/1903.05789).

        u ~ N(0, I) ──generation──▶ p(z|u)         z ──inference──▶ q(u|z)

    upper: the size of u. samples: codes u for the bound of each z. widths: of both networks.
    """

    zeros: Tensor

    def __init__(
        self,
        sizes: Sizes,
        upper: int,
        samples: int = 8,
        widths: Sequence[int] = (256, 256),
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__(sizes)
        if min(upper, samples) < 1:
            raise ConfigurationError(
                f"model.prior.upper={upper} and samples={samples}: at least 1 of each is needed"
            )
        self.samples = samples
        self.inference = Between(sizes.latent + sizes.context, upper, widths, activation)
        self.generation = Between(upper + sizes.context, sizes.latent, widths, activation)
        self.register_buffer("zeros", torch.zeros(upper), persistent=False)

    def standard(self, context: Tensor | None) -> "Marginal":
        first, latent = StandardGaussian(self.zeros), len(self.scale)
        return Marginal(first, self.generation, self.inference, latent, self.samples, context)


class Marginal(Distribution):
    """The distribution of z where u ~ first and z ~ generation(u): its log-density is known from below alone.

    generation, inference: (*, inputs) -> Gaussian, of z given u and of u given z, beside the context (B, C).
    log_prob: an importance-weighted bound of `samples` codes u, whose exponential is unbiased (Burda et al.
        2016), so that an evidence lower bound, or importance weights, of which it is a part stay valid.
    """

    has_rsample = True
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        first: StandardGaussian,
        generation: Callable[[Tensor], Gaussian],
        inference: Callable[[Tensor], Gaussian],
        latent: int,
        samples: int,
        context: Tensor | None = None,
    ) -> None:
        self.first, self.generation, self.inference = first, generation, inference
        self.samples, self.context = samples, context
        batch = Size() if context is None else context.shape[:1]
        super().__init__(batch, Size([latent]), validate_args=False)

    def rsample(self, sample_shape: Shape = ONE) -> Tensor:
        u = self.first.rsample(Size([*sample_shape, *self.batch_shape]))
        return self.generation(self._beside(u)).rsample()

    def log_prob(self, value: Tensor) -> Tensor:
        q = self.inference(self._beside(value))
        u = q.rsample(Size([self.samples]))
        log_w = self.generation(self._beside(u)).log_prob(value) + self.first.log_prob(u) - q.log_prob(u)
        return log_mean(log_w)[0]

    def _beside(self, given: Tensor) -> Tensor:
        if self.context is None:
            return given
        return torch.cat([given, self.context.expand(*given.shape[:-1], -1)], -1)
