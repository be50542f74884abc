"""Fully connected networks of any widths; the context is appended to the input."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.networks.activations import Activation, arity


def hidden_layers(
    size: int, widths: Sequence[int], activation: Activation, normalised: bool = False
) -> nn.Sequential:
    """Linear layers of `widths` after an input of `size`, each followed by its activation.

    normalised: whether activations are of numbers that are normalised over the batch.
    Raises ConfigurationError for a layer without numbers.
    """
    if min(widths, default=1) < 1:
        raise ConfigurationError(f"widths={list(widths)}: a layer has 1 number or more")
    sizes, n = [size, *widths], arity(activation)
    layers: list[nn.Module] = []
    for a, b in zip(sizes, widths, strict=False):
        layers.append(nn.Linear(a, n * b, bias=not normalised))
        layers += [BatchNorm(n * b), activation()] if normalised else [activation()]
    return nn.Sequential(*layers)


class BatchNorm(nn.BatchNorm1d):
    """torch's, which leaves a batch of one as it is while training."""

    def forward(self, x: Tensor) -> Tensor:
        return x if self.training and len(x) == 1 else super().forward(x)


def join(x: Tensor, context: Tensor | None) -> Tensor:
    """x (B, D) and context (B, C) or None -> (B, D + C)."""
    return x if context is None else torch.cat([x, context], -1)


class MLPEncoder(nn.Module):
    """forward: x (B, *shape), context (B, C) or None -> (B, features).

    reads: what values are made into before they are read; None: nothing else.
    """

    def __init__(
        self,
        sizes: Sizes,
        widths: Sequence[int],
        activation: Activation = nn.ReLU,
        reads: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.reads = reads
        if sizes.vocabulary is not None:
            raise ConfigurationError(
                "the encoder of network=mlp reads numbers, and the data are tokens, which are names: choose "
                "network=gru"
            )
        size = math.prod(sizes.shape) + sizes.context
        self.layers = hidden_layers(size, widths, activation)
        self.features = widths[-1] if widths else size

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.layers(join((x if self.reads is None else self.reads(x)).flatten(1), context))


class MLPDecoder(nn.Module):
    """forward: z (B, latent), context (B, C) or None -> (B, *shape); normalised: as in `hidden_layers`."""

    def __init__(
        self,
        sizes: Sizes,
        widths: Sequence[int],
        activation: Activation = nn.ReLU,
        normalised: bool = False,
    ) -> None:
        super().__init__()
        size = sizes.latent + sizes.context
        self.shape = sizes.shape
        self.layers = hidden_layers(size, widths, activation, normalised)
        self.output = nn.Linear(widths[-1] if widths else size, math.prod(sizes.shape))

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self.output(self.layers(join(z, context))).unflatten(-1, self.shape)
