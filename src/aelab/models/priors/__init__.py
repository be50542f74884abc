"""Priors p(z|c). Each is called with the context and with the model, whose encoder some of them read."""

from aelab.models.priors.base import Encodes, Fitted, Prior
from aelab.models.priors.centres import Centres
from aelab.models.priors.discrete import JointGaussianCategorical, UniformCategorical
from aelab.models.priors.flow_matching import FlowMatching
from aelab.models.priors.flows import Flow
from aelab.models.priors.gaussian import Conditional, StandardNormal
from aelab.models.priors.hyperbolic import WrappedStandardNormal
from aelab.models.priors.kernels import KernelDensity
from aelab.models.priors.labelled import Labelled
from aelab.models.priors.layers import TopDown
from aelab.models.priors.mixtures import Exemplar, FullGaussianMixture, GaussianMixture, Vamp
from aelab.models.priors.other_domain import OtherDomain
from aelab.models.priors.spherical import UniformSphere
from aelab.models.priors.steps import GaussianSteps
from aelab.models.priors.symbols import Autoregressive, UniformCodebook
from aelab.models.priors.two_stage import TwoStage

__all__ = [
    "Autoregressive",
    "Centres",
    "Conditional",
    "Encodes",
    "Exemplar",
    "Fitted",
    "Flow",
    "FlowMatching",
    "FullGaussianMixture",
    "GaussianMixture",
    "GaussianSteps",
    "JointGaussianCategorical",
    "KernelDensity",
    "Labelled",
    "OtherDomain",
    "Prior",
    "StandardNormal",
    "TopDown",
    "TwoStage",
    "UniformCategorical",
    "UniformCodebook",
    "UniformSphere",
    "Vamp",
    "WrappedStandardNormal",
]
