"""Penalties on the weights: matrices and kernels, not biases or scales."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from aelab.core.records import Trace
from aelab.models import Autoencoder
from aelab.objectives.base import Term


def weight_tensors(model: nn.Module) -> Iterator[Tensor]:
    """The trainable parameters with two dimensions or more."""
    return (p for p in model.parameters() if p.requires_grad and p.dim() > 1)


class L1(Term):
    """The sum of |w|: a Laplace prior on the weights."""

    reads_codes = False

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        return torch.stack([p.abs().sum() for p in weight_tensors(model)]).sum()


class L2(Term):
    """The sum of w^2: a Gaussian prior on the weights."""

    reads_codes = False

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        return torch.stack([p.square().sum() for p in weight_tensors(model)]).sum()
