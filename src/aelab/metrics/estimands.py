"""What is measured on held-out data, by the same estimators for every variant.

Sums are kept in float64 and reduced over the processes, so that results depend neither on the batch size
nor on how many processes share the work. What is undefined for a variant (the ELBO of a plain
autoencoder, say) is left out, never reported as 0.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torchmetrics import Metric, MetricCollection

from aelab.core.quantity import Quantity
from aelab.core.records import Trace
from aelab.models.distributions import divergence, has_density, values_described

GREY_LEVELS = 256
ACTIVE = 0.01  # variance over images of the posterior mean of a unit in use


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


def evidence(trace: Trace) -> dict[str, Tensor]:
    """The evidence lower bound of each observation and its two sides, in nats: (B,) each.

    distortion: -E_q log p(x|z,c). kl: KL(q(z|x,c) || p(z|c)), the rate. elbo: -(distortion + kl).
    bits_per_dim: -elbo in bits for each value; a density over [0, 1] is charged the log2(256) bits that
    rescaling from grey levels takes away. All but the distortion are left out for a model without a prior
    or whose posterior has no density.

    >>> from aelab.core.records import Batch
    >>> from aelab.models.distributions import Bernoulli, Gaussian, StandardGaussian
    >>> x, z = torch.ones(2, 4), torch.zeros(2, 3)
    >>> coins = Bernoulli(torch.zeros(1, 2, 4))
    >>> trace = Trace(Batch(x), x, None, Gaussian(z, z), StandardGaussian(z[0]), z[None], lambda: coins)
    >>> evidence(trace)["bits_per_dim"], evidence(trace)["kl"]
    (tensor([1., 1.], dtype=torch.float64), tensor([0., 0.], dtype=torch.float64))
    """
    distortion = -trace.likelihood.log_prob(trace.x).mean(0).double()
    if trace.posterior is None or trace.prior is None or not has_density(trace.posterior):
        return {"distortion": distortion}
    kl = divergence(trace.posterior, trace.prior, trace.z, trace.log_q).double()
    elbo = -distortion - kl
    bits = bits_per_dim(-elbo, trace.likelihood)
    return {"elbo": elbo, "distortion": distortion, "kl": kl, "bits_per_dim": bits}


def bits_per_dim(nats: Tensor, likelihood: Distribution) -> Tensor:
    """The code length of whole observations in nats, as bits for each value that has a likelihood.

    >>> from aelab.core.records import Batch
    >>> from aelab.models.distributions import Bernoulli
    >>> bits_per_dim(torch.tensor(4 * math.log(2)), Bernoulli(torch.zeros(4)))
    tensor(1.)
    """
    bits = nats / (values_described(likelihood) * math.log(2))
    return bits if likelihood.support.is_discrete else bits + math.log2(GREY_LEVELS)  # type: ignore[union-attr]


MSE = Quantity("mse", "squared error per value", False)  # a colour image has three values for each pixel
SQUARED_ERROR = Quantity("squared_error", "squared error per observation", False)
PSNR = Quantity("psnr", "dB", True)
RECONSTRUCTION = (MSE, SQUARED_ERROR, PSNR)


def reconstruction(trace: Trace) -> dict[str, Tensor]:
    """The error of the mean of p(x|z,c) for codes drawn from the posterior, of each observation: (B,) each.

    mse: squared error for each pixel. squared_error: summed over the image. psnr: in dB for a peak of 1, at
    most 100. Nothing for a model without a posterior.

    >>> from aelab.core.records import Batch
    >>> from aelab.models.distributions import Bernoulli, Gaussian, StandardGaussian
    >>> x, z = torch.ones(2, 4), torch.zeros(2, 3)
    >>> coins = Bernoulli(torch.zeros(1, 2, 4))
    >>> trace = Trace(Batch(x), x, None, Gaussian(z, z), StandardGaussian(z[0]), z[None], lambda: coins)
    >>> {name: error[0].item() for name, error in reconstruction(trace).items()}
    {'mse': 0.25, 'squared_error': 1.0, 'psnr': 6.0206}
    """
    if trace.posterior is None:  # the codes know nothing of the observations
        return {}
    squared = (trace.likelihood.mean.mean(0) - trace.x).double().square().flatten(1).sum(1)
    mse = squared / values_described(trace.likelihood)  # the others are told, and their error is 0
    return {"mse": mse, "squared_error": squared, "psnr": -10 * mse.clamp_min(1e-10).log10()}


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


def estimands(latent: int) -> MetricCollection:
    """The collection of all estimands, for a model whose codes are vectors of size `latent`.

    >>> sorted(quantities(estimands(latent=2)))[:3]
    ['active_units', 'bits_per_dim', 'distortion']
    """
    measures: dict[str, Any] = {
        "evidence": Means(evidence, EVIDENCE),
        "reconstruction": Means(reconstruction, RECONSTRUCTION),
        "units": ActiveUnits(latent),
    }
    return MetricCollection(measures, compute_groups=False)


def quantities(measures: MetricCollection) -> dict[str, Quantity]:
    """What a collection of estimands measures, by name."""
    return {q.name: q for each in measures.values() for q in cast(Estimand, each).quantities}
