"""The importance weights of a trace's codes, of which bounds and estimates of the evidence are made.

log w = log p(x|z,c) + log p(z|c) - log q(z|x,c): E[w] is the evidence, E[log w] the evidence lower bound.
"""

import math

from torch import Tensor
from torch.distributions import Distribution

from aelab.core.errors import ConfigurationError
from aelab.core.records import Trace
from aelab.models.distributions import has_density


def log_weights(trace: Trace, posterior: Distribution | None = None) -> Tensor:
    """log w of each code, (S, B) in nats; posterior: the trace's, or the same with frozen parameters."""
    return log_joint(trace) - (posterior or trace.posterior).log_prob(trace.z)


def log_joint(trace: Trace) -> Tensor:
    """log p(x|z,c) + log p(z|c) of each code, (S, B) in nats."""
    prior = required_prior(trace, "an importance weight")
    return trace.likelihood.log_prob(trace.x) + prior.log_prob(trace.z)


def log_mean(log_w: Tensor, groups: int = 1) -> Tensor:
    """log mean w within each of the groups of codes (S, B): (groups, B).

    Raises ConfigurationError where the codes cannot be dealt out evenly.
    """
    samples = len(log_w)
    if groups < 1 or samples % groups:
        raise ConfigurationError(
            f"objective.samples={samples} codes cannot be dealt out to groups={groups}: choose a multiple"
        )
    return log_w.unflatten(0, (groups, -1)).logsumexp(1) - math.log(samples // groups)


def required_prior(trace: Trace, reader: str) -> Distribution:
    """The trace's prior; ConfigurationError unless it and the posterior have densities."""
    if trace.prior is None or not has_density(trace.posterior):
        raise ConfigurationError(
            f"{reader} needs a posterior with a density and a prior: choose "
            "posterior=diagonal_gaussian with prior=standard_normal, or objective=reconstruction"
        )
    return trace.prior
