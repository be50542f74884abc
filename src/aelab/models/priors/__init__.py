"""Priors p(z|c). Each is called with the context and with the model, whose encoder some of them read."""

from aelab.models.priors.base import Encodes, Prior
from aelab.models.priors.discrete import JointGaussianCategorical, UniformCategorical
from aelab.models.priors.flows import Flow
from aelab.models.priors.gaussian import Conditional, StandardNormal
from aelab.models.priors.layers import TopDown
from aelab.models.priors.mixtures import Exemplar, GaussianMixture, Vamp
from aelab.models.priors.spherical import UniformSphere

__all__ = [
    "Conditional",
    "Encodes",
    "Exemplar",
    "Flow",
    "GaussianMixture",
    "JointGaussianCategorical",
    "Prior",
    "StandardNormal",
    "TopDown",
    "UniformCategorical",
    "UniformSphere",
    "Vamp",
]
