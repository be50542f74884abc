"""Likelihoods p(x|z,c): from the decoder's output to a distribution over observations."""

from aelab.models.likelihoods.base import Likelihood
from aelab.models.likelihoods.columns import Columns
from aelab.models.likelihoods.counts import NegativeBinomial, Poisson
from aelab.models.likelihoods.levels import BetaBinomial, Categorical, DiscretizedLogisticMixture
from aelab.models.likelihoods.location_scale import Gaussian, Laplace, LogCosh, OptimalGaussian, StudentT
from aelab.models.likelihoods.ordered import Ordered
from aelab.models.likelihoods.pixels import Bernoulli, ContinuousBernoulli
from aelab.models.likelihoods.tokens import Autoregressive

__all__ = [
    "Autoregressive",
    "Bernoulli",
    "BetaBinomial",
    "Categorical",
    "Columns",
    "ContinuousBernoulli",
    "DiscretizedLogisticMixture",
    "Gaussian",
    "Laplace",
    "Likelihood",
    "LogCosh",
    "NegativeBinomial",
    "OptimalGaussian",
    "Ordered",
    "Poisson",
    "StudentT",
]
