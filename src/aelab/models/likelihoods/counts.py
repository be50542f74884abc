"""Likelihoods of counts; the decoder gives the logarithms of their means."""

from torch import Tensor

from aelab.models import distributions
from aelab.models.likelihoods.base import Likelihood, Shape

HIGHEST = 12.0  # of logarithms: e^12 is 160,000, and the exponential of more overflows early in training


class Poisson(Likelihood):
    """A Poisson variable for each value."""

    def forward(self, params: Tensor) -> distributions.Poisson:
        return distributions.Poisson(params.float().clamp_max(HIGHEST), params.dim() - 2)


class NegativeBinomial(Likelihood):
    """A negative binomial variable for each value, of a mean and a dispersion of its own (Love, Huber and
    Anders 2014, https://doi.org/10.1186/s13059-014-0550-8).

    inflated: whether a further output is the probability that a count is 0 for another reason, as where what
    was there has not been measured (Lopez et al. 2018, https://doi.org/10.1038/s41592-018-0229-2).
    """

    def __init__(self, inflated: bool = False) -> None:
        super().__init__()
        self.inflated, self.parts = inflated, 3 if inflated else 2

    def parameters_of(self, shape: Shape) -> Shape:
        return (self.parts * shape[0], *shape[1:])

    def forward(self, params: Tensor) -> distributions.NegativeBinomial | distributions.ZeroInflated:
        log_mean, log_theta, *logits = params.float().chunk(self.parts, 2)
        dims = params.dim() - 2
        base = distributions.NegativeBinomial(
            log_mean.clamp_max(HIGHEST), log_theta.clamp(-HIGHEST, HIGHEST), dims
        )
        return distributions.ZeroInflated(base, logits[0]) if self.inflated else base
