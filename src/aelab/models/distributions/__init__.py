"""Probability distributions that autoencoders are made of, and the divergence between two of them.

The common ones are written here rather than taken from `torch.distributions` because their fused
log-densities and closed forms save a tenth of a small training step; torch's own are the reference in the
tests, and any torch or zuko distribution fits the same slots. Densities are in nats, summed over events.
"""

from aelab.models.distributions.base import Factorised, Independent, frozen
from aelab.models.distributions.codes import (
    Chain,
    Joint,
    OneHot,
    PointMass,
    Pushforward,
    SparsePoint,
    Transported,
    rsample_and_log_prob,
)
from aelab.models.distributions.columns import Columns
from aelab.models.distributions.counts import NegativeBinomial, Poisson, ZeroInflated
from aelab.models.distributions.divergence import (
    check_same_space,
    cross_entropy,
    distortion,
    divergence,
    has_density,
    rate,
    values_described,
)
from aelab.models.distributions.gaussian import Gaussian, ProfiledGaussian, StandardGaussian, bounded
from aelab.models.distributions.hyperbolic import WrappedNormal
from aelab.models.distributions.levels import BetaBinomial, Levels, LogisticMixture
from aelab.models.distributions.ordered import Ordered
from aelab.models.distributions.pixels import Bernoulli, ContinuousBernoulli, LogCosh, Masked
from aelab.models.distributions.quantised import Quantised, Symbolic, SymbolPrior
from aelab.models.distributions.sequences import Autoregressive
from aelab.models.distributions.spherical import SphereUniform, VonMisesFisher
from aelab.models.distributions.steps import Steps

__all__ = [
    "Autoregressive",
    "Bernoulli",
    "BetaBinomial",
    "Chain",
    "Columns",
    "ContinuousBernoulli",
    "Factorised",
    "Gaussian",
    "Independent",
    "Joint",
    "Levels",
    "LogCosh",
    "LogisticMixture",
    "Masked",
    "NegativeBinomial",
    "OneHot",
    "Ordered",
    "PointMass",
    "Poisson",
    "ProfiledGaussian",
    "Pushforward",
    "Quantised",
    "SparsePoint",
    "SphereUniform",
    "StandardGaussian",
    "Steps",
    "SymbolPrior",
    "Symbolic",
    "Transported",
    "VonMisesFisher",
    "WrappedNormal",
    "ZeroInflated",
    "bounded",
    "check_same_space",
    "cross_entropy",
    "distortion",
    "divergence",
    "frozen",
    "has_density",
    "rate",
    "rsample_and_log_prob",
    "values_described",
]
