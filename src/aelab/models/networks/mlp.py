"""Fully connected networks of any widths; the context is appended to the input."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from aelab.core.records import Sizes
from aelab.models.networks.activations import Activation, arity


def hidden_layers(size: int, widths: Sequence[int], activation: Activation) -> nn.Sequential:
    """Linear layers of `widths` after an input of `size`, each followed by its activation."""
    sizes, n = [size, *widths], arity(activation)
    layers = [[nn.Linear(a, n * b), activation()] for a, b in zip(sizes, widths, strict=False)]
    return nn.Sequential(*(module for layer in layers for module in layer))


def join(x: Tensor, context: Tensor | None) -> Tensor:
    """x (B, D) and context (B, C) or None -> (B, D + C)."""
    return x if context is None else torch.cat([x, context], -1)


class MLPEncoder(nn.Module):
    """forward: x (B, *shape), context (B, C) or None -> (B, features)."""

    def __init__(self, sizes: Sizes, widths: Sequence[int], activation: Activation = nn.ReLU) -> None:
        super().__init__()
        size = math.prod(sizes.shape) + sizes.context
        self.layers = hidden_layers(size, widths, activation)
        self.features = widths[-1] if widths else size

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.layers(join(x.flatten(1), context))


class MLPDecoder(nn.Module):
    """forward: z (B, latent), context (B, C) or None -> (B, *shape)."""

    def __init__(self, sizes: Sizes, widths: Sequence[int], activation: Activation = nn.ReLU) -> None:
        super().__init__()
        size = sizes.latent + sizes.context
        self.shape = sizes.shape
        self.layers = hidden_layers(size, widths, activation)
        self.output = nn.Linear(widths[-1] if widths else size, math.prod(sizes.shape))

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self.output(self.layers(join(z, context))).unflatten(-1, self.shape)
