"""Likelihoods p(x|z,c): from the decoder's output to a distribution over observations."""

from aelab.models.likelihoods.base import Likelihood
from aelab.models.likelihoods.levels import BetaBinomial, Categorical, DiscretizedLogisticMixture
from aelab.models.likelihoods.location_scale import Gaussian, Laplace, LogCosh, OptimalGaussian, StudentT
from aelab.models.likelihoods.pixels import Bernoulli, ContinuousBernoulli

__all__ = [
    "Bernoulli",
    "BetaBinomial",
    "Categorical",
    "ContinuousBernoulli",
    "DiscretizedLogisticMixture",
    "Gaussian",
    "Laplace",
    "Likelihood",
    "LogCosh",
    "OptimalGaussian",
    "StudentT",
]
