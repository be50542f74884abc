"""Bounds of the evidence: its two sides, and tighter ones from several importance-weighted codes.

With log w = log p(x|z,c) + log p(z|c) - log q(z|x,c) for each of S codes: log E[w] is the evidence, E[log w] the
evidence lower bound.
"""

import math
from dataclasses import replace

from torch import Tensor
from torch.distributions import Distribution

from aelab.distributions import distortion, divergence, frozen, has_density
from aelab.errors import ConfigurationError
from aelab.models import Autoencoder
from aelab.objectives.objective import Term
from aelab.records import Trace
from aelab.schedules import Schedule


class Reconstruction(Term):
    """-E_q log p(x|z,c), the distortion, averaged over codes and batch."""

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        return distortion(trace.likelihood, trace.x)


class KL(Term):
    """KL(q(z|x,c) || p(z|c)), the rate; its weight is the beta of beta-VAE (Higgins et al. 2017).

    Raises ConfigurationError where the posterior has no density or the model no prior.
    """

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        return divergence(trace.posterior, required_prior(trace, "objective.terms.kl"), trace.z).mean()


class ImportanceWeighted(Term):
    """-log mean_k w_k over the codes of an observation (IWAE, Burda, Grosse and Salakhutdinov 2016).

    groups: the codes are dealt out to so many bounds, which are averaged (MIWAE, Rainforth et al. 2018); as
    many as there are codes give the evidence lower bound.
    """

    def __init__(self, weight: float | Schedule = 1.0, groups: int = 1) -> None:
        super().__init__(weight)
        self.groups = groups

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        return -grouped(log_weights(trace, trace.posterior), self.groups)


class PartiallyImportanceWeighted(Term):
    """The generative parameters follow the bound of all codes, the posterior's that of `groups` of them
    (PIWAE, Rainforth et al. 2018); the value is the first."""

    def __init__(self, weight: float | Schedule = 1.0, groups: int = 8) -> None:
        super().__init__(weight)
        self.groups = groups

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        inference = grouped(log_weights(trace, trace.posterior), self.groups)
        # The same codes as constants: the gradient of what follows is the generative parameters' alone, and
        # it takes theirs out of `inference`.
        z = trace.z.detach()
        constant = replace(trace, z=z, likelihood=model.describe(trace.x, z, trace.context))
        log_w = log_joint(constant) - trace.posterior.log_prob(trace.z).detach()
        return -(inference - grouped(log_w, self.groups) + grouped(log_w, 1))


class DoublyReparameterised(Term):
    """IWAE's bound with the encoder's gradient of lower variance (DReG, Tucker et al. 2019).

    It rescales the gradient of the codes, so no other term of the objective may read them.
    """

    alone = True

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        log_w = log_weights(trace, frozen(trace.posterior))
        share = log_w.detach().softmax(0)
        if trace.z.requires_grad:
            trace.z.register_hook(lambda gradient: share[..., None] * gradient)
        surrogate = (share * log_w).sum(0).mean()
        return -(grouped(log_w.detach(), 1) + surrogate - surrogate.detach())


class StickingTheLanding(Term):
    """The negative evidence lower bound without the score of the posterior, whose expectation is 0: its
    gradient vanishes where the posterior is exact (Roeder, Wu and Duvenaud 2017)."""

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        return -log_weights(trace, frozen(trace.posterior)).mean()


def log_weights(trace: Trace, posterior: Distribution) -> Tensor:
    """log w of each code, (S, B) in nats; `posterior` is the trace's, or the same with frozen parameters."""
    return log_joint(trace) - posterior.log_prob(trace.z)


def log_joint(trace: Trace) -> Tensor:
    """log p(x|z,c) + log p(z|c) of each code, (S, B) in nats."""
    prior = required_prior(trace, "this bound")
    return trace.likelihood.log_prob(trace.x) + prior.log_prob(trace.z)


def grouped(log_w: Tensor, groups: int) -> Tensor:
    """log mean w within each of the groups of codes (S, B), averaged over groups and batch: a scalar."""
    samples = len(log_w)
    if groups < 1 or samples % groups:
        raise ConfigurationError(
            f"objective.samples={samples} codes cannot be dealt out to groups={groups}: choose a multiple"
        )
    return log_w.unflatten(0, (groups, -1)).logsumexp(1).mean() - math.log(samples // groups)


def required_prior(trace: Trace, term: str) -> Distribution:
    """The trace's prior; ConfigurationError unless it and the posterior have densities."""
    if trace.prior is None or not has_density(trace.posterior):
        raise ConfigurationError(
            f"{term} needs a posterior with a density and a prior: choose "
            "posterior=diagonal_gaussian with prior=standard_normal, or objective=reconstruction"
        )
    return trace.prior
