"""Likelihoods of grey levels: probabilities, not densities, of pixels that are one of `levels` values."""

from torch import Tensor

from aelab.core.errors import ConfigurationError
from aelab.models import distributions
from aelab.models.likelihoods.base import Likelihood, Shape


class Categorical(Likelihood):
    """A probability for each of the `levels` of each value (van den Oord et al. 2016)."""

    def __init__(self, levels: int = 256) -> None:
        super().__init__()
        self.levels = _check("levels", levels, 2)

    def parameters_of(self, shape: Shape) -> Shape:
        return (self.levels * shape[0], *shape[1:])

    def forward(self, params: Tensor) -> distributions.Levels:
        return distributions.Levels(params.float().unflatten(2, (self.levels, -1)), params.dim() - 2)


class BetaBinomial(Likelihood):
    """Levels as counts of successes, whose probability is beta distributed: two numbers for each value."""

    def __init__(self, levels: int = 256) -> None:
        super().__init__()
        self.levels = _check("levels", levels, 2)

    def parameters_of(self, shape: Shape) -> Shape:
        return (2 * shape[0], *shape[1:])

    def forward(self, params: Tensor) -> distributions.BetaBinomial:
        log_alpha, log_beta = params.float().clamp(-10, 10).chunk(2, 2)
        return distributions.BetaBinomial(log_alpha, log_beta, self.levels, params.dim() - 2)


class DiscretizedLogisticMixture(Likelihood):
    """A mixture of `components` discretised logistics for each pixel of an image (Salimans et al. 2017).

    pace: at which the logarithms of scales move, where means move at 3, in units of what the decoder gives.
    """

    def __init__(self, components: int = 5, levels: int = 256, pace: float = 0.1) -> None:
        super().__init__()
        if not pace > 0:
            raise ConfigurationError(f"model.likelihood.pace={pace}: a number above 0 is needed, as 0.1")
        self.pace = pace
        self.components, self.levels = _check("components", components, 1), _check("levels", levels, 2)

    def parameters_of(self, shape: Shape) -> Shape:
        return (self.components * self._numbers(shape[0]), *shape[1:])

    def forward(self, params: Tensor) -> distributions.LogisticMixture:
        if params.dim() != 5:
            raise ConfigurationError(
                "likelihood=discretized_logistic_mixture is for images of shape (channels, height, width): "
                "likelihood=gaussian would work"
            )
        each = params.float().unflatten(2, (self.components, -1))
        # 1 + 2 C + C (C - 1) / 2 numbers for each component, solved for C.
        channels = next(c for c in range(1, each.shape[3]) if self._numbers(c) == each.shape[3])
        pairs = channels * (channels - 1) // 2
        logits, loc, log_scale, shifts = each.split([1, channels, channels, pairs], 3)
        # Logistics begin a third of the range wide: narrow ones would miss their pixels and learn nothing.
        # Means move faster than scales, which would else settle first for what a mean of grey leaves over.
        loc, log_scale = 3 * loc, self.pace * log_scale - 1
        return distributions.LogisticMixture(logits[:, :, :, 0], loc, log_scale, shifts, self.levels)

    @staticmethod
    def _numbers(channels: int) -> int:
        """Of a component: a weight, and for each channel a mean, a scale and shifts by those before it."""
        return 1 + 2 * channels + channels * (channels - 1) // 2


def _check(name: str, value: int, least: int) -> int:
    if value < least:
        raise ConfigurationError(f"model.likelihood.{name}={value}: at least {least} are needed")
    return value
