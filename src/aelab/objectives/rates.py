"""Other prices for the rate than a weight: a capacity, a floor for each dimension, the prior's share."""

from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from aelab.core.errors import ConfigurationError
from aelab.core.records import Trace
from aelab.core.schedules import Scheduled, scheduled
from aelab.models import Autoencoder
from aelab.models.distributions import Gaussian, Joint, divergence
from aelab.models.evidence import required_posterior, required_prior
from aelab.objectives.base import Term


class Capacity(Term):
    """|KL(q(z|x,c) || p(z|c)) - capacity|, capacity in nats and usually rising (Burgess et al. 2018).

    part: of a joint code, `continuous` or `discrete`; None: the whole code (JointVAE, Dupont 2018).
    """

    def __init__(self, capacity: Scheduled, weight: Scheduled = 1.0, part: str | None = None) -> None:
        super().__init__(weight)
        self.capacity, self.part = scheduled(capacity), part

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        prior = required_prior(trace, "the rate")
        if self.part is None:
            rate = divergence(required_posterior(trace, "the rate"), prior, trace.z, trace.log_q)
        else:
            rate = _rate_of(self.part, required_posterior(trace, "the rate"), prior)
        return (rate.mean() - self.capacity(trace.step)).abs()


def _rate_of(part: str, q: Distribution, p: Distribution) -> Tensor:
    if not isinstance(q, Joint) or not isinstance(p, Joint):
        raise ConfigurationError(
            f"a term reads the part {part!r} of a joint code: choose posterior=joint with prior=joint"
        )
    if part not in q.parts:
        raise ConfigurationError(f"the code has no part {part!r}: there are {', '.join(q.parts)}")
    return kl_divergence(q.parts[part], p.parts[part])


class FreeBits(Term):
    """The rate, at least `floor` nats in each dimension, averaged over the batch (Kingma et al. 2016)."""

    def __init__(self, floor: Scheduled = 0.1, weight: Scheduled = 1.0) -> None:
        super().__init__(weight)
        self.floor = scheduled(floor)

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        q, p = required_posterior(trace, "the rate"), required_prior(trace, "the rate")
        if not isinstance(q, Gaussian) or not isinstance(p, Gaussian):
            raise ConfigurationError(
                "free bits need a diagonal Gaussian posterior and prior: choose posterior=diagonal_gaussian "
                "with prior=standard_normal or conditional"
            )
        rates = kl_divergence(_single(q), _single(p))
        return rates.mean(0).clamp_min(self.floor(trace.step)).sum()


class CodeNLL(Term):
    """-E_q log p(z|c), what of the rate depends on the prior, or what the prior is fitted by in its place;
    codes need no density of their own."""

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        required_posterior(trace, "a prior that is fitted to codes")
        if model.prior is None or trace.prior is None:
            raise ConfigurationError("a prior is fitted to codes, and the model has none: choose a prior")
        return model.prior.cost(trace.prior, trace.z, trace.context)


def _single(gaussian: Gaussian) -> Gaussian:
    """Each latent dimension as a distribution of its own."""
    return Gaussian(gaussian.loc[..., None], gaussian.log_variance[..., None])
