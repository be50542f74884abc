"""Distributions over codes that are more than a vector with a textbook density."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Size, Tensor
from torch.distributions import Distribution, kl_divergence, register_kl

from aelab.core.errors import ConfigurationError
from aelab.models.distributions.base import ONE, Shape


class PointMass(Distribution):
    """A deterministic code: all mass at one point, so it has samples and a mean but no density.

    value: (B, *event); every dimension but the first is an event.

    >>> PointMass(torch.ones(2, 3)).rsample((4,)).shape
    torch.Size([4, 2, 3])
    """

    has_rsample = True
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, value: Tensor) -> None:
        self.value = value
        super().__init__(value.shape[:1], value.shape[1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.value

    def rsample(self, sample_shape: Shape = ONE) -> Tensor:
        return self.value.expand(*sample_shape, *self.value.shape)


class SparsePoint(PointMass):
    """A deterministic code of which few numbers are not 0.

    value: (B, latent). responses: (B, latent), what it was chosen from, before any was left out.
    gates: (B, latent), 1 where one was kept; with a gradient where a threshold that decides it is trained.
    """

    def __init__(self, value: Tensor, responses: Tensor, gates: Tensor) -> None:
        super().__init__(value)
        self.responses, self.gates = responses, gates


class Pushforward(Distribution):
    """What a map makes of Gaussian noise e ~ N(0, I): it has samples and no density.

    zeros: (B, K), noise at its mean. transport: e (S, B, K) -> z (S, B, latent). latent: the size of z.

    >>> q = Pushforward(torch.zeros(2, 3), lambda e: 2 * e + 1, latent=3)
    >>> q.rsample((4,)).shape, q.mean[0]
    (torch.Size([4, 2, 3]), tensor([1., 1., 1.]))
    """

    has_rsample = True
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, zeros: Tensor, transport: Callable[[Tensor], Tensor], latent: int) -> None:
        self.zeros, self.transport = zeros, transport
        super().__init__(zeros.shape[:1], Size([latent]), validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The image of the noise's mean, (B, latent): the code without noise, not an expectation."""
        return self.transport(self.zeros[None])[0]

    def rsample(self, sample_shape: Shape = ONE) -> Tensor:
        if not sample_shape:
            return self.rsample((1,))[0]
        return self.transport(torch.randn(*sample_shape, *self.zeros.shape, device=self.zeros.device))


