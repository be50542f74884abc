"""Observations as they were before they were degraded, by what a trained model knows of such."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution

from aelab.core.checks import at_least
from aelab.core.errors import InapplicableError
from aelab.core.records import Batch
from aelab.jobs.degradation import Degraded
from aelab.models import Autoencoder
from aelab.models.conditions import sees_observation
from aelab.models.distributions import rsample_and_log_prob
from aelab.models.distributions.divergence import space


@dataclass(frozen=True)
class Restored:
    """Observations given back: the mean of each value and its standard deviation, (B, *event) both."""

    mean: Tensor
    deviation: Tensor


class Restoration(ABC):
    """A way back: model, what is left, the same as a batch with its conditions -> what was there.

    What is drawn comes from torch's default generators. InapplicableError for what the model cannot serve.
    """

    def __call__(self, model: Autoencoder, left: Degraded, batch: Batch) -> Restored:
        if sees_observation(model.conditioner):
            raise InapplicableError("the model is told a part of the image itself, which must be whole")
        found = self.restore(model, left, model.context(batch))
        if left.hidden is None:
            return found
        return Restored(torch.where(left.hidden.bool(), found.mean, left.y), found.deviation * left.hidden)

    @abstractmethod
    def restore(self, model: Autoencoder, left: Degraded, context: Tensor | None) -> Restored:
        """The same, with what the model is told of each."""


class OnePass(Restoration):
    """What comes back from `draws` codes of what is left, as of a model trained to take the damage away
    (Vincent et al. 2010, https://jmlr.org/papers/v11/vincent10a.html)."""

    def __init__(self, draws: int = 16) -> None:
        at_least(1, draws=draws)
        self.draws = draws

    def restore(self, model: Autoencoder, left: Degraded, context: Tensor | None) -> Restored:
        z, _ = rsample_and_log_prob(model.posterior_of(left.shown, context), (self.draws,))
        return joined([left.explained(model.decode(z, context))])


class MostProbable(Restoration):
    """The code that maximises log p(y|z) + log p(z), by Adam from several starts: the encoder's code of what
    is left, and codes of the prior (Bora et al. 2017, https://arxiv.org/abs/1703.03208, with a prior).

    starts: of which the best is kept. lr: of the optimiser.
    """

    def __init__(self, steps: int = 200, starts: int = 4, lr: float = 0.05) -> None:
        at_least(1, steps=steps, starts=starts)
        self.steps, self.starts, self.lr = steps, starts, lr

    def restore(self, model: Autoencoder, left: Degraded, context: Tensor | None) -> Restored:
        energy = energy_of(model, left, context)
        z = starts(model, left, context, self.starts).detach().clone()
        optimizer = torch.optim.Adam([z.requires_grad_()], lr=self.lr)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        for _ in range(self.steps):
            z.grad = slope(energy, z)
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            best = energy(z).argmin(0)
            chosen = z.detach()[best, torch.arange(z.shape[1], device=z.device)]
            return joined([left.explained(model.decode(chosen[None], context))])


class Passes(Restoration):
    """Hidden values drawn in turn with codes: z of q(z|x), the hidden part of x of p(x|z), and again
    (Rezende, Mohamed and Wierstra 2014, https://arxiv.org/abs/1401.4082, appendix F); the second half of the
    passes counts. drawn: whether values are drawn, as the chain would have it, or are their means."""

    def __init__(self, passes: int = 60, drawn: bool = True) -> None:
        at_least(2, passes=passes)
        self.passes, self.drawn = passes, drawn

    def restore(self, model: Autoencoder, left: Degraded, context: Tensor | None) -> Restored:
        if left.hidden is None:
            raise InapplicableError(
                "passes fill in what is hidden, and all of this was changed: choose another"
            )
        x, hidden, found = left.shown, left.hidden.expand_as(left.shown), []
        for _ in range(self.passes):
            z, _ = rsample_and_log_prob(model.posterior_of(x, context), (1,))
            p = model.decode(z, context)
            found.append(left.explained(p))
            x = torch.lerp(left.y, (p.sample() if self.drawn else p.mean)[0], hidden)
        return joined(found[self.passes // 2 :])


class PosteriorSamples(Restoration):
    """The mean over codes of p(z|y), drawn by Hamiltonian Monte Carlo (Neal 2011,
    https://arxiv.org/abs/1206.1901): its step follows the acceptance for half of the transitions, and the
    other half counts.

    chains: of each observation. leapfrog: steps of a transition.
    """

    def __init__(self, chains: int = 4, transitions: int = 60, leapfrog: int = 5) -> None:
        at_least(1, chains=chains, leapfrog=leapfrog)
        at_least(2, transitions=transitions)
        self.chains, self.transitions, self.leapfrog = chains, transitions, leapfrog

    def restore(self, model: Autoencoder, left: Degraded, context: Tensor | None) -> Restored:
        energy = energy_of(model, left, context)
        walk = self._walk(energy, starts(model, left, context, self.chains).detach())
        with torch.no_grad():
            return joined([left.explained(model.decode(z, context)) for z in walk])

    def _walk(self, energy: Callable[[Tensor], Tensor], z: Tensor) -> Iterator[Tensor]:
        size = torch.full_like(z[..., :1], 0.05)
        for transition in range(self.transitions):
            z, accepted = self._transition(energy, z, size)
            if transition < self.transitions // 2:
                size = size * (1 + 0.2 * (accepted - 0.8))[..., None]
            else:
                yield z

    def _transition(
        self, energy: Callable[[Tensor], Tensor], z: Tensor, size: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The next codes, and the probability (S, B) with which each new one was taken."""
        momentum = torch.randn_like(z)
        moved, carried = z, momentum - 0.5 * size * slope(energy, z)
        for step in range(self.leapfrog):
            moved = moved + size * carried
            last = step == self.leapfrog - 1
            carried = carried - (0.5 if last else 1.0) * size * slope(energy, moved)
        with torch.no_grad():
            gain = energy(z) - energy(moved) + 0.5 * (momentum.square() - carried.square()).sum(-1)
            accepted = gain.nan_to_num(-torch.inf).clamp_max(0).exp()
            taken = torch.rand_like(accepted) < accepted
        return torch.where(taken[..., None], moved, z), accepted


def energy_of(model: Autoencoder, left: Degraded, context: Tensor | None) -> Callable[[Tensor], Tensor]:
    """z (S, B, latent) -> -log p(y|z) - log p(z) in nats, (S, B)."""
    prior = real_prior(model, context)
    return lambda z: -left.log_prob(model.decode(z, context)) - prior.log_prob(z)


def real_prior(model: Autoencoder, context: Tensor | None) -> Distribution:
    """The prior p(z|c); InapplicableError for a model without one, and for codes that are no real vectors."""
    if model.prior is None:
        raise InapplicableError("a model without a prior knows no probable codes: restore in one pass")
    prior: Distribution = model.prior(context, model)
    if space(prior) != "real":
        raise InapplicableError(
            f"codes are no real vectors ({space(prior)}): restore in one pass, or in passes"
        )
    return prior


def starts(model: Autoencoder, left: Degraded, context: Tensor | None, count: int) -> Tensor:
    """Codes (count, B, latent) to begin with: the encoder's, if there is one, and draws of the prior."""
    prior = real_prior(model, context)
    drawn = prior.sample((count,) if prior.batch_shape else (count, len(left.y)))
    if model.encoder is not None:
        drawn[0] = model.posterior_of(left.shown, context).mean
    return drawn


def slope(energy: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """The gradient of an energy (S, B) by the codes (S, B, latent)."""
    with torch.inference_mode(False), torch.enable_grad():
        free = z.detach().clone().requires_grad_()
        return torch.autograd.grad(energy(free).sum(), free)[0]


def joined(found: list[tuple[Tensor, Tensor]]) -> Restored:
    """Means and variances (S, B, *event), several times, as one mean and deviation over all of them."""
    means, variances = (torch.cat(each) for each in zip(*found, strict=True))
    return Restored(means.mean(0), (means.var(0, correction=0) + variances.mean(0)).sqrt())
