"""Priors of categorical codes."""

from collections.abc import Sequence

import torch
from torch import Tensor

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.distributions import Joint, OneHot, StandardGaussian
from aelab.models.posteriors.discrete import continuous_size
from aelab.models.priors.base import Encodes, Prior


class UniformCategorical(Prior):
    """Every category alike, in each of latent / categories variables."""

    zeros: Tensor

    def __init__(self, sizes: Sizes, categories: int) -> None:
        latent = sizes.latent
        super().__init__()
        if categories < 2 or latent % categories:
            raise ConfigurationError(
                f"model.prior.categories={categories} does not divide a code of latent={latent}"
            )
        self.register_buffer("zeros", torch.zeros(latent // categories, categories), persistent=False)

    def forward(self, context: Tensor | None, model: Encodes) -> OneHot:
        return OneHot(self.zeros)


class JointGaussianCategorical(Prior):
    """N(0, I) beside a uniform categorical variable for each size in `discrete`."""

    zeros: Tensor

    def __init__(self, sizes: Sizes, discrete: Sequence[int]) -> None:
        latent = sizes.latent
        super().__init__()
        self.discrete, self.continuous = list(discrete), continuous_size(latent, discrete)
        self.register_buffer("zeros", torch.zeros(latent), persistent=False)

    def forward(self, context: Tensor | None, model: Encodes) -> Joint:
        continuous, *logits = self.zeros.split([self.continuous, *self.discrete])
        categories = {str(i): OneHot(part[None]) for i, part in enumerate(logits)}
        return Joint({"continuous": StandardGaussian(continuous), "discrete": Joint(categories)})
