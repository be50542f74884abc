"""Points of whose numbers few are not 0: as sparse autoencoders have them."""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.distributions import SparsePoint
from aelab.models.posteriors.base import Features, Posterior, head, layout_of


class Sparse(Posterior, ABC):
    """A point: W h + b, the responses, of which few are kept and all others are exactly 0."""

    def __init__(self, features: Features, sizes: Sizes) -> None:
        super().__init__(layout_of(features, sizes.latent))
        self.projection = head(features, sizes.latent)

    def forward(self, h: Tensor, step: int = 0) -> SparsePoint:
        return self.kept(self.projection(h).float().flatten(-len(self.layout)))

    @abstractmethod
    def kept(self, responses: Tensor) -> SparsePoint:
        """The point that is kept of responses (B, latent)."""

    def follow(self, point: SparsePoint) -> None:
        """Move what no gradient trains, after a step on this point: by default nothing."""


class TopK(Sparse):
    """The k largest responses of each code, and exactly as many where some are equal (Makhzani and Frey 2014,
    https://arxiv.org/abs/1312.5663).

    rectified: whether those of them below 0 are 0 too (Gao et al. 2024, https://arxiv.org/abs/2406.04093).
    """

    def __init__(self, features: Features, sizes: Sizes, k: int = 32, rectified: bool = True) -> None:
        super().__init__(features, sizes)
        self.k, self.rectified = _check_k(k, self.latent), rectified

    def kept(self, responses: Tensor) -> SparsePoint:
        gates = torch.zeros_like(responses).scatter(1, responses.topk(self.k).indices, 1.0)
        return SparsePoint((F.relu(responses) if self.rectified else responses) * gates, responses, gates)


class BatchTopK(Sparse):
    """While training the k largest responses above 0 for each observation of a batch, wherever in it they
    are; elsewhere those that reach a threshold, the mean of the smallest that were kept (Bussmann, Leask and
    Nanda 2024, https://arxiv.org/abs/2412.06410).

    decay: of that mean from step to step.
    """

    total: Tensor
    weight: Tensor

    def __init__(self, features: Features, sizes: Sizes, k: int = 32, decay: float = 0.99) -> None:
        super().__init__(features, sizes)
        if not 0 <= decay < 1:
            raise ConfigurationError(f"model.posterior.decay={decay}: choose it in [0, 1)")
        self.k, self.decay = _check_k(k, self.latent), decay
        self.register_buffer("total", torch.zeros(()))
        self.register_buffer("weight", torch.zeros(()))

    @property
    def threshold(self) -> Tensor:
        """The mean, weighed alike from the first step; 0 before it."""
        return self.total / self.weight.clamp_min(1e-12)

    def kept(self, responses: Tensor) -> SparsePoint:
        if self.training:
            flat = responses.flatten()
            chosen = flat.topk(self.k * len(responses)).indices
            gates = torch.zeros_like(flat).scatter(0, chosen, 1.0).view_as(responses)
        else:
            gates = (responses >= self.threshold).to(responses.dtype)
        return SparsePoint(F.relu(responses) * gates, responses, gates)

    def follow(self, point: SparsePoint) -> None:
        smallest = torch.where(point.value > 0, point.value, torch.inf).min()
        seen = smallest.isfinite()
        self.total.copy_(torch.where(seen, torch.lerp(smallest, self.total, self.decay), self.total))
        self.weight.copy_(torch.where(seen, self.decay * self.weight + 1 - self.decay, self.weight))


class JumpReLU(Sparse):
    """The responses above a threshold of their own, which is trained by its effect on those within
    `bandwidth` / 2 of it (Rajamanoharan et al. 2024, https://arxiv.org/abs/2407.14435).

    threshold: at the start. Asks for a price of active units, as `aelab.objectives.sparsity.ActiveUnits`.
    """

    def __init__(
        self, features: Features, sizes: Sizes, threshold: float = 0.1, bandwidth: float = 0.1
    ) -> None:
        super().__init__(features, sizes)
        if not threshold > 0 or not bandwidth > 0:
            raise ConfigurationError(
                f"model.posterior.threshold={threshold}, bandwidth={bandwidth}: both above 0"
            )
        self.bandwidth = bandwidth
        self.log_threshold = nn.Parameter(torch.full((self.latent,), threshold).log())

    def kept(self, responses: Tensor) -> SparsePoint:
        threshold = self.log_threshold.exp()
        above = (responses > threshold).to(responses.dtype)
        near = ((responses - threshold).abs() < self.bandwidth / 2).to(responses.dtype) / self.bandwidth
        # What a small rise of the threshold takes away: the value that it has, and a unit.
        lost = threshold * near.detach()
        fallen = lost - lost.detach()
        value = responses * above - threshold.detach() * fallen
        return SparsePoint(value, responses, above - fallen)


def _check_k(k: int, latent: int) -> int:
    if not 1 <= k <= latent:
        raise ConfigurationError(
            f"model.posterior.k={k}: of a code of {latent} numbers choose from 1 to {latent}, or a higher "
            "latent"
        )
    return k
