"""What is measured on held-out data, by the same estimators for every variant.

Sums are kept in float64 and reduced over the processes, so that results depend neither on the batch size
nor on how many processes share the work. What is undefined for a variant (the ELBO of a plain
autoencoder, say) is left out, never reported as 0.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torchmetrics import Metric, MetricCollection

from aelab.core.records import Trace
from aelab.models.distributions import divergence, has_density, values_described

GREY_LEVELS = 256
ACTIVE = 0.01  # variance over images of the posterior mean of a unit in use (Burda et al. 2016)


class _Estimand(Metric):
    """A metric of a `Trace`, kept as float64 sums over observations."""

    full_state_update = False
    count: Tensor

    def __init__(self, **sums: tuple[int, ...]) -> None:
        super().__init__()
        for name, shape in {"count": (), **sums}.items():
            self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any) -> nn.Module:
        """Move with the model, but stay in float64 whatever it is cast to."""
        return super()._apply(lambda sums: sums.to(fn(sums).device), *args, **kwargs)

    def set_dtype(self, dst_type: Any) -> "_Estimand":
        return self


def evidence(trace: Trace) -> dict[str, Tensor]:
    """The evidence lower bound of each observation and its two sides, in nats: (B,) each.

    distortion: -E_q log p(x|z,c). kl: KL(q(z|x,c) || p(z|c)), the rate. elbo: -(distortion + kl).
    bits_per_dim: -elbo in bits for each value; a density over [0, 1] is charged the log2(256) bits that
    rescaling from grey levels takes away. All but the distortion are left out for a model without a prior
    or whose posterior has no density.
    """
    distortion = -trace.likelihood.log_prob(trace.x).mean(0).double()
    if trace.posterior is None or trace.prior is None or not has_density(trace.posterior):
        return {"distortion": distortion}
    kl = divergence(trace.posterior, trace.prior, trace.z, trace.log_q).double()
    elbo = -distortion - kl
    bits = bits_per_dim(-elbo, trace.likelihood)
    return {"elbo": elbo, "distortion": distortion, "kl": kl, "bits_per_dim": bits}


def bits_per_dim(nats: Tensor, likelihood: Distribution) -> Tensor:
    """A code length of whole observations in nats, as bits for each value that has a likelihood."""
    bits = nats / (values_described(likelihood) * math.log(2))
    return bits if likelihood.support.is_discrete else bits + math.log2(GREY_LEVELS)  # type: ignore[union-attr]


def reconstruction(trace: Trace) -> dict[str, Tensor]:
    """The error of the mean of p(x|z,c) for codes drawn from the posterior, of each observation: (B,) each.

    mse: squared error for each pixel. squared_error: summed over the image. psnr: in dB for a peak of 1, at
    most 100. Nothing for a model without a posterior.
    """
    if trace.posterior is None:  # the codes know nothing of the observations
        return {}
    squared = (trace.likelihood.mean.mean(0) - trace.x).double().square().flatten(1).sum(1)
    mse = squared / values_described(trace.likelihood)  # the others are told, and their error is 0
    return {"mse": mse, "squared_error": squared, "psnr": -10 * mse.clamp_min(1e-10).log10()}


class Means(_Estimand):
    """The means over observations of what `each` gives for every one of them, by name.

    names: what it may give; a name that it leaves out for some observations is undefined, and left out.
    """

    total: Tensor
    defined: Tensor

    def __init__(self, each: Callable[[Trace], dict[str, Tensor]], names: Sequence[str]) -> None:
        super().__init__(total=(len(names),), defined=(len(names),))
        self.each, self.names = each, tuple(names)

    def update(self, trace: Trace) -> None:
        self.count += len(trace.x)
        for name, values in self.each(trace).items():
            place = self.names.index(name)
            self.total[place] += values.sum()
            self.defined[place] += len(values)

    def compute(self) -> dict[str, Tensor]:
        means = zip(self.names, self.total / self.count, self.defined, strict=True)
        return {name: mean for name, mean, defined in means if defined == self.count}


class ActiveUnits(_Estimand):
    """Latent dimensions whose posterior mean varies: Var_x E_q[z_i] > 0.01 (Burda et al. 2016)."""

    total: Tensor
    square: Tensor

    def __init__(self, latent: int, threshold: float = ACTIVE) -> None:
        super().__init__(total=(latent,), square=(latent,))
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


EVIDENCE = ("elbo", "distortion", "kl", "bits_per_dim")
RECONSTRUCTION = ("mse", "squared_error", "psnr")
# A colour image has three values for each pixel.


def estimands(latent: int) -> MetricCollection:
    """All of them, for a model whose codes are vectors of size `latent`."""
    measures: dict[str, Any] = {
        "evidence": Means(evidence, EVIDENCE),
        "reconstruction": Means(reconstruction, RECONSTRUCTION),
        "units": ActiveUnits(latent),
    }
    return MetricCollection(measures, compute_groups=False)
