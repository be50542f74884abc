"""The critic of two samples: network, comparison, loss and penalty, each a choice of its own.

trace ──compares──▶ true, made ──augmentation──▶ network ──▶ scores ──loss + penalty──▶ cost of its step
                          made ──augmentation──▶ network ──▶ scores ──loss──▶ a term, of the model's step
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes, Trace
from aelab.core.schedules import Scheduled
from aelab.models import Autoencoder
from aelab.models.evidence import required_posterior
from aelab.objectives.adversarial.augmentation import Augmentation
from aelab.objectives.adversarial.auxiliary import Auxiliary
from aelab.objectives.adversarial.comparisons import Comparison, Sample
from aelab.objectives.adversarial.losses import Loss
from aelab.objectives.adversarial.penalties import Penalty
from aelab.objectives.base import Critic, Term


class Discriminator(Critic):
    """A critic that scores two samples, high where it takes one for true.

    network: from shapes, context and outputs to a network of samples. compares: reads both off a pass.
    auxiliary: from sizes to what its further outputs are asked for, or None.
    """

    def __init__(
        self,
        sizes: Sizes,
        network: Callable[..., nn.Module],
        compares: Comparison,
        loss: Loss,
        penalty: Penalty | None = None,
        augmentation: Augmentation | None = None,
        auxiliary: Callable[[Sizes], Auxiliary] | None = None,
    ) -> None:
        super().__init__()
        self.compares, self.penalty, self.augmentation = compares, penalty, augmentation
        self.auxiliary = auxiliary and auxiliary(sizes)
        if self.auxiliary is not None and self.auxiliary.of_samples and not compares.of_samples:
            raise ConfigurationError(
                f"{type(self.auxiliary).__name__} reads off a sample what it was decoded from, and "
                f"{type(compares).__name__} makes others: choose critic=[samples]"
            )
        self.told = self.auxiliary is None or self.auxiliary.told
        self.loss = loss
        if penalty is not None and not self.loss.penalised:
            raise ConfigurationError(
                f"{type(self.loss).__name__} balances its critic by itself: choose critic/penalty=none"
            )
        self.network = network(
            shapes=compares.shapes(sizes),
            context=sizes.context if self.told else 0,
            outputs=1 + (self.auxiliary.outputs if self.auxiliary else 0),
        )
        if penalty is not None:
            penalty.prepare(self.network)
        self.last: tuple[Tensor, Tensor] | None = None  # scores, of the last cost

    def score(self, sample: Sample) -> Tensor:
        """The scores of a sample, (N,) or (N, h, w)."""
        return self.network(sample)[:, 0]

    def seen(self, sample: Sample, step: int) -> Sample:
        """What the network is shown of a sample."""
        context = sample.context if self.told else None
        if self.augmentation is None:
            return Sample(sample.parts, context)
        first, *rest = sample.parts
        return Sample((self.augmentation(first, step), *rest), context)

    def cost(self, trace: Trace, model: Autoencoder) -> Tensor:
        sides = (self.compares.true(trace, model), self.compares.made(trace, model))
        true, made = (self.seen(side.constant(), trace.step) for side in sides)
        outputs = self.network(true), self.network(made)
        scores = outputs[0][:, 0], outputs[1][:, 0]
        self.last = scores[0].detach(), scores[1].detach()
        cost = self.loss.critic(*scores)
        if self.penalty is not None:
            cost = cost + self.penalty(self.score, true, made)
        if self.auxiliary is None:
            return cost
        read_true, read_made = map(further, outputs)
        asked = self.auxiliary.true(read_true, trace), self.auxiliary.made(read_made, trace, model)
        return cost + sum(each.mean() for each in asked)  # the sides may differ in how many they are

    def readings(self) -> dict[str, Tensor]:
        """separation: how often one of the true side scores above one of the other; 0.5 for equal sides.
        advantage: of the critic over the model, as its loss defines it; 0 for equal sides."""
        assert self.last is not None
        true, made = (scores[:512].reshape(len(scores[:512]), -1).mean(1) for scores in self.last)
        above = ((true[:, None] > made).float() + 0.5 * (true[:, None] == made)).mean()
        return {"separation": above, "advantage": self.loss.advantage(*self.last)}

    @torch.no_grad()
    def after_step(self) -> None:
        assert self.last is not None
        self.loss.after_step(*self.last)
        if self.penalty is not None:
            self.penalty.after_step(self.network)


def further(outputs: Tensor) -> Tensor:
    """The outputs beside the score, (N, K), of maps their means."""
    return outputs[:, 1:] if outputs.dim() == 2 else outputs[:, 1:].flatten(2).mean(2)


def named(critics: Mapping[str, Critic], name: str, reader: str) -> Discriminator:
    """The critic of a name; ConfigurationError where there is none, or it scores no samples."""
    found = critics[name] if name in critics else None  # noqa: SIM401  # a ModuleDict has no `get`
    if not isinstance(found, Discriminator):
        raise ConfigurationError(
            f"{reader} reads critic={name}, and objective.critics has {', '.join(critics) or 'none'}: name "
            "one of them, or add critic=[codes]"
        )
    return found


class OfCritic(Term):
    """A term that reads a critic.

    critic: its name in `objective.critics`.
    """

    def __init__(self, critic: str, weight: Scheduled = 1.0) -> None:
        super().__init__(weight)
        self.name = critic
        self.critics: tuple[Discriminator, ...] = ()  # a tuple hides the critic's parameters

    def bind(self, critics: Mapping[str, Critic]) -> tuple[str]:
        self.critics = (named(critics, self.name, type(self).__name__),)
        return (self.name,)

    @property
    def critic(self) -> Discriminator:
        return self.critics[0]

    def made(self, trace: Trace, model: Autoencoder) -> Tensor:
        """What the network gives for the made side, (N, outputs, ...), in one pass for all of its terms."""
        critic = self.critic
        return trace.once(
            f"outputs of {self.name}",
            lambda: critic.network(critic.seen(critic.compares.made(trace, model), trace.step)),
        )


class Deception(OfCritic):
    """What the model pays until the critic takes what it makes for true; for both sides
    where it makes both.

    like: another term, whose gradient at the decoder's last weights its own is made as large as (VQ-GAN,
        Esser, Rombach and Ommer 2021, https://arxiv.org/abs/2012.09841); the weight is then a share of it.
    """

    def __init__(self, critic: str, weight: Scheduled = 1.0, like: str | None = None) -> None:
        super().__init__(critic, weight)
        self.like = like

    def scale(self, values: Mapping[str, Tensor], own: Tensor, model: Autoencoder) -> Tensor | float:
        if self.like is None:
            return 1.0
        *_, last = (weights for weights in model.decoder.parameters() if weights.dim() > 1)
        theirs, ours = (_slope(value, last) for value in (values[self.like], own))
        return (theirs / (ours + 1e-4)).clamp(max=1e4)

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        critic, loss = self.critic, self.critic.loss
        cost = loss.toward_true(self.made(trace, model)[:, 0]).mean()
        if not critic.compares.moves_both:
            return cost
        true = critic.score(critic.seen(critic.compares.true(trace, model), trace.step))
        return cost + loss.toward_made(true).mean()


def _slope(value: Tensor, weights: Tensor) -> Tensor:
    """The norm of its gradient by some weights, a constant; 0 where it does not read them."""
    (gradient,) = torch.autograd.grad(value, weights, retain_graph=True, allow_unused=True)
    return value.new_zeros(()) if gradient is None else gradient.norm()


class Recognition(OfCritic):
    """What the model pays, in nats, until the critic's auxiliary task is solved on what it makes;
    ConfigurationError for a critic without one."""

    def bind(self, critics: Mapping[str, Critic]) -> tuple[str]:
        found = super().bind(critics)
        if self.critic.auxiliary is None:
            raise ConfigurationError(
                f"Recognition reads more of critic={self.name} than its score: give it an `auxiliary`, as "
                "variant=acgan and info_gan do"
            )
        return found

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        assert self.critic.auxiliary is not None
        return self.critic.auxiliary.made(further(self.made(trace, model)), trace, model).mean()


class FeatureReconstruction(OfCritic):
    """Half the squared error of reconstructions in the critic's features, summed: a Gaussian's distortion but
    for a constant, in nats (VAE-GAN, Larsen et al. 2016, https://arxiv.org/abs/1512.09300)."""

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        required_posterior(trace, "a reconstruction")
        network: Any = self.critic.network
        context = trace.context if self.critic.told else None
        found = network.features(Sample((trace.likelihood.mean[0],), context))
        with torch.no_grad():
            wanted = network.features(Sample((trace.x,), context))
        return 0.5 * (found - wanted).square().flatten(1).sum(1).mean()