class OneHot(Distribution):
    """Groups of categories, a code of concatenated one-hot vectors.

    logits: (*batch, groups, categories). temperature: given, samples are relaxed towards the inside of the
    simplex and differentiable (Jang, Gu and Poole 2017, https://arxiv.org/abs/1611.01144; Maddison, Mnih and
    Teh 2017, https://arxiv.org/abs/1611.00712), and have no density.

    >>> OneHot(torch.zeros(2, 4)).entropy()  # 2 log 4
    tensor(2.7726)
    """

    has_rsample = True
    space = "one-hot"
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, logits: Tensor, temperature: float | None = None) -> None:
        self.logits, self.temperature = F.log_softmax(logits, -1), temperature
        super().__init__(logits.shape[:-2], Size([logits.shape[-2:].numel()]), validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.logits.exp().flatten(-2)

    def rsample(self, sample_shape: Shape = ONE) -> Tensor:
        logits = self.logits.expand(*sample_shape, *self.logits.shape)
        gumbel = -torch.empty_like(logits).exponential_().log()
        if self.temperature is not None:
            return ((logits + gumbel) / self.temperature).softmax(-1).flatten(-2)
        drawn = (logits + gumbel).argmax(-1)
        return F.one_hot(drawn, self.logits.shape[-1]).to(logits.dtype).flatten(-2)

    def log_prob(self, value: Tensor) -> Tensor:
        if self.temperature is not None:
            raise ConfigurationError(
                "this objective asks for the density of a relaxed categorical code, which has none: with "
                "posterior=gumbel or joint choose an objective of closed forms, as objective=elbo"
            )
        return (value.unflatten(-1, self.logits.shape[-2:]) * self.logits).sum((-1, -2))

    def entropy(self) -> Tensor:
        return -(self.logits.exp() * self.logits).sum((-1, -2))


@register_kl(OneHot, OneHot)
def _kl_categories(q: OneHot, p: OneHot) -> Tensor:
    return (q.logits.exp() * (q.logits - p.logits)).sum((-1, -2))


class Joint(Distribution):
    """Independent parts of one code, side by side in its last dimension.

    parts: by name, each over vectors; batch shapes are alike or ().

    >>> p = Joint({"a": OneHot(torch.zeros(1, 4)), "b": OneHot(torch.zeros(1, 2))})
    >>> p.log_prob(torch.tensor([0.0, 0.0, 1.0, 0.0, 1.0, 0.0]))  # -log 8
    tensor(-2.0794)
    """

    has_rsample = True
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, parts: Mapping[str, Distribution]) -> None:
        self.parts = dict(parts)
        self.sizes = [part.event_shape.numel() for part in self.parts.values()]
        batch = max((part.batch_shape for part in self.parts.values()), key=len)
        super().__init__(batch, Size([sum(self.sizes)]), validate_args=False)

    @property
    def mean(self) -> Tensor:
        return torch.cat([part.mean for part in self.parts.values()], -1)

    def rsample(self, sample_shape: Shape = ONE) -> Tensor:
        return torch.cat([part.rsample(sample_shape) for part in self.parts.values()], -1)

    def log_prob(self, value: Tensor) -> Tensor:
        split = zip(self.parts.values(), value.split(self.sizes, -1), strict=True)
        return torch.stack([part.log_prob(piece) for part, piece in split]).sum(0)


@register_kl(Joint, Joint)
def _kl_joints(q: Joint, p: Joint) -> Tensor:
    return torch.stack([kl_divergence(part, p.parts[name]) for name, part in q.parts.items()]).sum(0)


