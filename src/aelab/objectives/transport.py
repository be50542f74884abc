"""How far codes lie from a prior as the cost of moving the ones onto the other."""

import math
from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from aelab.core.errors import ConfigurationError
from aelab.core.records import Trace
from aelab.core.schedules import Scheduled
from aelab.models import Autoencoder
from aelab.models.evidence import required_posterior
from aelab.objectives.base import Term


class Transport(Term):
    """A cost of transport between the codes of a batch and as many draws of the prior, whose gradient reaches
    both; it asks nothing of densities."""

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        required_posterior(trace, "a cost of transport")
        if trace.prior is None:
            raise ConfigurationError(
                "a cost of transport compares codes with a prior: choose prior=standard_normal"
            )
        codes = trace.z[0]
        draw = trace.prior.rsample if trace.prior.has_rsample else trace.prior.sample
        return self.cost(codes, draw(() if trace.prior.batch_shape else (len(codes),)))

    @abstractmethod
    def cost(self, x: Tensor, y: Tensor) -> Tensor:
        """Of two samples (N, latent): a scalar."""


class SlicedWasserstein(Transport):
    """The squared distance of sorted values along random directions, averaged over these (SWAE, Kolouri et
    al. 2019, https://arxiv.org/abs/1804.01947)."""

    def __init__(self, weight: Scheduled = 1.0, directions: int = 50) -> None:
        super().__init__(weight)
        if directions < 1:
            raise ConfigurationError(f"directions={directions}: at least 1")
        self.directions = directions

    def cost(self, x: Tensor, y: Tensor) -> Tensor:
        return sliced_wasserstein(x, y, self.directions)


class Sinkhorn(Transport):
    """The Sinkhorn divergence of squared distances (Patrini et al. 2019, https://arxiv.org/abs/1810.01118;
    Genevay, Peyré and Cuturi 2018, https://arxiv.org/abs/1706.00292).

    blur: the entropy's weight, as a share of the mean squared distance. iterations: of the potentials.
    """

    def __init__(self, weight: Scheduled = 1.0, blur: float = 0.1, iterations: int = 50) -> None:
        super().__init__(weight)
        if not blur > 0 or iterations < 1:
            raise ConfigurationError(f"blur={blur}, iterations={iterations}: above 0, and at least 1")
        self.blur, self.iterations = blur, iterations

    def cost(self, x: Tensor, y: Tensor) -> Tensor:
        return sinkhorn_divergence(x, y, self.blur, self.iterations)


def sliced_wasserstein(x: Tensor, y: Tensor, directions: int) -> Tensor:
    """The squared sliced Wasserstein distance of two samples (N, D), of directions drawn anew: a scalar.

    >>> sliced_wasserstein(torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0], [2.0]]), 1)
    tensor(4.)
    """
    along = F.normalize(torch.randn(x.shape[1], directions, device=x.device, dtype=x.dtype), dim=0)
    return ((x @ along).sort(0).values - (y @ along).sort(0).values).square().mean()


def sinkhorn_divergence(x: Tensor, y: Tensor, blur: float, iterations: int) -> Tensor:
    """S(x, y) - (S(x, x) + S(y, y)) / 2 of two samples (N, D), S the entropic cost of squared distances: a
    scalar, 0 where the samples are the same.

    >>> x = torch.randn(5, 2)
    >>> float(sinkhorn_divergence(x, x, blur=0.1, iterations=20).abs()) < 1e-5
    True
    """
    epsilon = blur * _squared(x, y).mean().detach()
    across, ours, theirs = (_entropic(a, b, epsilon, iterations) for a, b in ((x, y), (x, x), (y, y)))
    return across - (ours + theirs) / 2


def _squared(x: Tensor, y: Tensor) -> Tensor:
    """(N, M), without the root of a distance, whose gradient is not finite at 0."""
    return (x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T).clamp_min(0)


def _entropic(x: Tensor, y: Tensor, epsilon: Tensor, iterations: int) -> Tensor:
    """The dual value of entropic transport between even weights, with the gradient of its optimum."""
    f, g = x.new_zeros(len(x)), y.new_zeros(len(y))
    with torch.no_grad():
        cost = _squared(x, y)
        for _ in range(iterations):
            f = (f + _softmin(cost, g, epsilon)) / 2
            g = (g + _softmin(cost.T, f, epsilon)) / 2
    # Each side moves against the other as it is: so the potentials count once.
    ours, theirs = _squared(x, y.detach()), _squared(y, x.detach())
    return _softmin(ours, g, epsilon).mean() + _softmin(theirs, f, epsilon).mean()


def _softmin(cost: Tensor, potential: Tensor, epsilon: Tensor) -> Tensor:
    return -epsilon * ((potential - cost) / epsilon - math.log(cost.shape[1])).logsumexp(1)
