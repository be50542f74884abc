"""Posteriors q(z|x,c): from the encoder's features to a distribution over codes. Each owns its projection."""

from aelab.models.posteriors.base import Posterior, check_latent
from aelab.models.posteriors.discrete import GumbelCategorical, JointGaussianCategorical
from aelab.models.posteriors.flows import Flow, InverseAutoregressive, Planar, Radial
from aelab.models.posteriors.gaussian import Deterministic, DiagonalGaussian, FullGaussian, LowRankGaussian
from aelab.models.posteriors.layers import BottomUp, Ladder
from aelab.models.posteriors.spherical import VonMisesFisher

__all__ = [
    "BottomUp",
    "Deterministic",
    "DiagonalGaussian",
    "Flow",
    "FullGaussian",
    "GumbelCategorical",
    "InverseAutoregressive",
    "JointGaussianCategorical",
    "Ladder",
    "LowRankGaussian",
    "Planar",
    "Posterior",
    "Radial",
    "VonMisesFisher",
    "check_latent",
]
