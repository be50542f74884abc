"""The two costs of a code: the distortion of what it describes, and the divergence of its posterior."""

from contextlib import suppress
from functools import singledispatch

import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution, MixtureSameFamily, kl_divergence

from aelab.core.errors import ConfigurationError
from aelab.models.distributions.codes import Chain, Joint, PointMass, Pushforward
from aelab.models.distributions.gaussian import Gaussian, StandardGaussian, twice_to_standard
from aelab.models.distributions.pixels import Bernoulli, Masked
from aelab.models.distributions.quantised import Quantised
from aelab.models.distributions.steps import Steps


def values_described(likelihood: Distribution) -> int:
    """How many values of an observation have a density: all, unless a condition tells some of them.

    >>> import torch
    >>> values_described(Bernoulli(torch.zeros(2, 1, 4, 3), event_dims=3))
    12
    """
    return likelihood.described if isinstance(likelihood, Masked) else likelihood.event_shape.numel()


@singledispatch
def distortion(likelihood: Distribution, x: Tensor) -> Tensor:
    """The distortion -log p(x) in nats, averaged over the batch: a scalar.

    >>> import torch
    >>> distortion(Bernoulli(torch.zeros(5, 4)), torch.ones(5, 4))  # 4 log 2
    tensor(2.7726)
    """
    return -likelihood.log_prob(x).mean()


@distortion.register
def _(likelihood: Bernoulli, x: Tensor) -> Tensor:
    """In one reduction, as this is the hot path of most trainings."""
    nats = F.binary_cross_entropy_with_logits(
        likelihood.logits, x.expand(likelihood.logits.shape), reduction="sum"
    )
    return nats / likelihood.batch_shape.numel()


def has_density(distribution: Distribution | None) -> bool:
    """Whether likelihood bounds are defined with this distribution as posterior or prior.

    >>> import torch
    >>> has_density(PointMass(torch.zeros(2, 3))), has_density(StandardGaussian(torch.zeros(3)))
    (False, True)
    """
    return distribution is not None and not isinstance(distribution, PointMass | Pushforward)


def divergence(
    q: Distribution, p: Distribution, z: Tensor, log_q: Tensor | None = None, crossed: Tensor | None = None
) -> Tensor:
    """The divergence KL(q || p) in nats, (B,): a closed form where one is known, else a Monte-Carlo estimate.

    z: (S, B, latent), samples of q, and log_q: their log-density (S, B) where only the draw knows it; the
    estimate alone reads them. crossed: `cross_entropy(q, p, z)`, where it is known.

    >>> import torch
    >>> z, ones = torch.zeros(1, 2), torch.ones(1, 2)
    >>> divergence(Gaussian(ones, z), Gaussian(-ones, z), z)  # half the squared distance of the means
    tensor([4.])
    """
    if isinstance(q, Quantised) and crossed is not None:
        return crossed  # a point's entropy is 0
    if isinstance(q, Chain) and isinstance(p, Chain) and q.upwards == p.upwards:
        return q.rate(p, z)
    if isinstance(p, Steps) and isinstance(q, Steps | Gaussian):
        return p.rate(q, z)
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        crossed = cross_entropy(q, p, z) if crossed is None else crossed
        return (q.log_prob(z) if log_q is None else log_q).mean(0) + crossed


def cross_entropy(q: Distribution, p: Distribution, z: Tensor) -> Tensor:
    """-E_q log p(z) in nats, (B,), over samples z (S, B, latent) of q, which needs no density.

    >>> import torch
    >>> z = torch.zeros(1, 5, 2)
    >>> cross_entropy(PointMass(z[0]), StandardGaussian(z[0, 0]), z)[0]  # log 2 pi
    tensor(1.8379)
    """
    if isinstance(q, Quantised):
        with suppress(NotImplementedError):
            return kl_divergence(q, p)
    return -p.log_prob(z).mean(0)


def rate(q: Distribution, p: Distribution, z: Tensor, log_q: Tensor | None = None) -> Tensor:
    """`divergence(q, p, z, log_q)` averaged over the batch: a scalar.

    >>> import torch
    >>> z = torch.zeros(4, 2)
    >>> rate(Gaussian(z + 1, z), StandardGaussian(z[0]), z)
    tensor(1.)
    """
    if type(q) is Gaussian and type(p) is StandardGaussian:  # in one reduction, like `distortion`
        return twice_to_standard(q).sum() / (2 * q.batch_shape.numel())
    return divergence(q, p, z, log_q).mean()


PRIORS = {
    "real": "standard_normal",
    "sphere": "uniform_sphere",
    "ball": "wrapped_normal",
    "one-hot": "uniform_categorical",
    "codebook": "uniform_codebook",
}


def check_same_space(q: Distribution, p: Distribution) -> None:
    """Raise ConfigurationError unless the codes of a posterior lie where the prior has its density."""
    ours, theirs = space(q), space(p)
    if ours != theirs:
        fit = PRIORS.get(ours, "joint for a joint code, or top_down with structure=ladder for a ladder's")
        raise ConfigurationError(
            f"the posterior's codes ({ours}) do not lie where the prior has its density ({theirs}): "
            f"choose prior={fit}, or another posterior"
        )


def space(distribution: Distribution) -> str:
    """Where a distribution's codes lie.

    >>> import torch
    >>> space(StandardGaussian(torch.zeros(3)))
    'real'
    """
    if isinstance(distribution, MixtureSameFamily):
        return space(distribution.component_distribution)
    if isinstance(distribution, Joint):
        parts = (f"{space(d)} {d.event_shape.numel()}" for d in distribution.parts.values())
        return " and ".join(parts)
    return getattr(distribution, "space", "real")
