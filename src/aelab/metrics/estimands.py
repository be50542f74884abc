"""What is measured on held-out data, by the same estimators for every variant.

Sums are kept in float64 and reduced over the processes, so that results depend neither on the batch size
nor on how many processes share the work. What is undefined for a variant (the ELBO of a plain
autoencoder, say) is left out, never reported as 0.
"""

import math
from collections.abc import Callable, Container, Sequence
from functools import partial
from typing import Any, Protocol, cast

from torch import Tensor
from torch.distributions import Distribution
from torchmetrics import MetricCollection

from aelab.core.quantity import Quantity
from aelab.core.records import Trace
from aelab.metrics.estimand import Estimand
from aelab.metrics.labels import CLASSIFICATION_ERROR, classification_error
from aelab.metrics.tokens import PerToken
from aelab.metrics.units import Units
from aelab.models.distributions import (
    Factorised,
    Independent,
    Masked,
    cross_entropy,
    divergence,
    has_density,
    values_described,
)

ELBO = Quantity("elbo", "nats per observation", True, of_likelihood=True)
DISTORTION = Quantity("distortion", "nats per observation", False, of_likelihood=True)
KL = Quantity("kl", "nats per observation")
CODE_NLL = Quantity("code_nll", "nats per observation", False)
BITS_PER_DIM = Quantity("bits_per_dim", "bits per value", False, of_likelihood=True)
NEEDLE = 10  # times the height of a density that is as wide as a step of the grid
EVIDENCE = (ELBO, DISTORTION, KL, CODE_NLL, BITS_PER_DIM)


def evidence(trace: Trace, bits: float | None = None) -> dict[str, Tensor]:
    """The evidence lower bound of each observation and its two sides, in nats: (B,) each.

    distortion: -E_q log p(x|z,c). kl: KL(q(z|x,c) || p(z|c)), the rate. elbo: -(distortion + kl).
    code_nll: -E_q log p(z|c), what of the rate depends on the prior.
    bits_per_dim: -elbo in bits for each value; a density is charged `bits`, -log2 of the spacing of the grid
    that values lie on: log2(255) for grey levels on [0, 1], 0 for black and white; left out for real numbers,
    which have None. All but the distortion and code_nll are left out for a posterior without a density, and
    all but the distortion without a prior or a posterior: then it is that of codes of the prior.

    >>> import torch
    >>> from aelab.core.records import Batch
    >>> from aelab.models.distributions import Bernoulli, Gaussian, StandardGaussian
    >>> x, z = torch.ones(2, 4), torch.zeros(2, 3)
    >>> coins = Bernoulli(torch.zeros(1, 2, 4))
    >>> trace = Trace(Batch(x), x, None, Gaussian(z, z), StandardGaussian(z[0]), z[None], lambda: coins)
    >>> evidence(trace, bits=8.0)["bits_per_dim"], evidence(trace)["kl"]
    (tensor([1., 1.], dtype=torch.float64), tensor([0., 0.], dtype=torch.float64))
    """
    distortion = -trace.likelihood.log_prob(trace.x).mean(0).double()
    if trace.posterior is None or trace.prior is None:
        return {"distortion": distortion}
    crossed = cross_entropy(trace.posterior, trace.prior, trace.z)
    found = {"distortion": distortion, "code_nll": crossed.double()}
    if not has_density(trace.posterior):
        return found
    kl = divergence(trace.posterior, trace.prior, trace.z, trace.log_q, crossed).double()
    elbo = -distortion - kl
    found |= {"elbo": elbo, "kl": kl}
    return found if bits is None else found | {"bits_per_dim": bits_per_dim(-elbo, trace.likelihood, bits)}


def bits_per_dim(nats: Tensor, likelihood: Distribution, grid: float) -> Tensor:
    """The code length of whole observations in nats, as bits for each value that has a likelihood.

    grid: -log2 of the spacing of its values, by which a density becomes a probability.

    >>> import torch
    >>> from aelab.models.distributions import Bernoulli
    >>> bits_per_dim(torch.tensor(4 * math.log(2)), Bernoulli(torch.zeros(4)), grid=8.0)
    tensor(1.)
    """
    bits = nats / (values_described(likelihood) * math.log(2))
    return bits if likelihood.support.is_discrete else bits + grid  # type: ignore[union-attr]


def narrower_than_grid(likelihood: Distribution, grid: float) -> float:
    """The share of values whose density, at its mean, is over ten times as high as one that is as wide as a
    step of the grid that values lie on: no probability of grid points at all; 0 for probabilities.

    grid: -log2 of the spacing of the values.

    >>> import torch
    >>> from aelab.models.distributions import Gaussian
    >>> narrower_than_grid(Gaussian(torch.zeros(2), torch.tensor([-2.0, -20.0])), math.log2(255))
    0.5
    """
    if likelihood.support.is_discrete or not isinstance(likelihood, Factorised | Independent | Masked):  # type: ignore[union-attr]
        return 0.0
    highest = (grid + math.log2(NEEDLE)) * math.log(2)
    return float((likelihood.each(likelihood.mean) > highest).double().mean())


def _evidence(trace: Trace, bits: float | None, names: Container[str]) -> dict[str, Tensor]:
    """What of the evidence of a trace is among `names`, which several estimands read."""
    found: dict[str, Tensor] = trace.once("evidence", lambda: evidence(trace, bits))
    return {name: values for name, values in found.items() if name in names}


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


def estimands(
    units: int, kind: Measured, bits: float | None, codes: int | None = None, fitted: bool = True
) -> MetricCollection:
    """The collection of all estimands, for a model whose codes have so many `units`.

    kind: of observation. bits: as in `evidence`. codes: entries of its codebook, or None. fitted: whether
    anything but critics trained the model; else what is of its likelihood says nothing and is left out.
    """
    known = [quantity for quantity in EVIDENCE if fitted or not quantity.of_likelihood]
    once = partial(_evidence, bits=bits, names=[quantity.name for quantity in known])
    measures: dict[str, Any] = {
        "evidence": Means(once, known),
        "reconstruction": Means(kind.errors, kind.quantities),
        "units": Units(units, codes=codes),
        "labels": Means(classification_error, [CLASSIFICATION_ERROR]),
        **({"tokens": PerToken(once)} if fitted else {}),
    }
    return MetricCollection(measures, compute_groups=False)


def quantities(measures: MetricCollection) -> dict[str, Quantity]:
    """What a collection of estimands measures, by name."""
    return {q.name: q for each in measures.values() for q in cast(Estimand, each).quantities}
