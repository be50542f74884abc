"""What keeps a critic smooth: penalties on its gradient, and limits of its weights."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.models.networks.spectral import normalise_spectrally
from aelab.objectives.adversarial.comparisons import Sample

Score = Callable[[Sample], Tensor]


class Penalty:
    """A cost beside a critic's own, or a change of its network; by default neither."""

    def prepare(self, network: nn.Module) -> None:
        """Change the network, once, before it is trained."""

    def __call__(self, score: Score, true: Sample, made: Sample) -> Tensor | float:
        """The cost, a scalar; score: from a sample to (N,) or (N, *places)."""
        return 0.0

    def after_step(self, network: nn.Module) -> None:
        """Change the network's weights after each of the critic's steps."""


class OfGradient(Penalty):
    """A penalty on the gradient of the score by its observation, for each of them.

    weight: of it beside the critic's own cost.
    """

    def __init__(self, weight: float) -> None:
        if not weight > 0:
            raise ConfigurationError(
                f"critic.penalty.weight={weight}: above 0, or choose critic/penalty=none"
            )
        self.weight = weight


class GradientPenalty(OfGradient):
    """weight * E (|grad D| - 1)^2 between the sides: at x = u true + (1 - u) made with a uniform u for each
    observation (WGAN-GP, Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028)."""

    def __init__(self, weight: float = 10.0) -> None:
        super().__init__(weight)

    def __call__(self, score: Score, true: Sample, made: Sample) -> Tensor:
        between = Sample(
            tuple(_between(*pair) for pair in zip(true.parts, made.parts, strict=True)), made.context
        )
        return self.weight * (slopes(score, between).sqrt() - 1).square().mean()


def _between(true: Tensor, made: Tensor) -> Tensor:
    """On the lines from each of `made` (N, *shape) to one of `true`, which may be fewer."""
    true = true.repeat(len(made) // len(true), *[1] * (true.dim() - 1))
    u = torch.rand(len(made), *[1] * (made.dim() - 1), device=made.device, dtype=made.dtype)
    return torch.lerp(made, true, u)


class R1(OfGradient):
    """weight / 2 * E |grad D|^2 at what is true (Mescheder, Geiger and Nowozin 2018,
    https://arxiv.org/abs/1801.04406)."""

    def __init__(self, weight: float = 10.0) -> None:
        super().__init__(weight)

    def __call__(self, score: Score, true: Sample, made: Sample) -> Tensor:
        return self.weight / 2 * slopes(score, true).mean()


class R2(R1):
    """The same at what is made."""

    def __call__(self, score: Score, true: Sample, made: Sample) -> Tensor:
        return super().__call__(score, made, true)


def slopes(score: Score, at: Sample) -> Tensor:
    """|grad D|^2 of each observation, over all its parts: (N,); D is the sum of a map of scores."""
    parts = tuple(part.detach().requires_grad_() for part in at.parts)
    # Clones: the hooks that count floating-point operations take no leaf that has no graph yet.
    scores = score(Sample(tuple(part.clone() for part in parts), at.context))
    gradients = torch.autograd.grad(scores.sum(), parts, create_graph=True)
    return torch.cat([gradient.flatten(1) for gradient in gradients], 1).square().sum(1)


class SpectralNorm(Penalty):
    """Every linear map and convolution is divided by its largest singular value, which one step of power
    iteration follows at each pass (Miyato et al. 2018, https://arxiv.org/abs/1802.05957)."""

    def prepare(self, network: nn.Module) -> None:
        normalise_spectrally(network)


class Clipping(Penalty):
    """After each step every weight is cut to [-limit, limit] (Arjovsky, Chintala and Bottou 2017,
    https://arxiv.org/abs/1701.07875)."""

    def __init__(self, limit: float = 0.01) -> None:
        if not limit > 0:
            raise ConfigurationError(f"critic.penalty.limit={limit}: weights are cut to a limit above 0")
        self.limit = limit

    @torch.no_grad()
    def after_step(self, network: nn.Module) -> None:
        for parameter in network.parameters():
            parameter.clamp_(-self.limit, self.limit)
