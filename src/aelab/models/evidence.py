"""The importance weights of a trace's codes, of which bounds and estimates of the evidence are made.

log w = log p(x|z,c) + log p(z|c) - log q(z|x,c): E[w] is the evidence, E[log w] the evidence lower bound.
"""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution

from aelab.core.errors import ConfigurationError
from aelab.core.records import Trace
from aelab.models.distributions import has_density, rsample_and_log_prob


def has_weights(trace: Trace) -> bool:
    """Whether there is a prior, and a density of what the codes were drawn from."""
    return trace.prior is not None and (trace.log_q is not None or has_density(trace.posterior))


def log_weights(trace: Trace) -> Tensor:
    """log w of each code, (S, B) in nats; of codes drawn from the prior, log p(x|z,c)."""
    return log_joint(trace) - log_proposal(trace)


def log_proposal(trace: Trace) -> Tensor:
    """log q(z|x,c) of each code, (S, B) in nats: the log-density of what the codes were drawn from."""
    if trace.log_q is not None:
        return trace.log_q
    assert trace.posterior is not None
    return trace.posterior.log_prob(trace.z)


def log_joint(trace: Trace) -> Tensor:
    """log p(x|z,c) + log p(z|c) of each code, (S, B) in nats."""
    prior = required_prior(trace, "an importance weight")
    return trace.likelihood.log_prob(trace.x) + prior.log_prob(trace.z)


def log_mean(log_w: Tensor, groups: int = 1) -> Tensor:
    """log mean w within each of the groups of codes (S, B): (groups, B).

    Raises ConfigurationError where the codes cannot be dealt out evenly.

    >>> from torch import zeros
    >>> log_mean(zeros(6, 1) - 2.0, groups=3).T
    tensor([[-2., -2., -2.]])
    """
    samples = len(log_w)
    if groups < 1 or samples % groups:
        raise ConfigurationError(
            f"objective.samples={samples} codes cannot be dealt out to groups={groups}: choose a multiple"
        )
    return log_w.unflatten(0, (groups, -1)).logsumexp(1) - math.log(samples // groups)


def proposed(
    posterior: Distribution | None, prior: Distribution | None, samples: int, count: int
) -> tuple[Tensor, Tensor | None]:
    """Codes z (samples, count, latent) for importance weights, and log q(z) where `log_prob` would not do.

    Without a posterior they are drawn from the prior, and its density as a constant is the proposal's: then
    weights are p(x|z), and their gradient reaches the prior by its score (Fisher's identity).
    """
    if posterior is not None:
        return rsample_and_log_prob(posterior, (samples,))
    assert prior is not None
    with torch.no_grad():
        z = prior.sample((samples,) if prior.batch_shape else (samples, count))
        return z, prior.log_prob(z)


def required_posterior(trace: Trace, reader: str) -> Distribution:
    """The trace's posterior; ConfigurationError for a model without one."""
    if trace.posterior is None:
        raise ConfigurationError(
            f"{reader} needs a posterior, and the model has no encoder: choose a posterior, or "
            "objective=iwae, which is then maximum likelihood"
        )
    return trace.posterior


def required_prior(trace: Trace, reader: str) -> Distribution:
    """The trace's prior; ConfigurationError unless it and what codes were drawn from have densities."""
    if trace.prior is None or not has_weights(trace):
        raise ConfigurationError(
            f"{reader} needs a posterior with a density and a prior: choose "
            "posterior=diagonal_gaussian with prior=standard_normal, or objective=reconstruction"
        )
    return trace.prior
