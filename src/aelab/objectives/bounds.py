"""Bounds of the evidence: its two sides, and tighter ones from several importance-weighted codes."""

from dataclasses import replace

from torch import Tensor

from aelab.core.errors import ConfigurationError
from aelab.core.records import Trace
from aelab.core.schedules import Scheduled
from aelab.models import Autoencoder
from aelab.models.distributions import distortion, frozen, rate
from aelab.models.evidence import (
    log_joint,
    log_mean,
    log_proposal,
    log_weights,
    required_posterior,
    required_prior,
)
from aelab.objectives.base import Term


class Reconstruction(Term):
    """-E_q log p(x|z,c), the distortion, averaged over codes and batch."""

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        required_posterior(trace, "a reconstruction")
        return distortion(trace.likelihood, trace.x)


class KL(Term):
    """KL(q(z|x,c) || p(z|c)), the rate; its weight is the beta of beta-VAE (Higgins et al. 2017).

    Raises ConfigurationError where the posterior has no density or the model no prior.
    """

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        prior = required_prior(trace, "the rate")
        return rate(required_posterior(trace, "the rate"), prior, trace.z, trace.log_q)


class ImportanceWeighted(Term):
    """-log mean_k w_k over the codes of an observation (IWAE, Burda, Grosse and Salakhutdinov 2016).

    groups: the codes are dealt out to so many bounds, which are averaged (MIWAE, Rainforth et al. 2018); as
    many as there are codes give the evidence lower bound.
    """

    def __init__(self, weight: Scheduled = 1.0, groups: int = 1) -> None:
        super().__init__(weight)
        self.groups = groups

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        return -log_mean(log_weights(trace), self.groups).mean()


class PartiallyImportanceWeighted(Term):
    """The generative parameters follow the bound of all codes, the posterior's that of `groups` of them
    (PIWAE, Rainforth et al. 2018); the value is the first."""

    def __init__(self, weight: Scheduled = 1.0, groups: int = 4) -> None:
        super().__init__(weight)
        self.groups = groups

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        if not model.separable:
            raise ConfigurationError(
                "objective=piwae trains the posterior and the generative model by different bounds, and with "
                "this structure the one reads the other: choose structure=plain"
            )
        inference = log_mean(log_weights(trace), self.groups).mean()
        # The same codes as constants: the gradient of what follows is the generative parameters' alone, and
        # it takes theirs out of `inference`.
        z = trace.z.detach()
        constant = replace(trace, z=z, decode=lambda: model.likelihood_of(trace.x, z, trace.context))
        log_w = log_joint(constant) - log_proposal(trace).detach()
        return -(inference - log_mean(log_w, self.groups).mean() + log_mean(log_w).mean())


class DoublyReparameterised(Term):
    """IWAE's bound with the encoder's gradient of lower variance (DReG, Tucker et al. 2019).

    It rescales the gradient of the codes, so no other term of the objective may read them.
    """

    alone = True

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        log_w = _path_weights(trace)
        share = log_w.detach().softmax(0)
        if trace.z.requires_grad:
            trace.z.register_hook(lambda gradient: share[..., None] * gradient)
        surrogate = (share * log_w).sum(0).mean()
        return -(log_mean(log_w.detach()).mean() + surrogate - surrogate.detach())


class StickingTheLanding(Term):
    """The negative evidence lower bound without the score of the posterior, whose expectation is 0: its
    gradient vanishes where the posterior is exact (Roeder, Wu and Duvenaud 2017)."""

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        return -_path_weights(trace).mean()


def _path_weights(trace: Trace) -> Tensor:
    """`log_weights` whose gradient reaches the posterior by the codes alone."""
    posterior = required_posterior(trace, "a gradient by the codes alone")
    return log_joint(trace) - frozen(posterior).log_prob(trace.z)
