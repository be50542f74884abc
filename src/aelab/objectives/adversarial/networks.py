"""Networks of critics: a trunk, which is any encoder, and a head that gives scores."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aelab.core.checks import at_least
from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.networks.conv import with_planes
from aelab.models.posteriors.base import Features, head
from aelab.objectives.adversarial.comparisons import Sample, Shapes


class CriticNetwork(nn.Module):
    """forward: a sample of N -> (N, outputs), or (N, outputs, h, w) where the trunk gives maps (patches,
    Isola et al. 2017, https://arxiv.org/abs/1611.07004). The first output is the score.

    shapes: of a sample's parts; the trunk reads the first; others and context stand beside it, or join.
    trunk: an encoder's factory, of the sizes.
    joint: widths of layers after the trunk, where what is told joins the features, at each place of a map,
        and not the input (BiGAN, Donahue, Krähenbühl and Darrell 2017, https://arxiv.org/abs/1605.09782);
        there are none where nothing is told.
    deviation: whether the mean deviation of the features over the batch is one more of them, by which a
        critic sees samples that are all alike (Karras et al. 2018, https://arxiv.org/abs/1710.10196).
    projection: whether the context is not told, but scores are added its inner product with the features
        (Miyato and Koyama 2018, https://arxiv.org/abs/1802.05637).
    """

    def __init__(
        self,
        shapes: Shapes,
        context: int,
        outputs: int,
        trunk: Callable[[Sizes], nn.Module],
        joint: Sequence[int] | None = None,
        deviation: bool = False,
        projection: bool = False,
    ) -> None:
        super().__init__()
        if projection and not context:
            raise ConfigurationError(
                "critic.network.projection=true needs a condition, and the model has none: add "
                "condition=label, or leave it out"
            )
        first, *rest = shapes
        told = sum(map(math.prod, rest)) + (0 if projection else context)
        beside, after = (told, 0) if joint is None else (0, told)
        read: Any = trunk(Sizes(shape=first, context=beside))
        self.trunk, self.joins, self.deviation = read, joint is not None, deviation
        width = read.features if isinstance(read.features, int) else read.features[0]
        given = _of_width(read.features, width + deviation + after)
        self.joint, given = _layers(given, joint if joint and after else ())
        self.head = head(given, outputs)
        self.embedding = nn.Linear(context, width, bias=False) if projection else None

    def features(self, sample: Sample) -> Tensor:
        """What the trunk gives, (N, F) or (N, F, h, w)."""
        return self.trunk(sample.parts[0], None if self.joins else self._told(sample))

    def _told(self, sample: Sample) -> Tensor | None:
        """The other parts and the context, unless it is projected, (N, K)."""
        told = [part.flatten(1) for part in sample.parts[1:]]
        if self.embedding is None and sample.context is not None:
            told.append(sample.context)
        return torch.cat(told, 1) if told else None

    def forward(self, sample: Sample) -> Tensor:
        features = self.features(sample)
        given = torch.cat([features, _deviation(features)], 1) if self.deviation else features
        outputs = self.head(self.joint(with_planes(given, self._told(sample) if self.joins else None)))
        if self.embedding is None:
            return outputs
        assert sample.context is not None
        each = self.embedding(sample.context.to(self.embedding.weight.dtype)).unflatten(
            1, (-1, *[1] * (features.dim() - 2))
        )
        aligned = (each * features).sum(1, keepdim=True)
        return outputs + F.pad(aligned.movedim(1, -1), (0, outputs.shape[1] - 1)).movedim(-1, 1)


def _of_width(features: Features, width: int) -> Features:
    return width if isinstance(features, int) else (width, *features[1:])


def _layers(features: Features, widths: Sequence[int]) -> tuple[nn.Sequential, Features]:
    """Linear maps with their activations, and what the last of them gives."""
    layers: list[nn.Module] = []
    for width in widths:
        at_least(1, **{"critic.network.joint": width})
        layers += [head(features, width), nn.LeakyReLU(0.2)]
        features = _of_width(features, width)
    return nn.Sequential(*layers), features


def _deviation(features: Tensor) -> Tensor:
    """The mean over features of their deviation over the batch, as one more channel: (N, 1, ...)."""
    deviation = (features.var(0, correction=0) + 1e-8).sqrt().mean()
    return deviation.expand_as(features[:, :1])


class Reconstructing(nn.Module):
    """An autoencoder as a critic: the score is minus the mean absolute error of a value (BEGAN, Berthelot,
    Schumm and Metz 2017, https://arxiv.org/abs/1703.10717). forward: a sample of N -> (N, 1).

    encoder, decoder: their factories, of the sizes. latent: of its code.
    """

    def __init__(
        self,
        shapes: Shapes,
        context: int,
        outputs: int,
        encoder: Callable[[Sizes], nn.Module],
        decoder: Callable[[Sizes], nn.Module],
        latent: int = 64,
    ) -> None:
        super().__init__()
        if outputs > 1 or len(shapes) > 1:
            raise ConfigurationError(
                "critic/network=autoencoder scores observations alone: choose critic/network=mlp or conv"
            )
        read: Any = encoder(Sizes(shape=shapes[0], context=context))
        self.encoder, self.code = read, nn.Linear(read.features, latent)
        self.decoder = decoder(Sizes(shape=shapes[0], latent=latent, layout=(latent,), context=context))

    def features(self, sample: Sample) -> Tensor:
        """The code, (N, latent)."""
        return self.code(self.encoder(sample.parts[0], sample.context))

    def forward(self, sample: Sample) -> Tensor:
        found = self.decoder(self.features(sample), sample.context)
        return -(found - sample.parts[0]).abs().flatten(1).mean(1, keepdim=True)
