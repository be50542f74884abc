"""Posteriors q(z|x,c): from the encoder's features to a distribution over codes. Each owns its projection."""

from aelab.models.posteriors.base import Posterior, check_latent
from aelab.models.posteriors.discrete import GumbelCategorical, JointGaussianCategorical
from aelab.models.posteriors.flows import Flow, InverseAutoregressive, Planar, Radial
from aelab.models.posteriors.gaussian import Deterministic, DiagonalGaussian, FullGaussian, LowRankGaussian
from aelab.models.posteriors.hyperbolic import WrappedNormal
from aelab.models.posteriors.implicit import Implicit
from aelab.models.posteriors.labelled import LabelChain, Labelled
from aelab.models.posteriors.layers import BottomUp, Ladder
from aelab.models.posteriors.quantised import Indexed, Quantised, TwoLevels
from aelab.models.posteriors.quantisers import (
    AveragedCodebook,
    Codebook,
    FiniteScalar,
    LookupFree,
    Quantiser,
    VectorQuantiser,
    rotated,
    straight_through,
)
from aelab.models.posteriors.sparse import BatchTopK, JumpReLU, Sparse, TopK
from aelab.models.posteriors.spherical import VonMisesFisher
from aelab.models.posteriors.steps import GaussianSteps

__all__ = [
    "AveragedCodebook",
    "BatchTopK",
    "BottomUp",
    "Codebook",
    "Deterministic",
    "DiagonalGaussian",
    "FiniteScalar",
    "Flow",
    "FullGaussian",
    "GaussianSteps",
    "GumbelCategorical",
    "Implicit",
    "Indexed",
    "InverseAutoregressive",
    "JointGaussianCategorical",
    "JumpReLU",
    "LabelChain",
    "Labelled",
    "Ladder",
    "LookupFree",
    "LowRankGaussian",
    "Planar",
    "Posterior",
    "Quantised",
    "Quantiser",
    "Radial",
    "Sparse",
    "TopK",
    "TwoLevels",
    "VectorQuantiser",
    "VonMisesFisher",
    "WrappedNormal",
    "check_latent",
    "rotated",
    "straight_through",
]
