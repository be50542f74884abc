"""How unlike the training data an observation is, by what a trained model makes of it: the higher, the less
alike.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from aelab.core.checks import at_least
from aelab.core.errors import InapplicableError
from aelab.core.records import NO_ENCODER, Batch, Trace
from aelab.models import UNFITTED, Autoencoder
from aelab.models.distributions import Gaussian, divergence
from aelab.models.evidence import has_weights, log_mean, log_weights


@dataclass
class Reference:
    """What scores compare an observation with: a model, and training data that pass for normal.

    batches: of the training data. background: another model, of what anomalies share with normal data.
    """

    model: Autoencoder
    batches: Sequence[Batch] = ()
    background: Autoencoder | None = None
    _known: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def codes(self) -> Tensor:
        """Posterior means, (N, latent)."""
        return torch.cat([codes_of(self.model, batch) for batch in self._given])

    @cached_property
    def values(self) -> Tensor:
        """The observations as rows of numbers, (N, D)."""
        return torch.cat([batch.x.flatten(1) for batch in self._given])

    @cached_property
    def bound(self) -> float:
        """The mean negative evidence lower bound, in nats."""
        return float(torch.cat([negative_elbo(self.model, batch) for batch in self._given]).mean())

    @property
    def _given(self) -> Sequence[Batch]:
        if not self.batches:
            raise InapplicableError("this score compares with training data, and there are none")
        return self.batches


class Score(ABC):
    """A score of observations by a model, fitted before it is asked.

    compares: whether it is fitted to training data.
    """

    compares = False

    def fit(self, reference: Reference) -> None:
        """Learn what is normal. InapplicableError for a model that cannot serve the score."""
        self.model = reference.model

    @abstractmethod
    def __call__(self, batch: Batch) -> Tensor:
        """(B,) float64, the higher the less alike; what is drawn comes from torch's default generators."""


class ReconstructionError(Score):
    """The squared error of what comes back from the posterior's mean, summed over the observation."""

    def fit(self, reference: Reference) -> None:
        super().fit(reference)
        _require_encoder(self.model)

    def __call__(self, batch: Batch) -> Tensor:
        return error_map(self.model, batch).double().flatten(1).sum(1)


class NegativeElbo(Score):
    """The negative evidence lower bound in nats, averaged over `draws` codes."""

    def __init__(self, draws: int = 10) -> None:
        at_least(1, draws=draws)
        self.draws = draws

    def fit(self, reference: Reference) -> None:
        super().fit(reference)
        _require_bound(self.model)

    def __call__(self, batch: Batch) -> Tensor:
        return negative_elbo(self.model, batch, self.draws)


class NegativeLogLikelihood(Score):
    """-log p(x) in nats, estimated by importance sampling with `samples` codes (Burda et al. 2016)."""

    def __init__(self, samples: int = 100) -> None:
        at_least(1, samples=samples)
        self.samples = samples

    def fit(self, reference: Reference) -> None:
        super().fit(reference)
        if self.model.prior is None:
            raise InapplicableError("a model without a prior has no likelihood: train one with a prior")
        _require_likelihood(self.model)

    def __call__(self, batch: Batch) -> Tensor:
        return -_log_evidence(self.model, batch, self.samples)


class Typicality(NegativeElbo):
    """How far the negative ELBO is from its mean over training data, in nats, on either side (Nalisnick et
    al. 2019, https://arxiv.org/abs/1906.02994, for one observation)."""

    compares = True

    def fit(self, reference: Reference) -> None:
        super().fit(reference)
        self.usual = reference.bound

    def __call__(self, batch: Batch) -> Tensor:
        return (super().__call__(batch) - self.usual).abs()


class LikelihoodRegret(Score):
    """How many nats the bound gains where the posterior is fitted to each observation by itself (Xiao, Yan
    and Amit 2020, https://arxiv.org/abs/2003.02977): of Gaussian posteriors, by Adam under fixed noise.

    steps: of the fit. draws: codes of each. lr: of the optimiser.
    """

    def __init__(self, steps: int = 50, draws: int = 4, lr: float = 0.05) -> None:
        at_least(1, steps=steps, draws=draws)
        self.steps, self.draws, self.lr = steps, draws, lr

    def fit(self, reference: Reference) -> None:
        super().fit(reference)
        _require_bound(self.model)

    def __call__(self, batch: Batch) -> Tensor:
        q = self.model(batch).posterior
        if not isinstance(q, Gaussian) or q.loc.dim() != 2:
            raise InapplicableError("regret is of Gaussian posteriors: choose posterior=diagonal_gaussian")
        noise = torch.randn(self.draws, *q.loc.shape, device=q.loc.device)
        with torch.inference_mode(False), torch.enable_grad():
            free = [part.detach().clone().requires_grad_() for part in (q.loc, q.log_variance)]
            optimizer = torch.optim.Adam(free, lr=self.lr)
            first = best = self._bound(batch, free, noise).detach()
            for _ in range(self.steps):
                optimizer.zero_grad()
                (-self._bound(batch, free, noise).sum()).backward()
                optimizer.step()
                best = torch.maximum(best, self._bound(batch, free, noise).detach())
        return (best - first).double()

    def _bound(self, batch: Batch, free: Sequence[Tensor], noise: Tensor) -> Tensor:
        loc, log_variance = free
        context = self.model.context(batch)
        z = loc + noise * (0.5 * log_variance).exp()
        log_p = self.model.likelihood_of(batch.x, z, context).log_prob(batch.x).mean(0)
        assert self.model.prior is not None
        return log_p - divergence(Gaussian(loc, log_variance), self.model.prior(context, self.model), z)


