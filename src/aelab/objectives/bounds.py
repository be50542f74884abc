"""The two sides of the evidence lower bound: distortion and rate."""

from torch import Tensor

from aelab.distributions import distortion, has_density, rate
from aelab.errors import ConfigurationError
from aelab.models import Autoencoder
from aelab.objectives.objective import Term
from aelab.records import Trace


class Reconstruction(Term):
    """-E_q log p(x|z,c), the distortion, averaged over codes and batch."""

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        return distortion(trace.likelihood, trace.x)


class KL(Term):
    """KL(q(z|x,c) || p(z|c)), the rate; its weight is the beta of beta-VAE (Higgins et al. 2017).

    Raises ConfigurationError where the posterior has no density or the model no prior.
    """

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        if trace.prior is None or not has_density(trace.posterior):
            raise ConfigurationError(
                "objective.terms.kl needs a posterior with a density and a prior: choose "
                "posterior=diagonal_gaussian with prior=standard_normal, or objective=reconstruction"
            )
        return rate(trace.posterior, trace.prior, trace.z)
