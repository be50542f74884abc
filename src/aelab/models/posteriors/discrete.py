"""Categorical codes, alone and beside continuous ones."""

from collections.abc import Sequence

from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.core.schedules import Scheduled, scheduled
from aelab.models.distributions import Gaussian, Joint, OneHot, bounded
from aelab.models.posteriors.base import Features, Posterior, vector


class GumbelCategorical(Posterior):
    """Independent categorical variables of `categories` each, latent / categories of them (Jang et al. 2017).

    Samples are relaxed at a `temperature` while training, a number or a schedule, and one-hot elsewhere.
    """

    def __init__(
        self, features: Features, sizes: Sizes, categories: int, temperature: Scheduled = 0.67
    ) -> None:
        latent = sizes.latent
        super().__init__((latent,))
        if categories < 2 or latent % categories:
            raise ConfigurationError(
                f"latent={latent} cannot hold one-hot vectors of model.posterior.categories={categories}: "
                "latent must be a multiple of at least 2 categories"
            )
        self.groups = (latent // categories, categories)
        self.temperature = scheduled(temperature)
        self.projection = nn.Linear(vector(features, "gumbel"), latent)

    def forward(self, h: Tensor, step: int = 0) -> OneHot:
        logits = self.projection(h).float().unflatten(-1, self.groups)
        return OneHot(logits, self.temperature(step) if self.training else None)


class JointGaussianCategorical(Posterior):
    """A Gaussian beside one categorical variable for each size in `discrete` (JointVAE, Dupont 2018).

    The code is [continuous, one-hot, one-hot, ...]; what `latent` leaves is continuous.
    """

    def __init__(
        self, features: Features, sizes: Sizes, discrete: Sequence[int], temperature: Scheduled = 0.67
    ) -> None:
        latent = sizes.latent
        super().__init__((latent,))
        self.discrete, self.continuous = list(discrete), continuous_size(latent, discrete)
        self.temperature = scheduled(temperature)
        self.projection = nn.Linear(vector(features, "joint"), latent + self.continuous)

    def forward(self, h: Tensor, step: int = 0) -> Joint:
        sizes = [self.continuous, self.continuous, *self.discrete]
        loc, log_variance, *logits = self.projection(h).float().split(sizes, -1)
        temperature = self.temperature(step) if self.training else None
        categories = {str(i): OneHot(part[:, None], temperature) for i, part in enumerate(logits)}
        return Joint({"continuous": Gaussian(loc, bounded(log_variance)), "discrete": Joint(categories)})


def continuous_size(latent: int, discrete: Sequence[int]) -> int:
    """The dimensions of a joint code that are left to its continuous part; ConfigurationError if none."""
    if not discrete or None in discrete or min(discrete) < 2 or sum(discrete) >= latent:
        raise ConfigurationError(
            f"model.posterior.discrete={list(discrete)} must name at least one variable, each of at least 2 "
            f"categories, and leave a part of latent={latent} to the continuous ones"
        )
    return latent - sum(discrete)
