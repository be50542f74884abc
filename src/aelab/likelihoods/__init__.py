"""Likelihoods p(x|z,c): from the decoder's output to a distribution over observations."""

from aelab.likelihoods.base import Likelihood
from aelab.likelihoods.levels import BetaBinomial, Categorical, DiscretizedLogisticMixture
from aelab.likelihoods.location_scale import Gaussian, Laplace, LogCosh, OptimalGaussian, StudentT
from aelab.likelihoods.pixels import Bernoulli, ContinuousBernoulli

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
