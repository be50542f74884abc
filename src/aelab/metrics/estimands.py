"""What is measured on held-out data, by the same estimators for every variant.

Sums are kept in float64 and reduced over the processes, so that results depend neither on the batch size
nor on how many processes share the work. What is undefined for a variant (the ELBO of a plain
autoencoder, say) is left out, never reported as 0.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torchmetrics import Metric, MetricCollection

from aelab.core.quantity import Quantity
from aelab.core.records import Trace
from aelab.models.distributions import divergence, has_density, values_described

ACTIVE = 0.01  # variance over observations of the posterior mean of a unit in use


class Estimand(Metric):
    """A metric of a `Trace`, kept as float64 sums over observations.

    quantities: what it may give.
    """

    full_state_update = False
    count: Tensor

    def __init__(self, quantities: Sequence[Quantity], **sums: tuple[int, ...]) -> None:
        super().__init__()
        self.quantities = tuple(quantities)
        for name, shape in {"count": (), **sums}.items():
            self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any) -> nn.Module:
        """Move with the model, but stay in float64 whatever it is cast to."""
        return super()._apply(lambda sums: sums.to(fn(sums).device), *args, **kwargs)

    def set_dtype(self, dst_type: Any) -> "Estimand":
        return self


ELBO = Quantity("elbo", "nats per observation", True, of_likelihood=True)
DISTORTION = Quantity("distortion", "nats per observation", False, of_likelihood=True)
KL = Quantity("kl", "nats per observation")
BITS_PER_DIM = Quantity("bits_per_dim", "bits per value", False, of_likelihood=True)
EVIDENCE = (ELBO, DISTORTION, KL, BITS_PER_DIM)


def evidence(trace: Trace, bits: float | None = None) -> dict[str, Tensor]:
    """The evidence lower bound of each observation and its two sides, in nats: (B,) each.

    distortion: -E_q log p(x|z,c). kl: KL(q(z|x,c) || p(z|c)), the rate. elbo: -(distortion + kl).
    bits_per_dim: -elbo in bits for each value; a density is charged the `bits` that scaling the values takes
    away, as log2(256) from grey levels to [0, 1]; left out for real numbers, which have None. All but the
    distortion are left out for a model without a prior or a posterior with a density; without a posterior
    the distortion is that of codes of the prior.

    >>> from aelab.core.records import Batch
    >>> from aelab.models.distributions import Bernoulli, Gaussian, StandardGaussian
    >>> x, z = torch.ones(2, 4), torch.zeros(2, 3)
    >>> coins = Bernoulli(torch.zeros(1, 2, 4))
    >>> trace = Trace(Batch(x), x, None, Gaussian(z, z), StandardGaussian(z[0]), z[None], lambda: coins)
    >>> evidence(trace, bits=8.0)["bits_per_dim"], evidence(trace)["kl"]
    (tensor([1., 1.], dtype=torch.float64), tensor([0., 0.], dtype=torch.float64))
    """
    distortion = -trace.likelihood.log_prob(trace.x).mean(0).double()
    if trace.posterior is None or trace.prior is None or not has_density(trace.posterior):
        return {"distortion": distortion}
    kl = divergence(trace.posterior, trace.prior, trace.z, trace.log_q).double()
    elbo = -distortion - kl
    found = {"elbo": elbo, "distortion": distortion, "kl": kl}
    return found if bits is None else found | {"bits_per_dim": bits_per_dim(-elbo, trace.likelihood, bits)}


def bits_per_dim(nats: Tensor, likelihood: Distribution, scaling: float) -> Tensor:
    """The code length of whole observations in nats, as bits for each value that has a likelihood.

    scaling: bits of each value that its scaling took from a density.

    >>> from aelab.models.distributions import Bernoulli
    >>> bits_per_dim(torch.tensor(4 * math.log(2)), Bernoulli(torch.zeros(4)), scaling=8.0)
    tensor(1.)
    """
    bits = nats / (values_described(likelihood) * math.log(2))
    return bits if likelihood.support.is_discrete else bits + scaling  # type: ignore[union-attr]


class Measured(Protocol):
    """The kind of an observation, as far as its errors go."""

    @property
    def quantities(self) -> Sequence[Quantity]:
        """The quantities that `errors` may give."""

    def errors(self, trace: Trace) -> dict[str, Tensor]:
        """The errors of what comes back of each observation from its codes, by quantity: (B,) each."""


class Means(Estimand):
    """The means over observations of what `each` gives for every one of them, by name: () each, float64.

    quantities: what it may give; what it leaves out for some observations is undefined, and left out.
    """

    total: Tensor
    defined: Tensor

    def __init__(self, each: Callable[[Trace], dict[str, Tensor]], quantities: Sequence[Quantity]) -> None:
        super().__init__(quantities, total=(len(quantities),), defined=(len(quantities),))
        self.each, self.names = each, [quantity.name for quantity in quantities]

    def update(self, trace: Trace) -> None:
        self.count += len(trace.x)
        for name, values in self.each(trace).items():
            place = self.names.index(name)
            self.total[place] += values.sum()
            self.defined[place] += len(values)

    def compute(self) -> dict[str, Tensor]:
        means = zip(self.names, self.total / self.count, self.defined, strict=True)
        return {name: mean for name, mean, defined in means if defined == self.count}


ACTIVE_UNITS = Quantity("active_units", "latent dimensions")


class ActiveUnits(Estimand):
    """The latent dimensions whose posterior mean varies: Var_x E_q[z_i] > 0.01 (Burda et al. 2016,
    https://arxiv.org/abs/1509.00519)."""

    total: Tensor
    square: Tensor

    def __init__(self, latent: int, threshold: float = ACTIVE) -> None:
        super().__init__([ACTIVE_UNITS], total=(latent,), square=(latent,))
        self.threshold = threshold

    def update(self, trace: Trace) -> None:
        if trace.posterior is None:
            return
        mean = trace.posterior.mean.double()
        self.count += len(mean)
        self.total += mean.sum(0)
        self.square += mean.square().sum(0)

    def compute(self) -> dict[str, Tensor]:
        if not self.count:
            return {}
        variance = self.square / self.count - (self.total / self.count).square()
        return {"active_units": (variance > self.threshold).sum().double()}


def estimands(latent: int, kind: Measured, bits: float | None) -> MetricCollection:
    """The collection of all estimands, for a model whose codes are vectors of size `latent`.

    kind: of observation. bits: as in `evidence`.
    """
    measures: dict[str, Any] = {
        "evidence": Means(partial(evidence, bits=bits), EVIDENCE),
        "reconstruction": Means(kind.errors, kind.quantities),
        "units": ActiveUnits(latent),
    }
    return MetricCollection(measures, compute_groups=False)


def quantities(measures: MetricCollection) -> dict[str, Quantity]:
    """What a collection of estimands measures, by name."""
    return {q.name: q for each in measures.values() for q in cast(Estimand, each).quantities}