class Chain(Distribution):
    """The distribution of layers of codes, each drawn given the one before it.

        upwards:    first ─▶ z_1 ─following[0]─▶ z_2 ─following[1]─▶ ... z_L
        downwards:  first ─▶ z_L ─following[0]─▶ z_{L-1} ─▶ ... ─▶ z_1          code: [z_1, z_2, ..., z_L]

    first: of the layer that is drawn first. following: (*, size) of one layer -> the next one's distribution.
    sizes: of the layers as they stand side by side in a code, from the data upwards.
    upwards: whether they are drawn in that order, as by an encoder, or from the top down, as by a prior.

    >>> coin = OneHot(torch.zeros(1, 2))
    >>> p = Chain(coin, [lambda face: OneHot(50 * face[None])], sizes=[2, 2], upwards=True)
    >>> p.log_prob(torch.tensor([1.0, 0.0, 1.0, 0.0]))  # the second layer follows the first: -log 2
    tensor(-0.6931)
    """

    has_rsample = True
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        first: Distribution,
        following: Sequence[Callable[[Tensor], Distribution]],
        sizes: Sequence[int],
        upwards: bool,
    ) -> None:
        self.first, self.following = first, list(following)
        self.sizes, self.upwards = list(sizes), upwards
        super().__init__(first.batch_shape, Size([sum(sizes)]), validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The code whose layers are the means given the mean of the layer before."""
        return self._walk(self.first.mean, lambda layer: layer.mean)

    def rsample(self, sample_shape: Shape = ONE) -> Tensor:
        return self._walk(self.first.rsample(sample_shape), lambda layer: layer.rsample())

    def log_prob(self, value: Tensor) -> Tensor:
        layers = self._ordered(list(value.split(self.sizes, -1)))
        # Not stacked: in a mixture of chains the first layer alone has the mixture's dimension.
        first, *rest = (d.log_prob(z) for d, z in zip(self.given(value), layers, strict=True))
        return sum(rest, start=first)

    def given(self, value: Tensor) -> list[Distribution]:
        """The layers' distributions along a code, in the order of drawing."""
        layers = self._ordered(list(value.split(self.sizes, -1)))
        return [self.first, *(f(z) for f, z in zip(self.following, layers[:-1], strict=True))]

    def rate(self, p: "Chain", z: Tensor) -> Tensor:
        """KL(self || p) in nats, (B,), of chains in the same order: closed form in each layer, averaged over
        the layers before it in z (S, B, sum of sizes)."""
        first, *rest = (kl_divergence(*pair) for pair in zip(self.given(z), p.given(z), strict=True))
        return sum((layer.mean(0) for layer in rest), start=first)

    def _walk(self, first: Tensor, step: Callable[[Distribution], Tensor]) -> Tensor:
        """The code that begins with a layer and goes on by a `step` in the distribution of each next one."""
        layers = [first]
        for follow in self.following:
            layers.append(step(follow(layers[-1])))
        return torch.cat(self._ordered(layers), -1)

    def _ordered(self, layers: list[Tensor]) -> list[Tensor]:
        return layers if self.upwards else layers[::-1]


class Transported(Distribution):
    """The distribution of f(e), e drawn from `base`, whose density is known at its own samples alone.

    transport: e (S, B, *base event) -> z (S, B, latent) and what is taken off log p(e) for log q(z), (S, B):
    the log-determinant of f, and where f forgets a part of e, that part's log-density.
    latent: the size of z.

    Enough for every bound, and no inverse is needed (Rezende and Mohamed 2015, https://arxiv.org/abs/1505.05770).

    >>> q = Transported(OneHot(torch.zeros(1, 1, 2)), lambda e: (3 * e, torch.zeros(e.shape[:2])), latent=2)
    >>> z, log_q = q.rsample_and_log_prob((1,))
    >>> z.sum(), log_q  # -log 2
    (tensor(3.), tensor([[-0.6931]]))
    """

    has_rsample = True
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self, base: Distribution, transport: Callable[[Tensor], tuple[Tensor, Tensor]], latent: int
    ) -> None:
        self.base, self.transport = base, transport
        super().__init__(base.batch_shape, Size([latent]), validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The image of the base's mean, (B, latent): the code without noise, not an expectation."""
        return self.transport(self.base.mean[None])[0][0]

    def rsample(self, sample_shape: Shape = ONE) -> Tensor:
        return self.rsample_and_log_prob(sample_shape)[0]

    def rsample_and_log_prob(self, sample_shape: Shape = ONE) -> tuple[Tensor, Tensor]:
        """Samples z (S, B, latent) and their log-density (S, B), which nothing but the draw knows."""
        if not sample_shape:
            z, log_q = self.rsample_and_log_prob((1,))
            return z[0], log_q[0]
        noise = self.base.rsample(sample_shape)
        z, taken_off = self.transport(noise)
        return z, self.base.log_prob(noise) - taken_off

    def log_prob(self, value: Tensor) -> Tensor:
        raise ConfigurationError(
            "a flow's posterior is asked for its density away from its own samples, as prior=vamp and "
            "the terms of an aggregate posterior do: choose posterior=diagonal_gaussian, or another "
            "prior or objective"
        )


def rsample_and_log_prob(q: Distribution, sample_shape: Shape = ONE) -> tuple[Tensor, Tensor | None]:
    """Samples of q, and their log-density where only the draw knows it; None where `log_prob` does.

    >>> rsample_and_log_prob(PointMass(torch.zeros(1, 2)))
    (tensor([[0., 0.]]), None)
    """
    if isinstance(q, Transported):
        return q.rsample_and_log_prob(sample_shape)
    return q.rsample(sample_shape), None
