"""Priors p(z|c). Each is called with the context and with the model's `encode`, which some of them need."""

from aelab.priors.base import Encode, Prior
from aelab.priors.discrete import JointGaussianCategorical, UniformCategorical
from aelab.priors.flows import Flow
from aelab.priors.gaussian import Conditional, StandardNormal
from aelab.priors.layers import TopDown
from aelab.priors.mixtures import Exemplar, GaussianMixture, Vamp
from aelab.priors.spherical import UniformSphere

__all__ = [
    "Conditional",
    "Encode",
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
