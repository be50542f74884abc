"""The rate's parts under the aggregate posterior q(z), the mean of q(z|x) over a whole set of observations.

KL = mutual information + KL(q(z) || p(z)), and KL(q(z) || p(z)) = total correlation + dimension-wise KL where
the prior is a product over dimensions (Hoffman and Johnson 2016,
http://approximateinference.org/accepted/HoffmanJohnson2016.pdf; Chen et al. 2018,
https://arxiv.org/abs/1802.04942). All are means over the same codes, so that they sum to the KL's Monte-Carlo
estimate.
"""

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution, LowRankMultivariateNormal, MultivariateNormal

from aelab.core.errors import InapplicableError
from aelab.core.quantity import Quantity
from aelab.core.records import Trace
from aelab.models.distributions import Gaussian, StandardGaussian, has_density
from aelab.models.distributions.gaussian import twice_to_standard

MUTUAL_INFORMATION = Quantity("mutual_information", "nats per observation")
TOTAL_CORRELATION = Quantity("total_correlation", "nats per observation")
MARGINAL_KL = Quantity("marginal_kl", "nats per observation")
DIMENSIONWISE_KL = Quantity("dimensionwise_kl", "nats per observation")
PARTS = (MUTUAL_INFORMATION, TOTAL_CORRELATION, MARGINAL_KL, DIMENSIONWISE_KL)

PAIRS = 2**23  # numbers held at once, of codes x observations x dimensions


def rate_parts(traces: Callable[[], Iterable[Trace]], codes: int) -> dict[str, Tensor]:
    """The terms whose means over codes (M,) are the parts of the rate, in nats, float64.

    traces: passes over all observations, of which q(z) is the mean; the same at every call. codes: how many
    of the observations give a code, the first ones.
    rate = mutual_information + marginal_kl; where marginals and the prior's factors are known also
    marginal_kl = total_correlation + dimensionwise_kl. The mutual information is at most log N.
    Raises InapplicableError for a posterior that does not know the density of another's code, or has none.

    >>> from aelab.core.records import Batch
    >>> from aelab.models.distributions import Bernoulli
    >>> x, z = torch.ones(2, 4), torch.zeros(2, 3)
    >>> coins = Bernoulli(torch.zeros(1, 2, 4))
    >>> trace = Trace(Batch(x), x, None, Gaussian(z, z), StandardGaussian(z[0]), z[None], lambda: coins)
    >>> rate_parts(lambda: [trace], codes=2)["mutual_information"]
    tensor([0., 0.], dtype=torch.float64)
    """
    z, log_q_own, log_p, log_p_each = _codes(traces(), codes)
    joint = z.new_full((len(z),), -math.inf, dtype=torch.float64)
    each = z.new_full(z.shape, -math.inf, dtype=torch.float64)
    count, factorised = 0, True
    for trace in traces():
        log_q, log_q_each = _densities(trace.q, z)
        joint = torch.logaddexp(joint, log_q)
        if log_q_each is None:
            factorised = False
        else:
            each = torch.logaddexp(each, log_q_each)
        count += len(trace.x)
    log_q, marginals = joint - math.log(count), (each - math.log(count)).sum(-1)
    parts = {"mutual_information": log_q_own - log_q}
    if factorised:
        parts["total_correlation"] = log_q - marginals
    if log_p is not None:
        parts |= {"kl": log_q_own - log_p, "marginal_kl": log_q - log_p}
        if factorised and log_p_each is not None:
            parts["dimensionwise_kl"] = marginals - log_p_each.sum(-1)
    return parts


def kl_per_dimension(trace: Trace) -> Tensor:
    """The rate of each dimension, KL(q(z_i|x) || p(z_i)) of the posterior's marginals: (B, latent) nats,
    float64.

    They sum to the rate where the posterior is a product of them. In closed form against N(0, I), else
    estimated from the trace's codes.

    Raises InapplicableError where q's marginals or p's are not known.

    >>> from aelab.core.records import Batch
    >>> from aelab.models.distributions import Bernoulli
    >>> x, z = torch.ones(1, 4), torch.zeros(1, 2)
    >>> q, p, coins = Gaussian(z + 1, z), StandardGaussian(z[0]), Bernoulli(torch.zeros(1, 1, 4))
    >>> kl_per_dimension(Trace(Batch(x), x, None, q, p, z[None], lambda: coins))
    tensor([[0.5000, 0.5000]], dtype=torch.float64)
    """
    q, p = _marginals(trace.q), trace.prior
    if not has_density(trace.q):
        raise InapplicableError("the posterior is a point, which has no density")
    if q is None or not isinstance(p, Gaussian):
        raise InapplicableError("the posterior's marginals or the prior's are not known")
    if type(p) is StandardGaussian:
        return 0.5 * twice_to_standard(q).double()
    return (q.each(trace.z) - p.each(trace.z)).mean(0).double()


def _codes(traces: Iterable[Trace], count: int) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """The first codes (M, latent); log q(z|x) and log p(z) of each, (M,); the latter by dimension."""
    found: list[tuple[Tensor | None, ...]] = []
    left = count
    for trace in traces:
        if not has_density(trace.q):
            raise InapplicableError("the posterior is a point, which has no density")
        # p(z) of a conditional prior is not at hand: it would be a mean over the conditions.
        prior = None if trace.prior is None or trace.prior.batch_shape else trace.prior
        z = trace.z[:1]
        log_p_each = prior.each(z)[0] if isinstance(prior, Gaussian) else None
        log_p = prior.log_prob(z)[0] if prior is not None else None
        found.append((z[0], trace.q.log_prob(z)[0], log_p, log_p_each))
        left -= len(trace.x)
        if left <= 0:
            break
    codes, log_q, *of_prior = (_joined(values, count) for values in zip(*found, strict=True))
    assert codes is not None
    assert log_q is not None
    return codes, log_q, of_prior[0], of_prior[1]


def _joined(parts: Sequence[Tensor | None], count: int) -> Tensor | None:
    kept = [part for part in parts if part is not None]
    return torch.cat(kept)[:count].double() if kept else None


def _densities(posterior: Distribution, z: Tensor) -> tuple[Tensor, Tensor | None]:
    """log sum over the batch of q(z|x), (M,), and of q(z_i|x), (M, latent), or None for the latter."""
    batch, latent = posterior.batch_shape.numel(), z.shape[-1]
    marginal = _marginals(posterior)
    joint, each = [], []
    for part in z.float().split(max(1, PAIRS // (batch * latent))):
        pairs = part[:, None].expand(-1, batch, -1)
        if marginal is not None:
            by_dimension = marginal.each(pairs).double()
            each.append(by_dimension.logsumexp(1))
        if marginal is posterior:
            joint.append(by_dimension.sum(-1).logsumexp(1))
        else:
            joint.append(posterior.log_prob(pairs).double().logsumexp(1))
    return torch.cat(joint), torch.cat(each) if each else None


def _marginals(posterior: Distribution) -> Gaussian | None:
    """The product of a posterior's marginals over dimensions, where they are known."""
    if isinstance(posterior, Gaussian):
        return posterior
    if isinstance(posterior, MultivariateNormal | LowRankMultivariateNormal):
        return Gaussian(posterior.mean, posterior.variance.log())
    return None