class LikelihoodRatio(Score):
    """The evidence of a background model over the model's own, in nats (Ren et al. 2019,
    https://arxiv.org/abs/1906.02845), both with `samples` codes and the same noise; nothing for equal models.
    """

    def __init__(self, samples: int = 100) -> None:
        at_least(1, samples=samples)
        self.samples = samples

    def fit(self, reference: Reference) -> None:
        super().fit(reference)
        if reference.background is None:
            raise InapplicableError("a ratio is with the likelihood of another run: give background=RUN")
        if self.model.prior is None or reference.background.prior is None:
            raise InapplicableError("a ratio is of two models with priors, and one of these has none")
        _require_likelihood(self.model)
        _require_likelihood(reference.background)
        self.background = reference.background

    def __call__(self, batch: Batch) -> Tensor:
        found = []
        for model in (self.background, self.model):
            with torch.random.fork_rng():
                found.append(_log_evidence(model, batch, self.samples))
        return found[0] - found[1]


class NearestCodes(Score):
    """The mean distance of the code to its `neighbours` nearest of the training data."""

    compares = True

    def __init__(self, neighbours: int = 5) -> None:
        at_least(1, neighbours=neighbours)
        self.neighbours = neighbours

    def fit(self, reference: Reference) -> None:
        super().fit(reference)
        self.codes = reference.codes

    def __call__(self, batch: Batch) -> Tensor:
        return nearest(codes_of(self.model, batch), self.codes, self.neighbours)


class Mahalanobis(Score):
    """The squared Mahalanobis distance of the code from the mean of the training data's codes, under their
    covariance, shrunk as Ledoit and Wolf 2004 do (https://doi.org/10.1016/S0047-259X(03)00096-4)."""

    compares = True

    def fit(self, reference: Reference) -> None:
        from sklearn.covariance import LedoitWolf

        super().fit(reference)
        self.normal = LedoitWolf().fit(reference.codes.double().cpu().numpy())

    def __call__(self, batch: Batch) -> Tensor:
        codes = codes_of(self.model, batch).double().cpu().numpy()
        return torch.from_numpy(np.asarray(self.normal.mahalanobis(codes)))


class CodeNorm(Score):
    """The squared norm of the code."""

    def fit(self, reference: Reference) -> None:
        super().fit(reference)
        _require_encoder(self.model)

    def __call__(self, batch: Batch) -> Tensor:
        return codes_of(self.model, batch).double().square().sum(1)


def error_map(model: Autoencoder, batch: Batch) -> Tensor:
    """The squared error of each value that comes back from the posterior's mean: (B, *event)."""
    context = model.context(batch)
    z = model.posterior_of(batch.x, context).mean
    return (model.likelihood_of(batch.x, z[None], context).mean[0] - batch.x).square()


def codes_of(model: Autoencoder, batch: Batch) -> Tensor:
    """Posterior means of a batch, (B, latent), float32."""
    _require_encoder(model)
    return model.posterior_of(batch.x, model.context(batch)).mean.flatten(1).float()


def negative_elbo(model: Autoencoder, batch: Batch, draws: int = 1) -> Tensor:
    """The negative evidence lower bound of each observation in nats, (B,) float64, over `draws` codes."""
    _require_bound(model)
    trace: Trace = model(batch, samples=draws, shown=batch.x)
    if trace.prior is None or not has_weights(trace):
        raise InapplicableError("a posterior without a density gives no bound: choose another score")
    rate = divergence(trace.q, trace.prior, trace.z, trace.log_q).double()
    return rate - trace.likelihood.log_prob(trace.x).double().mean(0)


def nearest(rows: Tensor, among: Tensor, neighbours: int) -> Tensor:
    """The mean distance (B,), float64, of rows (B, D) to the nearest `neighbours` of others (N, D)."""
    found = torch.cdist(rows.double(), among.double())
    return found.topk(min(neighbours, len(among)), largest=False).values.mean(1)


def _log_evidence(model: Autoencoder, batch: Batch, samples: int) -> Tensor:
    trace: Trace = model(batch, samples=samples, shown=batch.x if model.encoder is not None else None)
    if not has_weights(trace):
        raise InapplicableError("a posterior without a density gives no likelihood: choose another score")
    return log_mean(log_weights(trace).double())[0]


def _require_encoder(model: Autoencoder) -> None:
    if model.encoder is None:
        raise InapplicableError(NO_ENCODER)


def _require_likelihood(model: Autoencoder) -> None:
    if not model.fitted:
        raise InapplicableError(f"{UNFITTED}: choose another score")


def _require_bound(model: Autoencoder) -> None:
    _require_encoder(model)
    _require_likelihood(model)
    if model.prior is None:
        raise InapplicableError("a model without a prior has no evidence lower bound: choose another score")
