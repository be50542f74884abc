"""Penalties on the size of codes, and on how many of their units are at work."""

import torch
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes, Trace
from aelab.core.schedules import Scheduled
from aelab.models import Autoencoder
from aelab.models.distributions import SparsePoint, distortion
from aelab.models.evidence import required_posterior
from aelab.models.posteriors import Deterministic, Sparse
from aelab.objectives.base import Term


class CodeNorm(Term):
    """|z|^2 / 2, averaged over codes and batch: the rate of a deterministic code under N(0, I), but for
    constants (RAE, Ghosh et al. 2020, https://arxiv.org/abs/1903.12436)."""

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        required_posterior(trace, "the norm of codes")
        return trace.z.square().sum(-1).mean() / 2


class Activity(Term):
    """The sum of |z|, averaged over codes and batch: a Laplace prior of codes (Olshausen and Field 1996,
    https://doi.org/10.1038/381607a0)."""

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        required_posterior(trace, "the activity of codes")
        return trace.z.abs().sum(-1).mean()


class ActivityRate(Term):
    """KL(target || a), summed over units: of coins that fall as often as a unit shall be active, and as it
    is, a = its mean over the batch (Lee, Ekanadham and Ng 2008, https://papers.nips.cc/paper/3313; Ng 2011).

    target: in (0, 1). Codes lie in (0, 1): model.posterior.activation is a sigmoid.
    """

    def __init__(self, target: float = 0.05, weight: Scheduled = 1.0) -> None:
        super().__init__(weight)
        if not 0 < target < 1:
            raise ConfigurationError(f"target={target}: a rate of activity lies between 0 and 1")
        self.target = target

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        posterior = model.posterior
        if not isinstance(posterior, Deterministic) or not isinstance(posterior.activation, nn.Sigmoid):
            raise ConfigurationError(
                "a rate of activity is of units between 0 and 1: choose posterior=deterministic with "
                "+model.posterior.activation={_target_: torch.nn.Sigmoid, _partial_: true}"
            )
        active = trace.q.mean.mean(0).clamp(1e-6, 1 - 1e-6)
        p = self.target
        on, off = p * (p / active).log(), (1 - p) * ((1 - p) / (1 - active)).log()
        return (on + off).sum()


class ActiveUnits(Term):
    """How many units of a code are not 0, averaged over the batch (Rajamanoharan et al. 2024,
    https://arxiv.org/abs/2407.14435)."""

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        return _sparse(trace).gates.sum(-1).mean()


class Revival(Term):
    """The distortion of codes to which the strongest responses of dead units are added, as they are: what
    these could still explain (Gao et al. 2024, https://arxiv.org/abs/2406.04093, with any decoder). 0 where
    none is dead.

    count: of the responses, at most. least: the share of observations, a moving average of `decay` from step
    to step, that switch a unit on; below it the unit is dead.
    """

    share: Tensor

    def __init__(
        self,
        sizes: Sizes,
        weight: Scheduled = 1.0,
        count: int = 64,
        least: float = 1e-3,
        decay: float = 0.99,
    ) -> None:
        super().__init__(weight)
        if count < 1 or not 0 < least < 1 or not 0 <= decay < 1:
            raise ConfigurationError(
                f"count={count}, least={least}, decay={decay}: at least 1, between 0 and 1, and in [0, 1)"
            )
        self.count, self.least, self.decay = min(count, sizes.latent), least, decay
        self.register_buffer("share", torch.ones(sizes.latent))

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        point, dead = _sparse(trace), self.share < self.least
        strongest = point.responses.masked_fill(~dead, -torch.inf).topk(self.count)
        values = torch.where(strongest.values.isfinite(), strongest.values, 0)
        codes = point.value.detach().scatter_add(1, strongest.indices, values)
        likelihood = model.likelihood_of(trace.x, codes[None], trace.context)
        return dead.any() * distortion(likelihood, trace.x)

    def after_step(self, trace: Trace, model: Autoencoder) -> None:
        point, posterior = _sparse(trace), model.posterior
        self.share.lerp_((point.value != 0).to(self.share.dtype).mean(0), 1 - self.decay)
        if isinstance(posterior, Sparse) and posterior.training:  # not frozen
            posterior.follow(point)


def _sparse(trace: Trace) -> SparsePoint:
    if not isinstance(trace.posterior, SparsePoint):
        raise ConfigurationError(
            "a term of sparse codes reads which units are kept: choose posterior=top_k, batch_top_k or "
            "jump_relu"
        )
    return trace.posterior
