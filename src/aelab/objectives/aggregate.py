"""What is asked of all codes together: of the aggregate posterior q(z), the mean of q(z|x) over the data.

The decomposition KL = mutual information + total correlation + dimension-wise KL (Hoffman and Johnson 2016;
Chen et al. 2018) is estimated with the batch as the data: its own q(z) is exact, so the three sum to the KL's
Monte-Carlo estimate. Estimators that scale by the size of the training set (minibatch weighted sampling)
differ from it in constants, not in gradients; the mutual information seen here is at most log(batch size).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor

from aelab.core.errors import ConfigurationError
from aelab.core.records import Trace
from aelab.core.schedules import Scheduled
from aelab.models import Autoencoder
from aelab.models.distributions import Gaussian
from aelab.models.evidence import required_posterior, required_prior
from aelab.objectives.base import Term
from aelab.objectives.kernels import InverseMultiquadric


class MutualInformation(Term):
    """E log q(z|x) / q(z), in nats."""

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        _, pairs = _pairwise(trace)
        return (pairs.sum(-1).diagonal() - _mean(pairs.sum(-1))).mean()


class TotalCorrelation(Term):
    """E log q(z) / prod_i q(z_i), in nats; beta-TCVAE weighs it by beta - 1 (Chen et al. 2018)."""

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        _, pairs = _pairwise(trace)
        return (_mean(pairs.sum(-1)) - _mean(pairs).sum(-1)).mean()


class DimensionwiseKL(Term):
    """E log prod_i q(z_i) / p(z), in nats."""

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        z, pairs = _pairwise(trace)
        prior = required_prior(trace, "the rate")
        return (_mean(pairs).sum(-1) - prior.log_prob(z)).mean()


def _pairwise(trace: Trace) -> tuple[Tensor, Tensor]:
    """One code of each observation (B, latent), and log q(z_b,i | x_a) of each under all: (b, a, i)."""
    q = _gaussian(trace)
    z = trace.z[0]
    return z, Gaussian(q.loc, q.log_variance).each(z[:, None])


def _mean(log_densities: Tensor) -> Tensor:
    """log mean over the observations that codes are held against: (b, a, ...) -> (b, ...)."""
    return log_densities.logsumexp(1) - math.log(log_densities.shape[1])


class CovariancePenalty(Term, ABC):
    """Squared distance of a covariance from the identity (DIP-VAE, Kumar, Sattigeri and Balakrishnan 2018).

    off_diagonal, diagonal: the weights of its two parts.
    """

    def __init__(self, off_diagonal: float = 10.0, diagonal: float = 10.0, weight: Scheduled = 1.0) -> None:
        super().__init__(weight)
        self.off_diagonal, self.diagonal = off_diagonal, diagonal

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        covariance = self.covariance(_gaussian(trace))
        variances = covariance.diagonal()
        off = covariance.square().sum() - variances.square().sum()
        return self.off_diagonal * off + self.diagonal * (variances - 1).square().sum()

    @abstractmethod
    def covariance(self, q: Gaussian) -> Tensor:
        """(latent, latent), over the batch."""


class DIPI(CovariancePenalty):
    """Of the posterior means (DIP-VAE-I)."""

    def covariance(self, q: Gaussian) -> Tensor:
        return _covariance(q.loc)


class DIPII(CovariancePenalty):
    """Of the codes: the covariance of their means and the mean of their variances (DIP-VAE-II)."""

    def covariance(self, q: Gaussian) -> Tensor:
        return _covariance(q.loc) + q.variance.mean(0).diag()


def _covariance(x: Tensor) -> Tensor:
    """Of x (B, D), over the batch: (D, D). `torch.cov` reads a number back, for which a GPU is waited."""
    away = x - x.mean(0)
    return away.T @ away / len(x)


def _gaussian(trace: Trace) -> Gaussian:
    if not isinstance(trace.posterior, Gaussian):
        raise ConfigurationError(
            "a term of the aggregate posterior reads a diagonal Gaussian: choose posterior=diagonal_gaussian"
        )
    return trace.posterior


class MMD(Term):
    """The squared maximum mean discrepancy between codes and prior, unbiased, so that it can be below 0
    (Gretton et al. 2012; for autoencoders Zhao, Song and Ermon 2019, Tolstikhin et al. 2018).

    kernel: (N, latent), (M, latent) -> (N, M). As it compares codes of different observations, it asks
    nothing of the posterior's density, and of a conditional prior that it be met on average. A lone
    observation, as the rest of an epoch can be, is compared with nothing and costs 0.
    """

    def __init__(
        self,
        weight: Scheduled = 1.0,
        kernel: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__(weight)
        self.kernel = kernel or InverseMultiquadric()

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        required_posterior(trace, "the MMD")
        if trace.prior is None:
            raise ConfigurationError("the MMD compares codes with a prior: choose prior=standard_normal")
        codes = trace.z[0]
        if len(codes) < 2:
            return codes.new_zeros(())
        # A code and the draw for its own condition are not independent, so that pair is left out.
        paired = len(trace.prior.batch_shape) > 0
        # With a gradient where the prior's draws have one: a learned prior is drawn to the codes too.
        draw = trace.prior.rsample if trace.prior.has_rsample else trace.prior.sample
        drawn = draw(() if paired else (len(codes),))
        return mmd(codes, drawn, self.kernel, paired)


def mmd(x: Tensor, y: Tensor, kernel: Callable[[Tensor, Tensor], Tensor], paired: bool = False) -> Tensor:
    """The unbiased squared MMD of two samples (N, D) and (M, D): a scalar; N and M are at least 2.

    paired: M is N, and only x and y of different rows are independent.
    """
    across = _off_diagonal(kernel(x, y)) if paired else kernel(x, y).mean()
    return _off_diagonal(kernel(x, x)) + _off_diagonal(kernel(y, y)) - 2 * across


def _off_diagonal(gram: Tensor) -> Tensor:
    count = len(gram)
    return (gram.sum() - gram.diagonal().sum()) / (count * (count - 1))
