"""What is measured on held-out data, by the same estimators for every variant.

Sums are kept in float64 and reduced over the processes, so that results depend neither on the batch size
nor on how many processes share the work. What is undefined for a variant (the ELBO of a plain
autoencoder, say) is left out, never reported as 0.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from aelab.distributions import divergence, has_density, values_described
from aelab.records import Trace

GREY_LEVELS = 256


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


class Evidence(_Estimand):
    """The evidence lower bound and its two sides, in nats for each observation.

    distortion: -E_q log p(x|z,c). kl: KL(q(z|x,c) || p(z|c)), the rate. elbo: -(distortion + kl).
    bits_per_dim: -elbo in bits for each value; a density over [0, 1] is charged the log2(256) bits that
    rescaling from grey levels takes away. All but the distortion are left out for a model without a prior
    or whose posterior has no density.
    """

    distortion: Tensor
    kl: Tensor
    offset: Tensor
    dimensions: Tensor
    defined: Tensor

    def __init__(self) -> None:
        super().__init__(distortion=(), kl=(), offset=(), dimensions=(), defined=())

    def update(self, trace: Trace) -> None:
        observations = len(trace.x)
        self.count += observations
        self.distortion -= trace.likelihood.log_prob(trace.x).mean(0).double().sum()
        self.dimensions += observations * values_described(trace.likelihood)
        if not trace.likelihood.support.is_discrete:  # type: ignore[union-attr]
            self.offset += observations
        if trace.prior is not None and has_density(trace.posterior):
            self.defined += observations
            self.kl += divergence(trace.posterior, trace.prior, trace.z).double().sum()

    def compute(self) -> dict[str, Tensor]:
        distortion = self.distortion / self.count
        if self.defined < self.count:
            return {"distortion": distortion}
        kl = self.kl / self.count
        nats = (distortion + kl) * self.count / self.dimensions
        bits = nats / math.log(2) + self.offset / self.count * math.log2(GREY_LEVELS)
        return {"elbo": -distortion - kl, "distortion": distortion, "kl": kl, "bits_per_dim": bits}


class Reconstruction(_Estimand):
    """The error of the mean of p(x|z,c), for codes z drawn from the posterior.

    mse: squared error for each pixel. squared_error: summed over the image. psnr: in dB for a peak of 1,
    averaged over images (at most 100 dB each).
    """

    squared: Tensor
    pixels: Tensor
    decibels: Tensor

    def __init__(self) -> None:
        super().__init__(squared=(), pixels=(), decibels=())

    def update(self, trace: Trace) -> None:
        error = (trace.likelihood.mean.mean(0) - trace.x).double().square().flatten(1)
        self.count += len(error)
        values = values_described(trace.likelihood)  # the others are told, and their error is 0
        self.pixels += len(error) * values
        self.squared += error.sum()
        self.decibels -= (10 * (error.sum(1) / values).clamp_min(1e-10).log10()).sum()

    def compute(self) -> dict[str, Tensor]:
        return {
            "mse": self.squared / self.pixels,
            "squared_error": self.squared / self.count,
            "psnr": self.decibels / self.count,
        }


class ActiveUnits(_Estimand):
    """Latent dimensions whose posterior mean varies: Var_x E_q[z_i] > 0.01 (Burda et al. 2016)."""

    total: Tensor
    square: Tensor

    def __init__(self, latent: int, threshold: float = 0.01) -> None:
        super().__init__(total=(latent,), square=(latent,))
        self.threshold = threshold

    def update(self, trace: Trace) -> None:
        mean = trace.posterior.mean.double()
        self.count += len(mean)
        self.total += mean.sum(0)
        self.square += mean.square().sum(0)

    def compute(self) -> dict[str, Tensor]:
        variance = self.square / self.count - (self.total / self.count).square()
        return {"active_units": (variance > self.threshold).sum().double()}


def estimands(latent: int) -> MetricCollection:
    """All of them, for a model whose codes are vectors of size `latent`."""
    return MetricCollection([Evidence(), Reconstruction(), ActiveUnits(latent)], compute_groups=False)
